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
RARE = 16  # a level that fewer than every 16th query has is counted for these alone
STRIPS = 2  # per thread: one that is held up leaves its share to the others


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


def count_reached(scores: Tensor, by_row: Tensor, by_column: Tensor, threads: int) -> tuple[Tensor, Tensor]:
    """How many scores of each row and of each column reach its levels: both in one pass, tile by tile.

    Args:
        scores: (R, C) float32.
        by_row: (L, R) float32 levels.
        by_column: (L', C) float32 levels.
        threads: of the processor that count, each in rows of its own.

    Returns:
        (L, R) and (L', C) int64.
    """
    parts = threads * STRIPS if scores.device.type == "cpu" and threads > 1 and scores.numel() > TILE else 1
    high = max(1, -(-len(scores) // parts))
    strips = scores.split(high), by_row.split(high, dim=1), repeat(by_column)
    if parts == 1:
        counted = list(map(_count_strip, *strips))
    else:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            counted = list(pool.map(_count_strip, *strips))
    return torch.cat([rows for rows, _ in counted], dim=1), torch.stack([columns for _, columns in counted]).sum(0)


def _count_strip(scores: Tensor, by_row: Tensor, by_column: Tensor) -> tuple[Tensor, Tensor]:
    in_row, in_column = (torch.zeros_like(by, dtype=torch.float64) for by in (by_row, by_column))
    rows, columns = _common(by_row), _common(by_column)
    wide = min(scores.shape[1], WIDEST)
    high = min(tile_rows(wide, scores.device), len(scores))
    flags = empty_scores(high, wide, scores.device)
    blocks = scores.split(wide, 1), by_column[:columns].split(wide, 1), in_column[:columns].split(wide, 1)
    for block, at_columns, of_columns in zip(*blocks, strict=True):
        tiles = block.split(high), by_row[:rows, :, None].split(high, 1), in_row[:rows].split(high, 1)
        for tile, at_rows, of_rows in zip(*tiles, strict=True):
            # 1.0 and 0.0 of the scores' own type: comparing into bytes takes four times as long, summing them more.
            reached = flags[: len(tile), : tile.shape[1]]
            for level, count in zip(at_rows, of_rows, strict=True):
                count += torch.ge(tile, level, out=reached).sum(1)
            for level, count in zip(at_columns, of_columns, strict=True):
                count += torch.ge(tile, level, out=reached).sum(0)
    for some in _rest(by_row, rows).split(high):
        places = some.unbind(1)
        in_row[places] = (scores.index_select(0, places[1]) >= by_row[places][:, None]).sum(1).double()
    places = _rest(by_column, columns).unbind(1)
    for part in scores.split(high if len(places[0]) else len(scores)):
        in_column[places] += (part.index_select(1, places[1]) >= by_column[places]).sum(0)
    return in_row.long(), in_column.long()


def _common(levels: Tensor) -> int:
    """How many of the levels (L, N) enough queries have to be counted for all; the later, the fewer have it."""
    return int(((levels < torch.inf).sum(1) * RARE > levels.shape[1]).sum())


def _rest(levels: Tensor, common: int) -> Tensor:
    """Level and query, (F, 2), of what else there is to count."""
    places = (levels[common:] < torch.inf).nonzero()
    return places + torch.tensor([common, 0], device=places.device)
