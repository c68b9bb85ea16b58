"""Figures of each system per language and per set of languages, with intervals: what the tables of a comparison hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmcs.evaluation.rows import METRICS
from mmcs.evaluation.statistics import interval, mean_over_languages, resampled_means
from mmcs.report.runs import System

PRIMARY = METRICS.index("recall@10")

Figure = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True)
class Cell:
    """Figures of one system in one language or set: (value, low, high) per metric, 0…1.

    Attributes:
        spread: standard deviation of recall@10 over the seeds; None with one seed.
    """

    figures: dict[str, Figure]
    spread: float | None


def cells(
    system: System, suite: str, split: str, task: str, sets: Mapping[str, Sequence[str]], resamples: int = 1000
) -> dict[str, Cell]:
    """Figures of each language and of each set of languages, by one bootstrap over groups."""
    languages = list(dict.fromkeys(language for members in sets.values() for language in members))
    queries = system.runs[0].queries
    figures = {language: system.figures((suite, split, language, task)) for language in languages}
    groups = {language: queries[suite, split, language, task].groups for language in languages}
    samples = resampled_means({key: value.mean(axis=0) for key, value in figures.items()}, groups, resamples, seed=0)
    found = {}
    for name, members in {**{language: [language] for language in languages}, **sets}.items():
        own = mean_over_languages(samples[:, [languages.index(language) for language in members]])
        per_seed = np.mean([figures[language].mean(axis=1) for language in members], axis=0)  # (seeds, metrics)
        found[name] = Cell(
            figures={
                metric: (float(per_seed[:, place].mean()), *interval(own[:, place]))
                for place, metric in enumerate(METRICS)
            },
            spread=float(per_seed[:, PRIMARY].std(ddof=1)) if len(per_seed) > 1 else None,
        )
    return found
