"""Reads the tensors of the zip archives that ``torch.save`` and ``torch.jit.save`` write, without executing anything in them.

A pickle's objects are replaced by placeholders, all but its tensors, and the code of a TorchScript archive is never run, so that
files with objects of other libraries can be read. ``weights.py`` calls it.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}
# Tensors of TorchScript archives that are no weights: numbers that OpenAI's keep, and a mask that is made anew.
_NO_WEIGHTS = {"input_resolution", "context_length", "vocab_size", "attn_mask"}
_LARGEST_COMPRESSED = 1 << 24


def read_archive(path: Path) -> dict[str, Tensor]:
    """The tensors of the archive's ``state_dict`` entry, of its top level, or of a TorchScript module, by name.

    Raises:
        Exception: of whatever type, where the archive is damaged or not one of torch.
    """
    with zipfile.ZipFile(path) as archive:
        return _tensors(archive)


def _tensors(archive: zipfile.ZipFile) -> dict[str, Tensor]:
    place = _pickle_of(archive)
    root = place.removesuffix("data.pkl")
    content = _Unpickler(io.BytesIO(_member(archive, place))).load()
    if isinstance(content, _Placeholder):
        found = dict(_torchscript_tensors(archive, root, content, ""))
        found = {name: value for name, value in found.items() if name.rpartition(".")[2] not in _NO_WEIGHTS}
    else:
        state = content.get("state_dict", content) if isinstance(content, dict) else {}
        found = {name: value for name, value in state.items() if isinstance(value, _Saved)}
    storages: dict[str, Tensor] = {}
    return {str(name): saved.load(archive, root, storages) for name, saved in found.items()}


def uses_quick_gelu(path: Path) -> bool:
    """Whether a TorchScript archive was made of a model with QuickGELU, as OpenAI's were. False for other files."""
    with contextlib.suppress(zipfile.BadZipFile, ValueError), zipfile.ZipFile(path) as archive:
        torchscript = any(name.endswith("constants.pkl") for name in archive.namelist())
        return torchscript and b"QuickGELU" in _member(archive, _pickle_of(archive))
    return False


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member's bytes; torch compresses the code of an archive alone, never what is large."""
    member = archive.getinfo(name)
    if member.compress_type != zipfile.ZIP_STORED and member.file_size > _LARGEST_COMPRESSED:
        raise ValueError(f"{name} is compressed")
    return archive.read(member)


def _pickle_of(archive: zipfile.ZipFile) -> str:
    """The name of the member that describes the tensors."""
    for name in archive.namelist():
        if re.fullmatch(r"([^/]+/)?data\.pkl", name):
            return name
    raise ValueError("a zip archive, but not one of torch")


# --- pickles without their classes ------------------------------------------------------------------------------------


class _Placeholder:
    """An object of a class that is not loaded. ``state`` holds its attributes, where the pickle has them."""

    place = ("", "")  # module and name of the class
    state: Any = None

    def __new__(cls, *_: Any, **__: Any) -> _Placeholder:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        """Accepts whatever the class took."""

    def __call__(self, *_: Any, **__: Any) -> _Placeholder:
        return _Placeholder()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def _ignore(self, *_: Any) -> None:
        """Takes items that a list or mapping would."""

    append = extend = __setitem__ = _ignore


@dataclass(frozen=True)
class _Saved:
    """A tensor of an archive that is not read yet."""

    storage: tuple[str, torch.dtype]  # member and type
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype | None = None  # where it differs from the storage's

    def load(self, archive: zipfile.ZipFile, root: str, storages: dict[str, Tensor]) -> Tensor:
        key, stored = self.storage
        if key not in storages:
            storages[key] = torch.frombuffer(
                bytearray(_member(archive, f"{root}data/{key}")) or bytearray(8), dtype=stored
            )
        flat = storages[key].view(self.dtype) if self.dtype else storages[key]
        if 0 not in self.size and self._end() > flat.numel():
            raise ValueError(f"a tensor reaches beyond the end of its storage {key}")
        return flat.as_strided(self.size, self.stride, self.offset)

    def _end(self) -> int:
        return self.offset + 1 + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))


def _rebuild(storage: Any, offset: Any, size: Any, stride: Any, *more: Any) -> _Saved:
    dtype = next((value for value in more if isinstance(value, torch.dtype)), None)
    return _Saved(storage, offset, tuple(size), tuple(stride), dtype)


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


def _rebuild_typed(function: Callable[..., Any], _: Any, arguments: Any, *__: Any) -> Any:
    return function(*arguments) if function is _rebuild else None


_REBUILT: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_typed,
}


class _Unpickler(pickle._Unpickler):
    """Builds dictionaries, lists and descriptions of tensors; every other class is a placeholder.

    (Of the two implementations in ``pickle`` the one whose memory a forged index cannot exhaust.)
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _REBUILT:
            return _REBUILT[module, name]
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return _DTYPES[name]
        if module == "torch" and isinstance(dtype := getattr(torch, name, None), torch.dtype):
            return dtype
        return type("_Placeholder", (_Placeholder,), {"place": (module, name)})

    def persistent_load(self, saved: Any) -> tuple[str, torch.dtype]:
        _, dtype, key, *_ = saved
        if not isinstance(dtype, torch.dtype):
            raise ValueError("a storage of an unknown type")
        return str(key), dtype


def _torchscript_tensors(
    archive: zipfile.ZipFile, root: str, module: _Placeholder, prefix: str
) -> Iterator[tuple[str, _Saved]]:
    """Parameters and buffers of a module and those in it, by their names in its ``state_dict``."""
    if not module.place[0].startswith("__torch__"):  # an attribute that is no module
        return
    names = _names_of_tensors(archive, root, *module.place)
    for name, value in (module.state if isinstance(module.state, dict) else {}).items():
        if isinstance(value, _Saved) and name in names:
            yield prefix + name, value
        elif isinstance(value, _Placeholder):
            yield from _torchscript_tensors(archive, root, value, f"{prefix}{name}.")


def _names_of_tensors(archive: zipfile.ZipFile, root: str, module: str, name: str) -> set[str]:
    """What the source of a class in the archive declares: ``__parameters__ = ["weight", ]`` and ``__buffers__``."""
    source = _member(archive, f"{root}code/{module.replace('.', '/')}.py").decode()
    _, _, own = source.partition(f"class {name}(Module):\n")
    declared = re.findall(r"^  __(?:parameters|buffers)__ = \[(.*)\]$", own.partition("\nclass ")[0], re.MULTILINE)
    return set(re.findall(r'"([^"]+)"', " ".join(declared)))
