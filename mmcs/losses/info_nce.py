"""InfoNCE between two sets of embeddings, with negatives from all processes, several positives, and memory linear in the batch.

Radford et al. 2021 (CLIP), figure 3; several positives as in Khosla et al. 2020 (SupCon), equation 2.

Shapes: B samples of this process, G of all, D embedding, K label columns, T rows of a strip.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmcs.losses.embedded import Embedded
from mmcs.losses.gather import Ranks
from mmcs.losses.strips import Positives, exact, strips


class InfoNCE(nn.Module):
    """The term images against texts: ``info_nce`` of the images with every view, each a softmax of its own, summed."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, embedded: Embedded) -> Tensor:
        """The term of this process's part: see ``info_nce``."""
        views = enumerate(embedded.views)
        return torch.stack(
            [info_nce(embedded.images, view, embedded.labels(i), embedded.scale) for i, view in views]
        ).sum()


def info_nce(left: Tensor, right: Tensor, labels: Tensor, scale: Tensor, right_labels: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE of the batch of all processes; this process's part, times their number.

    Item i of ``left`` and every item of ``right`` that has the same label in any label column are positives, each an equal
    share of the target, in either direction; all others are negatives. With labels all different this is open_clip's
    ``ClipLoss`` (the mean of both directions). Products, sums and logarithms are float32 (float64 of float64), under autocast,
    too; the matrix of logits is made twice, a strip at a time.

    Args:
        left, right: L2-normalised embeddings (B, D) of the same B samples; B may differ between processes, and be 0.
        labels: int64 (B, K). right_labels: those of ``right``, where they differ.
        scale: () the inverse temperature.

    Returns:
        A scalar whose mean over processes is the loss of the whole batch of G samples, and whose gradients averaged over
        processes (as DDP does) are those of one process with that batch. 0 for an empty batch.
    """
    return _InfoNCE.apply(left, right, labels, labels if right_labels is None else right_labels, scale)


class _InfoNCE(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, labels: Tensor, right_labels: Tensor, scale: Tensor) -> Tensor:
        ctx.ranks = ranks = Ranks(left)
        ctx.dtypes = left.dtype, right.dtype
        if ranks.total == 0:
            ctx.save_for_backward(left, right)
            return scale.new_zeros(())
        with torch.autocast(left.device.type, enabled=False):
            left, right, scale = exact(left, right, scale)
            # Kept for the backward pass, in which processes of different numbers of strips do not wait for each other.
            ctx.positives = positives = Positives(ranks.gather(right_labels))
            every_right = ranks.gather(right)
            row_lse, row_mean = left.new_empty(len(left)), left.new_empty(len(left))
            column_lse = left.new_full((ranks.total,), -torch.inf)
            # Of each column: sum of its positives' logits, and their number.
            column = left.new_zeros(2, ranks.total)
            logits = pairs = None
            for strip in strips(len(left), ranks.total, left.device):
                pairs = positives.of(labels[strip])
                logits = (scale * left[strip]) @ every_right.T
                row_lse[strip] = logits.logsumexp(1)
                column_lse = torch.logaddexp(column_lse, logits.logsumexp(0))
                row, of_column = pairs
                held = logits[row, of_column]
                sums = left.new_zeros(2, len(logits)).index_add_(1, row, torch.stack([held, torch.ones_like(held)]))
                row_mean[strip] = sums[0] / sums[1]
                column.index_add_(1, of_column, torch.stack([held, torch.ones_like(held)]))
            most = ranks.max(column_lse.clone())
            summed = ranks.sum(torch.cat([column, (column_lse - most).exp()[None]]))
            column_lse = summed[2].log() + most
            column_mean = summed[0] / summed[1]
            own = ranks.own
            loss = (row_lse - row_mean).sum() + (column_lse[own] - column_mean[own]).sum()
            # One strip alone is kept instead of being made again.
            kept = (logits, *pairs) if logits is not None and pairs is not None and len(logits) == len(left) else ()
            ctx.save_for_backward(left, every_right, labels, scale, row_lse, column_lse, summed[1], *kept)
            return loss * len(ranks.counts) / (2 * ranks.total)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        ranks = ctx.ranks
        if ranks.total == 0:
            left, right = ctx.saved_tensors
            return torch.zeros_like(left), torch.zeros_like(right), None, None, upstream[0] * 0
        left, every_right, labels, scale, row_lse, column_lse, in_column, *kept = ctx.saved_tensors
        with torch.autocast(left.device.type, enabled=False):
            to_left, to_right = torch.empty_like(left), torch.zeros_like(every_right)
            for strip in strips(len(left), ranks.total, left.device):
                if kept:
                    logits, row, of_column = kept
                else:
                    row, of_column = ctx.positives.of(labels[strip])
                    logits = (scale * left[strip]) @ every_right.T
                slope = (logits - row_lse[strip, None]).exp_()
                slope += (logits - column_lse).exp_()
                in_row = torch.bincount(row, minlength=len(slope))
                share = 1 / in_row[row] + 1 / in_column[of_column]
                slope.index_put_((row, of_column), -share.to(slope.dtype), accumulate=True)
                torch.mm(slope, every_right, out=to_left[strip])
                to_right.addmm_(slope.T, left[strip])
            factor = upstream[0] * (len(ranks.counts) / (2 * ranks.total))
            to_scale = factor * (to_left * left).sum()
            to_left *= factor * scale
            to_right = ranks.sum(to_right.mul_(factor * scale))[ranks.own]
        return to_left.to(ctx.dtypes[0]), to_right.to(ctx.dtypes[1]), None, None, to_scale
