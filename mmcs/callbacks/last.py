"""``checkpoints/last.ckpt``, and a run's place in the stream when it is resumed from a checkpoint.

A checkpoint holds the place as ``StreamLoader.state_dict``, put there by Lightning itself. Which file a run is resumed
from is found in ``mmcs.resume``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loops.loop import _Loop

from mmcs.errors import UserError
from mmcs.preempt import Agreement, stop_after_this_step


class KeepLast(Checkpoint):
    """Writes ``last.ckpt`` at the end of every epoch, after every validation, and every so many steps between.

    It is written only where a run can be resumed as if it had never ended: not within the batches of one accumulated step,
    and not between a step and the validation that belongs to it. When a process of the run was signalled to end
    (``mmcs.preempt``), it is written at the next such place, and training stops there.

    Args:
        folder: where it is written.
        every_n_train_steps: 1 or more; what a run that is killed has to repeat at most.

    Raises:
        UserError: a number below 1; when training starts, a checkpoint of other data (``StreamLoader.load_state_dict``).
    """

    def __init__(self, folder: Path, every_n_train_steps: int) -> None:
        if not isinstance(every_n_train_steps, int) or every_n_train_steps < 1:
            raise UserError(
                f"callbacks.last.every_n_train_steps is a number of steps, at least 1; got {every_n_train_steps!r}."
            )
        self.path = folder / "last.ckpt"
        self.every_n_train_steps = every_n_train_steps
        self._place: dict[str, Any] | None = None
        self._agreement: Agreement | None = None
        self._stopping = False

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        places = checkpoint["loops"]["fit_loop"]["state_dict"].get("combined_loader")
        self._place = places[0] if places else None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._agreement, self._stopping = Agreement(), False
        self._put_back_place(trainer)
        loop = trainer.fit_loop
        if loop.restarted_mid_epoch and loop.epoch_loop.restarted_on_last and not self._validation_follows(trainer):
            # Written at the end of a validation that no longer belongs to this step; Lightning would count the step after it.
            loop.epoch_loop._batches_that_stepped += 1
        if loop.restarted_on_epoch_end:
            # With max_steps, Lightning takes any checkpoint for one from within an epoch, and would count this one twice.
            loop.epoch_progress.increment_completed()
            loop.reset_restart_stage()
            _Loop.restarting.fset(loop, False)  # type: ignore[attr-defined]  # of its inner loops too

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._put_back_place(trainer)  # where nothing is left to train, training does not start

    def _put_back_place(self, trainer: Trainer) -> None:
        # Lightning forgets the place where the module asks for `estimated_stepping_batches`: that makes the loader before
        # the checkpoint's loops are read.
        if self._place is not None:
            trainer.train_dataloader.load_state_dict(self._place)  # type: ignore[union-attr]
            self._place = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.fit_loop._should_accumulate():
            return
        step = trainer.global_step
        self._ask()
        due = self._stopping or step % self.every_n_train_steps == 0 or step == trainer.max_steps or trainer.should_stop
        if due and not trainer.is_last_batch and not self._validation_follows(trainer):
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        if self._agreement is None:  # nothing was left to train
            trainer.save_checkpoint(self.path, weights_only=False)
        elif not trainer.is_last_batch:
            self._ask()
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_last_batch:  # an epoch that is left early has not ended
            self._ask()
            self._save(trainer)

    def _validation_follows(self, trainer: Trainer) -> bool:
        fetcher = trainer.fit_loop._data_fetcher
        return fetcher is not None and trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)

    def _ask(self) -> None:
        assert self._agreement is not None
        self._stopping = self._stopping or self._agreement.asked_anywhere()

    def _save(self, trainer: Trainer) -> None:
        if not trainer.fit_loop._should_accumulate():
            trainer.save_checkpoint(self.path, weights_only=False)
            if self._stopping:
                stop_after_this_step(trainer)
