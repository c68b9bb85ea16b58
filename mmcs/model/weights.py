"""Reads the weights that a user names (``model.pretrained=PATH``, ``--pretrained PATH``) and loads them into a model.

Reads safetensors, the files of ``torch.save`` with whatever other objects they hold (numpy scalars, options), TorchScript
archives (OpenAI's ``ViT-B-32.pt``), big_vision's ``.npz``, and the runs and exports of mmcs. Executes nothing in them. Called
by ``build.py``.
"""

from __future__ import annotations

import contextlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmcs.common.file_kind import LOOKED_AT, file_kind
from mmcs.errors import DataError
from mmcs.model.torch_archive import read_archive

_UNREADABLE = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, EOFError, KeyError, IndexError, ValueError, TypeError),
    *(AssertionError, AttributeError, ImportError, MemoryError, OverflowError, RecursionError, RuntimeError),
)


def load_pretrained(clip: Any, path: Path) -> None:
    """Loads the weights of a file, a run, a checkpoint of mmcs or an OpenCLIP folder into the open_clip model ``clip``.

    Raises:
        DataError: they cannot be read. RuntimeError: torch's, where they do not fit the model (``misfit``).
    """
    import open_clip

    if path.suffix in (".npz", ".npy"):  # read by open_clip itself
        open_clip.load_checkpoint(clip, str(path))
        return
    state = _weights_of(path)
    if getattr(clip, "logit_bias", None) is None:
        state.pop("logit_bias", None)  # that SigLIP's loss gave to another model
    with _reading(lambda _: state):
        open_clip.load_checkpoint(clip, str(path))


def is_run_or_folder(path: Path) -> bool:
    """Whether ``path`` is a folder that weights can be read from: a run, a checkpoint in parts, an OpenCLIP folder."""
    return path.is_dir() and ((path / "checkpoints").is_dir() or path.suffix == ".ckpt" or bool(_files_of(path)))


def _files_of(folder: Path) -> list[Path]:
    """Files of weights in an OpenCLIP folder, in the order in which open_clip prefers them."""
    return [file for kind in ("safetensors", "bin", "pth") for file in sorted(folder.glob(f"open_clip*.{kind}"))]


def _weights_of(path: Path) -> dict[str, Tensor]:
    if path.is_dir() and (files := _files_of(path)):
        return read_state_dict(files[0])
    state = {} if path.is_dir() else read_state_dict(path)
    if path.is_dir() or (path.suffix == ".ckpt" and any(name.startswith("towers.clip.") for name in state)):
        from mmcs.model.checkpoint import load_model  # which builds towers
        from mmcs.model.lora import merged

        return merged(load_model(path).towers).clip.state_dict()
    return state


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The weights of a file by name, on the CPU: its ``state_dict`` entry, or the file's own top level.

    Raises:
        DataError: the file is damaged, holds no weights, or is of a kind that is not read.
    """
    try:
        state = _read(path)
    except _UNREADABLE as error:
        raise DataError(f"weights {path} cannot be read: {_unreadable(path, error)}.") from None
    for prefix in ("module.", "_orig_mod."):  # of DistributedDataParallel and torch.compile
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    if not state:
        raise DataError(
            f"weights {path} hold no tensors, neither at their top level nor under state_dict; save the weights alone: "
            "torch.save(model.state_dict(), FILE)."
        )
    return state


def _read(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{":
        from safetensors import SafetensorError
        from safetensors.torch import load_file as load_safetensors

        try:
            return load_safetensors(path)
        except SafetensorError as error:
            raise ValueError(str(error)) from None
    if zipfile.is_zipfile(path):
        return read_archive(path)
    with warnings.catch_warnings(action="ignore"):
        content = torch.load(path, map_location="cpu", weights_only=True)  # the format of torch before 1.6
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    return {name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, Tensor)}


def safe_reading() -> contextlib.AbstractContextManager[None]:
    """Within it, open_clip reads every checkpoint with ``read_state_dict``; converting names and shapes remains its own part."""
    return _reading(lambda path: read_state_dict(Path(path)))


@contextlib.contextmanager
def _reading(read: Callable[[str], dict[str, Tensor]]) -> Iterator[None]:
    from open_clip import factory

    own = factory.load_state_dict
    factory.load_state_dict = lambda path, *_, **__: read(path)
    try:
        yield
    finally:
        factory.load_state_dict = own


def misfit(error: BaseException) -> str | None:
    """What of a model's ``load_state_dict`` failed, with torch's list of names counted; None for other errors."""
    text = str(error)
    if isinstance(error, AssertionError) and "width changed" in text:  # open_clip's, of positional embeddings
        return text.rstrip("!")
    if "Error(s) in loading state_dict" not in text:
        return None
    missing, unknown = text.partition("Missing key(s)")[2], text.partition("Unexpected key(s)")[2]
    found = {
        "missing": re.findall(r'"([^"]+)"', missing.partition("Unexpected key(s)")[0]),
        "unknown": re.findall(r'"([^"]+)"', unknown),
        "of another shape": re.findall(r"size mismatch for (\S+):", text),
    }
    return ", ".join(f"{len(names)} {what} (such as {names[0]})" for what, names in found.items() if names)


def _unreadable(path: Path, error: BaseException) -> str:
    with path.open("rb") as file:
        kind = file_kind(file.read(LOOKED_AT))
    if zipfile.is_zipfile(path):
        return f"the archive is damaged or not one of torch ({type(error).__name__}: {error})"
    if kind is not None and kind.what != "a zip archive":
        return f"the file is {kind}"
    return (
        "the file is damaged, or of a kind that mmcs does not read (it reads safetensors, torch.save, TorchScript and .npz); where "
        "you trust it, load it and save its weights alone: torch.save(model.state_dict(), FILE)"
    )
