"""The LightningModule: batches in, the contrastive loss out; embeddings in validation. It owns no data and no metric.

The datamodule makes the batches, ``mmcs.losses`` the loss, ``mmcs.callbacks`` the recall. ``mmcs.train`` assembles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from mmcs.errors import DataError, UserError
from mmcs.losses.contrastive import ContrastiveLoss
from mmcs.model.checkpoint import checkpoint_extras, trainable_state
from mmcs.model.embed import Batch, embed_images, embed_texts
from mmcs.model.towers import Towers


class ContrastiveModule(LightningModule):
    """Trains ``towers`` with ``loss``.

    Args:
        towers: the model; what is locked stays as it is and is left out of checkpoints.
        loss: see ``ContrastiveLoss``.
        optim: ``lr``, ``weight_decay``, ``betas``, ``eps``, ``warmup`` (steps, or a share of all steps where < 1) and
            ``schedule`` ("cosine" or "constant" after the warm-up).
        config: the run's resolved configuration (plain dict), kept in checkpoints so that one file is enough to load.
    """

    # A checkpoint holds what training changes; the locked rest is rebuilt from its origin and checked by fingerprint.
    strict_loading = False

    def __init__(self, towers: Towers, loss: ContrastiveLoss, optim: Mapping[str, Any], config: dict[str, Any]) -> None:
        super().__init__()
        self.towers = towers
        self.loss = loss
        self.optim = dict(optim)
        self.config = config
        if towers.logit_bias is not None:  # SigLIP's: InfoNCE does not use it, and DDP waits for every gradient
            towers.logit_bias.requires_grad_(False)
        if not any(parameter.requires_grad for parameter in towers.parameters()):
            raise UserError(
                "nothing would be trained: both towers are locked and have no projection; set model.lock_text=false, say."
            )

    def on_train_start(self) -> None:
        """Towers are built in eval mode, and Lightning leaves a module in the mode it finds: without this, no dropout."""
        self.train()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step: both towers, all views, the loss. Logs the terms under ``train/``."""
        if "group" not in batch:
            first = f" The first is {batch['dropped'][0]}." if batch["dropped"] else ""
            raise DataError(
                f"no sample of data.train_shards could be used; `mmcs data inspect SHARDS` says why.{first}"
            )
        images = embed_images(self.towers, batch)
        views = embed_texts(self.towers, batch)
        terms = self.loss(images, views, batch["group"], self.towers.logit_scale.exp())
        size = max(1, len(images))
        for name, term in terms.items():
            self.log(f"train/{name}", term, prog_bar=name == "loss", batch_size=size, sync_dist=True)
        self.log("train/logit_scale", self.towers.logit_scale.exp().detach(), batch_size=size)
        return terms["loss"]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Keeps the temperature at or above 0.01, as OpenCLIP does (Radford et al. 2021, section 2.5); within the step, so that
        every checkpoint holds it so.
        """
        super().optimizer_step(*args, **kwargs)
        with torch.no_grad():
            self.towers.logit_scale.clamp_(0, math.log(100))

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Embeddings of a suite's batch, for the callbacks: ``images`` (B, D) and ``texts`` (T, D)."""
        return {"images": embed_images(self.towers, batch), "texts": embed_texts(self.towers, batch)[0]}

    def configure_optimizers(self) -> Any:
        """AdamW with weight decay on matrices only, and warm-up; values as OpenCLIP names them."""
        optimizer = torch.optim.AdamW(
            decay_groups(self.towers, self.optim["weight_decay"]),
            lr=self.optim["lr"],
            betas=tuple(self.optim["betas"]),
            eps=self.optim["eps"],
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = learning_rate(self.optim["schedule"], self.optim["warmup"], steps)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps only what training changes, and what is needed to rebuild the rest."""
        kept = {f"towers.{name}" for name in trainable_state(self.towers)}
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in kept}
        checkpoint["mmcs"] = checkpoint_extras(self.towers, self.config)


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups as the field does them: no decay on biases, normalisation and the temperature (fewer than 2 axes)."""
    trained: Sequence[nn.Parameter] = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def learning_rate(schedule: str, warmup: float, steps: int) -> Callable[[int], float]:
    """Factor of the learning rate at a step: linear warm-up, then "cosine" to 0 at ``steps`` or "constant".

    ``warmup``: a number of steps, or below 1 a share of ``steps``.

    Raises:
        UserError: an unknown schedule or a negative warm-up.
    """
    if schedule not in ("cosine", "constant"):
        raise UserError(f"optim.schedule is one of cosine, constant; got {schedule!r}.")
    if warmup < 0:
        raise UserError(f"optim.warmup is a number of steps, or a share of all steps below 1; got {warmup}.")
    warm = round(warmup * steps) if warmup < 1 else int(warmup)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        if schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))

    return factor
