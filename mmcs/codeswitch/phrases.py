"""Phrases instead of words: the study's Wiki-CS (Litschko et al. 2023, section 3.1) on word bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.joining import join
from mmcs.codeswitch.languages import LanguageDraw
from mmcs.codeswitch.lookup import Choice, Lookup
from mmcs.codeswitch.schedule import Curriculum, Schedule, one_of, probability
from mmcs.codeswitch.segment import segment
from mmcs.codeswitch.strategy import Caption, Replacement, Switched
from mmcs.errors import UserError


class Phrases:
    """Phrases of 1 to ``max_tokens`` words, the longest first, become their translations.

    All matches of the longest phrases are taken before shorter ones, from the left; a word belongs to one match. Words of
    a phrase stand beside each other with nothing but what the lexicon's phrase has between them ("dog, house" is no "dog
    house"). What a match draws, it draws for its first word: ``p`` whether it is switched at all, and with
    ``language_per="token"`` its language; by default the language is drawn once for the caption.

    Args:
        lookup: what may take a phrase's place.
        p: probability of switching a match; may change over the epochs.
        max_tokens: words of the longest phrase that is looked for (the study's 3).
        language_per: "caption" or "token".
        language_weights: per language a weight in the draw; None: uniform.
        whole_captions: share of captions in which every match is switched, into one language.

    Raises:
        UserError: a value outside its range.
    """

    reads: tuple[str, ...] = ()

    def __init__(
        self,
        lookup: Lookup,
        *,
        p: Curriculum = 1.0,
        max_tokens: int = 3,
        language_per: str = "caption",
        language_weights: Mapping[str, float] | None = None,
        whole_captions: float = 0.0,
    ) -> None:
        if not isinstance(max_tokens, int) or isinstance(max_tokens, bool) or max_tokens < 1:
            raise UserError(f"codeswitch.max_tokens is a number of words, at least 1; got {max_tokens!r}.")
        self.lookup = lookup
        self.languages = lookup.languages
        self.p = Schedule("codeswitch.p", p)
        self.constant = self.p.constant
        self.max_tokens = max_tokens
        self.language = LanguageDraw(self.languages, language_weights)
        self.per_caption = one_of("codeswitch.language_per", language_per, ("token", "caption")) == "caption"
        self.whole_captions = probability("codeswitch.whole_captions", whole_captions)

    def __call__(self, caption: Caption, draw: Draw) -> Switched:
        lookup = self.lookup
        parts = segment(caption.text, lookup.split)
        share, language, *numbers = draw.numbers(2 + (len(parts) >> 1))
        whole = share < self.whole_captions * 2**32
        if whole or self.per_caption:
            of_word = [self.language(language)] * len(parts)
        else:
            of_word = list(map(self.language, draw.numbers(len(numbers))))
        picks = () if lookup.drawn is None else draw.numbers(len(parts))
        threshold = round((1.0 if whole else self.p.at(caption.epoch)) * 2**32)
        out = parts.copy()
        replacements: list[Replacement] = []
        for first, last, found in self._matches(parts, of_word):
            if numbers[first >> 1] < threshold:
                out[first] = found if isinstance(found, str) else found.pick(picks[first])
                if last > first:
                    out[first + 1 : last + 1] = [""] * (last - first)
                replacements.append((first, last, self.languages[of_word[first >> 1]]))
        if lookup.unspaced or lookup.source_unspaced:
            join(out, replacements, lookup.unspaced, lookup.source_unspaced)
        return Switched(parts, out, replacements)

    def _matches(self, parts: list[str], of_word: Sequence[int]) -> list[tuple[int, int, str | Choice]]:
        """``(first place, last place, what may take it)`` of every match, in order of place."""
        get = self.lookup.get
        taken: dict[int, tuple[int, str | Choice]] = {}  # first place -> last place and what takes it
        free = set(range(1, len(parts), 2)).difference(self.lookup.kept(parts))
        for first, last in self._windows(parts):
            words = range(first, last + 1, 2)
            if free.issuperset(words):
                found = get("".join(parts[first : last + 1]), of_word[first >> 1])
                if found is not None:
                    taken[first] = (last, found)
                    free.difference_update(words)
        matches: list[tuple[int, int, str | Choice]] = []
        for place in range(1, len(parts), 2):
            if place in free:
                found = get(parts[place], of_word[place >> 1])
                if found is not None:
                    matches.append((place, place, found))
            elif place in taken:
                matches.append((place, *taken[place]))
        return matches

    def _windows(self, parts: list[str]) -> list[tuple[int, int]]:
        """First and last places of what may be a phrase of several words, the longest first, then from the left.

        A window grows only while some phrase begins with its words: most end after the first look-up.
        """
        if self.max_tokens == 1:
            return []
        longest = self.lookup.longest
        windows: list[tuple[int, int]] = []
        begins = [place for place in range(1, len(parts) - 2, 2) if longest(parts[place]) > 1]
        for tokens in range(2, self.max_tokens + 1):
            reach = [
                (first, longest("".join(parts[first : first + 2 * tokens - 1])))
                for first in begins
                if first + 2 * tokens - 2 < len(parts)
            ]
            windows[:0] = [(first, first + 2 * tokens - 2) for first, words in reach if words >= tokens]
            begins = [first for first, words in reach if words > tokens]
            if not begins:
                break
        return windows
