"""A matrix of logits that is never whole: cut into strips of rows, and the places of its positives.

``info_nce`` and ``siglip`` pass over it. Memory is linear in the number of columns, however many rows there are.

Shapes: B rows of this process, G columns of all processes, K label columns, T rows of a strip.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

# Logits in memory at a time: what a CPU's caches nearly hold; on a GPU few enough to leave memory, many enough to fill it.
_LOGITS = {"cpu": 2**22}
_LOGITS_ELSEWHERE = 2**26


def strips(rows: int, columns: int, device: torch.device) -> Iterator[slice]:
    """The rows, a strip at a time."""
    height = max(1, _LOGITS.get(device.type, _LOGITS_ELSEWHERE) // max(1, columns))
    for start in range(0, rows, height):
        yield slice(start, min(rows, start + height))


class Positives:
    """Which columns are positives of a row: those whose label equals the row's in any label column.

    Args:
        labels: int64 (G, K), of the columns.
    """

    def __init__(self, labels: Tensor) -> None:
        self.columns = len(labels)
        self.sorted, self.order = labels.T.contiguous().sort(dim=1)

    def of(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(row, column) of every positive of rows with ``labels`` (T, K): two int64 (P,), each pair once."""
        labels = labels.T.contiguous()
        first = torch.searchsorted(self.sorted, labels)
        counts = torch.searchsorted(self.sorted, labels, right=True) - first
        pairs = []
        for order, begin, count in zip(self.order, first, counts, strict=True):
            rows = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
            within = torch.arange(len(rows), device=rows.device) - (count.cumsum(0) - count)[rows]
            pairs.append(rows * self.columns + order[begin[rows] + within])
        flat = pairs[0] if len(pairs) == 1 else torch.cat(pairs).unique()
        return flat // self.columns, flat % self.columns


def exact(*tensors: Tensor) -> tuple[Tensor, ...]:
    """In at least float32: at a scale of 100 a bfloat16 logit is off by a quarter."""
    return tuple(t if t.dtype == torch.float64 else t.float() for t in tensors)
