"""What the stream dropped, by cause and shard: in the log, the metrics and ``drops.json``, and an end to the run where it
is too much.

The causes travel with the batches (``mmcs.stream.drops``); this callback adds them up, over ranks and resumes.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from mmcs.callbacks.gathered import of_all_ranks
from mmcs.errors import DataError
from mmcs.files import atomic_file
from mmcs.stream.drops import CAUSES, NO_LANGUAGE, DropCounter

_SECONDS = 60.0  # between two lines of the log, and two writings of the file
_STEPS = 50  # between two looks where Lightning logs nothing


class DropReport(Callback):
    """Counts of the running epoch, summed over ranks.

    Logs ``data/dropped/{cause}``, ``data/dropped/all`` (without "excluded") and ``data/dropped/worst_shard_share`` every
    ``trainer.log_every_n_steps`` steps and at the end of the epoch; prints the first sample of each cause, then a line a
    minute while there is news and one at the end of an epoch; writes ``drops.json`` into the run's folder.

    Ranks look at each other's counts at those steps alone, and so stop at the same one. A checkpoint holds the counts.

    Args:
        max_bad_share: share of the samples read above which the run stops.

    Raises (while training):
        DataError: more was dropped, "excluded" aside; the sentence names the worst shard.
    """

    def __init__(self, max_bad_share: float) -> None:
        self.max_bad_share = max_bad_share
        self.epoch = -1
        self.counter = DropCounter()  # of all ranks, up to the last look
        self._own = DropCounter()  # of this rank since then
        self._told: set[str] = set()
        self._told_at = time.monotonic()
        self._told_count = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._begin(trainer.current_epoch)
        self._own.add(batch)
        due = trainer.global_step % (trainer.log_every_n_steps or _STEPS) == 0  # type: ignore[attr-defined]
        if due or trainer.world_size == 1:
            self._look()
            self._tell(trainer)
            self._check(trainer)
        if due:
            for name, value in self._figures().items():
                if value or name == "all":
                    pl_module.log(f"data/dropped/{name}", value, on_step=True, on_epoch=False, rank_zero_only=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin(trainer.current_epoch)
        self._look()
        self._tell(trainer, final=True)
        self._check(trainer, final=True)
        self._write(trainer)
        for name, value in self._figures().items():  # equal on all ranks: the largest is the one
            pl_module.log(f"data/dropped/{name}", value, sync_dist=True, reduce_fx="max")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._look()  # every rank takes part in saving
        checkpoint["drops"] = {"epoch": self.epoch, "counts": self.counter.state_dict()}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if "drops" in checkpoint:
            self._begin(checkpoint["drops"]["epoch"])
            self.counter.merge(checkpoint["drops"]["counts"])
            self._told_count = self.counter.by_cause.total()

    def _begin(self, epoch: int) -> None:
        """Counts from 0 in a new epoch. (An epoch that is resumed in its middle is not begun for Lightning.)"""
        if epoch != self.epoch:
            self.epoch, self.counter, self._own, self._told_count = epoch, DropCounter(), DropCounter(), 0

    def _look(self) -> None:
        """Adds what all ranks have counted since the last look."""
        own, self._own = self._own.state_dict(), DropCounter()
        for state in of_all_ranks(own):
            self.counter.merge(state)

    def _check(self, trainer: Trainer, final: bool = False) -> None:
        try:
            self.counter.check(self.max_bad_share, final=final)
        except DataError:
            self._write(trainer)
            raise

    def _figures(self) -> dict[str, float]:
        worst = self.counter.worst(self.max_bad_share)
        figures = {cause: float(self.counter.by_cause[cause]) for cause in CAUSES}
        figures["all"] = float(self.counter.dropped)
        figures["worst_shard_share"] = self.counter.share(worst[0]) if worst else 0.0
        return figures

    def _tell(self, trainer: Trainer, final: bool = False) -> None:
        """A cause that comes up for the first time at once; else at most a line a minute, and one an epoch."""
        total = self.counter.by_cause.total()
        news = total - self._told_count
        if not trainer.is_global_zero or not (news or (final and total)):
            return
        for cause, drop in self.counter.first.items():
            if cause not in self._told:
                print(f"{'ignored' if cause == NO_LANGUAGE else 'dropped'} {drop}", flush=True)
                self._told.add(cause)
        if final or time.monotonic() - self._told_at > _SECONDS:
            worst = self.counter.worst(self.max_bad_share)
            where = f"; worst shard {worst[0]} ({self.counter.share(worst[0]):.1%})" if worst else ""
            print(f"epoch {self.epoch}: {self.counter.summary()}{where}", flush=True)
            self._told_at, self._told_count = time.monotonic(), total
            if not final:
                self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        if trainer.is_global_zero:
            report = {"epoch": self.epoch, **self.counter.report(self.max_bad_share)}
            with atomic_file(Path(trainer.default_root_dir) / "drops.json") as path:
                path.write_text(json.dumps(report, indent=1), encoding="utf-8")
