"""Intervals and tests on per-query figures, resampled by group. Pure numpy: no files, no models.

A group (a concept: its images and its captions in every language) is the unit of every resample, drawn once for all
languages, because translations of one caption rise and fall together. Results and the report call this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mmcs.evaluation.resampling import (
    Floats,
    bootstrap_ci,
    interval,
    mean_over_languages,
    resampled_means,
    resampled_medians,
)

__all__ = [
    "Difference",
    "bonferroni",
    "bootstrap_ci",
    "interval",
    "mean_over_languages",
    "not_inferior",
    "paired_difference",
    "paired_differences",
    "resampled_means",
    "resampled_medians",
]


@dataclass(frozen=True)
class Difference:
    """A paired difference of two systems' means, in the figures' own unit (0…1 for recall).

    Attributes:
        value: first minus second.
        low, high: bounds of the 95 % interval.
        p_value: two-sided, of "no difference", by the same resamples.
        n_queries, n_groups: what it rests on; groups are what was resampled.
    """

    value: float
    low: float
    high: float
    p_value: float
    n_queries: int
    n_groups: int


def paired_differences(
    first: Mapping[str, ArrayLike],
    second: Mapping[str, ArrayLike],
    groups: Mapping[str, Sequence[str]],
    sets: Mapping[str, Sequence[str]],
    resamples: int = 5000,
    seed: int = 0,
) -> dict[str, Difference]:
    """``first`` minus ``second``, as the mean over the languages of each set of the difference of their means.

    Args:
        first, second: per language the figures (N,) of the same queries in the same order (hits: recall@k).
        groups: per language the N groups.
        sets: name → languages; sets without a language are left out.
        resamples, seed: of one bootstrap that all sets share.

    Raises:
        ValueError: the two do not hold the same queries.
    """
    for language in first:
        if np.shape(first[language]) != np.shape(second[language]):
            raise ValueError(f"paired figures for {language} differ in number.")
    paired = {
        language: np.asarray(value, np.float64) - np.asarray(second[language], np.float64)
        for language, value in first.items()
    }
    samples = resampled_means(paired, groups, resamples, seed)
    place = {language: position for position, language in enumerate(paired)}
    result = {}
    for name, members in sets.items():
        if not members:
            continue
        own = mean_over_languages(samples[:, [place[language] for language in members]])[:, 0]
        low, high = interval(own)
        result[name] = Difference(
            value=float(np.mean([paired[language].mean() for language in members])),
            low=low,
            high=high,
            p_value=_two_sided(own),
            n_queries=sum(len(paired[language]) for language in members),
            n_groups=len(set().union(*(groups[language] for language in members))),
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
    return paired_differences(first, second, groups, {"all": list(first)}, resamples, seed)["all"]


def bonferroni(p_values: Sequence[float]) -> list[float]:
    """p-values of one family of tests, corrected for their number."""
    return [min(1.0, p * len(p_values)) for p in p_values]


def not_inferior(difference: Difference, margin: float = 0.01) -> bool:
    """Whether a loss of ``margin`` or more is excluded: the interval's lower bound lies above −margin."""
    return difference.low > -margin


def _two_sided(samples: Floats) -> float:
    """Twice the smaller share of resamples on one side of zero, never below what that many resamples can tell."""
    samples = samples[~np.isnan(samples)]
    below, above = int((samples <= 0).sum()), int((samples >= 0).sum())
    return min(1.0, 2 * (1 + min(below, above)) / (1 + len(samples)))
