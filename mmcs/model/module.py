"""The LightningModule: batches in, the loss out; embeddings in validation. It owns no data and no metric.

The datamodule makes the batches, ``mmcs.losses`` the loss, ``mmcs.callbacks`` the recall. ``mmcs.assemble`` puts it together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning import LightningModule
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from mmcs.errors import DataError, UserError
from mmcs.losses.contrastive import ContrastiveLoss
from mmcs.losses.embedded import Embedded
from mmcs.losses.gather import world_size
from mmcs.model.checkpoint import checkpoint_extras, trainable_state
from mmcs.model.embed import Batch, Embeddings, embed_in_chunks
from mmcs.model.finite import LossWatch, check_weights
from mmcs.model.parameter_groups import parameter_groups
from mmcs.model.resumed_optimizer import Schedule, keep_settings
from mmcs.model.sharded import is_sharded, shard
from mmcs.model.teacher import Teacher
from mmcs.model.temperature import clamp_temperature, prepare_temperature
from mmcs.model.towers import Towers
from mmcs.model.tuning import check_gradients


class ContrastiveModule(LightningModule):
    """Trains ``towers`` with ``loss``.

    Args:
        towers: the model; what is locked stays as it is and is left out of checkpoints.
        loss: see ``ContrastiveLoss``; what it says of the temperature is set in ``towers`` here.
        optim: ``lr``, ``image_lr``, ``text_lr``, ``layer_decay``, ``weight_decay`` (``parameter_groups``), ``betas``, ``eps``, ``warmup`` (steps, or a share of all steps where < 1),
            ``schedule`` ("cosine" or "constant" after the warm-up) and ``chunk_size`` (samples of a process that pass through
            the towers at a time, None: the whole batch; see ``embed_in_chunks``).
        config: the run's resolved configuration (plain dict), kept in checkpoints so that one file is enough to load.
        batch_size: samples per process and step. global_batch: of all processes together.
        teacher: whose embeddings of the English captions ``Distillation`` holds the student to.
        english: which text of a batch is the English caption (``batch["texts"]``); None: none.
        contrasted: how many of the texts, from the first, are views that are contrasted with the images; None: all.

    Raises:
        UserError: nothing to train, or a value out of range.
    """

    # A checkpoint holds what training changes; the locked rest is rebuilt from its origin and checked by fingerprint.
    strict_loading = False

    def __init__(
        self,
        towers: Towers,
        loss: ContrastiveLoss,
        optim: Mapping[str, Any],
        config: dict[str, Any],
        *,
        batch_size: int,
        global_batch: int,
        teacher: Teacher | None = None,
        english: int | None = None,
        contrasted: int | None = None,
    ) -> None:
        super().__init__()
        prepare_temperature(towers, loss, global_batch)
        self.towers = towers
        self.loss = loss
        self.optim = dict(optim)
        self.config = config
        self.chunks = number_of_chunks(batch_size, self.optim.get("chunk_size"))
        self.english, self.contrasted = english, contrasted
        self._watch = LossWatch()
        self._gradients_checked = False
        self._teacher = (teacher,)  # in a tuple: no part of this module, its state and its gradients
        if not any(parameter.requires_grad and parameter.ndim for parameter in towers.parameters()):
            raise UserError(
                "nothing but the temperature would be trained: both towers are locked and have no projection; set "
                "model.lock_text=false, say."
            )

    def configure_model(self) -> None:
        """Shares the towers out among the processes, under a strategy that does so."""
        if self.device_mesh is not None:
            for teacher in filter(None, self._teacher):
                teacher.part()
            shard(self.towers, self.device_mesh["data_parallel"])

    def on_train_start(self) -> None:
        """Towers are built in eval mode, and Lightning leaves a module in the mode it finds: without this, no dropout."""
        self.train()
        for teacher in filter(None, self._teacher):
            teacher.to(self.device)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> dict[str, Any]:
        """Tensors and lists of tensors; names and captions stay where they are, and are not walked through one by one."""

        def is_moved(value: Any) -> bool:
            return isinstance(value, Tensor) or (
                isinstance(value, list) and bool(value) and isinstance(value[0], Tensor)
            )

        return {key: move_data_to_device(value, device) if is_moved(value) else value for key, value in batch.items()}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step: both towers, all views, the loss. Logs the terms under ``train/``."""
        if "group" not in batch:
            first = f" The first is {batch['dropped'][0]}." if batch["dropped"] else ""
            raise DataError(
                f"no sample of data.train_shards could be used; `mmcs data inspect SHARDS` says why.{first}"
            )
        terms, embeddings = self.losses(batch)
        self._watch(self.global_step, terms)
        self._log(terms, embeddings)
        return terms["loss"]

    def losses(self, batch: Batch) -> tuple[dict[str, Tensor], Embeddings]:
        """The loss and its terms by name (``ContrastiveLoss``), and the embeddings that they are of."""
        embeddings = self.towers(batch) if self.chunks == 1 else embed_in_chunks(self.towers, batch, self.chunks)
        return self.loss(self._embedded(batch, embeddings)), embeddings

    def _embedded(self, batch: Batch, embeddings: Embeddings) -> Embedded:
        (teacher,) = self._teacher
        views = embeddings.views[: self.contrasted]
        return Embedded(
            images=embeddings.images,
            views=views,
            group=batch["group"],
            caption=batch["caption"],
            text_id=batch["text_id"][: len(views)],
            scale=embeddings.scale,
            bias=embeddings.bias,
            english=None if self.english is None else embeddings.views[self.english],
            teacher=None if teacher is None or self.english is None else teacher(batch, self.english),
        )

    def _log(self, terms: Mapping[str, Tensor], embeddings: Embeddings) -> None:
        """The loss, its terms and the temperature, at the steps at which Lightning writes."""
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not every or (self.global_step + 1) % every:
            return
        size = max(1, len(embeddings.images))
        for name, term in terms.items():
            self.log(f"train/{name}", term, prog_bar=name == "loss", batch_size=size, sync_dist=True)
        self.log("train/logit_scale", embeddings.scale.detach(), batch_size=size)
        if embeddings.bias is not None and self.loss.uses_bias:
            self.log("train/logit_bias", embeddings.bias.detach(), batch_size=size)

    def on_after_backward(self) -> None:
        """Checks, once, that the loss reaches whatever is trained."""
        if not self._gradients_checked:
            check_gradients(self.towers)
            self._gradients_checked = True

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Clamps the temperature, as OpenCLIP does (Radford et al. 2021, section 2.5); within the step, so that every checkpoint
        holds it so.
        """
        super().optimizer_step(*args, **kwargs)
        clamp_temperature(self.towers, self.loss)

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Embeddings of a suite's batch, for the callbacks: ``images`` (B, D) and ``texts`` (T, D)."""
        embeddings = self.towers(batch)
        return {"images": embeddings.images, "texts": embeddings.views[0]}

    def configure_optimizers(self) -> Any:
        """AdamW with weight decay on matrices only, learning rates per tower and layer, and warm-up."""
        # Several times as fast, on a CPU, too; but Lightning clips no gradients for it in mixed precision.
        fused = not (self.trainer.gradient_clip_val and str(self.trainer.precision).endswith("mixed"))
        optimizer = torch.optim.AdamW(
            parameter_groups(self.towers, self.optim),
            lr=self.optim["lr"],
            betas=tuple(self.optim["betas"]),
            eps=self.optim["eps"],
            fused=fused,
        )
        steps = self.trainer.estimated_stepping_batches  # infinite where only the clock ends training
        schedule = learning_rate(self.optim["schedule"], self.optim["warmup"], steps)
        scheduler = Schedule(optimizer, schedule)
        keep_settings(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps only what training changes, and what is needed to rebuild the rest.

        Raises:
            MmcsError: the loss or a weight is not finite; no checkpoint is written then.
        """
        self._watch.settle()
        kept = {f"towers.{name}" for name in trainable_state(self.towers)}
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in kept}
        sharded = world_size() if is_sharded(self.towers) else 1
        check_weights(checkpoint, self.global_step, sharded)
        checkpoint["mmcs"] = checkpoint_extras(self.towers, self.config)


def number_of_chunks(batch_size: int, chunk_size: int | None) -> int:
    """Into how many parts a process's batch is cut so that none is longer than ``chunk_size``.

    Raises:
        UserError: a chunk of less than one sample.
    """
    if chunk_size is None:
        return 1
    if not isinstance(chunk_size, int) or chunk_size < 1:
        raise UserError(
            f"optim.chunk_size is a number of samples, at least 1, or null for the whole batch; got {chunk_size!r}."
        )
    return math.ceil(batch_size / chunk_size)


def learning_rate(schedule: str, warmup: float, steps: float) -> Callable[[int], float]:
    """Factor of the learning rate at a step: linear warm-up, then "cosine" to 0 at ``steps`` or "constant".

    ``warmup``: a number of steps, or below 1 a share of ``steps``.

    Raises:
        UserError: an unknown schedule or a negative warm-up.
    """
    if schedule not in ("cosine", "constant"):
        raise UserError(f"optim.schedule is one of cosine, constant; got {schedule!r}.")
    if warmup < 0:
        raise UserError(f"optim.warmup is a number of steps, or a share of all steps below 1; got {warmup}.")
    warm = round(warmup * steps) if 0 < warmup < 1 else int(warmup)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        if schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))

    return factor
