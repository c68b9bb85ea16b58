"""Intervals and tests on per-query figures, resampled by group. Pure numpy: no files, no models.

A group (a concept: its images and its captions in every language) is the unit of every resample, drawn once for all
languages, because translations of one caption rise and fall together. Results and the report call this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

WEIGHTS_AT_ONCE = 1 << 22  # resamples × groups drawn at once: 32 MiB

Floats = NDArray[np.float64]


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


def resampled_means(
    values: Mapping[str, ArrayLike], groups: Mapping[str, Sequence[str]], resamples: int, seed: int
) -> Floats:
    """Per-language means under a bootstrap of the groups (Efron and Tibshirani 1993, clustered).

    Each resample draws as many groups as there are, with replacement, over all languages at once; each language's mean
    is taken anew over the queries of the drawn groups.

    Args:
        values: per language (N,) or (N, K) figures of its queries.
        groups: per language the N groups of its queries.
        resamples: how many draws.
        seed: of the draws.

    Returns:
        (resamples, languages, K) float64, K = 1 for (N,) figures; NaN where no drawn group has a query.
    """
    arrays = [np.asarray(value, np.float64) for value in values.values()]
    arrays = [array[:, None] if array.ndim == 1 else array for array in arrays]
    names, codes = np.unique(np.concatenate([np.asarray(groups[key]) for key in values]), return_inverse=True)
    width = arrays[0].shape[1]
    totals = np.zeros((len(names), len(arrays), width + 1))  # the last column counts queries
    start = 0
    for place, array in enumerate(arrays):
        own = codes[start : start + len(array)]
        np.add.at(totals[:, place, :width], own, array)
        np.add.at(totals[:, place, width], own, 1.0)
        start += len(array)
    random = np.random.default_rng(seed)
    result = np.empty((resamples, len(arrays), width))
    block = max(1, WEIGHTS_AT_ONCE // len(names))
    for first in range(0, resamples, block):
        size = min(block, resamples - first)
        drawn = random.integers(0, len(names), (size, len(names))) + np.arange(size)[:, None] * len(names)
        weights = np.bincount(drawn.ravel(), minlength=size * len(names)).reshape(size, len(names))
        sums = (weights.astype(np.float64) @ totals.reshape(len(names), -1)).reshape(size, len(arrays), width + 1)
        with np.errstate(invalid="ignore"):
            result[first : first + size] = sums[..., :width] / sums[..., width:]
    return result


def interval(samples: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The central ``level`` of bootstrap samples (percentile interval); NaN samples are left out."""
    low, high = np.nanquantile(np.asarray(samples, np.float64), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_ci(
    values: ArrayLike, groups: Sequence[str], resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the mean of ``values`` (N,), resampled by ``groups`` (N,)."""
    return interval(resampled_means({"": values}, {"": groups}, resamples, seed)[:, 0, 0], level)


def mean_over_languages(samples: Floats) -> Floats:
    """(resamples, languages, K) → (resamples, K); a language without a query in a resample is left out of it."""
    with np.errstate(invalid="ignore"):
        return np.nansum(samples, axis=1) / (~np.isnan(samples)).sum(axis=1)


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
