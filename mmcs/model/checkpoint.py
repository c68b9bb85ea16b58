"""What a checkpoint holds beside the trained weights, and how any model that a user names is loaded again.

A checkpoint keeps what training changes; locked trunks are rebuilt from their origin and compared by fingerprint. The
LightningModule writes with these helpers; evaluation, embedding and export read with ``load_model``.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mmcs.errors import DataError, MmcsError, UserError, exit_code_of
from mmcs.model.build import build_towers
from mmcs.model.checkpoint_file import FORMAT, read_checkpoint, write_checkpoint
from mmcs.model.damage import guarded
from mmcs.model.run_checkpoints import best_checkpoint
from mmcs.model.source import CONFIG_FILE
from mmcs.model.temperature import ensure_bias
from mmcs.model.towers import Towers
from mmcs.model.wise_ft import interpolate

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
        checkpoint = best_checkpoint(path) if is_run else path
        if checkpoint is None:
            raise UserError(f"run {path} has no checkpoint yet: checkpoints/ holds neither best*.ckpt nor last.ckpt.")
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


def _load_checkpoint(path: Path, alpha: float | None) -> Loaded:
    checkpoint = read_checkpoint(path)
    extras = checkpoint["mmcs"]
    chosen = extras.get("wise_ft")
    if chosen and alpha is not None:  # its weights are interpolated already: the trained ones are in another checkpoint
        trained = path.with_name(chosen["of"])
        if read_checkpoint(trained)["mmcs"].get("wise_ft"):
            raise DataError(f"checkpoint {path} is malformed: {trained.name} does not hold trained weights.")
        return _load_checkpoint(trained, alpha)
    towers = _built(extras, path)
    start = {name: value.clone() for name, value in towers.trainable_state_dict().items()} if alpha is not None else {}
    with guarded(path):
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
        evaluated=run_folder is not None and alpha is None and _is_evaluated(run, path, checkpoint.get("global_step")),
    )


def evaluated_as(path: Path, step: Any) -> dict[str, Any]:
    """How ``results.json`` names the checkpoint that its rows are of."""
    return {"file": path.name, "step": step}


def _is_evaluated(run: Path, path: Path, step: Any) -> bool:
    """Whether the results of the run in ``run`` are of its checkpoint ``path``."""
    if path.name != getattr(best_checkpoint(run), "name", None):
        return False
    try:
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
        return results.get("checkpoint") in (None, evaluated_as(path, step))  # None: by an older mmcs
    except (OSError, ValueError, AttributeError):
        return True


def _built(extras: dict[str, Any], path: Path) -> Towers:
    """The towers of a checkpoint as they were before training.

    Raises:
        UserError: they cannot be built here, or a locked one has changed since. DataError: a malformed configuration.
    """
    arguments = {key: value for key, value in extras["config"]["model"].items() if key != "_target_"}
    try:
        towers = build_towers(**arguments)
    except MmcsError:
        raise
    except Exception as error:  # of a configuration that was not written by this mmcs
        if exit_code_of(error) is not None:
            raise
        what = f"{type(error).__name__}: {str(error)[:200]}"
        raise DataError(f"checkpoint {path} has a model configuration that this mmcs cannot use ({what}).") from None
    check_fingerprints(towers, extras, path)
    return towers


def check_fingerprints(towers: Towers, extras: dict[str, Any], path: Path) -> None:
    """Compares locked towers with those that a checkpoint was trained on.

    Raises:
        UserError: they differ.
    """
    for kind, own in (("image", towers.image_fingerprint), ("text", towers.text_fingerprint)):
        expected = extras.get(f"{kind}_fingerprint")
        if expected is not None and expected != own():
            raise UserError(
                f"checkpoint {path} was trained on another {kind} tower than {towers.config['name']} now gives: its weights, "
                "preprocessing or tokeniser have changed; give it the model it was trained on, or train again."
            )


def check_belongs(towers: Towers, content: dict[str, Any], path: Path) -> None:
    """Compares the weights in a checkpoint's content with what training is about to change.

    Raises:
        UserError: other names, other shapes, or a locked tower that is another one.
    """
    check_fingerprints(towers, content["mmcs"], path)
    own = {name: tuple(value.shape) for name, value in trainable_state(towers).items()}
    kept = {name.removeprefix(PREFIX): tuple(value.shape) for name, value in content["state_dict"].items()}
    other = sorted(name for name in own.keys() | kept.keys() if own.get(name) != kept.get(name))
    if other:
        raise UserError(
            f"checkpoint {path} holds other weights than this run trains: {len(other)} differ, such as {', '.join(other[:3])}. "
            f"Resume with the settings of its run, or start a new run from its weights (model.pretrained={path})."
        )


def save_weights(towers: Towers, source: Path, target: Path, **extras: Any) -> None:
    """Writes ``towers``' weights as a checkpoint to evaluate and export, not to resume from; all else in it is ``source``'s.

    Args:
        source: a checkpoint of these same towers. extras: plain values that go into its ``"mmcs"`` entry.
    """
    known = read_checkpoint(source)
    content: dict[str, Any] = {
        key: known[key] for key in ("epoch", "global_step", "pytorch-lightning_version") if key in known
    }
    content["state_dict"] = {PREFIX + name: value.detach().cpu() for name, value in trainable_state(towers).items()}
    content["mmcs"] = {**known["mmcs"], **extras}
    write_checkpoint(content, target)


def load_weights(towers: Towers, path: Path) -> int | None:
    """Loads what training changed from a checkpoint of these same towers; returns the checkpoint's step."""
    content = read_checkpoint(path)
    _load_trained(towers, content)
    return content.get("global_step")


def _load_trained(towers: Towers, checkpoint: dict[str, Any]) -> None:
    state = checkpoint["state_dict"]
    if f"{PREFIX}clip.logit_bias" in state:  # given by the loss (SigLIP) to a model that has none
        ensure_bias(towers)
    towers.load_trainable_state_dict(
        {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
    )
