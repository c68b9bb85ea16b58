"""Checkpoints that many processes write together: a folder with each process's part of the tensors, and what is no tensor.

``torch.distributed.checkpoint`` writes and reads the parts; ``mmcs.model.sharded`` decides what goes in,
``read_checkpoint`` gives such a folder as if it were one file. ``checksums.N.json`` holds the CRC-32 of the files that
process N wrote. Nothing in a folder is executed when it is read.
"""

from __future__ import annotations

import functools
import json
import os
import pickle
import shutil
import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.metadata import (
    _MEM_FORMAT_ENCODING,
    Metadata,
    StorageMeta,
    TensorStorageMetadata,
)

from mmcs.errors import DataError
from mmcs.files import disk_errors, replace_path
from mmcs.model.damage import guarded, verify_archive

REST = "meta.pt"  # what is no tensor, with a place for each tensor
_INDEX = ".metadata"  # torch's, of the parts
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

    Raises:
        OSError: it cannot be written, such as on a full disk; ``folder`` is then what it was before.
    """
    tensors: dict[str, Tensor] = {}
    rest = _taken_out(content, (), tensors, was_scalar)
    partial = folder.parent / f".{folder.name}.parts.partial"
    rank = dist.get_rank() if dist.is_initialized() else 0
    try:
        with disk_errors(folder):
            if rank == 0:
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True)
                with (partial / REST).open("wb") as file:
                    torch.save(rest, file)
                    file.flush()
                    os.fsync(file.fileno())
            _wait()
            try:
                dcp.save(tensors, storage_writer=_Writer(str(partial)))
            except dcp.api.CheckpointException as error:  # a BaseException, with what went wrong in each process
                raise next(iter(error.failures.values()))[0] from None
            _write_checksums(partial, rank)
            _wait()
            if rank == 0:
                replace_path(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _wait() -> None:
    if dist.is_initialized():
        dist.barrier()


def _write_checksums(folder: Path, rank: int) -> None:
    """Writes the CRC-32 of the files that this process has written; ``REST`` has its own."""
    own = [*folder.glob(f"__{rank}_*"), *([folder / _INDEX] if rank == 0 else [])]
    with (folder / f"checksums.{rank}.json").open("w", encoding="utf-8") as file:
        json.dump({path.name: _crc32(path) for path in own}, file)
        file.flush()
        os.fsync(file.fileno())


def _crc32(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            crc = zlib.crc32(block, crc)
    return crc


def verify(folder: Path) -> None:
    """Compares the checksums of a folder with its files; one that was written without them passes.

    Raises:
        DataError: a file is missing or differs.
    """
    verify_archive(folder / REST)
    for written in sorted(folder.glob("checksums.*.json")):
        for name, crc in json.loads(written.read_text(encoding="utf-8")).items():
            if Path(name).name != name or not (folder / name).is_file():
                raise DataError(f"checkpoint {folder} is damaged: {name} is missing.")
            if _crc32(folder / name) != crc:
                raise DataError(f"checkpoint {folder} is damaged: the checksum of {name} does not match its bytes.")


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
    its key (a path of keys, joined by dots), such as this process's part of it. Checksums are verified.

    Raises:
        DataError: damaged, or not written by mmcs.
    """
    into = functools.cache(into)
    with guarded(folder):
        verify(folder)
        rest = _rest(folder)
        reader = _Reader(str(folder))
        known = reader.read_metadata().state_dict_metadata
        tensors = {key: _room(into(key), known[key]) for key in sorted(_keys(rest))}
        # Parts are read by each process for itself: they say nothing to each other, whatever one finds.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")
            try:
                dcp.load(tensors, storage_reader=reader, planner=_Planner(), no_dist=True)
            except dcp.api.CheckpointException as error:  # a BaseException
                raise next(iter(error.failures.values()))[0] from None
        return _put_back(rest, lambda key, shape: tensors[key].reshape(shape) if into(key) is None else tensors[key])


def read_plain(folder: Path) -> dict[str, Any]:
    """As ``read``, with tensors that have a shape but no numbers (on torch's "meta" device); checksums are not verified.

    Raises:
        DataError: damaged, or not written by mmcs.
    """
    with guarded(folder):
        rest = _rest(folder)
        return _put_back(rest, lambda key, shape: torch.empty(shape, device="meta"))


def _rest(folder: Path) -> Any:
    if not (folder / REST).is_file():
        raise DataError(f"{folder} is no checkpoint: it has no {REST}.")
    return torch.load(folder / REST, map_location="cpu", weights_only=True)


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


def _put_back(rest: Any, tensor: Callable[[str, list[int]], Tensor]) -> Any:
    """``rest`` with ``tensor(key, shape)`` in each place."""
    if isinstance(rest, dict):
        if _PLACE in rest:
            return tensor(rest[_PLACE], rest["shape"])
        return {key: _put_back(part, tensor) for key, part in rest.items()}
    if isinstance(rest, list | tuple):
        return type(rest)(_put_back(part, tensor) for part in rest)
    return rest


class _Writer(dcp.FileSystemWriter):
    def storage_meta(self) -> StorageMeta:
        return StorageMeta()  # without the path, which is another soon


class _Index(pickle.Unpickler):
    """Torch keeps its index as a pickle; only the names of ``_OF_AN_INDEX`` are known here."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("builtins", "getattr"):  # Python 3.11.0 to 3.11.3 pickle a member of an enumeration so
            return _member
        if name not in _OF_AN_INDEX.get(module, ()):
            raise pickle.UnpicklingError(f"its index names {module}.{name}")
        return super().find_class(module, name)


def _member(enumeration: Any, name: Any) -> Any:
    """``getattr(enumeration, name)`` for the one enumeration that an index has, and for its members alone."""
    if enumeration is not _MEM_FORMAT_ENCODING or not isinstance(name, str) or name not in enumeration.__members__:
        raise pickle.UnpicklingError(f"its index names an attribute {name!r}")
    return enumeration[name]


class _Reader(dcp.FileSystemReader):
    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        with Path(self.path, _INDEX).open("rb") as file:
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
