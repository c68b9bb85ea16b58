"""From which checkpoint a run goes on, and how checkpoints are written and read so that a kill never costs one.

``mmcs.train`` asks before anything starts, ``mmcs.assemble`` builds the trainer with it. What a checkpoint holds is
``mmcs.model.checkpoint``'s; when ``last.ckpt`` is written, ``mmcs.callbacks.last``'s.
"""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from mmcs.errors import UserError
from mmcs.files import atomic_file, settled
from mmcs.model.checkpoint import read_checkpoint
from mmcs.model.sharded_checkpoint import REST

LAST = Path("checkpoints", "last.ckpt")


def checkpoint_of(resume: str | None, folder: Path) -> Path | None:
    """The checkpoint that ``resume`` names: a file or folder of parts, a run's folder (its last), or "auto" (the last of the run's own
    ``folder``; None where it has none yet).

    Raises:
        UserError: there is none.
    """
    if resume is None:
        return None
    if resume == "auto":
        return folder / LAST if settled(folder / LAST).exists() else None
    path = Path(resume).expanduser().absolute()
    is_run = path.is_dir() and not (path / REST).is_file()
    found = settled(path / LAST) if is_run else path
    if not found.exists():
        what = f"has no {LAST} yet" if is_run else "does not exist"
        raise UserError(f"resume={resume} {what}; name a checkpoint, a run's folder, or auto.")
    return found


def first_step(checkpoint: Path | None, accumulate_grad_batches: int) -> int:
    """The step at which a run that goes on from ``checkpoint`` begins: 0 without one.

    Raises:
        UserError: it is no checkpoint to go on from. DataError: it is damaged.
    """
    if checkpoint is None:
        return 0
    content = read_checkpoint(checkpoint)
    if "loops" not in content or "optimizer_states" not in content:
        raise UserError(f"{checkpoint} holds weights only: there is no place in a run to go on from.")
    batches = content["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    if batches["current"]["ready"] % accumulate_grad_batches and not batches["is_last_batch"]:
        raise UserError(
            f"{checkpoint} was taken between the batches of one accumulated step, whose gradients it does not hold; "
            f"resume from its run's {LAST}."
        )
    return content["global_step"]


class WholeCheckpoints(TorchCheckpointIO):
    """A checkpoint appears under its name when all of it is on disk; until then the one before stands there.

    (Lightning's own way goes through the folder for temporary files, which may lie on another disk.)
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        target = Path(path)
        for left in target.parent.glob(f".{glob.escape(target.name)}.*.partial"):
            left.unlink(missing_ok=True)  # a run's checkpoints have one writer: this is a killed one's
        with atomic_file(target) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """As ``read_checkpoint``: on the CPU, nothing in it executed.

        Raises:
            UserError: no checkpoint of mmcs. DataError: damaged.
        """
        return read_checkpoint(Path(path))
