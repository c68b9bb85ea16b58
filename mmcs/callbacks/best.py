"""``checkpoints/best-step=N.ckpt``: the checkpoints with the best monitored figures, and a validation at the end of training.

``last.ckpt`` is ``mmcs.callbacks.last``'s. ``mmcs.model.run_checkpoints`` reads which one is the best.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from mmcs.errors import UserError
from mmcs.files import remove_path
from mmcs.model.run_checkpoints import WISE_FT, scores_of


class KeepBest(ModelCheckpoint):
    """Lightning's, with file names in place of absolute paths, so that a run's folder can be moved or copied.

    The last step of training is always validated, whatever the interval of validations, so every run with a validation suite
    has a monitored figure.

    Args:
        folder: the run's ``checkpoints/``.
        monitor: the name of a logged figure, the larger the better; None: nothing is validated.
        save_top_k: how many are kept; 0: none, -1: all.

    Raises:
        UserError: ``save_top_k`` is out of range.
    """

    def __init__(self, folder: Path, monitor: str | None, save_top_k: int = 1) -> None:
        if isinstance(save_top_k, bool) or not isinstance(save_top_k, int) or save_top_k < -1:
            raise UserError(
                "callbacks.checkpoint.save_top_k must be a number of checkpoints, 0 for none or -1 for all; "
                f"got {save_top_k!r}."
            )
        super().__init__(
            folder,
            filename="best-{step}",
            monitor=monitor,
            mode="max",
            save_top_k=0 if monitor is None else save_top_k,
            save_on_train_epoch_end=False,  # but when a validation ends, at a step or at the end of an epoch
            enable_version_counter=False,  # a resumed run writes again what it had written
        )
        self.last_score: float | None = None  # of the last validation
        self.validated = -1  # the step it was at
        self._trained = False

    @property
    def state_key(self) -> str:
        return "KeepBest"

    def state_dict(self) -> dict[str, Any]:
        scores = {Path(path).name: float(score) for path, score in self.best_k_models.items()}
        last = {"last_score": self.last_score, "validated": self.validated}
        return {"monitor": self.monitor, "scores": scores, **last}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing: ``on_load_checkpoint`` reads the scores, those of older checkpoints as well."""

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        scores = scores_of(checkpoint)
        if scores is None or scores.monitor != self.monitor:
            return
        folder = Path(str(self.dirpath))
        self.best_k_models = {
            str(folder / name): torch.tensor(figure)
            for name, figure in scores.figures.items()
            if (folder / name).exists()
        }
        state = checkpoint["callbacks"].get(self.state_key) or {}
        score, step = state.get("last_score"), state.get("validated")
        self.last_score = score if isinstance(score, float) else None
        self.validated = step if isinstance(step, int) else -1
        if self.best_k_models:
            self.best_model_path = max(self.best_k_models, key=self.best_k_models.__getitem__)
            self.best_model_score = self.best_k_models[self.best_model_path]
            self.kth_best_model_path = min(self.best_k_models, key=self.best_k_models.__getitem__)
            self.kth_value = self.best_k_models[self.kth_best_model_path]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self._validate_at_end(trainer)

    def _validate_at_end(self, trainer: Trainer) -> None:
        """Makes the last step of training one after which Lightning validates."""
        fit, epoch = trainer.fit_loop, trainer.fit_loop.epoch_loop
        usual, run = epoch._should_check_val_fx, fit.run

        def validates(fetcher: Any) -> bool:
            return usual(fetcher) or (trainer.enable_validation and _is_last_step(trainer))

        def run_and_validate() -> None:
            completed = fit.epoch_progress.current.completed
            run()
            if not self._trained:  # the run was resumed at its end
                fit.epoch_progress.current.completed = (
                    completed  # a checkpoint written now holds the place that was read
                )
                self._validate(trainer)

        epoch._should_check_val_fx = validates  # type: ignore[method-assign, assignment]
        fit.run = run_and_validate  # type: ignore[method-assign]

    def _validate(self, trainer: Trainer) -> None:
        if trainer.enable_validation and trainer.global_step and self.validated != trainer.global_step:
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.should_stop and trainer.fit_loop._can_stop_early:  # as another callback has just decided
            self._validate(trainer)
        super().on_train_epoch_end(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Removes checkpoints that training will write again: those after its first step, and the choice of WiSE-FT."""
        super().on_train_start(trainer, pl_module)
        self._trained = True
        if not trainer.is_global_zero:
            return
        folder = Path(str(self.dirpath))
        for path in folder.glob("best-*.ckpt"):
            step = path.stem.removeprefix("best-step=")
            later = step.isdecimal() and int(step) > trainer.global_step
            if path.name == WISE_FT or (later and str(path) not in self.best_k_models):
                remove_path(path)

    def figure_of(self, checkpoint: Path | None) -> float | None:
        """The monitored figure of one of the run's checkpoints, where it was validated; of the last, that of the last validation."""
        figures = {Path(path).name: float(score) for path, score in self.best_k_models.items()}
        return None if checkpoint is None else figures.get(checkpoint.name, self.last_score)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            score = trainer.callback_metrics.get(str(self.monitor))
            self.last_score, self.validated = None if score is None else float(score), trainer.global_step
        super().on_validation_end(trainer, pl_module)


def _is_last_step(trainer: Trainer) -> bool:
    """Whether training ends with the batch that was just trained on."""
    fit, epoch = trainer.fit_loop, trainer.fit_loop.epoch_loop
    if epoch._should_accumulate():
        return False
    steps_done = trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps
    epochs_done = trainer.max_epochs not in (None, -1) and trainer.current_epoch + 1 >= trainer.max_epochs
    stopped = trainer.should_stop and fit._can_stop_early
    return steps_done or stopped or (epochs_done and epoch._num_ready_batches_reached())
