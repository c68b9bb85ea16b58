"""Which language a word or caption is switched into: drawn uniformly, or weighted so that rare languages can be raised."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate

from mmcs.common.language_tags import known_language
from mmcs.errors import UserError


class LanguageDraw:
    """Maps a uniform 32-bit number to one of ``languages``: n languages, each as likely, at ``number * n >> 32``.

    Args:
        languages: in the order of their numbers.
        weights: per language (a tag in any spelling) a weight, 1 where it names none; None: uniform.

    Raises:
        UserError: a language that is not drawn from, a negative weight, or nothing but zeros.
    """

    def __init__(self, languages: Sequence[str], weights: Mapping[str, float] | None = None) -> None:
        self.count = len(languages)
        self.uniform = not weights
        self._bounds: list[int] | None = None
        if not weights:
            return
        named = {language: known_language(language, languages) for language in weights}
        if unknown := [language for language, known in named.items() if known is None]:
            raise UserError(
                f"codeswitch.language_weights names {', '.join(unknown)}, which is not switched into ({', '.join(languages)})."
            )
        weighed = {named[language]: weight for language, weight in weights.items()}
        values = [weighed.get(language, 1.0) for language in languages]
        for value in values:
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise UserError(f"codeswitch.language_weights are numbers from 0 on, got {value!r}.")
        total = sum(values)
        if not total:
            raise UserError("codeswitch.language_weights are all 0: no language is left to switch into.")
        self._bounds = [round(bound / total * 2**32) for bound in accumulate(values)]

    def __call__(self, number: int) -> int:
        """The language at ``number`` (0..2**32 - 1)."""
        if self._bounds is None:
            return number * self.count >> 32
        return bisect_right(self._bounds, number)
