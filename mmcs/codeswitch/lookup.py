"""Maps words and phrases of a caption to what may replace them: lexicons, kept and skipped words, base forms, capitals.

Strategies ask once per word and language. The answers are remembered, since captions repeat their words.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from mmcs.codeswitch.capitals import agree
from mmcs.codeswitch.joining import is_unspaced
from mmcs.codeswitch.lexicon import Ranked, normaliser
from mmcs.codeswitch.matching import PhraseFinder, PhraseSet, Window
from mmcs.codeswitch.schedule import one_of
from mmcs.codeswitch.segment import split_run
from mmcs.common.language_tags import known_language
from mmcs.errors import UserError

CANDIDATES = ("first", "weighted", "uniform")
# Answers that a process remembers, over all languages: some 10 MB.
REMEMBERED = 1 << 16

_NUMBERS = 2**32
_CONTRACTED = re.compile("(?:n't|'(?:d|ll|m|re|s|ve))$")
_NEW: Any = object()
_ORDER = itemgetter(0, 1, 2)


class Candidates(Protocol):
    """The part of a lexicon that strategies use."""

    languages: tuple[str, ...]
    source_language: str

    def candidates(self, phrase: str, language: str) -> Ranked: ...

    def longest(self, beginning: str) -> int: ...

    def __contains__(self, phrase: str) -> bool: ...


class Choice(NamedTuple):
    """Several candidates, and the bounds of their shares of 0..2**32."""

    texts: tuple[str, ...]
    bounds: tuple[int, ...]

    def pick(self, number: int) -> str:
        """The candidate at ``number`` (0..2**32 - 1)."""
        return self.texts[min(bisect_right(self.bounds, number), len(self.texts) - 1)]


Found = str | Choice | None


class Match(NamedTuple):
    """A phrase of a caption that is replaced as one.

    Attributes:
        first, last: places of its first and last word in ``segment``'s parts.
        ending: number of characters behind the last word that belong to it.
        language: index into ``Lookup.languages``.
        found: what may replace it.
    """

    first: int
    last: int
    ending: int
    language: int
    found: str | Choice


class _Answer(NamedTuple):
    """What is remembered of a phrase in a language; ``rank``: the place of its lexicon among all."""

    rank: int
    ending: int
    found: str | Choice


class Lookup:
    """What may replace a word or phrase.

    Args:
        lexicon: where candidates come from; of several (``build.Lexicons``) the first that has a word or its base form.
        languages: those that may be written; all of the lexicon's where None.
        candidates: "first" (the study's 1-best), "weighted" (drawn by the lexicon's weights) or "uniform".
        keep: words and phrases that are never switched, in any capitals and inflection.
        skip: single words that are not switched (function words); normalised. Phrases may hold them.
        lemmas: the base forms of a normalised word (cats -> cat), tried where a lexicon lacks the word.

    Attributes:
        drawn: how candidates are drawn, "weighted" or "uniform"; None: the first is taken.
        known: per language the answers for words as captions spell them.
        keeps: whether there is anything to keep.
        unspaced: those of ``languages`` that are written without spaces; source_unspaced: whether the captions' is.

    Raises:
        UserError: a language that the lexicon lacks, or none.
    """

    def __init__(
        self,
        lexicon: Candidates,
        languages: Sequence[str] | None = None,
        *,
        candidates: str = "first",
        keep: Collection[str] = (),
        skip: Collection[str] = (),
        lemmas: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        self.lexicon = lexicon
        self.languages = lexicon.languages
        if languages is not None:
            found = {language: known_language(language, lexicon.languages) for language in languages}
            if unknown := [language for language, known in found.items() if known is None]:
                raise UserError(
                    f"codeswitch.languages names {', '.join(unknown)}, which no lexicon holds (they hold {', '.join(lexicon.languages)})."
                )
            self.languages = tuple(dict.fromkeys(known for known in found.values() if known is not None))
        if not self.languages:
            raise UserError("codeswitch.languages is empty; name at least one language, or set codeswitch=none.")
        self.unspaced = frozenset(filter(is_unspaced, self.languages))
        self.source_unspaced = is_unspaced(lexicon.source_language)
        chosen = one_of("codeswitch.candidates", candidates, CANDIDATES)
        self.drawn = None if chosen == "first" else chosen
        self.normalise = normaliser(lexicon.source_language)
        self.lexicons: tuple[Candidates, ...] = getattr(lexicon, "lexicons", (lexicon,))
        self.lemmas = lemmas
        self._kept = PhraseSet(map(self.normalise, keep))
        self.keeps = bool(self._kept.phrases)
        self.skip = self._kept.phrases | frozenset(skip)
        self._phrases = PhraseFinder(lexicon, self.normalise, self._bases)
        self._kept_phrases = PhraseFinder(self._kept, self.normalise, self._bases)
        self._forget()

    def _forget(self) -> None:
        self._remembered = 0
        self.known: tuple[dict[str, Found], ...] = tuple({} for _ in self.languages)

    def __getstate__(self) -> dict[str, Any]:
        """Without the remembered answers: a spawned worker starts with none."""
        return self.__dict__ | {"known": tuple({} for _ in self.languages), "_remembered": 0}

    def get(self, text: str, language: int) -> Found:
        """What may replace the word ``text`` in ``languages[language]``, in its capitals; None: it stays."""
        try:
            return self.known[language][text]
        except KeyError:
            return self.find(text, language)

    def with_period(self, word: str, language: int) -> Found:
        """What may replace ``word`` and the period behind it, where nothing replaces the word alone ("Mr.")."""
        return None if self._skips(self.normalise(word)) else self.get(f"{word}.", language)

    def find(self, text: str, language: int) -> Found:
        """``get`` without a look into ``known``: for callers that have looked there themselves."""
        if self._remembered >= REMEMBERED:
            self._forget()
        self._remembered += 1
        word = self.normalise(text)
        forms = () if self._skips(word) else (word, *(base for base in self._bases(word) if base not in self.skip))
        _, _, found = self._first(forms, language)
        self.known[language][text] = answer = self._choice(text, found, language) if found else None
        return answer

    def windows(self, parts: Sequence[str], most: int | None = None) -> list[Window]:
        """What is a phrase in any language among ``parts`` (as ``segment`` cuts them), of up to ``most`` words."""
        return self._phrases.find(parts, most)

    def matches(
        self,
        windows: Sequence[Window],
        parts: Sequence[str],
        language_at: Callable[[int], int],
        kept: Collection[int] = (),
    ) -> list[Match]:
        """Those of ``windows`` that are replaced as one.

        Each is looked up in the language of its first word. Longer phrases come first, then those of earlier lexicons,
        then those further left; a word belongs to one phrase. A single word is among them where the lexicon's has
        punctuation behind it ("Mr.").

        Args:
            windows: of ``parts``.
            parts: of the caption.
            language_at: place of a word -> index into ``languages``.
            kept: places of words that belong to no phrase.
        """
        found = []
        for window in windows:
            language = language_at(window.first)
            answer = window.memo.get(language, _NEW)
            if answer is _NEW:
                answer = window.memo[language] = self._answer(window, parts, language)
            if answer is not None:
                match = Match(window.first, window.last, answer.ending, language, answer.found)
                found.append((match.first - match.last, answer.rank, match.first, match))
        if len(found) < 2 and not kept:
            return [match for _, _, _, match in found]
        found.sort(key=_ORDER)
        taken = set(kept)
        matches = []
        for _, _, _, match in found:
            places = range(match.first, match.last + 1, 2)
            if taken.isdisjoint(places):
                taken.update(places)
                matches.append(match)
        return matches

    def _answer(self, window: Window, parts: Sequence[str], language: int) -> _Answer | None:
        text, keys = "".join(parts[window.first : window.last + 1]), window.keys
        if window.first == window.last:
            keys = tuple(key for key in keys if not self._skips(key.phrase))
        place, rank, found = self._first([key.phrase for key in keys], language)
        return _Answer(rank, keys[place].ending, self._choice(text, found, language)) if found else None

    def _first(self, phrases: Sequence[str], language: int) -> tuple[int, int, Ranked]:
        """Which of ``phrases`` is found, in which lexicon, and its candidates: the first lexicon decides, then the order
        of the phrases.
        """
        for rank, lexicon in enumerate(self.lexicons):
            for place, phrase in enumerate(phrases):
                if found := lexicon.candidates(phrase, self.languages[language]):
                    return place, rank, found
        return 0, 0, ()

    def _skips(self, word: str) -> bool:
        """Whether ``word`` (normalised) or the word that it is a contraction of is skipped: "can't", "it's"."""
        if word in self.skip or "'" not in word:
            return word in self.skip
        return word.removesuffix("'t") in self.skip or _CONTRACTED.sub("", word) in self.skip

    def _bases(self, word: str) -> Sequence[str]:
        return self.lemmas(word) if self.lemmas is not None else ()

    def _choice(self, text: str, found: Ranked, index: int) -> str | Choice:
        language = self.languages[index]
        if self.drawn is None or len(found) == 1:
            return agree(text, found[0].text, language)
        weights = [candidate.weight if self.drawn == "weighted" else 1.0 for candidate in found]
        total = sum(weights)
        texts = tuple(agree(text, candidate.text, language) for candidate in found)
        return Choice(texts, tuple(int(share / total * _NUMBERS) for share in accumulate(weights)))

    def split(self, clusters: list[str]) -> list[str]:
        """Cuts a run of a script without spaces into words: at each place the longest that any language translates."""
        return split_run(clusters, lambda word: self.normalise(word) in self.lexicon)

    def kept(self, parts: Sequence[str]) -> set[int]:
        """Places in ``parts`` (as ``segment`` cuts them) of the words that are kept, alone or in a phrase."""
        if not self.keeps:
            return set()
        kept = {place for place in range(1, len(parts), 2) if self._keeps(parts[place])}
        for window in self._kept_phrases.find(parts):
            kept.update(range(window.first, window.last + 1, 2))
        return kept

    def _keeps(self, text: str) -> bool:
        words, word = self._kept.phrases, self.normalise(text)
        return word in words or f"{word}." in words or not words.isdisjoint(self._bases(word))
