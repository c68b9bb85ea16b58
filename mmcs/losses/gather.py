"""Embeddings of all ranks, with a gradient: every rank's loss reaches the towers of every other.

Ranks may hold different numbers of rows (a partial last batch, dropped samples). Losses call it; nothing else gathers.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes that train together; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(rows: Tensor) -> tuple[Tensor, int]:
    """The rows of all ranks in rank order, and where this rank's own begin.

    ``rows``: (B, D) or (B,), B may differ between ranks, 0 included. Returns (G, D) or (G,) with G the sum. Backward sums
    over ranks the gradient of this rank's rows, so that gradients averaged over ranks (DDP) of ``world_size`` x the local
    part of a mean equal those of one process with the whole batch.
    """
    if world_size() == 1:
        return rows, 0
    counts = _counts(rows)
    gathered = _AllGather.apply(rows, counts) if rows.is_floating_point() else _all_gather(rows, counts)
    return gathered, sum(counts[: dist.get_rank()])


def _counts(rows: Tensor) -> list[int]:
    counts = torch.empty(world_size(), dtype=torch.int64, device=rows.device)
    dist.all_gather_into_tensor(counts, torch.tensor([len(rows)], dtype=torch.int64, device=rows.device))
    return counts.tolist()


def _all_gather(rows: Tensor, counts: list[int]) -> Tensor:
    # Collectives want equal shapes: pad to the longest, then cut.
    longest = max(counts)
    padded = rows.new_zeros(longest, *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = rows.new_empty(len(counts) * longest, *rows.shape[1:])
    dist.all_gather_into_tensor(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts.split(longest), counts, strict=True)])


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        return _all_gather(rows.detach(), counts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)
        start = sum(ctx.counts[: dist.get_rank()])
        return gradient[start : start + ctx.counts[dist.get_rank()]], None
