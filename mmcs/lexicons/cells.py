"""Cleans the cells of glossaries and word lists, and splits lists into candidates.

All builders from word lists pass their cells through ``Cells``. What people write around words (remarks, grammar,
punctuation) would go into captions, or keep a phrase from ever matching one. It is removed as in FreeDict's dictionaries
(``grammar``), and counted by cause, with examples.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence

from mmcs.common.caption_text import decode_entities
from mmcs.lexicons import grammar
from mmcs.lexicons.pairs import Pairs, clean
from mmcs.prepare.records import Tally

MAX_CELL = 10_000  # characters; a longer one is no list of words
_DEEPEST = 3  # brackets in brackets

_BREAKS = re.compile(r"[\n\r\v\f\u2028\u2029]|<(?:br|p|/p|li|/li)\s*/?>", re.IGNORECASE)
_SPACED_SLASH = re.compile(r"\s+[/\uff0f]\s+")
_COMMA = re.compile(r"(?<!\d)[,\uff0c\u3001\u060c]|[,\uff0c\u3001\u060c](?!\d)")
_SLASH = re.compile(r"(?<=\w)[/\uff0f](?=\w)")
_SLASH_OR_HYPHEN = re.compile(r"(?<=\w)[/\uff0f-](?=\w)")  # "client/server", "Client-Server"
_NUMBERS = re.compile(r"(?:^|(?<=\s))\d{1,2}[.)]\s+")

# Most cells: one word, or several with spaces alone between them.
_WORD = re.compile(r"\w+(?:-\w+)*")
_WORDS = re.compile(r"[\w-]*\w(?: \w[\w-]*)*")
_LISTING = re.compile(r"[,/\uff0c\u3001\u060c\uff0f]")

# A round bracket that touches the word before it is an ending (photo(s), Lehrer(in)) or belongs to it (titanium(III)).
_REMARK = re.compile(
    r"\[[^\[\]]*\]|\{[^{}]*\}|<[^<>\s][^<>]*>|(?<!\S)/[^/\s]+/(?!\S)|(?<!\S)\((?:[^()]|\([^()]*\))*\)(?!\w)"
    r"|(?<=\w{3})\([^\W\d_A-Z]+\)(?!\w)|[\uff08][^\uff08\uff09]*\uff09|\u3010[^\u3010\u3011]*\u3011"
)
_ENDING = re.compile(r"(?<=\w{3})[/:*_]-?(?:innen|in|[^\W\d_A-Z]{1,2})$|(?<=\w{3})/-\w{1,5}$")
_INFLECTION = re.compile(r"[-\u00a8~\u2010\u2013]\S*|[-\u2010\u2013]?\u00a8\S*")
_BULLET = re.compile(r"^(?:[\u2022\u00b7\u25aa\u2023*]\s*|[-\u2013]\s+|\d{1,2}[.)]\s+)")
_EDGES = re.compile(r"^[\s,;:\u2026]+|[\s,;:\u2026]+$|(?<=\s)[-\u2013]$|\.{2,}$")
_ABBREVIATED = re.compile(r"(?:^|[\s.])(?:\w{1,2}|[A-Z]\w{2})\.$")
_EMPHASIS = re.compile(r"[!?\uff01\uff1f]+$")
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u201e": "\u201c\u201d", "\u00ab": "\u00bb", "\u00bb": "\u00ab", "\u2018": "\u2019", "\u201a": "\u2018", "\u300c": "\u300d", "\u300e": "\u300f"}  # fmt: skip
# Parts of names that a comma sets off: "Washington, D.C.", "Acme, Inc.".
_OF_NAME = re.compile(r"(?:\w\.)+\w?|[A-Z]{2,3}|(?:Inc|Ltd|Co|Corp|Jr|Sr|LLC|PLC|GmbH|AG|S\.A|PhD|MD|Esq)\.?")


class Cells:
    """From two cells of a row to pairs of a phrase and its translation.

    Attributes:
        cleaned: what was removed or split, by cause, with examples.
    """

    def __init__(self, pairs: Pairs, *, separators: str = "|;", verbatim: bool = False) -> None:
        """Args:
        pairs: takes the pairs.
        separators: characters between the candidates of a cell; line breaks are always such.
        verbatim: whether cells are split by these alone, and nothing else is done.
        """
        self.collected, self.source_language, self.verbatim = pairs, pairs.source_language, verbatim
        self.cleaned = Tally()
        self._source, self._told = "", set[tuple[str, str]]()
        wide = separators.replace(";", ";\uff1b").replace("|", "|\uff5c")
        self._separator = re.compile(f"[{re.escape(wide)}]") if wide else re.compile("(?!)")

    def add(self, language: str, source: str, target: str, weight: float | None = None, pos: str = "") -> None:
        """Adds the pairs of two cells; ``language`` is the target's (BCP 47), the rest as in ``Pairs.add``."""
        if max(len(source), len(target)) > MAX_CELL:
            self.collected.left_out.add(f"cell of more than {MAX_CELL:,} characters", f"{source[:40]} - {target[:40]}")
            return
        found = None
        for found in self.pairs(source, target, language):
            self.collected.add(language, *found, weight, pos)
        if found is None:
            self.collected.left_out.add("cell of nothing but a remark", f"{clean(source)} - {clean(target)}")

    def pairs(self, source: str, target: str, language: str) -> Iterator[tuple[str, str]]:
        """Each source in one cell with each candidate in the other; ``language`` is the candidates' (BCP 47)."""
        if _WORD.fullmatch(source) and _WORD.fullmatch(target):  # most of a word list
            yield source, target
            return
        if source != self._source:  # a source comes with all its languages in a row, and is counted once
            self._source = source
            self._told.clear()
        sources, targets = self._parts(source), self._parts(target)
        if self.verbatim:
            yield from itertools.product(sources, targets)
            return
        own = self.source_language
        sources = [self._tidy(part, own, target, language) for part in sources]
        targets = [self._tidy(part, language, source, own) for part in targets]
        found = list(itertools.product(sources, targets))
        if _LISTING.search(source) or _LISTING.search(target):
            listed = self._listed(sources, targets, own), self._listed(targets, sources, language)
            sources = [self._tidy(part, own, target, language) for part in listed[0]]
            targets = [self._tidy(part, language, source, own) for part in listed[1]]
            found = [*itertools.product(sources, targets), *self._side_by_side(sources, targets)]
        for one, other in found:
            for spelling in grammar.spellings(one):
                yield from self._without_articles(spelling, grammar.spellings(other)[-1], language)

    def _parts(self, cell: str) -> list[str]:
        """The parts of a cell between line breaks and separators, without remarks in brackets."""
        if _WORDS.fullmatch(cell):
            return [cell]
        text = _BREAKS.sub("\n", decode_entities(cell))
        if not self.verbatim:
            bare = text
            for _ in range(_DEEPEST):
                bare = _REMARK.sub(" ", bare)
            self._count("remark in brackets", text, bare)
            text = bare
        asked = [part for line in text.split("\n") for part in self._separator.split(line)]
        if self.verbatim:
            return [part for part in map(clean, asked) if part]
        parts = [piece for part in asked for piece in self._numbered(part)]
        parts = [part for part in map(clean, (piece for part in parts for piece in self._slashed(part))) if part]
        if len(parts) > 1 and (len(parts) > len(asked) or "\n" in text.strip()):
            self._count("list in a cell", cell, " | ".join(parts))
        return parts

    @staticmethod
    def _numbered(part: str) -> list[str]:
        """The parts of ``1. dog 2. hound``."""
        return _NUMBERS.split(part)[1:] if len(_NUMBERS.findall(part)) > 1 else [part]

    @staticmethod
    def _slashed(part: str) -> list[str]:
        """The parts between slashes with spaces; ``AC / DC`` is one."""
        parts = _SPACED_SLASH.split(part)
        return [part] if all(len(one) <= 2 or one.isupper() for one in parts) else parts

    def _tidy(self, text: str, language: str, other: str, other_language: str) -> str:
        """``text`` without grammar and punctuation around it; ``other`` is the cell of the other side."""
        if _WORDS.fullmatch(text) and grammar.MARKS.isdisjoint(text.split()):
            return text
        if not any(map(str.isalnum, text)):  # ":-)"
            return text
        steps: tuple[tuple[str, Callable[[str], str]], ...] = (
            ("punctuation around a word", lambda text: _punctuation(text, other)),
            ("gender or part of speech", lambda text: grammar.without_gender(text, other)),
            ("ending behind a slash", lambda text: text if _SLASH.search(other) else _ENDING.sub("", text)),
            ("article behind a comma", lambda text: grammar.without_inverted_article(text, language)),
            ("placeholder (sth., jdn.)", lambda text: grammar.without_placeholders(text, language)),
            ("mark of an infinitive", lambda text: grammar.without_infinitive(text, language, other, other_language)),
        )
        for cause, step in steps:
            changed = step(text)
            self._count(cause, text, changed)
            text = changed
        return text

    def _listed(self, parts: Sequence[str], others: Sequence[str], language: str) -> list[str]:
        """``parts`` with lists ("a, b", "a/b") split, where the other side has no phrase with as many commas or slashes."""
        found: list[str] = []
        for part in parts:
            pieces = next((pieces for pieces in self._lists(part, others, language) if pieces), [part])
            if len(pieces) > 1:
                self._count("list in a cell", part, " | ".join(pieces))
            found += [piece for piece in pieces if piece == part or not _INFLECTION.fullmatch(piece)]
        return found

    def _lists(self, part: str, others: Sequence[str], language: str) -> Iterator[list[str]]:
        for separator, alike in ((_COMMA, _COMMA), (_SLASH, _SLASH_OR_HYPHEN)):
            pieces = [piece.strip() for piece in separator.split(part) if piece.strip()]
            is_phrase = any(len(alike.findall(one)) == len(pieces) - 1 for one in others)
            if len(pieces) > 1 and not is_phrase and self._is_list(pieces, separator, language):
                yield pieces

    def _is_list(self, pieces: Sequence[str], separator: re.Pattern[str], language: str) -> bool:
        """Whether the pieces of a text are words that mean one thing, and no parts of a name, code or fraction."""
        if separator is _SLASH:
            return all(len(one) > 2 and one.replace(" ", "").isalpha() and not one.isupper() for one in pieces)
        if any(map(_OF_NAME.fullmatch, pieces)):
            return False
        # "Paris, Texas" is one source; "dog, hound" are two. German writes every noun with a capital.
        return language != self.source_language or grammar.base(language) == "de" or any(map(str.islower, pieces))

    @staticmethod
    def _side_by_side(sources: Sequence[str], targets: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Of ``dog, hound`` and ``Hund, Köter`` also the words one by one: in order, they are right as list and as phrase."""
        for separator in (_COMMA, _SLASH):
            for source, target in itertools.product(sources, targets):
                both = [[piece.strip() for piece in separator.split(text)] for text in (source, target)]
                if [len(pieces) for pieces in both] == [2, 2] and all(piece.isalpha() for of in both for piece in of):
                    pairs = list(zip(*both, strict=True))
                    if all(len(one) > 1 and one.casefold() != two.casefold() for one, two in pairs):
                        yield from pairs

    def _without_articles(self, source: str, target: str, language: str) -> Iterator[tuple[str, str]]:
        """The pair, and the pair without definite articles: captions have "a sofa" as well as "the sofa"."""
        article, rest = grammar.without_article(source, self.source_language)
        of_target, target_rest = grammar.without_article(target, language)
        if article:
            yield source, target
            self._count("also without the article", source, rest)
            yield rest, target_rest
        elif (
            of_target
            and " " not in f"{source}{target_rest}"
            and (target_rest[:1].isupper() or grammar.base(language) != "de")
            and source.casefold() != target.casefold()
        ):
            self._count("article", target, target_rest)
            yield source, target_rest
        else:
            yield source, target

    def _count(self, cause: str, before: str, after: str) -> None:
        if before == after or (cause, before) in self._told or clean(before) == clean(after):
            return
        self._told.add((cause, before))
        self.cleaned.add(cause, f"{clean(before)[:60]} -> {clean(after)[:80] or '(nothing)'}")


def _punctuation(text: str, other: str) -> str:
    """``text`` without bullets, quotes around it, and punctuation at its ends; a full stop of an abbreviation stays."""
    before = ""
    while text != before:
        before = text
        text = _EDGES.sub("", _BULLET.sub("", text)).strip()
        if len(text) > 2 and text[-1] in _QUOTES.get(text[0], "") and text[0] not in text[1:-1]:
            text = text[1:-1].strip()
    if text.endswith(".") and not other.rstrip().endswith(".") and not _ABBREVIATED.search(text):
        text = text[:-1]
    if _EMPHASIS.search(text) and _EMPHASIS.search(other.rstrip()):
        text = _EMPHASIS.sub("", text).lstrip("\u00a1\u00bf").strip()
    return text
