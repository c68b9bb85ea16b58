"""How many negatives score at least as high as a query's positives: what every rank is made of.

Works on a matrix of scores in which the positives are masked; ``ranks`` makes the matrix and reads the counts.

Shapes: ``N`` queries, ``R`` rows and ``C`` columns of the scores, ``P`` positive pairs, ``L`` levels: the best, second
best … positive of a query.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import torch
from torch import Tensor

from mmcs.retrieval.scores import TILE, empty_scores, tile_rows

WIDEST = 1 << 16  # columns of a tile: a count in float32 is exact far beyond it
STRIPS = 4  # per thread: one that is held up leaves its share to the others


def levels(queries: Tensor, scores: Tensor, n: int, most: int) -> Tensor:
    """The best scores of each query's positives.

    Args:
        queries: (P,) int64, whose positive each pair is.
        scores: (P,) float32.
        n: number of queries.
        most: positives kept per query.

    Returns:
        (L, n) float32, best first, infinite where a query has fewer; L ≤ ``most``.
    """
    order = scores.argsort(descending=True)
    order = order[queries[order].argsort(stable=True)]
    queries, scores = queries[order], scores[order]
    count = torch.bincount(queries, minlength=n)
    place = torch.arange(len(queries), device=queries.device) - (count.cumsum(0) - count)[queries]
    kept = place < most
    result = scores.new_full((min(most, int(count.max())) if len(queries) else 0, n), torch.inf)
    result[place[kept], queries[kept]] = scores[kept]
    return result


def count_reached(scores: Tensor, by_row: Tensor, by_column: Tensor) -> tuple[Tensor, Tensor]:
    """How many scores of each row and of each column reach its levels: both in one pass, tile by tile.

    Args:
        scores: (R, C) float32.
        by_row: (L, R) float32 levels.
        by_column: (L', C) float32 levels.

    Returns:
        (L, R) and (L', C) int64.
    """
    threads = torch.get_num_threads() if scores.device.type == "cpu" else 1
    high = -(-len(scores) // (threads * STRIPS)) if threads > 1 else max(1, len(scores))
    strips = scores.split(high), by_row.split(high, dim=1), repeat(by_column)
    if threads == 1 or scores.numel() <= TILE:
        counted = list(map(_count_strip, *strips))
    else:
        # Threads of ours, each of which computes alone: torch's own would wait for each other after every small step.
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            counted = list(pool.map(_count_strip, *strips))
    return torch.cat([rows for rows, _ in counted], dim=1), torch.stack([columns for _, columns in counted]).sum(0)


def _count_strip(scores: Tensor, by_row: Tensor, by_column: Tensor) -> tuple[Tensor, Tensor]:
    in_row, in_column = (torch.zeros(by.shape, dtype=torch.int64, device=by.device) for by in (by_row, by_column))
    wide = min(scores.shape[1], WIDEST)
    high = min(tile_rows(wide, scores.device), len(scores))
    flags = empty_scores(high, wide, scores.device).flatten()
    for top in range(0, len(scores), high):
        for left in range(0, scores.shape[1], wide):
            tile = scores[top : top + high, left : left + wide]
            rows, columns = slice(top, top + len(tile)), slice(left, left + tile.shape[1])
            # 1.0 and 0.0 of the scores' own type: comparing into bytes takes four times as long, summing them more.
            reached = flags[: tile.numel()].view(tile.shape)
            for level, count in zip(by_row[:, rows], in_row[:, rows], strict=True):
                count += torch.ge(tile, level[:, None], out=reached).sum(1).long()
            for level, count in zip(by_column[:, columns], in_column[:, columns], strict=True):
                count += torch.ge(tile, level, out=reached).sum(0).long()
    return in_row, in_column
