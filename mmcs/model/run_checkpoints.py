"""Which checkpoint of a run is its best, and which ones it can be resumed from.

Names and scores are read from the checkpoints themselves (``mmcs.callbacks.best`` puts them there), never paths: a run's
folder may be moved or copied, and uses its own files. Evaluation, export, the model card, WiSE-FT and the end of training
all use ``best_checkpoint``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mmcs.errors import DataError, UserError
from mmcs.files import settled
from mmcs.model.checkpoint_file import read_plain, tensors_in, verify_checkpoint
from mmcs.model.finite import name_of_not_finite
from mmcs.model.sharded_checkpoint import read as read_parts

FOLDER = "checkpoints"
LAST = "last.ckpt"
WISE_FT = "best-wise_ft.ckpt"


@dataclass(frozen=True)
class Scores:
    """What was monitored, and its figure for each checkpoint that was kept for it, by file name."""

    monitor: str | None
    figures: dict[str, float]


def best_checkpoint(run: Path) -> Path | None:
    """The checkpoint that the results of the run in ``run`` are of: the weights that WiSE-FT chose, else those with the best
    monitored figure, else the last. None: the run has no checkpoint.
    """
    folder = run / FOLDER
    if (folder / WISE_FT).exists():
        return folder / WISE_FT
    scores, last = newest_scores(folder), settled(folder / LAST)
    kept = [name for name in scores.figures if settled(folder / name).exists()] if scores else []
    if scores and kept:
        return folder / max(kept, key=scores.figures.__getitem__)  # of equals the first, which was kept first
    if scores and last.exists():
        return last
    others = sorted(folder.glob("best*.ckpt"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    return others[-1] if others else last if last.exists() else None


def newest_scores(folder: Path) -> Scores | None:
    """The scores in the newest readable checkpoint of ``folder``, which has those of all that were kept before it; None where no
    checkpoint holds any.
    """
    newest, found = (-1, False), None  # at the same step a best one, which has its own score, before the last
    for path in _checkpoints(folder):
        try:
            content = read_plain(path)
            step = (int(content.get("global_step", -1)), path.name != LAST)
            if step > newest and (scores := scores_of(content, path)) is not None:
                newest, found = step, scores
        except (DataError, UserError, TypeError, ValueError):
            continue
    return found


def scores_of(content: Mapping[str, Any], path: Path | None = None) -> Scores | None:
    """The scores in a checkpoint's content, by this mmcs or by one that kept Lightning's absolute paths; None: it has none.

    Args:
        path: where ``content`` was read from, for a folder whose scores are among its tensors.
    """
    callbacks = content.get("callbacks")
    for key, state in callbacks.items() if isinstance(callbacks, dict) else ():
        if not isinstance(state, dict):
            continue
        figures = state.get("scores") if key == "KeepBest" else None
        if str(key).startswith("ModelCheckpoint"):
            figures = state.get("best_k_models")
            if path is not None and path.is_dir():
                figures = read_parts(path)["callbacks"][key]["best_k_models"]
        if isinstance(figures, dict):
            numbers = {Path(name).name: figure for name, figure in figures.items() if isinstance(name, str)}
            plain = {name: float(f) for name, f in numbers.items() if isinstance(f, int | float | Tensor)}
            return Scores(state.get("monitor"), plain)
    return None


def good_checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """The undamaged checkpoints in ``folder`` that a run can be resumed from, with their steps, the newest first."""
    found = []
    for path in _checkpoints(folder):
        try:
            found.append((check_good(path)["global_step"], path))
        except (DataError, UserError):
            continue
    return sorted(found, key=lambda pair: (pair[0], pair[1].name == LAST), reverse=True)


def check_good(path: Path) -> dict[str, Any]:
    """The plain values of a checkpoint that a run can be resumed from (``read_plain``).

    Raises:
        UserError: no such file, or none to resume from. DataError: damaged, or with weights that are not finite.
    """
    verify_checkpoint(path)
    content = read_place(path)
    if name := name_of_not_finite(content):
        raise DataError(f"checkpoint {path} cannot be used: {name} is not finite.")
    return content


def read_place(path: Path) -> dict[str, Any]:
    """The plain values of a checkpoint that holds a place in a run; checksums and weights are not looked at.

    Raises:
        UserError: no such file, or it holds weights alone. DataError: malformed.
    """
    content = read_plain(path)
    if "loops" not in content or "optimizer_states" not in content:
        raise UserError(f"{path} holds weights only: there is no place in a run to resume from.")
    try:
        if tensors_in(content["loops"]):
            raise TypeError("tensors in the place of numbers")
        loop = content["loops"]["fit_loop"]
        batches, epochs = loop["epoch_loop.batch_progress"], loop["epoch_progress"]["current"]
        numbers = [content["global_step"], batches["current"]["ready"], epochs["processed"]]
        for place in loop["state_dict"].get("combined_loader", ()):
            numbers += [place["epoch"], place["consumed"], place["total"], place["batch"]]
        fits = all(type(number) is int for number in numbers) and isinstance(batches["is_last_batch"], bool)
    except (KeyError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise DataError(f"checkpoint {path} is malformed: its place in training cannot be read.")
    return content


def _checkpoints(folder: Path) -> list[Path]:
    """Those that training writes: not what WiSE-FT chose, which holds no place in a run."""
    last = settled(folder / LAST)
    return [*([last] if last.exists() else []), *sorted(p for p in folder.glob("best*.ckpt") if p.name != WISE_FT)]
