"""The training loss: images against each view of the text, and the views against each other.

The LightningModule calls it; the terms are one file each.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmcs.errors import UserError
from mmcs.losses.info_nce import info_nce


class ContrastiveLoss(nn.Module):
    """InfoNCE(image, view) summed over the views, each its own softmax with weight 1, plus ``text_to_text`` x
    InfoNCE(first view, other view), averaged over the other views (METHOD: two views; ContrastiveMix, NAACL 2024).

    Raises:
        UserError: a negative weight.
    """

    def __init__(self, *, text_to_text: float = 0.0) -> None:
        super().__init__()
        if text_to_text < 0:
            raise UserError(f"loss.text_to_text is a weight, 0 or more; got {text_to_text}.")
        self.text_to_text = text_to_text

    def forward(self, images: Tensor, views: Sequence[Tensor], groups: Tensor, scale: Tensor) -> dict[str, Tensor]:
        """Terms by name, ``loss`` the weighted sum. Shapes: images and each view (B, D), groups (B,), scale ()."""
        terms = {f"image_text_{i}": info_nce(images, view, groups, scale) for i, view in enumerate(views)}
        loss = torch.stack(list(terms.values())).sum()
        if self.text_to_text and len(views) > 1:
            others = [info_nce(views[0], view, groups, scale) for view in views[1:]]
            terms["text_to_text"] = torch.stack(others).mean()
            loss = loss + self.text_to_text * terms["text_to_text"]
        return {"loss": loss, **terms}
