"""Atomic writes: a file or folder appears under its name only when it is complete.

Whatever mmcs leaves on disk is written through these two, so an interrupted command never leaves something that
looks finished. The unfinished part lies beside the target under a dotted name and is removed on an error.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmcs.errors import UserError


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path in the target's folder (made if missing); on success it replaces ``path``."""
    target = Path(path)
    _make_parent(target)
    partial = target.parent / f".{target.name}.{os.getpid()}.partial"
    try:
        yield partial
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        replace_path(partial, target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields an empty temporary folder beside ``path``; on success it takes that name.

    Raises:
        UserError: ``path`` exists already and is not an empty folder.
    """
    target = Path(path)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(f"{target} exists already; remove it or name another folder.")
    _make_parent(target)
    _sweep(target)
    partial = target.parent / f".{target.name}.{os.getpid()}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        if target.exists():
            target.rmdir()
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def replace_path(partial: Path, target: Path) -> None:
    """Gives ``partial`` the name ``target``, whether either is a file or a folder. No system replaces a folder in one step: what
    stood there lies aside for a moment, from where ``settled`` brings it back if that moment is the last.
    """
    if not partial.is_dir() and not target.is_dir():
        partial.replace(target)
        return
    aside = _aside(target)
    _remove(aside)
    if target.exists():
        target.rename(aside)
    partial.rename(target)
    _remove(aside)


def settled(path: Path) -> Path:
    """``path``, after what a kill within ``replace_path`` had left aside is back under it."""
    if not path.exists() and _aside(path).exists():
        _aside(path).rename(path)
    return path


def _aside(path: Path) -> Path:
    return path.parent / f".{path.name}.before"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _sweep(target: Path) -> None:
    """Removes what processes that were killed have left of ``target``."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.partial"):
        pid = left.name.rsplit(".", 2)[1]
        if pid.isdecimal() and not _alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _make_parent(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{target} cannot be written: {target.parent} is not a folder.") from None


def cache_folder() -> Path:
    """Where mmcs keeps what it can compute again: ``$MMCS_CACHE``, else ``~/.cache/mmcs``."""
    return Path(os.environ.get("MMCS_CACHE") or Path.home() / ".cache" / "mmcs")
