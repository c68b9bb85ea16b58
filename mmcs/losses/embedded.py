"""What the terms of the loss see of one process's part of a batch. The LightningModule makes it; nothing is computed here.

Shapes: B samples of this process, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Embedded:
    """A batch after the towers. Samples that are equal in any of their labels say the same: never each other's negatives.

    Attributes:
        images: (B, D), L2-normalised.
        views: texts that are contrasted with the images, each (B, D), L2-normalised.
        group: (B,) int64. caption: (B,) int64, of the caption before any switch.
        text_id: per view (B,) int64, of the very text.
        scale: () the inverse temperature. bias: () SigLIP's, None where the model has none.
        english: (B, D) of the caption before any switch, by the towers. teacher: (B, D) of the same caption, by the
            teacher, without a gradient. None unless a term asks for them (``Distillation``).
    """

    images: Tensor
    views: list[Tensor]
    group: Tensor
    caption: Tensor
    text_id: list[Tensor]
    scale: Tensor
    bias: Tensor | None = None
    english: Tensor | None = None
    teacher: Tensor | None = None

    def labels(self, *views: int) -> Tensor:
        """(B, K) int64: the label columns of a pair of which the ``views`` named are part."""
        return torch.stack([self.group, self.caption, *(self.text_id[view] for view in views)], dim=1)
