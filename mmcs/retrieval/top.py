"""The best items of each query, in an order that is the same every time.

Works on a matrix of scores; ``ranks`` makes it and documents the order.

Shapes: ``R`` queries, ``M`` gallery items, ``K`` items kept per query, ``S`` queries of one slice.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmcs.retrieval.positives import Positives
from mmcs.retrieval.scores import TILE

AT_ONCE = 4 * TILE  # scores of a slice: what is made beside them is a few times as large


def best(scores: Tensor, positives: Positives, start: int, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` best items of the queries from ``start`` on: higher score first; among equal scores negatives before
    positives, then the lower place.

    Args:
        scores: (R, M) float32, in any memory layout.
        positives: of the whole retrieval.
        start: the query of the first row.
        k: items kept; a smaller gallery is returned whole.

    Returns:
        gallery places (R, K) int64 and their scores (R, K) float32, ``K = min(k, M)``.
    """
    n, m = scores.shape
    kept = min(k, m)
    indices = torch.empty((n, kept), dtype=torch.int64, device=scores.device)
    values = torch.empty((n, kept), dtype=torch.float32, device=scores.device)
    if kept == 0:
        return indices, values
    rows = max(1, AT_ONCE // m)
    for top in range(0, n, rows):
        part = scores[top : top + rows].contiguous()
        own = slice(top, top + len(part))
        positive = torch.zeros(part.shape, dtype=torch.bool, device=part.device)
        positive[positives.of(start + top, start + top + len(part))] = True
        chosen = _chosen(part, positive, kept)
        # Two stable sorts of places that ascend: by score at last, negatives first among equal scores.
        chosen = chosen.gather(1, positive.gather(1, chosen).to(torch.uint8).argsort(dim=1, stable=True))
        ordered = part.gather(1, chosen).sort(dim=1, descending=True, stable=True)
        values[own], indices[own] = ordered.values, chosen.gather(1, ordered.indices)
    return indices, values


def _chosen(scores: Tensor, positive: Tensor, kept: int) -> Tensor:
    """(S, K) places of the best items of (S, M) scores, ascending in each row."""
    value, place = scores.topk(kept, dim=1)
    bound = value[:, -1:]
    place = place.sort(dim=1).values
    # topk picks any among the scores that equal the last one: where not all of them fit, pick in our order.
    unsure = ((scores >= bound).sum(1) > kept).nonzero()[:, 0]
    if len(unsure) == 0:
        return place
    scores, bound, positive = scores[unsure], bound[unsure], positive[unsure]
    sure, equal = scores > bound, scores == bound
    negative = (equal & ~positive).cumsum(1, dtype=torch.int32)
    turn = torch.where(positive, negative[:, -1:] + (equal & positive).cumsum(1, dtype=torch.int32), negative)
    taken = sure | (equal & (turn <= kept - sure.sum(1, keepdim=True)))
    place[unsure] = taken.nonzero()[:, 1].view(len(unsure), kept)
    return place
