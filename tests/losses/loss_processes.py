"""One of several gloo processes that compute every term of the loss, and open_clip's beside it. For tests."""

from __future__ import annotations

from pathlib import Path

import naive_losses as naive
import torch
import torch.distributed as dist
from open_clip.loss import ClipLoss, SigLipLoss
from torch import Tensor

from mmcs.losses import strips
from mmcs.losses.alignment import TextToText
from mmcs.losses.distillation import Distillation
from mmcs.losses.embedded import Embedded
from mmcs.losses.info_nce import InfoNCE
from mmcs.losses.siglip import SigLIP

TERMS = {
    "info_nce": InfoNCE(),
    "siglip": SigLIP(),
    "text_to_text": TextToText(1.0),
    "distillation": Distillation(1.0),
}
# Logits at a time: a strip of everything, of several rows (which divide no part of the batch), of one row.
STRIPS = (2**20, 16 * 4, 1)


def averaged(found: dict[str, Tensor], world: int) -> dict[str, Tensor]:
    """As DDP averages: what a sample's own process found, by the number of processes; of what all share, the mean."""
    for name in ("loss", "scale", "bias"):
        dist.all_reduce(found[name])
    return {name: value / world for name, value in found.items()}


def process(rank: int, cuts: list[int], folder: str) -> None:
    """Saves {term and strip: {leaf: gradient}} of this process's rows, with duplicates, and checks itself against open_clip."""
    torch.set_num_threads(1)
    world = len(cuts) - 1
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    found = {}
    for logits in STRIPS:
        strips._LOGITS["cpu"] = logits
        for name, term in TERMS.items():
            part, leaves = naive.embedded(naive.batch(), slice(cuts[rank], cuts[rank + 1]))
            found[f"{name} {logits}"] = averaged(naive.gradients(term(part), leaves), world)
    torch.save(found, Path(folder) / f"{rank}.pt")
    same_as_open_clip(rank, world)
    dist.destroy_process_group()


def same_as_open_clip(rank: int, world: int) -> None:
    """Its losses take the same number of samples from each process, and no duplicates."""
    values, place = naive.batch(unique=True), {"rank": rank, "world_size": world}
    rows = slice(16 // world * rank, 16 // world * (rank + 1))

    def clip(part: Embedded, **options: bool) -> Tensor:
        return ClipLoss(**place, gather_with_grad=True, **options)(part.images, part.views[0], part.scale)

    def sigmoid(part: Embedded, **options: str) -> Tensor:
        return SigLipLoss(**place, **options)(part.images, part.views[0], part.scale, part.bias)

    peers = {
        "info_nce": [lambda part: clip(part, local_loss=True), lambda part: clip(part, local_loss=False)],
        "siglip": [sigmoid, lambda part: sigmoid(part, dist_impl="gather")],
    }
    for name, losses in peers.items():
        part, leaves = naive.embedded(values, rows)
        one_view = Embedded(**{**vars(part), "views": part.views[:1]})
        ours = averaged(naive.gradients(TERMS[name](one_view), leaves), world)
        for loss in losses:
            part, leaves = naive.embedded(values, rows)
            torch.testing.assert_close(ours, averaged(naive.gradients(loss(part), leaves), world))
