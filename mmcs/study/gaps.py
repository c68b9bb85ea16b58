"""The share of the gap to translated training that a system closes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmcs.evaluation.resampling import interval, mean_over_languages, resampled_means, seed_weights
from mmcs.evaluation.rows import METRICS, per_query
from mmcs.evaluation.statistics import Difference
from mmcs.report.cells import RECALL_10, Figure, differences
from mmcs.report.runs import Answers

RESAMPLES = 5000


@dataclass(frozen=True)
class Gap:
    """What is left to translated training: share of (upper bound − English only) that a system gains, with its interval."""

    share: Figure
    left: Difference


def gaps_of(
    systems: Mapping[str, Answers], base: Answers, upper: Answers, sets: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Gap]]:
    """Shares of the gap between ``base`` and ``upper``, by one bootstrap of groups and seeds for the three systems of each."""
    found = {}
    for name, own in systems.items():
        left = differences(own, upper, sets)
        found[name] = {of: Gap(_share(own, base, upper, members), left[of]) for of, members in sets.items()}
    return found


def _share(own: Answers, base: Answers, upper: Answers, languages: Sequence[str]) -> Figure:
    place = METRICS.index(RECALL_10)
    hits: dict[str, np.ndarray] = {}
    for language in languages:
        runs = [*own[language], *base[language], *upper[language]]
        hits[language] = np.stack([per_query(run.ranks, run.ndcg)[:, place] for run in runs], axis=1)
    counts = [len(answers[languages[0]]) for answers in (own, base, upper)]
    samples = mean_over_languages(
        resampled_means(hits, {language: own[language][0].groups for language in languages}, RESAMPLES, 0)
    )
    random = np.random.default_rng([0, 2])
    parts, at = [], 0
    for count in counts:
        parts.append((samples[:, at : at + count] * seed_weights(count, RESAMPLES, random)).sum(axis=1))
        at += count
    means = np.split(np.mean([own_hits.mean(axis=0) for own_hits in hits.values()], axis=0), np.cumsum(counts)[:-1])
    first, second, third = (float(part.mean()) for part in means)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = (parts[0] - parts[1]) / (parts[2] - parts[1])
    if not np.isfinite(drawn).all():  # no gap in some resample: nothing can be said
        return float("nan"), float("nan"), float("nan")
    value = (first - second) / (third - second) if third != second else float("nan")
    return (value, *interval(drawn))
