"""What a checkpoint holds beside the trained weights, and how any model that a user names is loaded again.

A checkpoint keeps what training changes; locked trunks are rebuilt from their origin and compared by fingerprint. The
LightningModule writes with these helpers; evaluation, embedding and export read with ``load_model``.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmcs.errors import DataError, UserError
from mmcs.files import atomic_file, settled
from mmcs.model.build import build_towers
from mmcs.model.sharded_checkpoint import read as read_parts
from mmcs.model.source import CONFIG_FILE
from mmcs.model.temperature import ensure_bias
from mmcs.model.towers import Towers
from mmcs.model.wise_ft import interpolate

FORMAT = 1
PREFIX = "towers."  # of the towers' names in a checkpoint's state_dict


@dataclass(frozen=True)
class Loaded:
    """A model ready for use: towers in eval mode on the CPU, and where they come from."""

    towers: Towers
    config: dict[str, Any] | None  # the run's resolved configuration; None for a model that mmcs did not train
    name: str  # what to call it in results and model cards
    run_folder: Path | None
    alpha: float | None = (
        None  # WiSE-FT: how far its weights lie from the start (0) to what was trained (1); None: as trained
    )
    evaluated: bool = False  # whether the run's results.json, where there is one, is of these weights


def trainable_state(towers: Towers) -> dict[str, Tensor]:
    """The tensors that a checkpoint must hold, by their names in ``towers`` (a checkpoint adds ``towers.``)."""
    return towers.trainable_state_dict()


def checkpoint_extras(towers: Towers, config: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's ``"mmcs"`` entry: plain values only, so that it loads with ``weights_only=True``.

    Args:
        config: the run's resolved configuration; ``config["model"]`` holds the arguments of ``build_towers``.
    """
    return {
        "format": FORMAT,
        "config": config,
        "image_fingerprint": towers.image_fingerprint() if towers.image_locked or towers.image_adapted else None,
        "text_fingerprint": towers.text_fingerprint() if towers.text_locked or towers.text_adapted else None,
    }


def load_model(model: str | os.PathLike[str], pretrained: str | None = None, *, alpha: float | None = None) -> Loaded:
    """Loads what a user may name as MODEL.

    Args:
        model: a run's folder (its best checkpoint, else the last), a ``.ckpt`` file, an export or OpenCLIP folder, or
            an OpenCLIP name.
        pretrained: a tag or checkpoint file, for OpenCLIP names and folders only.
        alpha: of a run, the weights (1 − alpha) · start + alpha · trained (``wise_ft.interpolate``); the start is built again
            from the run's configuration, the temperature stays the trained one.

    Raises:
        UserError: nothing of that name, a locked tower that has changed since, an alpha out of range or of no run.
        DataError: a damaged checkpoint.
    """
    path = Path(model)
    if alpha is not None and not 0 <= alpha <= 1:
        raise UserError(f"alpha lies between 0 (the start of training) and 1 (as trained); got {alpha}.")
    is_run = path.is_dir() and (path / "checkpoints").is_dir() and not (path / CONFIG_FILE).is_file()
    if is_run or path.suffix == ".ckpt":
        if pretrained:
            raise UserError(f"--pretrained goes with an OpenCLIP name; {path} brings its own weights.")
        checkpoint = _best(path) if is_run else path
        if checkpoint is None:
            raise UserError(
                f"run {path} has no checkpoint yet: neither best*.ckpt nor last.ckpt lies in its checkpoints."
            )
        return _load_checkpoint(checkpoint, alpha)
    if alpha is not None:
        raise UserError(f"alpha goes with a run or a checkpoint of mmcs: {model} does not say where training began.")
    if not path.exists() and (path.is_absolute() or path.parts[:1] in ((".",), ("..",))):
        raise UserError(f"{path} does not exist.")
    if path.is_dir() and not (path / CONFIG_FILE).is_file():
        raise UserError(f"{path} is neither a run (it has no checkpoints) nor an OpenCLIP folder (no {CONFIG_FILE}).")
    towers = build_towers(str(model), pretrained)
    name = path.resolve().name if path.is_dir() else str(model)
    return Loaded(towers, None, f"{name} {pretrained}" if pretrained else name, None)


def _best(run: Path) -> Path | None:
    """What the run's results are of, as ``mmcs.finish`` leaves it."""
    folder = run / "checkpoints"
    best = sorted(folder.glob("best*.ckpt"), key=lambda file: (file.stat().st_mtime_ns, file.name))
    if best:
        return best[-1]
    return folder / "last.ckpt" if settled(folder / "last.ckpt").exists() else None


def _load_checkpoint(path: Path, alpha: float | None) -> Loaded:
    checkpoint = read_checkpoint(path)
    extras = checkpoint["mmcs"]
    chosen = extras.get("wise_ft")
    if chosen and alpha is not None:  # its weights lie on the line already: the end of it is another checkpoint's
        return _load_checkpoint(path.with_name(chosen["of"]), alpha)
    arguments = {key: value for key, value in extras["config"]["model"].items() if key != "_target_"}
    try:
        towers = build_towers(**arguments)
    except TypeError as error:
        raise DataError(
            f"checkpoint {path} has a model configuration that this mmcs does not know ({error})."
        ) from None
    for kind, own in (("image", towers.image_fingerprint), ("text", towers.text_fingerprint)):
        expected = extras[f"{kind}_fingerprint"]
        if expected is not None and expected != own():
            raise UserError(
                f"checkpoint {path} was trained on another {kind} tower than {arguments['name']} now gives: its weights, "
                "preprocessing or tokeniser have changed; give it the model it was trained on, or train again."
            )
    start = {name: value.clone() for name, value in towers.trainable_state_dict().items()} if alpha is not None else {}
    _load_trained(towers, checkpoint)
    if alpha is not None:
        tuned = towers.trainable_state_dict()
        start |= {name: value for name, value in tuned.items() if name.startswith("clip.logit_")}
        towers.load_trainable_state_dict(interpolate(start, tuned, alpha))
    run = path.resolve().parent.parent
    run_folder = run if (run / "config.yaml").is_file() else None
    return Loaded(
        towers.eval(),
        extras["config"],
        run.name if run_folder else path.stem,
        run_folder,
        alpha=chosen["alpha"] if chosen else alpha,
        evaluated=run_folder is not None and alpha is None and path.name == getattr(_best(run), "name", None),
    )


def save_weights(towers: Towers, source: Path, target: Path, **extras: Any) -> None:
    """Writes ``towers``' weights as a checkpoint to evaluate and export, not to go on from; what else it says is ``source``'s.

    Args:
        source: a checkpoint of these same towers. extras: plain values that go into its ``"mmcs"`` entry.
    """
    known = read_checkpoint(source)
    content: dict[str, Any] = {
        key: known[key] for key in ("epoch", "global_step", "pytorch-lightning_version") if key in known
    }
    content["state_dict"] = {PREFIX + name: value.detach().cpu() for name, value in trainable_state(towers).items()}
    content["mmcs"] = {**known["mmcs"], **extras}
    with atomic_file(target) as partial:
        torch.save(content, partial)


def load_weights(towers: Towers, path: Path) -> None:
    """What training changed, from a checkpoint of these same towers."""
    _load_trained(towers, read_checkpoint(path))


def _load_trained(towers: Towers, checkpoint: dict[str, Any]) -> None:
    state = checkpoint["state_dict"]
    if f"{PREFIX}clip.logit_bias" in state:  # given by the loss (SigLIP) to a model that has none
        ensure_bias(towers)
    towers.load_trainable_state_dict(
        {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
    )


def read_checkpoint(path: Path, into: Callable[[str], Tensor | None] = lambda key: None) -> dict[str, Any]:
    """A checkpoint's content, whether a file or a folder of parts, on the CPU, nothing in it executed.

    Args:
        into: where the tensors of a folder go that need not be whole, see ``sharded_checkpoint.read``.

    Raises:
        UserError: no such file, or not one of mmcs. DataError: damaged, or written by a newer mmcs.
    """
    if not path.exists():
        raise UserError(f"checkpoint {path} does not exist.")
    try:
        folder = path.is_dir()
        checkpoint = read_parts(path, into) if folder else torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError, KeyError) as error:
        first = str(error).strip().split("\n")[0]
        raise DataError(f"checkpoint {path} is damaged or holds more than plain values: {first}") from None
    extras = checkpoint.get("mmcs") if isinstance(checkpoint, dict) else None
    if not isinstance(extras, dict) or "model" not in extras.get("config", {}):
        raise UserError(f"{path} is no checkpoint of mmcs (OpenCLIP's own go with a name: NAME --pretrained FILE).")
    if extras["format"] > FORMAT:
        raise DataError(f"checkpoint {path} was written by a newer mmcs (format {extras['format']}); update mmcs.")
    return checkpoint
