"""The sigmoid loss of pairs, with negatives from all processes, several positives, and memory linear in the batch.

Zhai et al. 2023 (SigLIP), equation 1. Shapes: B samples of this process, G of all, D embedding, K label columns.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from mmcs.losses.embedded import Embedded
from mmcs.losses.gather import Ranks
from mmcs.losses.strips import Positives, exact, strips


class SigLIP(nn.Module):
    """The term images against texts: ``siglip`` of the images with every view, summed."""

    uses_bias = True

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, embedded: Embedded) -> Tensor:
        """The term of this process's part: see ``siglip``."""
        assert embedded.bias is not None, "the temperature was not prepared for this loss"
        return torch.stack(
            [
                siglip(embedded.images, view, embedded.labels(i), embedded.scale, embedded.bias)
                for i, view in enumerate(embedded.views)
            ]
        ).sum()


def siglip(images: Tensor, texts: Tensor, labels: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Each pair of the batch of all processes is a question of its own: do they belong together? Summed over pairs, divided by
    the G samples; this process's part (its images with all texts), times the number of processes.

    Pairs with the same label in any label column belong together. With labels all different this is open_clip's
    ``SigLipLoss``. Precision as in ``info_nce``. The gradient is made along with the loss, so that the matrix of logits is
    made once.

    Args:
        images, texts: L2-normalised embeddings (B, D) of the same B samples; B may differ between processes, and be 0.
        labels: int64 (B, K).
        scale, bias: (), of the logits.

    Returns:
        A scalar whose mean over processes is the loss of the whole batch, and whose gradients averaged over processes (as DDP
        does) are those of one process with that batch. 0 for an empty batch.
    """
    return _SigLIP.apply(images, texts, labels, scale, bias)


class _SigLIP(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, texts: Tensor, labels: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        ctx.ranks = ranks = Ranks(images)
        ctx.dtypes = images.dtype, texts.dtype
        ctx.device_type = images.device.type
        with torch.autocast(images.device.type, enabled=False):
            images, texts, scale, bias = exact(images, texts, scale, bias)
            every_text, positives = ranks.gather(texts), Positives(ranks.gather(labels))
            wanted = any(ctx.needs_input_grad)
            to_images, to_texts = torch.zeros_like(images), torch.zeros_like(every_text)
            to_bias, loss = bias.new_zeros(()), images.new_zeros(())
            for strip in strips(len(images), ranks.total, images.device):
                pairs = positives.of(labels[strip])
                logits = torch.addmm(bias, scale * images[strip], every_text.T)
                # -log sigmoid(-z) of every pair; of those that belong together -log sigmoid(z), which is z less.
                loss += softplus(logits).sum() - logits[pairs].sum()
                if wanted:
                    slope = logits.sigmoid_()
                    slope.index_put_(pairs, slope.new_tensor(-1.0), accumulate=True)
                    torch.mm(slope, every_text, out=to_images[strip])
                    to_texts.addmm_(slope.T, images[strip])
                    to_bias += slope.sum()
            factor = len(ranks.counts) / max(1, ranks.total)
            to_scale = (to_images * images).sum()
            ctx.save_for_backward(
                to_images.mul_(factor * scale), to_texts.mul_(factor * scale), factor * to_scale, factor * to_bias
            )
            return loss * factor

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        to_images, to_texts, to_scale, to_bias = ctx.saved_tensors
        (above,) = upstream
        own = ctx.ranks.sum(to_texts * above)[ctx.ranks.own]
        return (to_images * above).to(ctx.dtypes[0]), own.to(ctx.dtypes[1]), None, to_scale * above, to_bias * above
