"""Every other system against the baseline in every single language: helps, hurts, or cannot tell yet.

A secondary family, looked at after the claims and corrected by itself; a verdict here is never one of the claims.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mmcs.evaluation.statistics import Difference, families, needed_queries, verdict

ALPHA = 0.05
OPEN = "cannot tell yet"


@dataclass(frozen=True)
class LanguageVerdict:
    """One system against the baseline in one language: recall@10 of image retrieval.

    Attributes:
        difference: the system minus the baseline, paired.
        corrected: the paired t-test's p-value, corrected (Holm) for all verdicts of the suite.
        verdict: what the corrected test and the 95 % interval both say.
        needed: queries that it would take to tell a difference of this size (80 % power, corrected for all verdicts);
            None where the verdict is given, or no number can be. Where it is no more than there are, seeds are lacking,
            not queries.
        n_tests: verdicts of the suite.
        secondary: always; says so wherever the verdict is shown.
    """

    difference: Difference
    corrected: float
    verdict: Literal["helps", "hurts", "cannot tell yet"]
    needed: int | None
    n_tests: int
    secondary: bool = True


def language_verdicts(
    differences: Mapping[str, Mapping[str, Difference]], languages: Sequence[str]
) -> dict[str, dict[str, LanguageVerdict]]:
    """Label → language → verdict, all of them one family.

    Args:
        differences: label → language (or set) → difference to the baseline.
        languages: which are judged.
    """
    found = {(label, language): own[language] for label, own in differences.items() for language in languages}
    corrected = families({key: difference.p_value for key, difference in found.items()}, primary=())
    verdicts: dict[str, dict[str, LanguageVerdict]] = {label: {} for label in differences}
    for (label, language), difference in found.items():
        p_value = corrected[label, language].corrected
        answer = verdict(difference, p_value)
        # At the level that the strictest step of the correction asks for: enough, whatever the other languages do.
        needed = needed_queries(difference, alpha=ALPHA / len(found)) if answer == OPEN else None
        verdicts[label][language] = LanguageVerdict(difference, p_value, answer, needed, len(found))
    return verdicts
