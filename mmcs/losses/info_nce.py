"""InfoNCE between two sets of embeddings, with negatives from all ranks and positives shared within a group.

Radford et al. 2021 (CLIP), figure 3; several positives as in Khosla et al. 2020 (SupCon), equation 2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmcs.losses.gather import gather, world_size


def info_nce(left: Tensor, right: Tensor, groups: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE of the batch of all ranks; this rank's part, times ``world_size``.

    Item i of ``left`` and every item of ``right`` whose group is the same are positives, each an equal share of the target;
    all others are negatives. With groups all different this is open_clip's ``ClipLoss`` (the mean of both directions).

    Args:
        left, right: L2-normalised embeddings (B, D) of the same B samples; B may differ between ranks.
        groups: (B,) int64.
        scale: the logit scale (a number, already exponentiated).

    Returns:
        A scalar whose mean over ranks is the loss of the whole batch of G samples, and whose gradients averaged over ranks
        (as DDP does) are those of one process with that batch. 0 for an empty batch.
    """
    all_groups, _ = gather(groups)
    all_left, _ = gather(left)
    all_right, _ = gather(right)
    total = len(all_groups)
    if total == 0:
        return (left.sum() + right.sum()) * 0.0 * scale
    positive = groups[:, None] == all_groups[None, :]
    one_way = _cross_entropy(scale * left @ all_right.T, positive)
    other_way = _cross_entropy(scale * right @ all_left.T, positive)
    return world_size() / total * (one_way + other_way) / 2


def _cross_entropy(logits: Tensor, positive: Tensor) -> Tensor:
    """Sum over rows of the cross-entropy to the uniform distribution over each row's positives; (B, G) both."""
    logits = logits.float()
    mean_positive = (logits * positive).sum(1) / positive.sum(1)
    return (torch.logsumexp(logits, 1) - mean_positive).sum()


class InfoNCE(torch.nn.Module):
    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, embedded):  # type: ignore[no-untyped-def]
        return torch.stack([info_nce(embedded.images, view, embedded.group, embedded.scale) for view in embedded.views]).sum()
