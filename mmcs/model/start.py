"""A run as a model to start from: ``model.name=RUN``, or a checkpoint of one. (``model.pretrained=RUN`` is read in ``weights``.)

``build.py`` and ``mmcs.train`` ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmcs.errors import DataError, UserError
from mmcs.model.source import CONFIG_FILE


def checkpoint_at(text: str | None) -> Path | None:
    """The checkpoint of mmcs that ``text`` names: a run's best one, a file, or a folder of parts. None: it names something else.

    Raises:
        UserError: a run without a checkpoint.
    """
    path = Path(text or "")
    if not text or not path.exists() or (path / CONFIG_FILE).is_file():
        return None
    from mmcs.model.checkpoint_file import read_plain
    from mmcs.model.run_checkpoints import FOLDER, best_checkpoint
    from mmcs.model.sharded_checkpoint import REST

    if (path / FOLDER).is_dir():
        best = best_checkpoint(path)
        if best is None:
            raise UserError(f"run {path} has no checkpoint yet: {FOLDER}/ holds neither best*.ckpt nor last.ckpt.")
        return best.absolute()
    if path.suffix == ".ckpt" or (path / REST).is_file():
        try:
            read_plain(path)
            return path.absolute()
        except (DataError, UserError):  # perhaps of another program: reading its weights raises the error
            return None
    return None


def pinned(model: Mapping[str, Any]) -> dict[str, Any]:
    """``config["model"]`` with a checkpoint in the place of a run, whose best one may be another tomorrow."""
    found = {key: checkpoint_at(model.get(key)) for key in ("name", "pretrained")}
    return {**model, **{key: str(path) for key, path in found.items() if path is not None}}


def as_folder(name: str, pretrained: str | None, scratch: Path) -> tuple[str, str]:
    """Writes the model of the run that ``name`` names as an OpenCLIP folder into ``scratch``, adapters merged.

    Returns:
        the folder, and what the run's own model is called; ``name`` twice where it names no run.

    Raises:
        UserError: a run with further weights, or one whose model cannot be built. DataError: a damaged checkpoint.
    """
    checkpoint = checkpoint_at(name)
    if checkpoint is None and Path(name).suffix == ".ckpt":
        checkpoint = Path(name)  # damaged, of another program, or not there: reading it raises the error
    if checkpoint is None:
        return name, name
    if pretrained:
        raise UserError(f"model {name} brings its own weights: leave model.pretrained empty.")
    from mmcs.export.open_clip import write_folder
    from mmcs.model.checkpoint import load_model

    towers = load_model(checkpoint).towers
    folder = scratch / "start"
    folder.mkdir()
    write_folder(towers, folder, card="")
    return str(folder), str(towers.config["name"])
