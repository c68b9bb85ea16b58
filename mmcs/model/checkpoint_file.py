"""Reads and writes one checkpoint: a file, or a folder of parts (``sharded_checkpoint``). Nothing in it is executed.

A checkpoint is a zip archive as ``torch.save`` writes it, so every member has a CRC-32, which is verified before use. The
content holds plain values and tensors; its form is checked here, so that later code can rely on it. Which checkpoint of a
run is used is decided in ``run_checkpoints``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmcs.errors import DataError, UserError
from mmcs.files import atomic_file
from mmcs.model import sharded_checkpoint
from mmcs.model.damage import guarded, verify_archive

FORMAT = 1
#: Sections of a run's configuration that other code reads as mappings.
_SECTIONS = ("model", "data", "codeswitch", "eval", "optim", "trainer")
_STRINGS = ("codeswitch.languages", "codeswitch.lexicons", "eval.seen_languages")


def write_checkpoint(content: Mapping[str, Any], path: Path) -> None:
    """Writes ``content`` so that ``path`` is either the whole new checkpoint or what it was before."""
    # Through a file of Python, so that a full disk is an OSError. A sharded run's folder may be in its place.
    with atomic_file(path, replaces_folder=True) as partial, partial.open("wb") as file:
        torch.save(dict(content), file)


def read_checkpoint(path: Path, into: Callable[[str], Tensor | None] = lambda key: None) -> dict[str, Any]:
    """Reads a checkpoint on the CPU, after its checksums are verified.

    Args:
        path: a file, or a folder of parts.
        into: where the tensors of a folder go that need not be whole, see ``sharded_checkpoint.read``.

    Raises:
        UserError: no such file, or not a checkpoint of mmcs. DataError: damaged, malformed, or written by a newer mmcs.
    """
    if not path.exists():
        raise UserError(f"checkpoint {path} does not exist.")
    with guarded(path):
        if path.is_dir():
            content = sharded_checkpoint.read(path, into)
        else:
            verify_archive(path)
            content = _loaded(path)
        _check_form(content, path)
    return content


def verify_checkpoint(path: Path) -> None:
    """Compares a checkpoint's checksums with its bytes; folders written before mmcs kept checksums for them pass.

    Raises:
        UserError: no such file. DataError: damaged.
    """
    if not path.exists():
        raise UserError(f"checkpoint {path} does not exist.")
    with guarded(path):
        if path.is_dir():
            sharded_checkpoint.verify(path)
        else:
            verify_archive(path)


def read_plain(path: Path) -> dict[str, Any]:
    """The plain values of a checkpoint, without reading its weights: tensors are mapped from the file, those of a folder have a
    shape but no numbers. Checksums are not verified.

    Raises:
        UserError, DataError: as ``read_checkpoint``.
    """
    with guarded(path):
        content = sharded_checkpoint.read_plain(path) if path.is_dir() else _loaded(path, mmap=True)
        _check_form(content, path)
    return content


def _loaded(path: Path, mmap: bool = False) -> Any:
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    for tensor in tensors_in(content):
        ours = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        if not ours or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise DataError(f"checkpoint {path} is malformed: a tensor is larger than its data.")
    return content


def _check_form(content: Any, path: Path) -> None:
    """Refuses whatever later code would stumble over."""

    def need(condition: bool, what: str) -> None:
        if not condition:
            raise DataError(f"checkpoint {path} is malformed: {what}.")

    extras: Any = content.get("mmcs") if isinstance(content, dict) else None
    config = extras.get("config") if isinstance(extras, dict) else None
    if not isinstance(config, dict) or "model" not in config:
        raise UserError(f"{path} is no checkpoint of mmcs (OpenCLIP's own go with a name: NAME --pretrained FILE).")
    json.dumps(config)  # plain values alone
    number = extras.get("format")
    need(isinstance(number, int) and not isinstance(number, bool), "mmcs.format must be a whole number")
    if number > FORMAT:
        raise DataError(f"checkpoint {path} was written by a newer mmcs (format {number}); update mmcs.")
    for section in _SECTIONS:
        need(isinstance(config.get(section), dict | None), f"mmcs.config.{section} must be a mapping")
    model = config["model"]
    need(isinstance(model, dict) and all(isinstance(key, str) for key in model), "mmcs.config.model must be a mapping")
    for key in _STRINGS:
        section, name = key.split(".")
        value = (config.get(section) or {}).get(name)
        ok = value is None or (isinstance(value, list) and all(isinstance(item, str) for item in value))
        need(ok, f"mmcs.config.{key} must be a list of texts")
    for kind in ("image", "text"):
        need(isinstance(extras.get(f"{kind}_fingerprint"), str | None), f"mmcs.{kind}_fingerprint must be a text")
    chosen = extras.get("wise_ft")
    need(chosen is None or _is_chosen(chosen), "mmcs.wise_ft must hold an alpha and a file name")
    state = content.get("state_dict")
    named = isinstance(state, dict) and all(isinstance(name, str) for name in state)
    need(named and all(isinstance(value, Tensor) for value in state.values()), "state_dict must hold tensors by name")


def _is_chosen(chosen: Any) -> bool:
    if not isinstance(chosen, dict) or not isinstance(chosen.get("alpha"), int | float):
        return False
    name = chosen.get("of")
    return isinstance(name, str) and bool(name) and Path(name).name == name


def tensors_in(value: Any) -> list[Tensor]:
    """Every tensor in a tree of plain values; a part that appears in several places is visited once."""
    found, seen, rest = [], set(), [value]
    while rest:
        part = rest.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Tensor):
            found.append(part)
        elif isinstance(part, Mapping):
            rest += part.values()
        elif isinstance(part, list | tuple):
            rest += part
    return found
