"""The loggers of a run: ``metrics.csv``, TensorBoard, and any Lightning logger that ``logger.own`` names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lightning import Callback
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from mmcs.common.value_rules import near
from mmcs.errors import UserError
from mmcs.instantiated import build_own
from mmcs.metrics_file import MetricsFile


def build_loggers(settings: Mapping[str, Any], folder: Path, first_step: int) -> list[Logger]:
    """The loggers that ``logger`` names. One of the user's own that takes a ``save_dir`` writes into ``folder`` unless it is set.

    Raises:
        UserError: see ``build_own``.
    """
    loggers: list[Logger] = []
    if settings["csv"]:
        loggers.append(MetricsFile(folder, first_step))
    if settings["tensorboard"]:
        loggers.append(TensorBoardLogger(folder, name="", version="tensorboard", purge_step=first_step))
    return [*loggers, *build_own(settings["own"], "logger.own", Logger, save_dir=str(folder))]


def log_config(loggers: Collection[Logger], config: Mapping[str, Any]) -> None:
    """Hands the configuration to the loggers that show one. (TensorBoard would open a run of its own for it.)"""
    for logger in loggers:
        if not isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(dict(config))


def check_monitors(callbacks: Collection[Callback], figures: Collection[str]) -> None:
    """Checks that early stopping monitors a figure that is logged, unless another callback of the user's may log it.

    Args:
        figures: what validation logs.

    Raises:
        UserError: it monitors another one.
    """
    if not all(isinstance(callback, EarlyStopping) for callback in callbacks):
        return
    for monitor in (callback.monitor for callback in callbacks if isinstance(callback, EarlyStopping)):
        if not monitor.startswith("train/") and monitor not in figures:
            hint = near(monitor, figures) if figures else " Name a suite in eval.val."
            example = f", such as {min(figures)}" if figures and not hint else ""
            raise UserError(
                f"callbacks.own: early stopping monitors {monitor!r}, which validation does not log{example}.{hint}"
            )
