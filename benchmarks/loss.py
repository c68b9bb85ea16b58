"""InfoNCE with shared groups against open_clip's ClipLoss, forward and backward, on one process."""

from __future__ import annotations

from typing import Any

import torch
from open_clip.loss import ClipLoss

from benchmarks.timing import side_by_side
from mmcs.losses.info_nce import info_nce


def measure() -> list[dict[str, Any]]:
    """The rows of this group."""
    generator = torch.Generator().manual_seed(0)
    left, right = (
        torch.nn.functional.normalize(torch.randn(2048, 512, generator=generator), dim=1).requires_grad_()
        for _ in range(2)
    )
    groups, scale, clip_loss = torch.arange(2048), torch.tensor(20.0), ClipLoss()
    return [
        side_by_side(
            "infonce_2k_time",
            lambda: info_nce(left, right, groups, scale).backward(),
            lambda: clip_loss(left, right, scale).backward(),
            "open_clip ClipLoss",
        )
    ]
