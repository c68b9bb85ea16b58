"""Computes what locked towers yield before the first step, where the towers lie on their device and ranks can share."""

from __future__ import annotations

import sys
from typing import Any

from lightning import Callback, LightningModule, Trainer


class FillFeatures(Callback):
    """Fills the datamodule's feature stores when training starts."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        epochs = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else sys.maxsize
        if trainer.max_steps and trainer.max_steps > 0:
            epochs = min(epochs, -(-trainer.max_steps // max(1, len(datamodule.train_dataloader()))))
        datamodule.fill_features(epochs)
