"""Finding the phrases of a lexicon in a caption: the same words, whatever their punctuation and inflection.

``Lookup`` finds with it what to switch and what to keep; ``reachable`` tests a key when a lexicon is built.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from mmcs.codeswitch.lexicon import normaliser
from mmcs.codeswitch.segment import UNSPACED, segment, split_run

# Steps from word to word that a process remembers: some 10 MB.
REMEMBERED = 1 << 15
# Words without a space between them ("AT&T", "AC/DC") are tried as one token of at most this many characters.
_LONGEST_JOINED = 40
# Punctuation behind a word that may belong to a phrase ("C++").
_LONGEST_ENDING = 3
# Longer words are no abbreviations: their period must be in both the caption and the phrase.
_LONGEST_ABBREVIATION = 4

_LETTERS = re.compile("[a-z]+(?: [a-z]+)*")
_SPACE = re.compile(r"\s")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_APOSTROPHES = str.maketrans("\u2018\u2019", "''")


class Known(Protocol):
    """The phrases to find: a lexicon, several, or a ``PhraseSet``."""

    def longest(self, beginning: str) -> int: ...

    def __contains__(self, phrase: str) -> bool: ...


class PhraseSet:
    """Normalised phrases in memory."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self.phrases = frozenset(phrases)
        self._longest: dict[str, int] = {}
        for phrase in self.phrases:
            tokens = phrase.split(" ")
            for n in range(1, len(tokens) + 1):
                beginning = " ".join(tokens[:n])
                self._longest[beginning] = max(self._longest.get(beginning, 0), len(tokens))

    def longest(self, beginning: str) -> int:
        return self._longest.get(beginning, 0)

    def __contains__(self, phrase: str) -> bool:
        return phrase in self.phrases


class Key(NamedTuple):
    """A phrase of the lexicon, and the number of characters after the last word of the caption that belong to it."""

    phrase: str
    ending: int


class Window(NamedTuple):
    """Words of a caption that are a phrase.

    Attributes:
        first, last: places of the first and the last word in ``segment``'s parts.
        keys: the phrases that it can be, best first.
        memo: what the caller remembers of the same words in the same spelling.
    """

    first: int
    last: int
    keys: tuple[Key, ...]
    memo: dict[Any, Any]


class _Form(NamedTuple):
    """A spelling of a word, how many characters behind it it takes in, and whether words of a phrase may follow."""

    text: str
    ending: int
    inner: bool


class _Spelling(NamedTuple):
    forms: tuple[_Form, ...]  # the likeliest first
    joined: str  # the form where another word follows without a space, else ""


class _Node:
    """Words at the beginning of phrases: the phrases that they are, what longer ones begin with, and the next words."""

    __slots__ = ("begins", "keys", "memo", "next")

    def __init__(self, keys: tuple[Key, ...], begins: tuple[str, ...]) -> None:
        self.keys, self.begins = keys, begins
        self.memo: dict[Any, Any] = {}
        self.next: dict[str | tuple[str, str, str], _Node] = {}


_NOTHING = _Node((), ())


class PhraseFinder:
    """Finds the phrases of ``known`` in captions.

    A phrase is found in any capitals and with any white space. Apostrophes may be curly or straight, periods behind its
    words may be missing or added ("St Louis", "St. Louis"), and so may the quotes of a letter ("rock 'n' roll"). Other
    punctuation must be that of the phrase: "dog, house" is no "dog house". A word may be an inflected form where the
    phrase has the base form ("running shoes": "running shoe"); exact phrases are preferred.

    Args:
        known: the phrases.
        normalise: gives the normal form of words.
        bases: the base forms of a normalised word.
    """

    def __init__(
        self, known: Known, normalise: Callable[[str], str], bases: Callable[[str], Sequence[str]] | None = None
    ) -> None:
        self.known = known
        self.normalise = normalise
        self.bases = bases
        self._forget()

    def _forget(self) -> None:
        # Without phrases of several tokens only words with punctuation behind them need a look.
        self._single = getattr(self.known, "max_tokens", 2) == 1
        self._root, self._nodes = _Node((), ("",)), 0
        self._spellings: dict[str, _Spelling] = {}

    def __getstate__(self) -> tuple[object, ...]:
        return self.known, self.normalise, self.bases

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.known, self.normalise, self.bases = state
        self._forget()

    def find(self, parts: Sequence[str], most: int | None = None) -> list[Window]:
        """All phrases in ``parts`` (as ``segment`` cuts them) of up to ``most`` words.

        A single word is among them only where a phrase has other punctuation behind it than a period ("C++").
        """
        windows: list[Window] = []
        end = len(parts) - 1
        places: Sequence[int] = range(1, end, 2)
        if self._single:
            between = parts[2:end:2]
            if between.count(" ") == len(between) and parts[end] in ("", "."):
                return windows
            places = [place for place in places if parts[place + 1] != " "]
        for first in places:
            place, node, before = first, self._root, " "
            while True:
                word, after = parts[place], parts[place + 1]
                # The usual step has a short key: a word between spaces.
                step = word if before == after == " " else (before, word, _head(after, place + 2 == end))
                found = node.next.get(step)
                if found is None:
                    found = self._remember(node, step)
                if found.keys:
                    windows.append(Window(first, place, found.keys, found.memo))
                place += 2
                if not found.begins or place >= end or (most is not None and place - first >= 2 * most):
                    break
                if not after and _UNSPACED.match(parts[place]) and _UNSPACED.match(word[-1]):
                    break  # ``split`` has cut them apart
                node, before = found, after
        return windows

    def _remember(self, node: _Node, step: str | tuple[str, str, str]) -> _Node:
        if self._nodes >= REMEMBERED:
            self._forget()
        self._nodes += 1
        before, word, head = (" ", step, " ") if isinstance(step, str) else step
        spelling = self._spelling(word, head)
        if node.begins == ("",):
            keys, begins = self._extend(("",), spelling)
            keys = [key for key in keys if not key.phrase.endswith(".")]
            if not any(key.ending for key in keys):
                keys = []  # just the word
        else:
            keys, begins = self._extend([begin + lead for begin in node.begins for lead in _leads(before)], spelling)
        node.next[step] = found = _Node(tuple(keys), tuple(begins)) if keys or begins else _NOTHING
        return found

    def _extend(self, stems: Sequence[str], spelling: _Spelling) -> tuple[list[Key], list[str]]:
        """The phrases, and the beginnings of phrases, that ``stems`` and the next word make."""
        keys, begins = [], []
        for stem in stems:
            for form, ending, inner in spelling.forms:
                phrase = stem + form
                longest = self.known.longest(phrase)
                if longest and phrase in self.known:
                    keys.append(Key(phrase, ending))
                if inner and longest > phrase.count(" ") + 1:
                    begins.append(phrase)
            joined = spelling.joined
            if joined and len(stem) + len(joined) - stem.rfind(" ") <= _LONGEST_JOINED:
                begins.append(stem + joined)
        return keys, begins

    def _spelling(self, word: str, head: str) -> _Spelling:
        """How phrases may spell ``word`` where ``head`` follows it."""
        spelling = self._spellings.get(word) if head == " " else None
        if spelling is None:
            plain = self.normalise(word)
            bases = self.bases(plain) if self.bases is not None else ()
            spelling = _spell(plain, head, bases, abbreviated=word[0].isupper() and len(word) <= _LONGEST_ABBREVIATION)
            if head == " ":
                self._spellings[word] = spelling
        return spelling


def _spell(word: str, head: str, bases: Sequence[str], *, abbreviated: bool) -> _Spelling:
    """``abbreviated``: whether a period behind the word may be that of an abbreviation, not the end of a sentence."""
    behind = head.translate(_APOSTROPHES).lower().rstrip()
    spaced = head[-1:].isspace()
    bare = spaced and (not behind or (behind == "." and abbreviated))
    forms = [
        _Form(word + behind[:cut], cut, spaced and cut == len(behind))
        for cut in range(min(len(behind), _LONGEST_ENDING), 0, -1)
        if behind[:cut] != "."
    ]
    forms.append(_Form(word, 0, bare or (spaced and behind == "'")))
    forms += [_Form(base, 0, bare) for base in bases]
    if len(word) <= _LONGEST_ABBREVIATION or behind[:1] == ".":
        forms.append(_Form(f"{word}.", int(behind[:1] == "."), spaced and behind in ("", ".")))
    if len(word) == 1:  # rock n roll
        forms += [_Form(f"{word}'", 0, bare), _Form(f"'{word}'", 0, bare)]
    return _Spelling(tuple(forms), "" if spaced else word + behind)


@lru_cache(REMEMBERED)
def _head(after: str, last: bool) -> str:
    """The beginning of what follows a word, up to a space; ``last``: no word follows, which is like a space."""
    space = _SPACE.search(after)
    return after[: space.start()] + " " if space else after + " " if last else after


@lru_cache(REMEMBERED)
def _leads(between: str) -> tuple[str, ...]:
    """What phrases may have between the token that ends at the first space of ``between`` and the next word."""
    if not _SPACE.search(between):
        return ("",)
    pieces = between.translate(_APOSTROPHES).split()
    if not between[0].isspace():
        del pieces[0]  # belongs to the word before
    before = pieces.pop() if pieces and not between[-1].isspace() else ""
    lead = " ".join(["", *pieces, ""])
    return (lead + before, lead) if before == "'" else (lead + before,)


def reachable(phrase: str, language: str = "en") -> bool:
    """Whether a caption can hold a normalised phrase of a lexicon: the phrase itself, as a caption, is found whole.

    Phrases without a word, with a protected part that is no word ("@home") or with punctuation before the first word
    ("-less") are not found.

    Args:
        phrase: as a lexicon stores it (``normalise``).
        language: of the phrase (BCP 47).

    >>> reachable("valentine's day"), reachable("at&t"), reachable("u.s."), reachable("-less")
    (True, True, True, False)
    """
    if _LETTERS.fullmatch(phrase):
        return True
    known, normalise = PhraseSet([phrase]), normaliser(language)
    parts = segment(phrase, lambda clusters: split_run(clusters, lambda word: normalise(word) in known))
    if len(parts) < 3 or parts[0]:
        return False
    if len(parts) == 3 and parts[2] in ("", "."):  # ``Lookup.get`` and ``Lookup.with_period``
        return normalise("".join(parts)) == phrase
    return any(
        window.first == 1 and window.last == len(parts) - 2 and key.ending == len(parts[-1])
        for window in PhraseFinder(known, normalise).find(parts)
        for key in window.keys
    )
