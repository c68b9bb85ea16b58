"""The questions of a comparison that were fixed before looking, and their answers' figures: one family of tests.

Each system on the languages with a lexicon, on those without, and on English. ``words`` puts them into sentences.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmcs.evaluation.statistics import Difference, NonInferiority

PRIMARY_SETS = ("seen", "unseen", "non_english", "en")


@dataclass(frozen=True)
class Claim:
    """A paired difference of recall@10 in image retrieval between two systems over a set of languages.

    Attributes:
        first, second: labels; the difference is first minus second.
        of: ``"seen"``, ``"unseen"``, ``"non_english"`` or ``"en"``.
        against_control: whether ``second`` is a control, otherwise it is the baseline.
        p_value: of the claim's own question: the paired t-test's of "no difference"; in English twice the one-sided
            p-value of "a loss of the margin or more", so that one level holds throughout.
        corrected: ``p_value``, corrected (Bonferroni) for all claims of the suite.
        n_claims: how many those are.
        not_lost: the test of non-inferiority, in English; None elsewhere.
    """

    first: str
    second: str
    of: str
    against_control: bool
    difference: Difference
    p_value: float
    corrected: float
    n_claims: int
    not_lost: NonInferiority | None = None
