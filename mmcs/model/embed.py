"""From a batch to embeddings, whether it holds pixels and tokens or the features of locked trunks; whole or in chunks.

``Towers.forward`` and the evaluation call it; the towers themselves are in ``towers.py``, the loss in ``mmcs.losses``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from mmcs.model.towers import Towers

Batch = Mapping[str, Any]
_OF_TOWERS = ("image", "image_features", "flip")
_PER_VIEW = ("tokens", "text_features")


class Embeddings(NamedTuple):  # a tuple, since FSDP2 looks for tensors in tuples, not in objects
    """What the towers make of a batch: L2-normalised ``images`` (B, D) and ``views`` of the texts, each (B, D); ``scale`` () is
    the inverse temperature, ``bias`` () SigLIP's, None where the model has none.
    """

    images: Tensor
    views: list[Tensor]
    scale: Tensor
    bias: Tensor | None


def embed(towers: Towers, batch: Batch) -> Embeddings:
    """All that a loss needs of ``towers`` for a batch."""
    bias = towers.logit_bias
    # Not the parameters themselves: under FSDP2 those are whole within the towers' forward alone.
    return Embeddings(
        embed_images(towers, batch),
        embed_texts(towers, batch),
        towers.logit_scale.exp().sum(),  # to a number: under FSDP2, which takes no parameter without axes, it has one
        None if bias is None else bias.sum(),
    )


def embed_in_chunks(towers: Towers, batch: Batch, chunks: int) -> Embeddings:
    """``towers(batch)``, with activations of one of so many chunks in memory at a time: each passes again, with the same
    random draws, when its gradient arrives (GradCache, Gao et al. 2021, section 3). Gradients are those of the whole batch, but
    where a layer looks across samples (batch normalisation).
    """
    parts = [checkpoint(towers, chunk, use_reentrant=False) for chunk in _chunks(batch, chunks)]
    first = parts[0]
    views = [torch.cat(view) for view in zip(*(part.views for part in parts), strict=True)]
    return Embeddings(torch.cat([part.images for part in parts]), views, first.scale, first.bias)


def _chunks(batch: Batch, count: int) -> list[Batch]:
    """Always ``count``, the last of a short batch empty: processes whose towers are sharded pass through them together."""
    one_way = {key: _split(batch[key], count) for key in _OF_TOWERS if key in batch}
    per_view = {key: [_split(view, count) for view in batch[key]] for key in _PER_VIEW if key in batch}
    return [
        {key: pieces[i] for key, pieces in one_way.items()}
        | {key: [pieces[i] for pieces in views] for key, views in per_view.items()}
        for i in range(count)
    ]


def _split(rows: Any, count: int) -> Sequence[Any]:
    if isinstance(rows, Tensor):
        return rows.tensor_split(count)
    each, more = divmod(len(rows), count)  # as tensor_split does
    bounds = [i * each + min(i, more) for i in range(count + 1)]
    return [rows[a:b] for a, b in pairwise(bounds)]


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
