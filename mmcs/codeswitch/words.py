"""Code-switching out of lexicons: each word or phrase becomes its translation in a language drawn for it.

``Multilingual`` with ``max_tokens=1`` is the ML-CS of Litschko et al. 2023 (section 3.1), ``Bilingual`` (one language) its
BL-CS, ``Phrases`` its Wiki-CS, ``Dictionary`` its word-by-word translation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.joining import join
from mmcs.codeswitch.languages import LanguageDraw
from mmcs.codeswitch.lookup import Lookup, Match
from mmcs.codeswitch.schedule import Curriculum, Schedule, one_of, probability
from mmcs.codeswitch.segment import segment
from mmcs.codeswitch.strategy import Caption, Replacement, Switched
from mmcs.errors import UserError

_NEW: object = object()
_NONE: frozenset[int] = frozenset()


class Multilingual:
    """Each phrase or word, with probability ``p``, becomes its translation in a language that is drawn for it.

    The longest phrases of the lexicons come first (``Lookup.matches``); every other word is looked up by itself. A phrase
    is one unit: the numbers drawn for its first word decide whether it is switched and into which language. Where that
    language lacks the phrase, its words are units of their own, and a word that the language lacks stays as it is.

    The language is drawn for each unit (``language_per="token"``, the study's way) or once (``"caption"``). The numbers
    drawn for a word do not depend on the lexicon, so two lexicons with the same phrases (a lexicon and its shuffled copy)
    switch the same positions.

    Args:
        lookup: what may replace a word or phrase.
        p: probability of switching a unit; may change over the epochs.
        max_tokens: words of the longest phrase; None: any; 1: word by word, the study's way.
        language_per: "token" or "caption".
        language_weights: per language a weight in the draw; None: uniform.
        whole_captions: share of captions in which every unit is switched, into one language: closer to what users type.

    Raises:
        UserError: a value outside its range.
    """

    reads: tuple[str, ...] = ()

    def __init__(
        self,
        lookup: Lookup,
        *,
        p: Curriculum = 0.5,
        max_tokens: int | None = None,
        language_per: str = "token",
        language_weights: Mapping[str, float] | None = None,
        whole_captions: float = 0.0,
    ) -> None:
        if max_tokens is not None and (
            not isinstance(max_tokens, int) or isinstance(max_tokens, bool) or max_tokens < 1
        ):
            raise UserError(
                f"codeswitch.max_tokens must be a number of words, at least 1, or null; got {max_tokens!r}."
            )
        self.lookup = lookup
        self.languages = lookup.languages
        self.p = Schedule("codeswitch.p", p)
        self.constant = self.p.constant
        self.max_tokens = max_tokens
        self.language = LanguageDraw(self.languages, language_weights)
        self.per_caption = one_of("codeswitch.language_per", language_per, ("token", "caption")) == "caption"
        self.whole_captions = probability("codeswitch.whole_captions", whole_captions)

    def __call__(self, caption: Caption, draw: Draw) -> Switched:
        parts = segment(caption.text, self.lookup.split)
        # Two numbers for the caption, then one for each word: whether to switch it and into which language.
        numbers = draw.numbers(2 + (len(parts) >> 1))
        if self.whole_captions and numbers[0] < self.whole_captions * 2**32:
            return self._switch(parts, numbers, 1.0, self.language(numbers[1]), draw)
        one = self.language(numbers[1]) if self.per_caption else None
        return self._switch(parts, numbers, self.p.at(caption.epoch), one, draw)

    def _switch(self, parts: list[str], numbers: Sequence[int], p: float, one: int | None, draw: Draw) -> Switched:
        """``one``: the caption's language, or None where each unit draws its own."""
        lookup, languages, draw_language = self.lookup, self.languages, self.language
        known = lookup.known
        threshold = round(p * 2**32)
        picks = () if lookup.drawn is None else draw.numbers(len(parts))
        done = lookup.kept(parts) if lookup.keeps else _NONE
        matches: Sequence[Match] = ()
        windows = lookup.windows(parts, self.max_tokens) if self.max_tokens != 1 and threshold else ()
        if windows:
            matches = lookup.matches(windows, parts, self._language_at(numbers, threshold, one), done)
            done = done.union(*(range(match.first, match.last + 1, 2) for match in matches))
        out = parts.copy()
        replacements: list[Replacement] = []
        count = draw_language.count if draw_language.uniform else 0  # no call for the usual draw: this is the hot loop
        place = -1
        for number in numbers[2:]:
            place += 2
            if number < threshold:
                # A number below the threshold is uniform there: its share of it draws the language.
                if one is not None:
                    language = one
                else:
                    language = number * count // threshold if count else draw_language((number << 32) // threshold)
                found = known[language].get(parts[place], _NEW)
                if found is _NEW:
                    found = lookup.find(parts[place], language)
                if place in done:
                    continue
                if found is None and parts[place + 1][:1] == ".":
                    found = lookup.with_period(parts[place], language)
                    if found is not None:
                        _take_in(parts, out, place, 1)
                if found is not None:
                    out[place] = found if found.__class__ is str else found.pick(picks[place])  # type: ignore[attr-defined]
                    replacements.append((place, place, languages[language]))
        for match in matches:
            if numbers[2 + (match.first >> 1)] < threshold:
                _replace(parts, out, match, picks)
                replacements.append((match.first, match.last, languages[match.language]))
        if matches:
            replacements.sort()
        if lookup.unspaced or lookup.source_unspaced:
            join(out, replacements, lookup.unspaced, lookup.source_unspaced)
        return Switched(parts, out, replacements)

    def _language_at(self, numbers: Sequence[int], threshold: int, one: int | None) -> Callable[[int], int]:
        """The language of the word at a place, whether it is switched or not."""

        def language_at(place: int) -> int:
            number, of = numbers[2 + (place >> 1)], threshold
            if number >= threshold:
                number, of = number - threshold, 2**32 - threshold
            return number * count // of if count else self.language((number << 32) // of)

        count = self.language.count if self.language.uniform else 0
        return language_at if one is None else lambda place: one


def _replace(parts: list[str], out: list[str], match: Match, picks: Sequence[int]) -> None:
    """Puts what replaces ``match`` into ``out``."""
    first, last = match.first, match.last
    if match.ending:
        _take_in(parts, out, last, match.ending)
    out[first : last + 1] = [""] * (last + 1 - first)
    out[first] = match.found if isinstance(match.found, str) else match.found.pick(picks[first])


def _take_in(parts: list[str], out: list[str], place: int, characters: int) -> None:
    """Makes what is behind the word at ``place`` a part of it."""
    behind = parts[place + 1]
    parts[place] += behind[:characters]
    parts[place + 1] = out[place + 1] = behind[characters:]


class Bilingual(Multilingual):
    """One target language (BL-CS).

    Raises:
        UserError: not exactly one language.
    """

    def __init__(self, lookup: Lookup, **options) -> None:
        super().__init__(lookup, **options)
        if len(self.languages) != 1:
            raise UserError(
                f"codeswitch=bilingual takes one language, got {len(self.languages)} ({', '.join(self.languages)}); "
                "set codeswitch.languages=[de], say, or codeswitch=multilingual."
            )


class Phrases(Multilingual):
    """Every phrase and word, in a language drawn for the caption (Wiki-CS with ``max_tokens=3``)."""

    def __init__(
        self,
        lookup: Lookup,
        *,
        p: Curriculum = 1.0,
        max_tokens: int | None = None,
        language_per: str = "caption",
        language_weights: Mapping[str, float] | None = None,
        whole_captions: float = 0.0,
    ) -> None:
        super().__init__(
            lookup,
            p=p,
            max_tokens=max_tokens,
            language_per=language_per,
            language_weights=language_weights,
            whole_captions=whole_captions,
        )


class Dictionary(Multilingual):
    """The whole caption, phrase by phrase and word by word, in a language drawn for it.

    With an inverted lexicon (X -> English) and ``max_tokens=1`` this is the study's Translate-Test. ``p`` is the share of
    captions that are translated.
    """

    def __init__(
        self,
        lookup: Lookup,
        *,
        p: Curriculum = 1.0,
        max_tokens: int | None = None,
        language_weights: Mapping[str, float] | None = None,
        whole_captions: float = 0.0,
    ) -> None:
        super().__init__(
            lookup,
            p=p,
            max_tokens=max_tokens,
            language_per="caption",
            language_weights=language_weights,
            whole_captions=whole_captions,
        )

    def __call__(self, caption: Caption, draw: Draw) -> Switched:
        parts = segment(caption.text, self.lookup.split)
        numbers = draw.numbers(2 + (len(parts) >> 1))
        translated = numbers[0] < max(self.whole_captions, self.p.at(caption.epoch)) * 2**32
        return self._switch(parts, numbers, float(translated), self.language(numbers[1]), draw)
