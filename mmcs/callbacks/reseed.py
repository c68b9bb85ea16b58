"""Dropout and the like drawn from (seed, step, rank): a resumed run draws what the unbroken one would have drawn."""

from __future__ import annotations

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from mmcs.codeswitch.draw import Draw


class Reseed(Callback):
    """Seeds torch's generators before every training batch. (A checkpoint of Lightning holds no random state.)"""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        draw = Draw(self.seed, "step", trainer.current_epoch, batch_idx, trainer.global_rank)
        torch.manual_seed(draw.index(2**63))
