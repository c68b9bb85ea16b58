"""Which gallery items are positives of which query, without an N × M mask.

Given by group ids (image–text suites) or pair by pair (judged documents). ``ranks`` asks for them chunk by chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmcs.errors import DataError


class Positives:
    """The positive (query, gallery item) pairs of a retrieval.

    Attributes:
        count: (N,) int64, how many positives each query has in the gallery.
    """

    def __init__(self, first: Tensor, count: Tensor, items: Tensor) -> None:
        """Query ``n`` has ``items[first[n] : first[n] + count[n]]``; ``by_group`` and ``by_pairs`` make these."""
        self.first, self.count, self.items = first, count, items

    @classmethod
    def by_group(cls, query_groups: Tensor, gallery_groups: Tensor) -> Positives:
        """Every item of a query's group is a positive: (N,) and (M,) int64."""
        ordered, items = gallery_groups.sort(stable=True)
        first = torch.searchsorted(ordered, query_groups.contiguous())
        return cls(first, torch.searchsorted(ordered, query_groups.contiguous(), right=True) - first, items)

    @classmethod
    def by_pairs(cls, rows: Tensor, columns: Tensor, n_queries: int, n_gallery: int) -> Positives:
        """Pairs named one by one: places of queries and of gallery items, (P,) int64 each, in any order.

        Raises:
            DataError: a place that does not exist, or a pair that is named twice.
        """
        for name, places, size in (("query", rows, n_queries), ("gallery item", columns, n_gallery)):
            if len(places) and not 0 <= int(places.min()) <= int(places.max()) < size:
                raise DataError(
                    f"a positive pair names {name} {int(places.min())} or {int(places.max())}, but there are {size}."
                )
        key, _ = (rows * n_gallery + columns).sort()
        if (key[1:] == key[:-1]).any():
            raise DataError("a pair of query and gallery item is named twice among the positives.")
        count = torch.bincount(key // n_gallery, minlength=n_queries)
        return cls(count.cumsum(0) - count, count, key % n_gallery)

    def of(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Rows (counted from ``start``) and gallery columns of the positive pairs of queries start…stop."""
        first, count = self.first[start:stop], self.count[start:stop]
        rows = torch.arange(len(count), device=count.device).repeat_interleave(count)
        offset = torch.arange(len(rows), device=count.device) - (count.cumsum(0) - count)[rows]
        return rows, self.items[first[rows] + offset]
