"""Phrases instead of words: the study's Wiki-CS (Litschko et al. 2023, section 3.1) on word bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.joining import join
from mmcs.codeswitch.languages import LanguageDraw
from mmcs.codeswitch.lookup import Choice, Lookup
from mmcs.codeswitch.schedule import Curriculum, Schedule, one_of
from mmcs.codeswitch.segment import segment
from mmcs.codeswitch.strategy import Caption, Replacement, Switched
from mmcs.errors import UserError

_LOW = 0xFFFFFFFF
_NEW: object = object()


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

    def __call__(self, caption: Caption, draw: Draw) -> Switched:
        lookup = self.lookup
        parts = segment(caption.text, lookup.split)
        _, language, *numbers = draw.numbers(2 + (len(parts) >> 1))
        if self.per_caption:
            of_word = [self.language(language >> 32)] * len(numbers)
        else:
            of_word = [self.language(number >> 32) for number in numbers]
        picks = numbers if lookup.candidates == "first" else draw.numbers(len(numbers))
        threshold = round(self.p.at(caption.epoch) * 2**32)
        out = parts.copy()
        replacements: list[Replacement] = []
        for first, last, found in self._matches(parts, of_word):
            word = first >> 1
            if numbers[word] & _LOW < threshold:
                chosen = found if isinstance(found, str) else found.pick(picks[word])
                out[first : last + 1] = [chosen, *[""] * (last - first)]
                replacements.append((first, last, self.languages[of_word[word]]))
        replacements.sort()
        if replacements and lookup.mixed:
            join(out, replacements)
        return Switched(parts, out, replacements)

    def _matches(self, parts: list[str], of_word: Sequence[int]) -> list[tuple[int, int, str | Choice]]:
        """``(first place, last place, what may take it)`` of every match, the longest first."""
        matches: list[tuple[int, int, str | Choice]] = []
        free = bytearray(b"\1") * len(parts)
        for place in self.lookup.kept(parts):
            free[place] = 0
        by_length = self._windows(parts)
        for tokens in sorted(by_length, reverse=True):
            for first in by_length[tokens]:
                last = first + 2 * tokens - 2
                if all(free[first : last + 1 : 2]):
                    text = parts[first] if tokens == 1 else "".join(parts[first : last + 1])
                    language = of_word[first >> 1]
                    found = self.lookup.known[language].get(text, _NEW)
                    if found is _NEW:
                        found = self.lookup.find(text, language)
                    if found is not None:
                        matches.append((first, last, found))  # type: ignore[arg-type]
                        free[first : last + 1] = bytes(last + 1 - first)
        return matches

    def _windows(self, parts: list[str]) -> dict[int, Sequence[int]]:
        """By number of words the first places of what may be a phrase; longer ones only where some phrase begins so."""
        longest = self.lookup.longest
        windows: dict[int, Sequence[int]] = {1: range(1, len(parts), 2)}
        begins = (
            [place for place in range(1, len(parts) - 2, 2) if longest(parts[place]) > 1] if self.max_tokens > 1 else []
        )
        for tokens in range(2, self.max_tokens + 1):
            if not begins:
                break
            ends = {first: first + 2 * tokens - 2 for first in begins if first + 2 * tokens - 2 < len(parts)}
            reach = {first: longest("".join(parts[first : last + 1])) for first, last in ends.items()}
            windows[tokens] = [first for first in ends if reach[first] >= tokens]
            begins = [first for first in ends if reach[first] > tokens]
        return windows
