"""Ranks by counting: at which places stand a query's positives, and which items stand before them.

Pure functions on embeddings and group ids; nothing here knows languages, files or processes. ``RetrievalRecall``
(while training) and ``mmcs.evaluation`` (afterwards) call it.

Shapes: ``N`` queries, ``M`` gallery items, ``D`` width, ``R`` rows of one chunk, ``P`` positive pairs, ``L`` levels (a
query's best, second best … positive), ``K`` items kept per query.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmcs.errors import DataError
from mmcs.retrieval.counting import count_reached, levels
from mmcs.retrieval.positives import Positives
from mmcs.retrieval.scores import alone, check, scored, scored_both_ways
from mmcs.retrieval.top import best

CUT = 10  # of nDCG
WHOLE = 1 << 26  # scores that ``find_both`` holds at once, 256 MiB: one language of any known suite fits


@dataclass(frozen=True)
class Found:
    """What one direction of a retrieval found, query by query.

    Attributes:
        ranks: (N,) int64, the rank of the best positive, 1 is best; 0 for a query without a positive in the gallery.
        ndcg: (N,) float64, nDCG@10 with every positive of gain 1; 0 for a query without a positive.
        indices: (N, K) int64, the best gallery items, K = 0 unless they were asked for. Higher score first; among equal
            scores negatives before positives, then the lower place in the gallery.
        scores: (N, K) float32, theirs.
    """

    ranks: Tensor
    ndcg: Tensor
    indices: Tensor
    scores: Tensor


def find(
    queries: Tensor,
    gallery: Tensor,
    query_groups: Tensor,
    gallery_groups: Tensor,
    k: int = 0,
    chunk: int | None = None,
) -> Found:
    """Ranks each query's positives in the gallery, ties broken against them.

    An item is a positive of a query when both carry the same group id. The i-th best positive has rank i + the number
    of *negatives* that score at least as high, so equal scores never help. Scores are dot products in float32:
    normalise the rows first where cosines are meant. Memory grows with N + M, never with N × M.

    nDCG@10 = Σ 1/log2(1 + rank) over the positives within 10, divided by the same sum for positives at the ranks 1, 2 …
    min(10, number of positives) (Järvelin & Kekäläinen 2002; ``ndcg_cut_10`` of trec_eval).

    Args:
        queries: (N, D) embeddings, of any floating type.
        gallery: (M, D) embeddings, on the same device.
        query_groups: (N,) int64.
        gallery_groups: (M,) int64.
        k: items listed per query; a smaller gallery is listed whole.
        chunk: queries scored at once; by default as many as fit 64 MiB of scores.

    Raises:
        DataError: an embedding is not finite, scores leave float32, shapes do not fit each other, the gallery is empty.

    >>> eye = torch.eye(3)
    >>> find(eye, eye, torch.tensor([7, 7, 8]), torch.tensor([7, 8, 7])).ranks.tolist()
    [1, 2, 3]
    """
    _check_groups(queries, gallery, query_groups, gallery_groups)
    check(queries, gallery)
    return _find(queries, gallery, Positives(query_groups, gallery_groups), k, chunk)


@torch.no_grad()
def find_both(
    texts: Tensor, images: Tensor, text_groups: Tensor, image_groups: Tensor, k: int = 0
) -> tuple[Found, Found]:
    """``find`` for texts among images and for images among texts, from one product where its scores fit 256 MiB.

    Beyond that it is ``find`` twice: memory stays bounded, the product is made twice.

    Args:
        texts: (N, D) embeddings.
        images: (M, D) embeddings.
        text_groups: (N,) int64.
        image_groups: (M,) int64.
        k: as in ``find``.

    Returns:
        texts → images (N queries), images → texts (M queries).

    Raises:
        DataError: as in ``find``; the texts may not be empty either.
    """
    if len(texts) == 0 or len(texts) * len(images) > WHOLE:
        return find(texts, images, text_groups, image_groups, k), find(images, texts, image_groups, text_groups, k)
    _check_groups(texts, images, text_groups, image_groups)
    check(texts, images)
    with alone():
        of_texts = Positives(text_groups, image_groups)
        of_images = Positives(image_groups, text_groups)
    scores = scored_both_ways(texts, images)
    listed = best(scores, of_texts, 0, k), best(scores.T, of_images, 0, k)
    with alone() as threads:
        rows, columns = of_texts.of(0, len(texts))
        own = _taken(scores, rows, columns)
        by_row, by_column = levels(rows, own, len(texts), CUT), levels(columns, own, len(images), CUT)
        in_row, in_column = count_reached(scores, by_row, by_column, threads)
        figures = _figures(by_row, in_row, of_texts.count), _figures(by_column, in_column, of_images.count)
    return Found(*figures[0], *listed[0]), Found(*figures[1], *listed[1])


def ranks(
    queries: Tensor, gallery: Tensor, query_groups: Tensor, gallery_groups: Tensor, chunk: int | None = None
) -> Tensor:
    """``find(…).ranks``, (N,) int64.

    >>> eye = torch.eye(2)
    >>> ranks(eye, eye, torch.tensor([7, 8]), torch.tensor([7, 8])).tolist()
    [1, 1]
    >>> ranks(torch.ones(2, 2), torch.ones(2, 2), torch.tensor([7, 8]), torch.tensor([7, 8])).tolist()  # constant model
    [2, 2]
    """
    return find(queries, gallery, query_groups, gallery_groups, chunk=chunk).ranks


def top_k(
    queries: Tensor,
    gallery: Tensor,
    query_groups: Tensor,
    gallery_groups: Tensor,
    k: int = 100,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """``find(…, k)``'s indices and scores, (N, K) each, ``K = min(k, M)``.

    The first positive stands at the place that ``ranks`` gives, if that is within ``k``.
    """
    found = find(queries, gallery, query_groups, gallery_groups, k, chunk)
    return found.indices, found.scores


def recall_at(found: Tensor, k: int) -> float:
    """Share of the ranks (N,) within 1…``k``; queries without a positive (rank 0) count as not found."""
    return float(((found >= 1) & (found <= k)).double().mean())


def mrr_at(found: Tensor, k: int) -> float:
    """Mean of 1 / rank over the ranks (N,), 0 where the rank lies beyond ``k`` or the query has no positive."""
    inside = (found >= 1) & (found <= k)
    return float(torch.where(inside, 1.0 / found.clamp(min=1).double(), 0.0).mean())


def median_rank(found: Tensor) -> float:
    """Median of the ranks (N,), the mean of the two middle ones when N is even."""
    ordered = found.double().sort().values  # quantile() takes 16 million numbers at most
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)


@torch.no_grad()
def _find(queries: Tensor, gallery: Tensor, positives: Positives, k: int, chunk: int | None) -> Found:
    parts = []
    for start, scores in scored(queries, gallery, chunk):
        stop = start + len(scores)
        listed = best(scores, positives, start, k)
        with alone() as threads:
            rows, columns = positives.of(start, stop)
            by_row = levels(rows, _taken(scores, rows, columns), len(scores), CUT)
            in_row, _ = count_reached(scores, by_row, scores.new_empty(0, len(gallery)), threads)
            parts.append((*_figures(by_row, in_row, positives.count[start:stop]), *listed))
    if not parts:
        parts = [
            (
                positives.count,
                positives.count.double(),
                *best(queries.new_empty(0, len(gallery)).float(), positives, 0, k),
            )
        ]
    return Found(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def _taken(scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The scores (P,) of positive pairs, which then count before nobody, neither of their row nor of their column."""
    own = scores[rows, columns]
    scores[rows, columns] = -torch.inf
    return own


def _figures(thresholds: Tensor, above: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
    """Levels and negatives that reach them, (L, N) each, and the numbers of positives (N,) → ranks (N,), nDCG (N,)."""
    if len(thresholds) == 0:
        return torch.zeros_like(positives), torch.zeros_like(positives, dtype=torch.float64)
    places = above + torch.arange(1, len(above) + 1, device=above.device)[:, None]
    exists = thresholds < torch.inf
    gains = torch.where(exists & (places <= CUT), 1 / torch.log2(places.double() + 1), 0.0).sum(0)
    ideal = (1 / torch.arange(2, CUT + 2, device=above.device).double().log2()).cumsum(0)
    return torch.where(exists[0], places[0], 0), gains / ideal[positives.clamp(1, CUT) - 1]


def _check_groups(queries: Tensor, gallery: Tensor, query_groups: Tensor, gallery_groups: Tensor) -> None:
    for name, embeddings, groups in (("queries", queries, query_groups), ("gallery", gallery, gallery_groups)):
        if embeddings.ndim != 2 or groups.shape != embeddings.shape[:1]:
            raise DataError(
                f"the {name} of a retrieval need embeddings (N, D) and groups (N,), but have shapes "
                f"{tuple(embeddings.shape)} and {tuple(groups.shape)}."
            )
