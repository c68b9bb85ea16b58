"""Checkpoints that many processes write together: a folder with each process's part of the tensors, and what is no tensor.

The parts are written and read by ``torch.distributed.checkpoint``; ``mmcs.model.sharded`` decides what goes in,
``read_checkpoint`` gives such a folder as if it were one file. Nothing in a folder is executed when it is read.
"""

from __future__ import annotations

import functools
import os
import pickle
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata

from mmcs.errors import DataError
from mmcs.files import replace_path

REST = "meta.pt"  # what is no tensor, with a place for each tensor
_PLACE = "__tensor__"
#: All that torch's index of the parts is made of.
_OF_AN_INDEX = {
    "collections": {"OrderedDict"},
    "torch": {"Size", "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"},
    "torch.serialization": {"_get_layout"},
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
    "torch.distributed.checkpoint.metadata": {
        "BytesStorageMetadata",
        "ChunkStorageMetadata",
        "Metadata",
        "MetadataIndex",
        "StorageMeta",
        "TensorProperties",
        "TensorStorageMetadata",
        "_MEM_FORMAT_ENCODING",
    },
}


def write(content: Mapping[str, Any], folder: Path, was_scalar: Callable[[tuple[Any, ...]], bool]) -> None:
    """Writes ``content``; called by all processes, each of which writes the parts of sharded tensors (DTensors) that it has. The
    folder takes its name when all of it is on disk.

    Args:
        content: plain values, lists, dictionaries and tensors.
        was_scalar: whether the tensor at a path of keys stands for one without axes.
    """
    tensors: dict[str, Tensor] = {}
    rest = _taken_out(content, (), tensors, was_scalar)
    partial = folder.parent / f".{folder.name}.parts.partial"
    first = not dist.is_initialized() or dist.get_rank() == 0
    if first:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with (partial / REST).open("wb") as file:
            torch.save(rest, file)
            file.flush()
            os.fsync(file.fileno())
    if dist.is_initialized():
        dist.barrier()
    dcp.save(tensors, storage_writer=_Writer(str(partial)))
    if first:
        replace_path(partial, folder)


def _taken_out(value: Any, path: tuple[Any, ...], tensors: dict[str, Tensor], was_scalar: Callable[..., bool]) -> Any:
    """``value`` with places instead of tensors, which go into ``tensors``."""
    if isinstance(value, Tensor):
        key = ".".join(map(str, path))
        assert key not in tensors
        tensors[key] = value.detach()
        return {_PLACE: key, "shape": [] if was_scalar(path) else list(value.shape)}
    if isinstance(value, Mapping):
        return {key: _taken_out(part, (*path, key), tensors, was_scalar) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_taken_out(part, (*path, i), tensors, was_scalar) for i, part in enumerate(value))
    return value


def read(folder: Path, into: Callable[[str], Tensor | None] = lambda key: None) -> dict[str, Any]:
    """What ``write`` wrote, on any number of processes: each tensor whole and on the CPU, or read into what ``into`` gives for
    its key (a path of keys, joined by dots), such as this process's part of it.

    Raises:
        DataError: damaged, or not written by mmcs.
    """
    into = functools.cache(into)
    try:
        rest = torch.load(folder / REST, map_location="cpu", weights_only=True)
        reader = _Reader(str(folder))
        known = reader.read_metadata().state_dict_metadata
        tensors = {key: _room(into(key), known[key]) for key in sorted(_keys(rest))}
        # Parts are read by each process for itself: they say nothing to each other, whatever one finds.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")
            dcp.load(tensors, storage_reader=reader, planner=_Planner(), no_dist=True)
        return _put_back(rest, tensors, {key for key in tensors if into(key) is None})
    except (pickle.UnpicklingError, dcp.api.CheckpointException, *_DAMAGE) as error:
        wrong = next(iter(getattr(error, "failures", {}).values()), (error,))[0]
        first = str(wrong).strip().split("\n")[0]
        raise DataError(f"checkpoint {folder} is damaged or holds more than plain values: {first}") from None


_DAMAGE = (EOFError, OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, AssertionError, IndexError)


def _room(target: Tensor | None, known: Any) -> Tensor:
    if not isinstance(known, TensorStorageMetadata):
        raise ValueError("its index names something else than tensors")
    if target is not None:
        if target.shape != known.size:
            raise ValueError(f"a tensor has shape {tuple(known.size)}, not {tuple(target.shape)}")
        return target
    return torch.empty(known.size, dtype=known.properties.dtype)


def _keys(rest: Any) -> set[str]:
    if isinstance(rest, dict):
        return {rest[_PLACE]} if _PLACE in rest else set().union(*map(_keys, rest.values()))
    return set().union(*map(_keys, rest)) if isinstance(rest, list | tuple) else set()


def _put_back(rest: Any, tensors: Mapping[str, Tensor], whole: set[str]) -> Any:
    if isinstance(rest, dict):
        if _PLACE in rest:
            tensor = tensors[rest[_PLACE]]
            return tensor.reshape(rest["shape"]) if rest[_PLACE] in whole else tensor
        return {key: _put_back(part, tensors, whole) for key, part in rest.items()}
    if isinstance(rest, list | tuple):
        return type(rest)(_put_back(part, tensors, whole) for part in rest)
    return rest


class _Writer(dcp.FileSystemWriter):
    def storage_meta(self) -> StorageMeta:
        return StorageMeta()  # without the path, which is another soon


class _Index(pickle.Unpickler):
    """Torch keeps its index as a pickle; only the names of ``_OF_AN_INDEX`` are known here."""

    def find_class(self, module: str, name: str) -> Any:
        if name not in _OF_AN_INDEX.get(module, ()):
            raise pickle.UnpicklingError(f"its index names {module}.{name}")
        return super().find_class(module, name)


class _Reader(dcp.FileSystemReader):
    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        with Path(self.path, ".metadata").open("rb") as file:
            metadata = _Index(file).load()
        if not isinstance(metadata, Metadata):
            raise pickle.UnpicklingError("its index is none")
        for stored in metadata.storage_data.values():
            if Path(stored.relative_path).name != stored.relative_path:
                raise pickle.UnpicklingError("its index names files elsewhere")
        metadata.storage_meta = StorageMeta(load_id=self.load_id)
        return metadata


class _Planner(DefaultLoadPlanner):
    def load_bytes(self, read_item: Any, value: IO[bytes]) -> None:
        raise pickle.UnpicklingError(f"{read_item.dest_index.fqn} is no tensor")
