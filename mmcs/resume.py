"""From which checkpoint a run is resumed, and what of its settings must stay as they were.

``mmcs.train`` asks before anything starts, ``mmcs.assemble`` builds the trainer with it. What a checkpoint holds is
``mmcs.model.checkpoint``'s; when ``last.ckpt`` is written, ``mmcs.callbacks.last``'s.
"""

from __future__ import annotations

import fnmatch
import glob
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.plugins.io import TorchCheckpointIO

from mmcs.errors import DataError, UserError
from mmcs.files import settled
from mmcs.model.checkpoint_file import read_checkpoint, write_checkpoint
from mmcs.model.damage import guarded
from mmcs.model.run_checkpoints import FOLDER, LAST, check_good, good_checkpoints, read_place
from mmcs.model.sharded_checkpoint import REST

#: Settings that decide what a checkpoint's weights are; whatever else is given on resume takes effect.
_DECIDED = (
    "model.*",
    "loss.terms.*._target_",
    "loss.logit_scale.init",
    "loss.logit_scale.learn",
    "loss.logit_bias.init",
)
_FREE = (
    "model._target_",
    "model.*_dropout",
    "model.lora.dropout",
    "model.grad_checkpointing",
    "model.compile",
    "model.cache_dir",
)


def checkpoint_of(resume: str | None, folder: Path, warn: Callable[[str], None] = lambda sentence: None) -> Path | None:
    """The checkpoint that ``resume`` names: a file or folder of parts, a run's folder (its last), or "auto" (of the run's own
    ``folder``: the last, or the newest good one where that is damaged; None where it has none yet).

    Args:
        warn: called with a sentence where a damaged checkpoint is passed over.

    Raises:
        UserError: there is none. DataError: it is damaged.
    """
    if resume is None:
        return None
    if resume == "auto":
        return _newest_good(folder, warn)
    path = Path(resume).expanduser().absolute()
    is_run = path.is_dir() and not (path / REST).is_file()
    found = settled(path / FOLDER / LAST) if is_run else path
    if not found.exists():
        what = f"has no {FOLDER}/{LAST} yet" if is_run else "does not exist"
        raise UserError(f"resume={resume} {what}; name a checkpoint, a run's folder, or auto.")
    try:
        check_good(found)
    except DataError as error:
        raise DataError(f"{error} {_instead(good_checkpoints(found.parent), 'leave resume out')}") from None
    return found


def _newest_good(folder: Path, warn: Callable[[str], None]) -> Path | None:
    last = settled(folder / FOLDER / LAST)
    wrong = f"{last} is missing."
    if last.exists():
        try:
            check_good(last)
            return last
        except (DataError, UserError) as error:
            wrong = str(error)
    good = good_checkpoints(folder / FOLDER)
    if good:
        step, path = good[0]
        warn(f"{wrong} The run resumes from {path} (step {step}).")
        return path
    if last.exists():
        raise DataError(f"{wrong} {_instead(good, 'remove it')}")
    return None


def _instead(good: list[tuple[int, Path]], otherwise: str) -> str:
    if not good:
        return f"There is no other checkpoint in its folder to resume from; {otherwise} to begin anew."
    return f"Good ones: {', '.join(f'resume={path} (step {step})' for step, path in good)}."


def check_resume(checkpoint: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values of a checkpoint that a run with ``config`` can be resumed from.

    Raises:
        UserError: it is none to resume from, its run had other settings that cannot change, or training has gone further
            than ``config`` allows. DataError: it is damaged.
    """
    content = read_place(checkpoint)
    trainer = config["trainer"]
    accumulated = trainer.get("accumulate_grad_batches") or 1
    batches = content["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    if batches["current"]["ready"] % accumulated and not batches["is_last_batch"]:
        raise UserError(
            f"{checkpoint} was taken between the batches of one accumulated step, whose gradients it does not hold; "
            f"resume from its run's {FOLDER}/{LAST}."
        )
    _check_settings(checkpoint, content["mmcs"]["config"], config)
    _check_length(checkpoint, content, trainer)
    return content


def _check_settings(checkpoint: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    old, new = (_flat(json.loads(json.dumps(config))) for config in (before, now))
    decided = [key for key in new if _matches(key, _DECIDED) and not _matches(key, _FREE)]
    changed = [key for key in decided if key in old and not _same(old[key], new[key])]
    if changed:
        changes = ", ".join(f"{key}={_shown(new[key])} (was {_shown(old[key])})" for key in changed)
        raise UserError(
            f"resume cannot change the model or the loss of {checkpoint}: {changes}. Keep the run's own values, or start a new run "
            f"from the weights: leave resume out and set model.pretrained={checkpoint}."
        )


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Values by their dotted keys."""
    if not isinstance(value, dict) or not value:
        return {path: value}
    return {k: v for key, part in value.items() for k, v in _flat(part, f"{path}.{key}" if path else str(key)).items()}


def _matches(key: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)


def _same(old: Any, new: Any) -> bool:
    """Whether two values of a setting mean the same; of a file that has moved, its fingerprint decides later."""
    if old == new:
        return True
    if not (isinstance(old, str) and isinstance(new, str) and Path(new).exists()):
        return False
    return os.sep in old and (not Path(old).exists() or Path(old).samefile(new))


def _shown(value: Any) -> str:
    return "null" if value is None else json.dumps(value) if isinstance(value, bool | list | dict) else str(value)


def _check_length(checkpoint: Path, content: Mapping[str, Any], trainer: Mapping[str, Any]) -> None:
    """Refuses a run that is to end before the place that its checkpoint holds."""
    loop, step = content["loops"]["fit_loop"], content["global_step"]
    batches, epochs = loop["epoch_loop.batch_progress"], loop["epoch_progress"]["current"]["processed"]
    within = bool(batches["current"]["ready"]) and not batches["is_last_batch"]
    for key, reached, more in (("max_steps", step, 0), ("max_epochs", epochs, int(within))):
        most = trainer.get(key)
        if isinstance(most, int) and most >= 0 and reached + more > most:
            raise UserError(
                f"{checkpoint} is at step {step} ({epochs} epochs done), past trainer.{key}={most}: set trainer.{key} to at least "
                f"{reached + more} to resume, or evaluate it as it is (mmcs evaluate {checkpoint})."
            )


def guard_restore(trainer: Trainer, checkpoint: Path) -> None:
    """Has whatever Lightning raises while it restores ``checkpoint`` end in one sentence, and a malformed place before training."""
    connector = trainer._checkpoint_connector
    restore_modules, restore_training = connector._restore_modules_and_callbacks, connector.restore_training_state

    def modules(*args: Any, **kwargs: Any) -> None:
        with guarded(checkpoint):
            restore_modules(*args, **kwargs)

    def training() -> None:
        with guarded(checkpoint):
            content = connector._loaded_checkpoint
            _check_alike(trainer.fit_loop.state_dict(), content["loops"]["fit_loop"], "loops.fit_loop")
            for own, given in zip(trainer.lr_scheduler_configs, content["lr_schedulers"], strict=True):
                _check_alike(own.scheduler.state_dict(), given, "lr_schedulers")
            restore_training()

    connector._restore_modules_and_callbacks = modules  # type: ignore[method-assign]
    connector.restore_training_state = training  # type: ignore[method-assign]


def _check_alike(own: Any, given: Any, where: str) -> None:
    """Compares the types in a tree of plain values with those of the trainer's own."""
    if isinstance(own, dict):
        if not isinstance(given, dict):
            raise DataError(f"the checkpoint is malformed: {where} must be a mapping.")
        for key in own.keys() & given.keys():
            _check_alike(own[key], given[key], f"{where}.{key}")
    elif isinstance(own, int | float) and not isinstance(given, int | float):
        raise DataError(f"the checkpoint is malformed: {where} must be a number, got {given!r:.100}.")


class WholeCheckpoints(TorchCheckpointIO):
    """A checkpoint appears under its name when all of it is on disk; until then the one before keeps the name.

    (Lightning's own way goes through the folder for temporary files, which may be on another disk.)
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        target = Path(path)
        for left in target.parent.glob(f".{glob.escape(target.name)}.*.partial"):
            left.unlink(missing_ok=True)  # a run's checkpoints have one writer: this is a killed one's
        write_checkpoint(checkpoint, target)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """As ``read_checkpoint``: on the CPU, nothing in it executed.

        Raises:
            UserError: no checkpoint of mmcs. DataError: damaged.
        """
        return read_checkpoint(Path(path))
