"""The paired t-test and the paired randomisation test over groups, on the mean over languages of a paired difference.

Both look at one number per group: what it contributes to the difference. ``statistics`` calls this; intervals are of
``resampling``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from mmcs.evaluation.resampling import Floats, group_places

EXACT_GROUPS = 16  # up to so many contributions other than 0 all sign flips are counted: 65,536
SIGNS_AT_ONCE = 1 << 22  # sign flips × groups drawn at once: 32 MiB
ROUNDING = 1e-12  # of the sum of all contributions' sizes: two sums closer than this are equal


@dataclass(frozen=True)
class PairedTest:
    """Tests of "no difference" over one set of languages.

    Attributes:
        value: mean over the languages of the mean of their queries' differences.
        se: standard error of ``value`` over groups; infinite with one group.
        p_t: two-sided, of the paired t-test on the groups' contributions.
        p_randomisation: two-sided, of the paired randomisation test on the same.
        n_queries, n_groups: what it rests on.
    """

    value: float
    se: float
    p_t: float
    p_randomisation: float
    n_queries: int
    n_groups: int


def paired_tests(
    differences: Mapping[str, ArrayLike],
    groups: Mapping[str, Sequence[str]],
    sets: Mapping[str, Sequence[str]],
    resamples: int = 5000,
    seed: int = 0,
) -> dict[str, PairedTest]:
    """Paired t-test and paired randomisation test for each set of languages; the unit of both is the group.

    The statistic is a sum over groups, value = Σ_g c_g with c_g = Σ_l Σ_{i in g} d_li / (L · n_l): d_li is the
    difference of query i in language l, n_l that language's queries, L the set's languages. With one language and one
    query per group the two are scipy's ``ttest_rel`` and ``permutation_test(permutation_type="samples")``.

    Args:
        differences: per language (N,) differences of two systems on the same queries.
        groups: per language the N groups.
        sets: name → languages. A language without a query is left out of its set, a set without a query is left out.
        resamples, seed: of the randomisation test, which all sets share; few groups are counted exactly.

    Raises:
        ValueError: a difference is not a finite number.
    """
    paired = {language: np.asarray(value, np.float64) for language, value in differences.items()}
    for language, own in paired.items():
        if not np.isfinite(own).all():
            raise ValueError(f"a figure for {language} is not a finite number.")
    n_groups, places = group_places({language: groups[language] for language in paired})
    sets = {name: [language for language in members if len(paired[language])] for name, members in sets.items()}
    sets = {name: members for name, members in sets.items() if members}
    contributions = np.zeros((n_groups, len(sets)))
    own_groups = []
    for column, members in enumerate(sets.values()):
        for language in members:
            share = paired[language] / (len(members) * len(paired[language]))
            np.add.at(contributions[:, column], places[language], share)
        own_groups.append(np.unique(np.concatenate([places[language] for language in members])))
    p_values = randomisation_test(contributions, resamples, seed)
    result = {}
    for column, (name, members) in enumerate(sets.items()):
        own = contributions[own_groups[column], column]
        se, p_t = t_test(own)
        result[name] = PairedTest(
            value=float(np.mean([paired[language].mean() for language in members])),
            se=se,
            p_t=p_t,
            p_randomisation=float(p_values[column]),
            n_queries=sum(len(paired[language]) for language in members),
            n_groups=len(own),
        )
    return result


def t_test(contributions: ArrayLike) -> tuple[float, float]:
    """Standard error of the sum of (G,) contributions, and the two-sided p-value of "their mean is 0".

    A one-sample t-test (Student 1908) on the groups' contributions, G − 1 degrees of freedom: whatever ties the queries
    and languages of one group together is in it. Where groups differ in size, their sizes count as chance too, so the
    standard error errs on the large side.

    Where there is no variation to go by, it is defined thus: all 0: p = 1; one group: the standard error is infinite,
    p = 1; all equal: p = 2^(1−G), what the exact sign test says.
    """
    own = np.asarray(contributions, np.float64)
    size = float(np.abs(own).sum())
    if len(own) < 2:
        return np.inf, 1.0
    se = float(own.std(ddof=1)) * len(own) ** 0.5
    if size == 0:
        return 0.0, 1.0
    if se <= ROUNDING * size:
        return 0.0, 2.0 ** (1 - len(own))
    return se, float(2 * stats.t.sf(abs(own.sum()) / se, len(own) - 1))


def randomisation_test(contributions: Floats, resamples: int = 5000, seed: int = 0) -> Floats:
    """Two-sided p-values (K,) of K columns of contributions (G, K): under "no difference" each one's sign is chance.

    The share of sign flips whose sum is at least as far from 0 as the observed one (Fisher 1935; for retrieval: Smucker,
    Allan and Carterette 2007). Exact for up to ``EXACT_GROUPS`` contributions other than 0, which no flip changes;
    otherwise (1 + as far) / (1 + resamples) of random flips (Phipson and Smyth 2010), which all columns share.
    """
    bounds = np.abs(contributions.sum(axis=0)) - ROUNDING * np.abs(contributions).sum(axis=0)
    moving = contributions != 0
    few = moving.sum(axis=0) <= EXACT_GROUPS
    p_values = np.ones(contributions.shape[1])
    for column in np.flatnonzero(few):
        sums = np.zeros(1)
        for own in contributions[moving[:, column], column]:
            sums = np.concatenate([sums + own, sums - own])
        p_values[column] = np.mean(np.abs(sums) >= bounds[column])
    many = contributions[:, ~few][moving[:, ~few].any(axis=1)]
    if not many.size:
        return p_values
    random = np.random.default_rng(seed)
    as_far = np.zeros(many.shape[1])
    block = max(1, SIGNS_AT_ONCE // len(many))
    for first in range(0, resamples, block):
        flips = random.integers(0, 2, (min(block, resamples - first), len(many)), np.int8)
        sums = (2.0 * flips - 1.0) @ many
        as_far += (np.abs(sums) >= bounds[~few]).sum(axis=0)
    p_values[~few] = (1 + as_far) / (1 + resamples)
    return p_values
