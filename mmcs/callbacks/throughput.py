"""How long a step takes, and how much of it is spent waiting for data.

The stream measures its own part (``StreamLoader.waited``); this callback takes the time of whole steps.
"""

from __future__ import annotations

import time
from typing import Any

from lightning import Callback, LightningModule, Trainer


class Throughput(Callback):
    """Logs ``time/data_wait`` and ``time/step`` (seconds of an optimiser's step, means since the last logging), the share
    ``time/data_wait_share`` (0 to 1) and ``time/samples_per_second_per_device``, all as means over the ranks.

    Validation and the writing of checkpoints do not count. A GPU is not waited for: its queue is bounded, so that the
    time between steps is right on average.
    """

    def __init__(self) -> None:
        self._clear()
        self._broken = True  # something else than a step has happened since the clock was read
        self._since = self._waited = 0.0
        self._step = -1

    def _clear(self) -> None:
        self._steps = self._samples = 0
        self._seconds = self._waiting = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._waited = _waited(trainer)
        self._step = trainer.global_step

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._broken = True

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._broken = True

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._broken = True

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._broken:  # the step began when its batch was asked for
            self._since = time.perf_counter() - (_waited(trainer) - self._waited)
            self._broken = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now, waited = time.perf_counter(), _waited(trainer)
        self._seconds += now - self._since
        self._waiting += waited - self._waited
        self._samples += len(batch["position"])
        self._since, self._waited = now, waited
        if trainer.global_step == self._step:
            return  # more batches are accumulated
        self._step = trainer.global_step
        self._steps += 1
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and self._step % every == 0:
            values = {
                "data_wait": self._waiting / self._steps,
                "step": self._seconds / self._steps,
                "data_wait_share": self._waiting / self._seconds,
                "samples_per_second_per_device": self._samples / self._seconds,
            }
            for name, value in values.items():
                pl_module.log(f"time/{name}", value, sync_dist=True)
            self._clear()


def _waited(trainer: Trainer) -> float:
    return trainer.train_dataloader.waited  # type: ignore[union-attr]
