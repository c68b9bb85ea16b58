"""The retrieval protocols: which queries against which gallery, and the rows of results.json that come of it.

Ranks come from ``mmcs.retrieval``, intervals from ``statistics``; files are written by ``results`` and ``trec``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from mmcs.errors import DataError
from mmcs.evaluation.statistics import interval, mean_over_languages, resampled_means
from mmcs.evaluation.suite import Embedded
from mmcs.retrieval.languages import ENGLISH, language_sets
from mmcs.retrieval.ranks import ranks, top_k

TASKS = ("image_retrieval", "text_retrieval")
METRICS = ("recall@1", "recall@5", "recall@10", "mrr@10")
DEPTH = 100
IMAGE = "image"  # stands where a language would: an image has none


@dataclass(frozen=True)
class Ranking:
    """One language and direction of a suite, ranked: what results.json, TREC files and paired statistics are made of.

    Attributes:
        language: of the texts, whichever side they are on.
        query_texts: the captions asked for; empty strings for image queries.
        ranks: (N,) exact rank of the best positive, 1 is best.
        indices, scores: (N, K) the best K gallery places and their cosines, K ≤ ``DEPTH``.
        n_excluded: items that could not be queries because nothing in the gallery belongs to them.
    """

    suite: str
    split: str
    language: str
    task: str
    query_ids: list[str]
    query_groups: list[str]
    query_texts: list[str]
    gallery_ids: list[str]
    gallery_groups: list[str]
    ranks: NDArray[np.int64]
    indices: NDArray[np.int64]
    scores: NDArray[np.float32]
    n_excluded: int


Row = dict[str, Any]


def retrieve(
    embedded: Embedded, seen: Collection[str] = (), resamples: int = 1000, seed: int = 0
) -> tuple[list[Row], list[Ranking]]:
    """Both directions in every language of a suite, all captions counted, and the means over languages.

    Image retrieval: every text asks for an image of its group. Text retrieval: every image that has a text in the
    language asks for one of them, among the texts of that language. Scores are cosines.

    Args:
        embedded: the suite.
        seen: languages with a lexicon in training, for the means ``seen`` and ``unseen``.
        resamples, seed: of the intervals, which are bootstrapped over groups.

    Returns:
        the rows of results.json, and the rankings from which an outside tool can recompute them.

    Raises:
        DataError: an embedding is not finite; a suite in which no text has an image.
    """
    codes: dict[str, int] = {}
    silent = [""] * len(embedded.image_ids)
    images = _Side(embedded.image_ids, embedded.image_groups, silent, embedded.images, codes)
    rankings = []
    for language, texts in embedded.texts.items():
        own = _Side(texts.ids, texts.groups, texts.captions, texts.embeddings.to(embedded.images.device), codes)
        if torch.isin(own.codes, images.codes).any():
            rankings.append(_ranking(embedded, language, TASKS[0], own, images))
            rankings.append(_ranking(embedded, language, TASKS[1], images, own))
    if not rankings:
        raise DataError(
            f"suite {embedded.suite} ({embedded.split}) has no text whose group has an image: nothing can be retrieved."
        )
    rows = [row for task in TASKS for row in _rows([r for r in rankings if r.task == task], seen, resamples, seed)]
    return rows, rankings


def hits(found: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks (N,) → per-query figures (N, 4), in the order of ``METRICS``."""
    columns = [found <= 1, found <= 5, found <= 10, np.where(found <= 10, 1.0 / found, 0.0)]
    return np.stack([column.astype(np.float64) for column in columns], axis=1)


class _Side:
    """Queries or gallery: (N,) names, groups and texts, and on one device the group codes and unit embeddings."""

    def __init__(
        self, ids: list[str], groups: list[str], texts: list[str], embeddings: Tensor, codes: dict[str, int]
    ) -> None:
        self.ids, self.groups, self.texts = ids, groups, texts
        self.codes = torch.tensor([codes.setdefault(group, len(codes)) for group in groups], dtype=torch.int64)
        self.codes = self.codes.to(embeddings.device)
        self.embeddings = normalize(embeddings.float(), dim=1)


def _ranking(embedded: Embedded, language: str, task: str, queries: _Side, gallery: _Side) -> Ranking:
    asked = torch.isin(queries.codes, gallery.codes)
    places = asked.nonzero()[:, 0].tolist()
    sides = (queries.embeddings[asked], gallery.embeddings, queries.codes[asked], gallery.codes)
    found = ranks(*sides)
    indices, scores = top_k(*sides, k=DEPTH)
    return Ranking(
        suite=embedded.suite,
        split=embedded.split,
        language=language,
        task=task,
        query_ids=[queries.ids[place] for place in places],
        query_groups=[queries.groups[place] for place in places],
        query_texts=[queries.texts[place] for place in places],
        gallery_ids=gallery.ids,
        gallery_groups=gallery.groups,
        ranks=found.cpu().numpy(),
        indices=indices.cpu().numpy(),
        scores=scores.cpu().numpy(),
        n_excluded=len(queries.ids) - len(places),
    )


def _rows(rankings: Sequence[Ranking], seen: Collection[str], resamples: int, seed: int) -> list[Row]:
    """One row per language and metric of one task, then one per set of languages and metric."""
    figures = {ranking.language: hits(ranking.ranks) for ranking in rankings}
    groups = {ranking.language: ranking.query_groups for ranking in rankings}
    samples = resampled_means(figures, groups, resamples, seed)
    place = {language: position for position, language in enumerate(figures)}
    rows = []
    for ranking in rankings:
        common = _common(ranking, ranking.language, "MoIR" if ranking.language == ENGLISH else "CLIR")
        common |= {
            "n_queries": len(ranking.ranks),
            "n_excluded": ranking.n_excluded,
            "n_gallery": len(ranking.gallery_ids),
        }
        values = figures[ranking.language].mean(axis=0)
        rows += _figures(common, values, samples[:, place[ranking.language]])
    for name, members in language_sets(list(figures), seen).items():
        own = [ranking for ranking in rankings if ranking.language in members]
        common = _common(own[0], name, "MoIR" if members == [ENGLISH] else "MoIR+CLIR" if name == "all" else "CLIR")
        common |= {
            "languages": members,
            "n_queries": sum(len(ranking.ranks) for ranking in own),
            "n_excluded": sum(ranking.n_excluded for ranking in own),
            "n_gallery": sum(len(ranking.gallery_ids) for ranking in own) // len(own),
        }
        values = np.mean([figures[language].mean(axis=0) for language in members], axis=0)
        rows += _figures(common, values, mean_over_languages(samples[:, [place[language] for language in members]]))
    return rows


def _common(ranking: Ranking, language: str, setting: str) -> Row:
    to_image = ranking.task == "image_retrieval"
    return {
        "suite": ranking.suite,
        "split": ranking.split,
        "protocol": "all_captions",
        "setting": setting,
        "query_transform": None,
        "task": ranking.task,
        "language": language,
        "query_language": language if to_image else IMAGE,
        "gallery_language": IMAGE if to_image else language,
    }


def _figures(common: Row, values: NDArray[np.float64], samples: NDArray[np.float64]) -> list[Row]:
    return [
        {**common, "metric": metric, "value": float(values[place]), "ci95": list(interval(samples[:, place]))}
        for place, metric in enumerate(METRICS)
    ]
