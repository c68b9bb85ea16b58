"""How fast a run trains: how long a step takes, how much of it is spent waiting for data, what memory it needs.

The stream measures its own part (``StreamLoader.waited``); this callback takes the time of whole steps.
"""

from __future__ import annotations

import resource
import sys
import time
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer


class Throughput(Callback):
    """Logs, as means since the last logging and over the ranks, ``time/data_wait`` and ``time/step`` (seconds of an optimiser's
    step), the share ``time/data_wait_share`` (0 to 1), ``time/samples_per_second_per_device`` and ``time/samples_per_second`` (of
    all devices); of the rank that needs most ``memory/gpu_peak_gib`` (allocated, since the last logging), or without a GPU
    ``memory/process_peak_gib`` (resident, since the process began). Says at the end how fast the run was.

    Validation and the writing of checkpoints do not count. A GPU is not waited for: its queue is bounded, so that the
    time between steps is right on average.

    Attributes:
        samples_per_second: of all devices, over the run's steps but the first (which compiles, allocates, fills pipes) unless it
            is the only one; known at the end of training; None where no step was taken.
    """

    def __init__(self) -> None:
        self._clear()
        self._broken = True  # something else than a step has happened since the clock was read
        self._since = self._waited = 0.0
        self._step = -1
        self._total = _Sums()
        self._first: _Sums | None = None
        self.samples_per_second: float | None = None

    def _clear(self) -> None:
        self._steps = 0
        self._sums = _Sums()

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
        one = _Sums(len(batch["position"]), now - self._since, waited - self._waited)
        self._sums = self._sums + one
        self._total = self._total + one
        self._first = self._first or one
        self._since, self._waited = now, waited
        if trainer.global_step == self._step:
            return  # more batches are accumulated
        self._step = trainer.global_step
        self._steps += 1
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and self._step % every == 0:
            self._log(trainer, pl_module)
            self._clear()

    def _log(self, trainer: Trainer, pl_module: LightningModule) -> None:
        sums = self._sums
        values = {
            "data_wait": sums.waiting / self._steps,
            "step": sums.seconds / self._steps,
            "data_wait_share": sums.waiting / sums.seconds,
            "samples_per_second_per_device": sums.samples / sums.seconds,
            "samples_per_second": trainer.world_size * sums.samples / sums.seconds,
        }
        for name, value in values.items():
            pl_module.log(f"time/{name}", value, sync_dist=True)
        name, gib = _peak_memory(pl_module.device)
        pl_module.log(f"memory/{name}", gib, sync_dist=True, reduce_fx="max")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints samples per second and hours per million samples."""
        if self._first is None:
            return
        rest = self._total - self._first
        sums = rest if rest.samples else self._total
        # Ranks take their steps together: their samples add up, their seconds do not.
        mine = torch.tensor([sums.samples, sums.seconds, sums.waiting], dtype=torch.float32, device=pl_module.device)
        samples, seconds, waiting = trainer.strategy.reduce(mine, reduce_op="mean").tolist()
        if not samples or not seconds:
            return
        self.samples_per_second = trainer.world_size * samples / seconds
        if trainer.is_global_zero:
            print(
                f"{self.samples_per_second:,.0f} samples per second, {1e6 / self.samples_per_second / 3600:.2f} hours per million "
                f"(waiting for data {waiting / seconds:.0%} of the time)",
                file=sys.stderr,
                flush=True,
            )


class _Sums:
    def __init__(self, samples: int = 0, seconds: float = 0.0, waiting: float = 0.0) -> None:
        self.samples, self.seconds, self.waiting = samples, seconds, waiting

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.samples + other.samples, self.seconds + other.seconds, self.waiting + other.waiting)

    def __sub__(self, other: _Sums) -> _Sums:
        return _Sums(self.samples - other.samples, self.seconds - other.seconds, self.waiting - other.waiting)


def _peak_memory(device: torch.device) -> tuple[str, float]:
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        return "gpu_peak_gib", peak / 2**30
    unit = 1 if sys.platform == "darwin" else 1024
    return "process_peak_gib", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def _waited(trainer: Trainer) -> float:
    return trainer.train_dataloader.waited  # type: ignore[union-attr]
