"""Which gallery items are positives of which query, without an N × M mask. ``ranks`` asks for them chunk by chunk."""

from __future__ import annotations

import torch
from torch import Tensor


class Positives:
    """The positive (query, gallery item) pairs of a retrieval: every item of a query's group.

    Args:
        query_groups: (N,) int64.
        gallery_groups: (M,) int64.

    Attributes:
        count: (N,) int64, how many positives each query has in the gallery.
    """

    def __init__(self, query_groups: Tensor, gallery_groups: Tensor) -> None:
        ordered, self.items = gallery_groups.sort(stable=True)
        self.first = torch.searchsorted(ordered, query_groups.contiguous())
        self.count = torch.searchsorted(ordered, query_groups.contiguous(), right=True) - self.first

    def of(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Rows (counted from ``start``) and gallery columns of the positive pairs of queries start…stop."""
        first, count = self.first[start:stop], self.count[start:stop]
        rows = torch.arange(len(count), device=count.device).repeat_interleave(count)
        offset = torch.arange(len(rows), device=count.device) - (count.cumsum(0) - count)[rows]
        return rows, self.items[first[rows] + offset]
