"""From a batch to embeddings, whether it holds pixels and tokens or the features of locked trunks.

The LightningModule and the evaluation call it; the towers themselves are in ``towers.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmcs.model.towers import Towers

Batch = Mapping[str, Any]


def embed_images(towers: Towers, batch: Batch) -> Tensor:
    """(B, D) normalised image embeddings of a batch that holds ``image`` (uint8) or ``image_features`` of a locked tower.

    Pictures whose ``flip`` (a list of B bools, where there is one) is true are mirrored, left to right, on their device.
    """
    if "image_features" in batch:
        return _even_if_empty(towers.embed_image_features, batch["image_features"])
    return _even_if_empty(towers.embed_images, _mirrored(batch["image"], batch.get("flip", ())))


def embed_texts(towers: Towers, batch: Batch) -> list[Tensor]:
    """(B, D) normalised text embeddings per view of a batch that holds ``tokens`` or ``text_features``."""
    if "text_features" in batch:
        return [_even_if_empty(towers.embed_text_features, view) for view in batch["text_features"]]
    return [_even_if_empty(towers.embed_texts, view) for view in batch["tokens"]]


def _mirrored(images: Tensor, flip: Sequence[bool]) -> Tensor:
    if not any(flip):
        return images
    chosen = torch.tensor(flip, device=images.device)
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(-1), images)


def _even_if_empty(embed: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    # A rank whose share of a batch was dropped takes the step with the others: blank rows keep the graph alive, two of them
    # because batch normalisation takes no single one.
    return embed(inputs) if len(inputs) else embed(inputs.new_zeros(2, *inputs.shape[1:]))[:0]
