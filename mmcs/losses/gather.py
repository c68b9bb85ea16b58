"""What the processes of a training show each other: rows of all of them, and sums. The losses call it; nothing else gathers.

Ranks may hold different numbers of rows (a partial last batch, dropped samples). Nothing here carries a gradient: the losses
have a backward of their own.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes that train together; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class Ranks:
    """How many rows each process holds, and which are this one's.

    Args:
        rows: this process's; only their number and device matter.

    Attributes:
        counts: per process. total: their sum. own: where this process's rows lie among those of all.
    """

    def __init__(self, rows: Tensor) -> None:
        if world_size() == 1:
            self.counts, rank = [len(rows)], 0
        else:
            counts = torch.empty(world_size(), dtype=torch.int64, device=rows.device)
            dist.all_gather_into_tensor(counts, torch.tensor([len(rows)], dtype=torch.int64, device=rows.device))
            self.counts, rank = counts.tolist(), dist.get_rank()
        self.total = sum(self.counts)
        start = sum(self.counts[:rank])
        self.own = slice(start, start + self.counts[rank])

    def gather(self, rows: Tensor) -> Tensor:
        """(B, …) of every process → (G, …) in the order of ranks."""
        if len(self.counts) == 1:
            return rows
        longest = max(self.counts)  # collectives want equal shapes: fill up, then cut
        padded = rows.new_zeros(longest, *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = rows.new_empty(len(self.counts) * longest, *rows.shape[1:])
        dist.all_gather_into_tensor(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts.split(longest), self.counts, strict=True)])

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes of tensors of one shape, in place."""
        if len(self.counts) > 1:
            dist.all_reduce(values)
        return values

    def max(self, values: Tensor) -> Tensor:
        """The largest over the processes, in place."""
        if len(self.counts) > 1:
            dist.all_reduce(values, dist.ReduceOp.MAX)
        return values
