"""Rows of results.json out of rankings: figures per language and their means, with intervals over groups.

Rankings come from the protocols, intervals from ``statistics``; ``results`` writes the rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcs.evaluation.ranking import Ranking
from mmcs.evaluation.resampling import interval, mean_over_languages, resampled_means, resampled_medians
from mmcs.retrieval.languages import ENGLISH, language_sets

Row = dict[str, Any]
METRICS = ("recall@1", "recall@5", "recall@10", "mean_recall", "mrr@10", "ndcg@10")
MEDIAN_RANK = "median_rank"
PAIRS = "all_pairs"
RESAMPLES = 1000


def per_query(ranks: NDArray[Any], ndcg: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks and nDCG@10 (N,) → per-query figures (N, 6), in the order of ``METRICS``; their means are the figures."""
    hits = [(ranks <= k).astype(np.float64) for k in (1, 5, 10)]
    columns = [*hits, sum(hits) / 3, np.where(ranks <= 10, 1.0 / ranks, 0.0), np.asarray(ndcg, np.float64)]
    return np.stack(columns, axis=1)


def rows_of(
    rankings: Sequence[Ranking], seen: Collection[str] = (), resamples: int = RESAMPLES, seed: int = 0
) -> list[Row]:
    """One row per ranking and metric, then one per set of languages and metric.

    Args:
        rankings: of one suite, protocol, task and transform, each in another language.
        seen: languages with a lexicon in training, for the means ``seen`` and ``unseen``.
        resamples, seed: of one bootstrap over groups that all rankings share.
    """
    figures = _Figures(rankings, resamples, seed)
    rows = figures.single()
    place = {ranking.about.language: number for number, ranking in enumerate(rankings)}
    for name, members in language_sets(list(place), seen).items():
        own = [place[language] for language in members]
        about = rankings[own[0]].about
        side = "gallery_language" if about.language == about.gallery_language else "query_language"
        rows += figures.mean(own, {side: name, "language": name, "languages": members})
    return rows


def single_rows(rankings: Sequence[Ranking], resamples: int = RESAMPLES, seed: int = 0) -> list[Row]:
    """One row per ranking and metric, without means: of rankings whose languages are no plain list."""
    return _Figures(rankings, resamples, seed).single() if rankings else []


def pair_rows(rankings: Sequence[Ranking], resamples: int = RESAMPLES, seed: int = 0) -> list[Row]:
    """``single_rows``, then the mean over all pairs of languages, which stands under ``all_pairs``."""
    if not rankings:
        return []
    figures = _Figures(rankings, resamples, seed)
    named = {"query_language": PAIRS, "gallery_language": PAIRS, "language": PAIRS}
    return [*figures.single(), *figures.mean(range(len(rankings)), named)]


class _Figures:
    """Values (7,) and bootstrap samples (resamples, 7) of each of several rankings: ``METRICS`` and the median rank."""

    def __init__(self, rankings: Sequence[Ranking], resamples: int, seed: int) -> None:
        self.rankings = rankings
        files = [ranking.about.file for ranking in rankings]
        groups = {file: ranking.query_groups for file, ranking in zip(files, rankings, strict=True)}
        figures = {file: per_query(own.ranks, own.ndcg) for file, own in zip(files, rankings, strict=True)}
        ranks = {file: ranking.ranks for file, ranking in zip(files, rankings, strict=True)}
        medians = resampled_medians(ranks, groups, resamples, seed)[..., None]
        self.samples = np.concatenate([resampled_means(figures, groups, resamples, seed), medians], axis=2)
        self.values = [np.append(figures[file].mean(axis=0), np.median(ranks[file])) for file in files]

    def single(self) -> list[Row]:
        rows = []
        for place, ranking in enumerate(self.rankings):
            counts = {
                "language": ranking.about.language,
                "n_queries": len(ranking.ranks),
                "n_excluded": ranking.n_excluded,
                "n_gallery": len(ranking.gallery_ids),
                "file": ranking.about.file,
            }
            rows += metric_rows(ranking.about.as_dict() | counts, self.values[place], self.samples[:, place])
        return rows

    def mean(self, places: Sequence[int], named: Mapping[str, Any]) -> list[Row]:
        own = [self.rankings[place] for place in places]
        counts = {
            "setting": "+".join(dict.fromkeys(ranking.about.setting for ranking in own)),
            "n_queries": sum(len(ranking.ranks) for ranking in own),
            "n_excluded": sum(ranking.n_excluded for ranking in own),
            "n_gallery": sum(len(ranking.gallery_ids) for ranking in own) // len(own),
        }
        value = np.mean([self.values[place] for place in places], axis=0)
        sampled = mean_over_languages(self.samples[:, list(places)])
        return metric_rows(own[0].about.as_dict() | counts | dict(named), value, sampled)


def metric_rows(common: Mapping[str, Any], values: NDArray[np.float64], samples: NDArray[np.float64]) -> list[Row]:
    """One row per metric of ``METRICS`` and ``MEDIAN_RANK``; ``values`` (7,) and bootstrap ``samples`` (resamples, 7)."""
    return [
        {**common, "metric": metric, "value": float(values[place]), "ci95": list(interval(samples[:, place]))}
        for place, metric in enumerate((*METRICS, MEDIAN_RANK))
    ]


def setting_of(*languages: str) -> str:
    """``MoIR`` where all texts of a ranking are English, else ``CLIR``; ``languages`` are those of the texts."""
    return "MoIR" if set(languages) == {ENGLISH} else "CLIR"
