"""Paired differences between systems, with interval and tests, and what they allow one to say. No files, no models.

A group (a concept: its images and its captions in every language) is the unit of every interval and test. What is drawn
and tested lies in ``resampling``, ``paired_tests`` and ``families``, whose names can be had from here; the report and
the protocols call this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from mmcs.evaluation.families import Corrected, bonferroni, families, holm
from mmcs.evaluation.paired_tests import PairedTest, paired_tests
from mmcs.evaluation.resampling import (
    Floats,
    bootstrap_ci,
    interval,
    mean_over_languages,
    resampled_means,
    resampled_medians,
    seed_weights,
)

__all__ = [
    "Corrected",
    "Difference",
    "NonInferiority",
    "PairedTest",
    "bonferroni",
    "bootstrap_ci",
    "families",
    "holm",
    "interval",
    "mean_over_languages",
    "needed_groups",
    "needed_queries",
    "non_inferiority",
    "paired_difference",
    "paired_differences",
    "paired_tests",
    "resampled_means",
    "resampled_medians",
    "seed_weights",
    "verdict",
]

MARGIN = 0.01  # of recall: a loss of English smaller than this is no loss that matters
MOST_GROUPS = 1_000_000  # more than this nobody collects: "so many would be needed" says nothing any more


@dataclass(frozen=True)
class Difference:
    """A paired difference of two systems' means, in the figures' own unit (0…1 for recall).

    Attributes:
        value: first minus second.
        low, high: bounds of the 95 % interval, by a bootstrap of groups, and of seeds where a system has several;
            infinite with one group.
        p_value: two-sided, of "no difference": the paired t-test, the project's primary test.
        n_queries, n_groups: what it rests on.
        se: standard error of ``value`` over groups, the t-test's.
        p_randomisation: two-sided, of the paired randomisation test: a check of ``p_value`` that assumes no distribution.
        n_seeds: of the first and of the second system.
        spread: standard deviation of the first and of the second system's mean over its seeds; None with one seed.
    """

    value: float
    low: float
    high: float
    p_value: float
    n_queries: int
    n_groups: int
    se: float
    p_randomisation: float
    n_seeds: tuple[int, int] = (1, 1)
    spread: tuple[float | None, float | None] = (None, None)


def paired_differences(
    first: Mapping[str, ArrayLike],
    second: Mapping[str, ArrayLike],
    groups: Mapping[str, Sequence[str]],
    sets: Mapping[str, Sequence[str]],
    resamples: int = 5000,
    seed: int = 0,
) -> dict[str, Difference]:
    """``first`` minus ``second``, as the mean over the languages of each set of the difference of their means.

    With several seeds a system's figure for a query is the mean over its seeds. The tests are of those means: they ask
    about these trained models, on other queries. The interval also draws the seeds anew (``seed_weights``), apart for the
    two systems and once for all languages, so it is of the training recipe; ``verdict`` demands both. Crossing seeds with
    groups errs on the wide side (Owen and Eckles 2012), yet so few seeds leave any interval rough: tried with equal
    recipes whose seeds differ far more than queries can hide, ``verdict`` saw a difference in 72 % of comparisons of one
    seed each, 19 % of two, 10 % of three and 5 % of five.

    Args:
        first, second: per language the figures (N,) or (seeds, N) of the same queries in the same order (hits:
            recall@k); the two may have different numbers of seeds, the languages of one may not.
        groups: per language the N groups.
        sets: name → languages; sets without a query are left out.
        resamples, seed: of one bootstrap, and of one set of sign flips, that all sets share.

    Raises:
        ValueError: the two do not hold the same queries, a language has other seeds, or a figure is not finite.
    """
    ours, theirs = _per_seed(first), _per_seed(second)
    for language in ours:
        if language not in theirs or ours[language].shape[1] != theirs[language].shape[1]:
            raise ValueError(f"paired figures for {language} differ in number.")
    tests = paired_tests(
        {language: own.mean(axis=0) - theirs[language].mean(axis=0) for language, own in ours.items()},
        groups,
        sets,
        resamples,
        seed,
    )
    if not tests:
        return {}
    samples = _resampled_differences(ours, theirs, groups, resamples, seed)
    place = {language: position for position, language in enumerate(ours)}
    result = {}
    for name, test in tests.items():
        members = [language for language in sets[name] if ours[language].size]
        drawn = mean_over_languages(samples[:, [place[language] for language in members]])[:, 0]
        low, high = interval(drawn) if test.n_groups > 1 else (-math.inf, math.inf)
        result[name] = Difference(
            value=test.value,
            low=low,
            high=high,
            p_value=test.p_t,
            n_queries=test.n_queries,
            n_groups=test.n_groups,
            se=test.se,
            p_randomisation=test.p_randomisation,
            n_seeds=(len(ours[members[0]]), len(theirs[members[0]])),
            spread=(_spread(ours, members), _spread(theirs, members)),
        )
    return result


def paired_difference(
    first: Mapping[str, ArrayLike],
    second: Mapping[str, ArrayLike],
    groups: Mapping[str, Sequence[str]],
    resamples: int = 5000,
    seed: int = 0,
) -> Difference:
    """``paired_differences`` for the one set of all given languages."""
    found = paired_differences(first, second, groups, {"all": list(first)}, resamples, seed)
    if not found:
        raise ValueError("there is no query to compare two systems on.")
    return found["all"]


@dataclass(frozen=True)
class NonInferiority:
    """Whether a loss of a margin or more is excluded.

    Attributes:
        margin: in the figures' own unit.
        p_value: one-sided, of "the loss is the margin or more".
        shown: the loss is excluded.
    """

    margin: float
    p_value: float
    shown: bool


def non_inferiority(difference: Difference, margin: float = MARGIN, alpha: float = 0.025) -> NonInferiority:
    """One-sided t-test of "first loses ``margin`` or more against second", at the level ``alpha``.

    2.5 % one-sided is the level at which the lower bound of the two-sided 95 % interval excludes the margin (ICH E9,
    1998). Shown means both: the test's p-value below ``alpha``, and the bootstrap interval's lower bound, which knows of
    seeds, above −margin. Without variation between groups p is 2^−G, the sign test's; one group shows nothing.
    """
    if difference.n_groups < 2:
        p_value = 1.0
    elif difference.se == 0:
        p_value = 0.5**difference.n_groups if difference.value > -margin else 1.0
    else:
        p_value = float(stats.t.sf((difference.value + margin) / difference.se, difference.n_groups - 1))
    return NonInferiority(margin, p_value, p_value < alpha and difference.low > -margin)


def verdict(
    difference: Difference, p_value: float | None = None, alpha: float = 0.05
) -> Literal["helps", "hurts", "cannot tell yet"]:
    """Whether the first system helps or hurts against the second: the t-test *and* the 95 % interval must say so.

    Args:
        p_value: the p-value corrected for its family (``families``); None: the difference's own.
    """
    significant = (difference.p_value if p_value is None else p_value) < alpha
    if significant and difference.low > 0:
        return "helps"
    return "hurts" if significant and difference.high < 0 else "cannot tell yet"


def needed_groups(difference: Difference, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """How many groups it takes to tell a difference of this size from 0 with probability ``power``, if it is the true one.

    The normal approximation G · ((z_{1−α/2} + z_power) · se / |value|)², and z²_{1−α/2} / 2 more for the t-test (Guenther
    1981); never fewer than can be told apart from chance at all, 2^(1−G) ≤ α. The groups to come are taken to be like
    those that there are, in queries per language too. Where the verdict is open and no more are needed than there are,
    it is seeds that are lacking, not queries.

    Returns:
        None where no number can be given: the difference is 0, rests on one group, or needs more than ``MOST_GROUPS``.
    """
    if difference.value == 0 or not math.isfinite(difference.se):
        return None
    z = float(stats.norm.isf(alpha / 2))
    ratio = (z + float(stats.norm.ppf(power))) * difference.se / abs(difference.value)
    number = difference.n_groups * ratio**2 + z**2 / 2
    if not number <= MOST_GROUPS:
        return None
    return max(math.ceil(number), math.ceil(1 - math.log2(alpha)))


def needed_queries(difference: Difference, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """``needed_groups`` in queries: as many per group as there are now."""
    number = needed_groups(difference, power, alpha)
    return None if number is None else math.ceil(number * difference.n_queries / difference.n_groups)


def _per_seed(figures: Mapping[str, ArrayLike]) -> dict[str, Floats]:
    """Per language (N,) or (seeds, N) → (seeds, N)."""
    arrays = {language: np.atleast_2d(np.asarray(own, np.float64)) for language, own in figures.items()}
    if len({len(own) for own in arrays.values()}) > 1:
        raise ValueError("the languages of one system differ in their number of seeds.")
    return arrays


def _resampled_differences(
    first: Mapping[str, Floats],
    second: Mapping[str, Floats],
    groups: Mapping[str, Sequence[str]],
    resamples: int,
    seed: int,
) -> Floats:
    """(resamples, languages, 1) differences of means under a bootstrap of groups, and of seeds where there are several."""
    counts = [len(next(iter(side.values()))) for side in (first, second)]
    if counts == [1, 1]:
        return resampled_means(
            {language: own[0] - second[language][0] for language, own in first.items()}, groups, resamples, seed
        )
    stacked = {language: np.concatenate([own, -second[language]]).T for language, own in first.items()}
    random = np.random.default_rng([seed, 1])
    weights = np.concatenate([seed_weights(count, resamples, random) for count in counts], axis=1)
    return np.einsum("rlk,rk->rl", resampled_means(stacked, groups, resamples, seed), weights)[..., None]


def _spread(figures: Mapping[str, Floats], members: Sequence[str]) -> float | None:
    """Standard deviation over seeds of the mean over languages; None with one seed."""
    per_seed = np.mean([figures[language].mean(axis=1) for language in members], axis=0)
    return float(per_seed.std(ddof=1)) if len(per_seed) > 1 else None
