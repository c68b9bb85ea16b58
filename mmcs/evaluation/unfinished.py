"""A folder that is written over hours: it takes its name when it is whole, and goes on where a killed run left it.

``mmcs embed`` writes into one. What is written at once takes ``mmcs.files.atomic_folder``.

    .OUT.unfinished/   progress.json says what it is a function of, and how far each part of it has come
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcs.common.file_lock import try_lock
from mmcs.errors import UserError
from mmcs.files import atomic_file

PROGRESS, LOCK = "progress.json", ".lock"
HEADER = 128  # bytes; NumPy leaves room for any number of rows in it


class Unfinished:
    """The folder while it is written.

    Attributes:
        path: where it lies.
        parts: part → how far it has come, as it was saved last.
    """

    def __init__(self, path: Path, key: Mapping[str, Any], parts: dict[str, Any]) -> None:
        self.path, self.parts = path, parts
        self._key = dict(key)

    def save(self, part: str, state: Mapping[str, Any]) -> None:
        """Notes how far ``part`` has come; plain values only. What it tells of must be on the disk."""
        self.parts[part] = dict(state)
        with atomic_file(self.path / PROGRESS) as path:
            path.write_text(json.dumps({"key": self._key, "parts": self.parts}, ensure_ascii=False), encoding="utf-8")


@contextmanager
def unfinished_folder(target: Path, key: Mapping[str, Any]) -> Iterator[Unfinished]:
    """Yields the folder, with what a run of the same ``key`` has left; on success it is named ``target``.

    Args:
        key: what the content is a function of, plain values.

    Raises:
        UserError: ``target`` exists, was begun with another key, or is being written by another process.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(f"{target} exists already; remove it or name another folder.")
    path = target.parent / f".{target.name}.unfinished"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{target} cannot be written: {target.parent} is not a folder.") from None
    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if try_lock(descriptor, "two commands that write the same folder are not kept apart") is False:
            raise UserError(f"another process is writing {target}; wait for it or name another folder.")
        plain = json.loads(json.dumps(key))
        folder = Unfinished(path, plain, _parts(path, plain))
        try:
            yield folder
        except BaseException:
            if not folder.parts:  # nothing is worth going on with
                shutil.rmtree(path, ignore_errors=True)
            raise
        if target.exists():
            target.rmdir()
        path.rename(target)
        for name in (PROGRESS, LOCK):
            (target / name).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _parts(path: Path, key: dict[str, Any]) -> dict[str, Any]:
    try:
        saved = json.loads((path / PROGRESS).read_bytes())
        before, parts = saved["key"], saved["parts"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}
    if before != key:
        names = [name for name in key if before.get(name) != key[name]]
        raise UserError(
            f"{path} is unfinished and was begun with another {' and '.join(names)}; remove it or name another folder."
        )
    return parts


class GrowingRows:
    """Rows (N, D) float16 in ``NAME.npy`` and as many lines in a text file, both longer with every ``append``.

    Args:
        folder, name, width: of the array.
        lines: the text file's name.
        mark: where to go on; what stands behind it is cut off. None: at the beginning.
    """

    def __init__(self, folder: Path, name: str, width: int, lines: str, mark: Mapping[str, int] | None = None) -> None:
        self.width = width
        self.rows = mark["rows"] if mark else 0
        flags = os.O_RDWR | os.O_CREAT
        self._array = os.fdopen(os.open(folder / f"{name}.npy", flags, 0o666), "r+b")
        self._lines = os.fdopen(os.open(folder / lines, flags, 0o666), "r+b")
        for handle, size in (
            (self._array, HEADER + 2 * width * self.rows),
            (self._lines, mark["bytes"] if mark else 0),
        ):
            handle.truncate(size)
            handle.seek(size)
        self._write_header()

    def append(self, rows: NDArray[np.floating[Any]], lines: list[str]) -> None:
        """Adds rows (R, D) and R lines without line breaks."""
        if rows.shape != (len(lines), self.width):
            raise ValueError(f"rows of shape {rows.shape} and {len(lines)} lines do not belong to width {self.width}.")
        self._array.write(np.ascontiguousarray(rows, "<f2").tobytes())
        self._lines.write("".join(f"{line}\n" for line in lines).encode())
        self.rows += len(lines)

    def mark(self) -> dict[str, int]:
        """Where it ends now, once that is on the disk."""
        self._write_header()
        for handle in (self._array, self._lines):
            handle.flush()
            os.fsync(handle.fileno())
        return {"rows": self.rows, "bytes": self._lines.tell()}

    def close(self) -> None:
        """Ends both files; the array's header tells its length."""
        self.mark()
        self._array.close()
        self._lines.close()

    def _write_header(self) -> None:
        end = self._array.tell()
        self._array.seek(0)
        shape = {"descr": "<f2", "fortran_order": False, "shape": (self.rows, self.width)}
        np.lib.format.write_array_header_1_0(self._array, shape)
        assert self._array.tell() == HEADER, "NumPy no longer leaves room to grow in the header"
        self._array.seek(end)
