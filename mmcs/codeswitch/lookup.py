"""From a word as it stands in a caption to what may take its place: the lexicon, and everything that decides about a word.

Strategies ask here, once per word and language; the answers are remembered, since captions repeat their words.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

from mmcs.codeswitch.capitals import agree
from mmcs.codeswitch.joining import is_unspaced
from mmcs.codeswitch.lexicon import Ranked, normaliser
from mmcs.codeswitch.schedule import one_of
from mmcs.common.language_tags import known_language
from mmcs.errors import UserError

CANDIDATES = ("first", "weighted", "uniform")
# Answers that a process remembers, over all languages: some 10 MB.
REMEMBERED = 1 << 16
# Scripts without spaces: no word of theirs is longer.
MAX_CLUSTERS = 12

_NUMBERS = 2**32


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


class Lookup:
    """What may take the place of a word or phrase.

    Args:
        lexicon: where candidates come from.
        languages: those that may be written (tags in any spelling); all of the lexicon's where None.
        candidates: "first" (the study's 1-best), "weighted" (drawn by the lexicon's weights) or "uniform".
        keep: words and phrases that are never switched, in any capitals.
        skip: words that are not switched (function words); normalised.
        lemmas: the base forms of a normalised word (cats -> cat), tried where the language lacks the word.

    Attributes:
        drawn: how candidates are drawn, "weighted" or "uniform"; None: the first is taken.
        known: per language what has been found for the words as they stood in captions.
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
        keep = frozenset(map(self.normalise, keep))
        self.kept_phrases = frozenset(phrase for phrase in keep if " " in phrase)
        self.kept_tokens = max((phrase.count(" ") + 1 for phrase in self.kept_phrases), default=0)
        self.skip = keep | frozenset(skip)
        self.lemmas = lemmas
        self.known: tuple[dict[str, Found], ...] = tuple({} for _ in self.languages)
        self._remembered = 0
        self._beginnings: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without what was remembered: a spawned worker starts with empty hands."""
        return self.__dict__ | {"known": tuple({} for _ in self.languages), "_beginnings": {}, "_remembered": 0}

    def get(self, text: str, language: int) -> Found:
        """What may take the place of ``text`` in ``languages[language]``, in its capitals; None: it stays."""
        try:
            return self.known[language][text]
        except KeyError:
            return self.find(text, language)

    def find(self, text: str, language: int) -> Found:
        """The same, looked up and remembered: for callers that have looked into ``known``, where a call is too dear."""
        known = self.known[language]
        if self._remembered >= REMEMBERED:
            self._remembered = 0
            for of_language in self.known:
                of_language.clear()
        self._remembered += 1
        phrase = self.normalise(text)
        found = () if phrase in self.skip else self._candidates(phrase, self.languages[language])
        known[text] = answer = self._choice(text, found, self.languages[language]) if found else None
        return answer

    def _candidates(self, phrase: str, language: str) -> Ranked:
        found = self.lexicon.candidates(phrase, language)
        if not found:
            for base in self._bases(phrase):
                if base not in self.skip and (found := self.lexicon.candidates(base, language)):
                    break
        return found

    def _bases(self, phrase: str) -> list[str]:
        """``phrase`` with its last word in its base forms: "hot dogs" -> "hot dog"."""
        if self.lemmas is None:
            return []
        head, space, last = phrase.rpartition(" ")
        return [f"{head}{space}{base}" for base in self.lemmas(last)]

    def _choice(self, text: str, found: Ranked, language: str) -> Found:
        if self.drawn is None or len(found) == 1:
            return agree(text, found[0].text, language)
        weights = [candidate.weight if self.drawn == "weighted" else 1.0 for candidate in found]
        total = sum(weights)
        texts = tuple(agree(text, candidate.text, language) for candidate in found)
        return Choice(texts, tuple(int(share / total * _NUMBERS) for share in accumulate(weights)))

    def longest(self, beginning: str) -> int:
        """Words of the longest phrase, in any language, that begins with ``beginning`` (as it stands in a caption) or is it."""
        found = self._beginnings.get(beginning)
        if found is None:
            if len(self._beginnings) >= REMEMBERED:
                self._beginnings.clear()
            phrase = self.normalise(beginning)
            found = max(map(self.lexicon.longest, (phrase, *self._bases(phrase))))
            self._beginnings[beginning] = found
        return found

    def split(self, clusters: list[str]) -> list[str]:
        """Cuts a run of a script without spaces into words: at each place the longest that any language translates.

        What lies between such words is one word that nobody translates (forward maximum matching).
        """
        words: list[str] = []
        at = unknown = 0
        while at < len(clusters):
            for size in range(min(MAX_CLUSTERS, len(clusters) - at), 0, -1):
                word = "".join(clusters[at : at + size])
                if self.normalise(word) in self.lexicon:
                    words += ["".join(clusters[unknown:at]), word] if at > unknown else [word]
                    at = unknown = at + size
                    break
            else:
                at += 1
        return [*words, "".join(clusters[unknown:])] if unknown < len(clusters) else words

    def kept(self, parts: list[str]) -> set[int]:
        """Places in ``parts`` (as ``segment`` cuts them) of the words that belong to a kept phrase."""
        places: set[int] = set()
        if not self.kept_phrases:
            return places
        for first in range(1, len(parts), 2):
            for last in range(first + 2, min(first + 2 * self.kept_tokens, len(parts)), 2):
                if self.normalise("".join(parts[first : last + 1])) in self.kept_phrases:
                    places.update(range(first, last + 1, 2))
        return places
