"""Figures of systems per language and per set of languages, with intervals, and their paired differences.

Both are of the same answers (``System.answers``): of each language the same queries, once per seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcs.evaluation.rows import METRICS, per_query
from mmcs.evaluation.statistics import (
    Difference,
    interval,
    mean_over_languages,
    paired_differences,
    resampled_means,
    seed_weights,
)
from mmcs.evaluation.trec import Queries
from mmcs.report.runs import Answers

RECALL_10 = "recall@10"

Figure = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True)
class Cell:
    """Figures of one system in one language or set: (value, low, high) per metric, 0…1.

    Attributes:
        figures: of unfinished runs without nDCG, which a rank alone does not tell. One group alone gives the interval
            [0, 1]: it tells nothing of others.
        spread: standard deviation of recall@10 over the seeds; None with one seed.
    """

    figures: dict[str, Figure]
    spread: float | None


def cells(answers: Answers, sets: Mapping[str, Sequence[str]], resamples: int = 1000) -> dict[str, Cell]:
    """Figures of each language and of each set of languages, by one bootstrap of groups, and of seeds where there are several.

    Args:
        sets: name → languages of ``answers``.
        resamples: of the bootstrap.
    """
    languages = list(answers)
    figures = {language: _figures(own) for language, own in answers.items()}
    samples = _resampled(figures, {language: own[0].groups for language, own in answers.items()}, resamples)
    found = {}
    for name, members in {**{language: [language] for language in languages}, **sets}.items():
        own = mean_over_languages(samples[:, [languages.index(language) for language in members]])
        per_seed = np.mean([figures[language].mean(axis=1) for language in members], axis=0)  # (seeds, metrics)
        values = per_seed.mean(axis=0)
        one = len({group for language in members for group in answers[language][0].groups}) < 2  # nothing to resample
        found[name] = Cell(
            figures={
                metric: (float(values[place]), *((0.0, 1.0) if one else interval(own[:, place])))
                for place, metric in enumerate(METRICS)
                if np.isfinite(values[place])
            },
            spread=float(per_seed[:, METRICS.index(RECALL_10)].std(ddof=1)) if len(per_seed) > 1 else None,
        )
    return found


def differences(
    first: Answers, second: Answers, sets: Mapping[str, Sequence[str]], metric: str = RECALL_10
) -> dict[str, Difference]:
    """First minus second, paired, in each set of languages; both answer the same queries in the same order."""
    place = METRICS.index(metric)
    return paired_differences(
        {language: _figures(own)[..., place] for language, own in first.items()},
        {language: _figures(second[language])[..., place] for language in first},
        {language: own[0].groups for language, own in first.items()},
        sets,
    )


def _figures(queries: Sequence[Queries]) -> NDArray[np.float64]:
    """(seeds, N, metrics), in the order of ``METRICS``."""
    return np.stack([per_query(own.ranks, own.ndcg) for own in queries])


def _resampled(
    figures: Mapping[str, NDArray[np.float64]], groups: Mapping[str, Sequence[str]], resamples: int
) -> NDArray[np.float64]:
    """(resamples, languages, metrics): means over the drawn queries and the drawn seeds."""
    n_seeds, _, n_metrics = next(iter(figures.values())).shape
    stacked = {language: np.concatenate(list(own), axis=1) for language, own in figures.items()}
    samples = resampled_means(stacked, groups, resamples, seed=0).reshape(resamples, len(figures), n_seeds, n_metrics)
    return np.einsum("rlsm,rs->rlm", samples, seed_weights(n_seeds, resamples, np.random.default_rng([0, 1])))
