"""Which tests belong together, and their p-values corrected for how many they are.

The questions of a comparison are few and fixed before looking: every system on the languages with a lexicon, on those
without, and on English. Single languages are looked at afterwards. The report calls this.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Corrected:
    """The p-value of one test and what it is worth among its family.

    Attributes:
        raw: as the test gave it.
        corrected: for the number of tests in the family: primary by Bonferroni, secondary by Holm.
        family: ``"primary"`` or ``"secondary"``.
        n_tests: the family's size.
    """

    raw: float
    corrected: float
    family: Literal["primary", "secondary"]
    n_tests: int


def families(p_values: Mapping[Key, float], primary: Collection[Key]) -> dict[Key, Corrected]:
    """Corrects the tests of a comparison: the primary ones by Bonferroni, all others by Holm among themselves.

    Two families, because a single language that looks good must not pass for an answer to the comparison's questions,
    and because 36 languages must not take the power from those. Within the second, Holm keeps the same error rate as
    Bonferroni and loses less; a claim about a single language stays secondary, whatever its p-value.

    English enters with its own question, whether it is lost: twice the one-sided p-value of ``non_inferiority``, so that
    one level, 5 % two-sided, holds throughout.

    Args:
        p_values: test → p-value; a test is named as the caller likes, such as (system, set of languages).
        primary: the names of the primary ones; those that were not tested do not count.
    """
    names = {
        "primary": [name for name in p_values if name in primary],
        "secondary": [name for name in p_values if name not in primary],
    }
    corrections = {"primary": bonferroni, "secondary": holm}
    result = {}
    for family, own in names.items():
        for name, corrected in zip(own, corrections[family]([p_values[name] for name in own]), strict=True):
            result[name] = Corrected(p_values[name], corrected, family, len(own))  # type: ignore[arg-type]
    return {name: result[name] for name in p_values}


def bonferroni(p_values: Sequence[float]) -> list[float]:
    """p-values of one family of tests, corrected for their number."""
    return [min(1.0, p * len(p_values)) for p in p_values]


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of one family of tests, corrected step by step from the smallest (Holm 1979)."""
    ordered = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, np.float64)[ordered] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[ordered] = np.minimum(1.0, np.maximum.accumulate(steps))
    return corrected.tolist()
