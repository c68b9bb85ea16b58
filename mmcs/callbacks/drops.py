"""What the stream dropped, by cause: in the log, in the metrics, and an end to the run where it is too much.

The causes travel with the batches (``mmcs.stream.drops``); this callback adds them up.
"""

from __future__ import annotations

from typing import Any

from lightning import Callback, LightningModule, Trainer

from mmcs.stream.drops import CAUSES, DropCounter


class DropReport(Callback):
    """Logs per epoch ``data/dropped/{cause}`` and ``data/dropped/all``, summed over ranks; prints a summary line.

    Args:
        max_bad_share: share of the samples read above which the run stops.

    Raises (while training):
        DataError: more was dropped; the sentence names the worst shard.
    """

    def __init__(self, max_bad_share: float) -> None:
        self.max_bad_share = max_bad_share
        self.counter = DropCounter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.counter = DropCounter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.counter.add(batch)
        self.counter.check(self.max_bad_share)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.counter.check(self.max_bad_share, final=True)
        for cause in CAUSES:
            count = float(self.counter.by_cause[cause])
            pl_module.log(f"data/dropped/{cause}", count, sync_dist=True, reduce_fx="sum")
        pl_module.log("data/dropped/all", float(self.counter.dropped), sync_dist=True, reduce_fx="sum")
        if self.counter.dropped and trainer.current_epoch == 0:
            print(f"epoch 0, rank {trainer.global_rank}: {self.counter.summary()}", flush=True)
