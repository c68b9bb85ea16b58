"""Loss and gradients of one step of the module on any number of processes, for tests to compare."""

from __future__ import annotations

import copy
import functools
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from mmcs.assemble import build_loss
from mmcs.config import compose_config, resolve
from mmcs.model.build import build_towers
from mmcs.model.embed import Batch
from mmcs.model.module import ContrastiveModule
from mmcs.model.teacher import Teacher
from mmcs.model.towers import Towers

OPTIM = {"lr": 1e-2, "weight_decay": 0.1, "betas": [0.9, 0.98], "eps": 1e-6, "warmup": 0, "schedule": "constant"}
TEXTS = ["a dog", "a cat", "the house", "red snow", "two cats", "black", "a red dog", "two houses", "snow", "the cat"]
SWITCHED = [
    "a Hund",
    "a Katze",
    "the дом",
    "rot snow",
    "two Katze",
    "black",
    "a red Hund",
    "two дом",
    "snow",
    "the кошка",
]
SAMPLES = len(TEXTS)
SETTINGS = {
    "info_nce": ["loss=info_nce"],
    "siglip": ["loss=siglip"],
    "every term": [
        "loss=info_nce",
        "loss.terms.text_to_text.weight=0.3",
        "loss.terms.distillation.weight=0.7",
    ],
    "every term, siglip": [
        "loss=siglip",
        "loss.terms.text_to_text.weight=0.3",
        "loss.terms.distillation.weight=0.7",
        "loss.logit_scale.learn=false",
    ],
}


class Step(nn.Module):
    """What DistributedDataParallel wraps: the module's loss of a batch."""

    def __init__(self, module: ContrastiveModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: Batch) -> torch.Tensor:
        terms, _ = self.module.losses(batch)
        return terms["loss"]


@functools.cache
def _configuration(setting: str) -> dict[str, Any]:
    return resolve(compose_config(["data=shards", "data.train_shards=x", "codeswitch=none", *SETTINGS[setting]]))


@functools.cache
def _towers(model: str, **options: Any) -> Towers:
    return build_towers(model, **options).double()  # so that what is equal is equal to many places


def build(model: str, setting: str, chunk_size: int | None, batch_size: int, **options: Any) -> ContrastiveModule:
    """The module of a configuration, with weights drawn from a fixed seed."""
    towers = copy.deepcopy(_towers(model, **options))
    loss = build_loss(_configuration(setting))
    teacher = Teacher.of(towers, None, None) if loss.uses_teacher else None
    if teacher is not None:  # as if the student had learned: at the start they agree, and there is no gradient
        generator = torch.Generator().manual_seed(1)
        for parameter in teacher.towers.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return ContrastiveModule(
        towers,
        loss,
        {**OPTIM, "chunk_size": chunk_size},
        {"model": {"name": model}},
        batch_size=batch_size,
        global_batch=SAMPLES,
        teacher=teacher,
        english=0 if teacher is not None else None,
    )


def batch_of(module: ContrastiveModule, rows: slice) -> dict[str, Any]:
    """Part of a batch in which samples share groups, captions and texts across all parts."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (SAMPLES, 3, 32, 32), dtype=torch.uint8, generator=generator)
    encode = module.towers.tokenise.encode
    return {
        "image": images[rows],
        "tokens": [encode(TEXTS)[rows], encode(SWITCHED)[rows]],
        "group": torch.tensor([0, 1, 2, 3, 4, 5, 0, 7, 8, 9])[rows],
        "caption": torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 8, 1])[rows],
        "text_id": [torch.arange(SAMPLES)[rows], torch.tensor([0, 1, 2, 3, 4, 5, 6, 2, 8, 9])[rows]],
    }


def gradients(module: nn.Module, parameters: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
    """The loss and the gradient of every parameter that is trained, by name; all of them have one."""
    loss = module(batch)
    loss.backward()
    found = {"loss": loss.detach()}
    for name, parameter in parameters.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{name} has no gradient"
            found[name] = parameter.grad
    return found


def process(rank: int, cuts: list[int], model: str, chunk_sizes: list[int | None], folder: str) -> None:
    """One of several gloo processes: every setting and chunk size under DistributedDataParallel, written by rank 0."""
    torch.set_num_threads(1)
    world = len(cuts) - 1
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    own = slice(cuts[rank], cuts[rank + 1])
    for setting in SETTINGS:
        for chunk_size in chunk_sizes:
            module = build(model, setting, chunk_size, max(b - a for a, b in pairwise(cuts)))
            wrapped = nn.parallel.DistributedDataParallel(Step(module))
            found = gradients(wrapped, module, batch_of(module, own))
            dist.all_reduce(found["loss"])
            found["loss"] /= world
            if rank == 0:
                torch.save(found, Path(folder) / f"{setting}-{chunk_size}.pt")
    dist.destroy_process_group()
