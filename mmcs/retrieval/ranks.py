"""Ranks by counting: at which place stands the best positive of each query, and which items stand before it.

Pure functions on embeddings and group ids; nothing here knows languages, files or processes. ``RetrievalRecall``
(while training) and ``mmcs.evaluation`` (afterwards) call it.

Shapes: ``N`` queries, ``M`` gallery items, ``D`` width, ``R`` rows of one chunk, ``K`` items kept per query.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mmcs.errors import DataError

SCORES_AT_ONCE = 1 << 24  # 64 MiB of float32 scores: large enough for a fast product, small beside the embeddings


def ranks(
    queries: Tensor, gallery: Tensor, query_groups: Tensor, gallery_groups: Tensor, chunk: int | None = None
) -> Tensor:
    """The rank of each query's best positive, ties broken against it.

    An item is a positive of a query when both carry the same group id. The rank is 1 + the number of items of *other*
    groups that score at least as high as the best positive, so equal scores never help. Scores are dot products in
    float32: normalise the rows first where cosines are meant. Memory grows with N + M, never with N × M.

    Args:
        queries: (N, D) embeddings.
        gallery: (M, D) embeddings, on the same device.
        query_groups: (N,) int64.
        gallery_groups: (M,) int64.
        chunk: queries scored at once; by default as many as fit ``SCORES_AT_ONCE``.

    Returns:
        (N,) int64, 1 is best; 0 marks a query that has no positive in the gallery (the caller decides what that means).

    Raises:
        DataError: an embedding is not finite, or shapes do not fit each other.

    >>> eye = torch.eye(2)
    >>> ranks(eye, eye, torch.tensor([7, 8]), torch.tensor([7, 8])).tolist()
    [1, 1]
    >>> ranks(torch.ones(2, 2), torch.ones(2, 2), torch.tensor([7, 8]), torch.tensor([7, 8])).tolist()  # constant model
    [2, 2]
    """
    _check(queries, gallery, query_groups, gallery_groups)
    positives = _Positives(query_groups, gallery_groups)
    result = torch.zeros(len(queries), dtype=torch.int64, device=queries.device)
    for start, scores in _scored(queries, gallery, chunk):
        rows, columns = positives.of(start, start + len(scores))
        own = scores[rows, columns]
        best = scores.new_full((len(scores),), -torch.inf).scatter_reduce_(0, rows, own, "amax")
        above = (scores >= best[:, None]).sum(1, dtype=torch.int32)  # half the time of int64
        above.index_add_(0, rows, (own >= best[rows]).to(above.dtype), alpha=-1)  # positives do not count
        result[start : start + len(scores)] = torch.where(best > -torch.inf, above + 1, 0)
    return result


def top_k(
    queries: Tensor,
    gallery: Tensor,
    query_groups: Tensor,
    gallery_groups: Tensor,
    k: int = 100,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The ``k`` best items of each query, in an order that is the same every time.

    Order: higher score first; among equal scores items of other groups before positives, then the lower gallery index.
    The first positive therefore stands at the place that ``ranks`` gives, if that is within ``k``.

    Args:
        queries, gallery, query_groups, gallery_groups, chunk: as in ``ranks``.
        k: items kept; a smaller gallery is returned whole.

    Returns:
        gallery indices (N, K) int64 and their scores (N, K) float32, ``K = min(k, M)``.

    Raises:
        DataError: as in ``ranks``.
    """
    _check(queries, gallery, query_groups, gallery_groups)
    kept = min(k, len(gallery))
    indices = torch.empty((len(queries), kept), dtype=torch.int64, device=queries.device)
    values = torch.empty((len(queries), kept), dtype=torch.float32, device=queries.device)
    for start, scores in _scored(queries, gallery, chunk):
        best, columns = scores.topk(kept, dim=1)
        groups = query_groups[start : start + len(scores)]
        columns = _ordered(columns.sort(dim=1).values, scores, groups, gallery_groups)
        # Where equal scores cross the bound, topk picked any of them: such rows are ordered whole.
        for row in ((scores >= best[:, -1:]).sum(1) > kept).nonzero()[:, 0].tolist():
            everything = torch.arange(len(gallery), device=scores.device)[None]
            own = slice(row, row + 1)
            columns[row] = _ordered(everything, scores[own], groups[own], gallery_groups)[0, :kept]
        indices[start : start + len(scores)] = columns
        values[start : start + len(scores)] = scores.gather(1, columns)
    return indices, values


def recall_at(found: Tensor, k: int) -> float:
    """Share of the ranks (N,) within 1…``k``; queries without a positive (rank 0) count as not found."""
    return float(((found >= 1) & (found <= k)).double().mean())


def mrr_at(found: Tensor, k: int) -> float:
    """Mean of 1 / rank over the ranks (N,), 0 where the rank lies beyond ``k`` or the query has no positive."""
    inside = (found >= 1) & (found <= k)
    return float(torch.where(inside, 1.0 / found.clamp(min=1).double(), 0.0).mean())


def median_rank(found: Tensor) -> float:
    """Median of the ranks (N,), the mean of the two middle ones when N is even."""
    return float(found.double().quantile(0.5))


class _Positives:
    """Which (query, gallery item) pairs share a group, without an N × M mask."""

    def __init__(self, query_groups: Tensor, gallery_groups: Tensor) -> None:
        ordered, self.order = gallery_groups.sort(stable=True)
        self.first = torch.searchsorted(ordered, query_groups.contiguous())
        self.count = torch.searchsorted(ordered, query_groups.contiguous(), right=True) - self.first

    def of(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Rows (counted from ``start``) and gallery columns of the positive pairs of queries start…stop."""
        first, count = self.first[start:stop], self.count[start:stop]
        rows = torch.arange(len(count), device=count.device).repeat_interleave(count)
        offset = torch.arange(len(rows), device=count.device) - (count.cumsum(0) - count)[rows]
        return rows, self.order[first[rows] + offset]


def _ordered(columns: Tensor, scores: Tensor, query_groups: Tensor, gallery_groups: Tensor) -> Tensor:
    """``columns`` (R, C), ascending in each row, by score, then negatives first; stable, so index last."""
    positive = gallery_groups[columns] == query_groups[:, None]
    columns = columns.gather(1, positive.to(torch.uint8).argsort(dim=1, stable=True))
    return columns.gather(1, scores.gather(1, columns).argsort(dim=1, descending=True, stable=True))


@torch.no_grad()
def _scored(queries: Tensor, gallery: Tensor, chunk: int | None) -> Iterator[tuple[int, Tensor]]:
    """Yields (first query, scores (R, M) float32) chunk by chunk."""
    rows = chunk or max(1, SCORES_AT_ONCE // max(1, len(gallery)))
    transposed = gallery.float().T
    for start in range(0, len(queries), rows):
        part = queries[start : start + rows].float()
        # A single row takes another path through BLAS, on which equal gallery rows may score unequal by a rounding.
        padded = part.expand(2, -1).contiguous() if len(part) == 1 else part
        with _full_precision(queries.device.type):
            scores = padded @ transposed
        yield start, scores[: len(part)]


@contextmanager
def _full_precision(device: str) -> Iterator[None]:
    """float32 products, whatever precision training has switched on around us (autocast, TF32)."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def _check(queries: Tensor, gallery: Tensor, query_groups: Tensor, gallery_groups: Tensor) -> None:
    for name, embeddings, groups in (("queries", queries, query_groups), ("gallery", gallery, gallery_groups)):
        if embeddings.ndim != 2 or groups.shape != embeddings.shape[:1]:
            raise DataError(
                f"the {name} of a retrieval need embeddings (N, D) and groups (N,), but have shapes "
                f"{tuple(embeddings.shape)} and {tuple(groups.shape)}."
            )
        if torch.isfinite(embeddings.sum(1)).all():  # nothing unfinite survives a sum; cheaper than looking at each
            continue
        finite = torch.isfinite(embeddings).all(1)
        if not finite.all():
            row = int((~finite).nonzero()[0, 0])
            raise DataError(
                f"{int((~finite).sum())} of {len(embeddings)} embeddings of the {name} are not finite (the first is "
                f"row {row}): the model has diverged or read damaged input; no rank is counted on them."
            )
    if queries.shape[1] != gallery.shape[1]:
        raise DataError(f"queries have width {queries.shape[1]} and the gallery {gallery.shape[1]}: not one space.")
    if len(gallery) == 0:
        raise DataError("the gallery of a retrieval is empty: nothing can be ranked.")
