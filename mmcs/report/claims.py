"""The questions of a comparison that were fixed before looking, and the figures of their answers: one family of tests.

Each system on the languages with a lexicon, on those without, and on English. ``words`` puts them into sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmcs.evaluation.statistics import Difference, NonInferiority, bonferroni, non_inferiority
from mmcs.report.names import BASELINE, CONTROLS, UNTRAINED, UPPER_BOUNDS
from mmcs.report.runs import System
from mmcs.retrieval.languages import ENGLISH

PRIMARY_SETS = ("seen", "unseen", "non_english", ENGLISH)

Pair = tuple[str, str]  # labels: first minus second


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


def candidates(systems: Sequence[System], base: System) -> list[System]:
    """The systems whose benefit is in question: not the baseline, no control, no upper bound, trained."""
    others = [system for system in systems if system is not base]
    aside = {UNTRAINED, BASELINE, *CONTROLS, *UPPER_BOUNDS}
    return [system for system in others if system.experiment not in aside] or others


def pairs(systems: Sequence[System], base: System) -> dict[Pair, tuple[str, ...]]:
    """What is claimed of whom: each candidate against the baseline and against each control, then the rest against the
    baseline; and in which sets of languages. Whether English is kept is asked against the baseline alone.
    """
    asked = candidates(systems, base)
    controls = [system for system in systems if system.experiment in CONTROLS and system is not base]
    rest = [system for system in systems if system is not base and system not in asked]
    found: dict[Pair, tuple[str, ...]] = {(system.label, base.label): PRIMARY_SETS for system in asked}
    found |= {
        (system.label, control.label): PRIMARY_SETS[:-1]
        for system in asked
        for control in controls
        if control is not system
    }
    return found | {(system.label, base.label): PRIMARY_SETS for system in rest}


def claims(
    asked: Mapping[Pair, Sequence[str]], differences: Mapping[Pair, Mapping[str, Difference]], base: str
) -> list[Claim]:
    """The claims of one suite, corrected for how many they are.

    Args:
        asked: from ``pairs``.
        differences: of each pair, by set of languages; sets that the suite lacks are not claimed.
        base: the baseline's label.
    """
    found = [
        (pair, name, differences[pair][name])
        for pair, names in asked.items()
        for name in names
        if name in differences[pair]
    ]
    lost = [non_inferiority(difference) if name == ENGLISH else None for _, name, difference in found]
    p_values = [
        difference.p_value if own is None else min(1.0, 2 * own.p_value)
        for (*_, difference), own in zip(found, lost, strict=True)
    ]
    rows = zip(found, lost, p_values, bonferroni(p_values), strict=True)
    return [
        Claim(*pair, name, pair[1] != base, difference, p_value, corrected, len(found), own)
        for (pair, name, difference), own, p_value, corrected in rows
    ]
