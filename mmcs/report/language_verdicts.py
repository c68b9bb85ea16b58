"""Every other system against the baseline in every single language: helps, hurts, or cannot tell yet.

A secondary family, looked at after the claims and corrected by itself; a verdict here is never one of the claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mmcs.evaluation.statistics import Difference


@dataclass(frozen=True)
class LanguageVerdict:
    """One system against the baseline in one language: recall@10 of image retrieval.

    Attributes:
        difference: the system minus the baseline, paired.
        corrected: the paired t-test's p-value, corrected (Holm) for all verdicts of the suite.
        verdict: what the corrected test and the 95 % interval both say.
        needed: queries that it would take to tell a difference of this size (80 % power); None where the verdict is
            given, or no number can be. Where it is no more than there are, seeds are lacking, not queries.
        n_tests: verdicts of the suite.
        secondary: always; says so wherever the verdict is shown.
    """

    difference: Difference
    corrected: float
    verdict: Literal["helps", "hurts", "cannot tell yet"]
    needed: int | None
    n_tests: int
    secondary: bool = True
