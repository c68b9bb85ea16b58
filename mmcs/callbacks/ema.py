"""An exponential moving average of the weights, which is what is validated, kept and exported.

A checkpoint's ``state_dict`` holds the average, its ``"live"`` the weights that training goes on with. (Lightning's own
callback copies the whole module, what is locked too, and expects whole checkpoints.)
"""

from __future__ import annotations

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mmcs.errors import UserError
from mmcs.model.checkpoint import PREFIX
from mmcs.model.towers import Towers

LIVE = "live"


class AverageWeights(Callback):
    """After every step average ← decay · average + (1 − decay) · weights (Polyak and Juditsky 1992, in its exponential form), from
    the starting weights on and in float32; of what training moves alone. Whole numbers (counts of batches) are copied.

    Args:
        decay: between 0 and 1, as 0.999; None: no average, and training goes on from the live weights of a checkpoint.

    Raises:
        UserError: a decay out of range; when a run goes on, a checkpoint of other weights.
    """

    def __init__(self, decay: float | None) -> None:
        if decay is not None and not 0 < decay < 1:
            raise UserError(f"callbacks.ema.decay lies between 0 and 1, or is null for no average; got {decay}.")
        self.decay = decay
        self._weights: dict[str, Tensor] = {}  # the module's own, by reference
        self._average: dict[str, Tensor] = {}
        self._live: dict[str, Tensor] | None = None  # while the average stands in their place
        self._loaded: dict[str, Tensor] | None = None
        self._step = 0

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if LIVE not in checkpoint:
            return
        weights, live = _moved_by_training(pl_module.towers), checkpoint[LIVE]  # type: ignore[arg-type]
        if weights.keys() != live.keys():
            names = sorted(weights.keys() ^ live.keys())
            raise UserError(
                f"the checkpoint trains other weights than this run is configured to: {len(names)} names differ, such as "
                f"{', '.join(names[:3])}."
            )
        # Cloned: under FSDP2 these are the module's own.
        self._loaded = {name: checkpoint["state_dict"][PREFIX + name].clone() for name in live}
        _copy(live, weights)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.decay is None:
            return
        self._weights = _moved_by_training(pl_module.towers)  # type: ignore[arg-type]
        self._average = {
            name: value.detach().to(torch.float32 if value.is_floating_point() else value.dtype, copy=True)
            for name, value in self._weights.items()
        }
        if self._loaded is not None:
            _copy(self._loaded, self._average)
        self._loaded, self._live, self._step = None, None, trainer.global_step

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.decay is None or trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        floating = [name for name, value in self._average.items() if value.is_floating_point()]
        get_ema_multi_avg_fn(self.decay)(
            [self._average[name] for name in floating], [self._weights[name].float() for name in floating], 0
        )
        for name in self._average.keys() - floating:
            self._average[name].copy_(self._weights[name])

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._show_average()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._live is not None:
            _copy(self._live, self._weights)
            self._live = None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._show_average()

    def _show_average(self) -> None:
        if self._average and self._live is None:
            self._live = {name: value.clone() for name, value in self._weights.items()}
            _copy(self._average, self._weights)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if not self._average:
            return
        for name, average in self._average.items():
            checkpoint["state_dict"][PREFIX + name] = average
        checkpoint[LIVE] = dict(self._weights if self._live is None else self._live)


def _moved_by_training(towers: Towers) -> dict[str, Tensor]:
    """What a checkpoint holds but for frozen parameters, by reference."""
    frozen = {name for name, parameter in towers.named_parameters() if not parameter.requires_grad}
    return {name: value for name, value in towers.trainable_state_dict().items() if name not in frozen}


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    for name, value in target.items():
        new = source[name]
        if isinstance(value, DTensor) and not isinstance(new, DTensor):  # FSDP2, where no parameter is without axes
            whole = new.to(value.device).reshape(value.shape)
            new = distribute_tensor(whole, value.device_mesh, value.placements)
        value.copy_(new)
