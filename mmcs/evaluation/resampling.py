"""Means and medians of per-query figures under a bootstrap of the groups, and the intervals that follow.

A group (a concept: its images and its captions in every language) is the unit of every resample, drawn once for all
languages, because translations of one caption rise and fall together. ``statistics``, results and the report call this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

WEIGHTS_AT_ONCE = 1 << 22  # resamples × groups drawn at once: 32 MiB
MEDIANS_AT_ONCE = 1 << 22  # queries × resamples looked at at once: 16 MiB

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


def group_places(groups: Mapping[str, Sequence[str]]) -> tuple[int, dict[str, Places]]:
    """Numbers groups in the order of their names: how many there are, and per language the (N,) numbers of its queries."""
    names = sorted(set().union(*groups.values()))
    number = {name: place for place, name in enumerate(names)}
    return len(names), {
        language: np.fromiter((number[name] for name in own), np.int64, len(own)) for language, own in groups.items()
    }


def group_weights(n_groups: int, resamples: int, seed: int) -> Iterator[tuple[slice, Places]]:
    """How often each resample draws each group: blocks (B, n_groups) and which of the resamples they are.

    Each resample draws ``n_groups`` groups with replacement. The same numbers and seed give the same draws.
    """
    random = np.random.default_rng(seed)
    block = max(1, WEIGHTS_AT_ONCE // max(1, n_groups))
    for first in range(0, resamples, block):
        size = min(block, resamples - first)
        drawn = random.integers(0, n_groups, (size, n_groups)) + np.arange(size)[:, None] * n_groups
        weights = np.bincount(drawn.ravel(), minlength=size * n_groups).reshape(size, n_groups)
        yield slice(first, first + size), weights


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
    n_groups, places = group_places({language: groups[language] for language in values})
    width = arrays[0].shape[1]
    totals = np.zeros((n_groups, len(arrays), width + 1))  # the last column counts queries
    for column, (language, array) in enumerate(zip(values, arrays, strict=True)):
        np.add.at(totals[:, column, :width], places[language], array)
        np.add.at(totals[:, column, width], places[language], 1.0)
    result = np.empty((resamples, len(arrays), width))
    for block, weights in group_weights(n_groups, resamples, seed):
        sums = weights.astype(np.float64) @ totals.reshape(n_groups, -1)
        sums = sums.reshape(len(weights), len(arrays), width + 1)
        with np.errstate(invalid="ignore"):
            result[block] = sums[..., :width] / sums[..., width:]
    return result


def resampled_medians(
    values: Mapping[str, ArrayLike], groups: Mapping[str, Sequence[str]], resamples: int, seed: int
) -> Floats:
    """Per-language medians under the bootstrap of ``resampled_means``: with the same seed, of the same resamples.

    Every query counts as often as its group was drawn; the median is the middle one of the queries so counted, or the
    mean of the middle two, as numpy's.

    Args:
        values: per language the (N,) figures of its queries (ranks).
        groups, resamples, seed: as for ``resampled_means``.

    Returns:
        (resamples, languages) float64; NaN where no drawn group has a query.
    """
    n_groups, places = group_places({language: groups[language] for language in values})
    result = np.full((resamples, len(values)), np.nan)
    ordered = []
    for language, own in values.items():
        array = np.asarray(own, np.float64)
        order = np.argsort(array, kind="stable")
        ordered.append((array[order], places[language][order]))
    for block, weights in group_weights(n_groups, resamples, seed):
        times = np.ascontiguousarray(weights.T, np.int32)
        exact = weights.astype(np.float64)
        for column, (array, own_places) in enumerate(ordered):
            result[block, column] = _weighted_medians(array, own_places, times, exact)
    return result


def _weighted_medians(ordered: Floats, places: Places, times: NDArray[np.int32], weights: Floats) -> Floats:
    """Medians (R,) of ascending figures (N,) of groups ``places`` (N,), each counted ``times[place, r]`` times.

    A resample's median stands near the middle of all figures: how many queries stand before that has a standard
    deviation of at most half the root of the summed squares of the groups' sizes. So only there, six times as far, is
    looked first; the resamples whose median stands elsewhere are looked through wholly.

    Args:
        times: (groups, R).
        weights: (R, groups), the same as floats, for products.
    """
    sizes = np.bincount(places, minlength=len(times)).astype(np.float64)
    middle, far = len(ordered) / 2, 3 * np.sqrt((sizes**2).sum())
    near = slice(max(0, int(middle - far) - 1), min(len(ordered), int(middle + far) + 2))
    total = (weights @ sizes).astype(np.int64)
    medians = np.full(len(weights), np.nan)
    waiting = np.flatnonzero(total)
    for window in (near, slice(0, len(ordered))):
        before = weights @ np.bincount(places[: window.start], minlength=len(times))
        step = max(1, MEDIANS_AT_ONCE // max(1, window.stop - window.start))
        for own in (waiting[first : first + step] for first in range(0, len(waiting), step)):
            counts = times if len(own) == len(medians) else times[:, own]
            upto = before[own].astype(np.int32) + np.cumsum(counts[places[window]], axis=0, dtype=np.int32)
            lower, upper = (total[own] - 1) // 2, total[own] // 2
            inside = (before[own] <= lower) & (upto[-1] > upper)
            pair = [window.start + (upto <= target).sum(axis=0) for target in (lower, upper)]
            low, high = (ordered[np.minimum(place, len(ordered) - 1)] for place in pair)
            medians[own[inside]] = ((low + high) / 2)[inside]
        waiting = waiting[np.isnan(medians[waiting])]
    return medians


def seed_weights(n_seeds: int, resamples: int, random: np.random.Generator) -> Floats:
    """(resamples, seeds): the share of each seed in the mean over the seeds that a resample draws.

    Of S seeds each resample draws S − 1, with replacement: drawing S would make the variance of so small a sample too
    small by (S − 1) / S (Rao and Wu 1988). One seed is taken as it is.
    """
    if n_seeds == 1:
        return np.ones((resamples, 1))
    drawn = random.integers(0, n_seeds, (resamples, n_seeds - 1, 1))
    return (drawn == np.arange(n_seeds)).mean(axis=1)


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
