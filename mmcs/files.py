"""Atomic writes: a file or folder appears under its name only when it is complete.

Whatever mmcs leaves on disk is written through these two, so an interrupted command never leaves something that looks
finished. The unfinished part has a dotted name in the target's folder and is removed on an error. A disk that is full or
read-only is an ``OSError`` that names the target, whichever library was writing.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmcs.errors import MmcsError, UserError


@contextmanager
def atomic_file(path: str | os.PathLike[str], *, replaces_folder: bool = False) -> Iterator[Path]:
    """Yields a temporary path in the target's folder (made if missing); on success it replaces ``path``.

    Args:
        replaces_folder: whether ``path`` may be a folder, which is then removed.

    Raises:
        UserError: the target is a folder, or its folder is a file. OSError: the disk's fault, with the target's name.
    """
    target = Path(path)
    if target.is_dir() and not replaces_folder:
        raise UserError(f"{target} is a folder; name a file.")
    _make_parent(target)
    partial = target.parent / f".{target.name}.{os.getpid()}.partial"
    try:
        with disk_errors(target, partial):
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
        UserError: ``path`` exists already and is not an empty folder. OSError: the disk's fault, with the target's name.
    """
    target = Path(path)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(f"{target} exists already; remove it or name another folder.")
    _make_parent(target)
    _sweep(target)
    partial = target.parent / f".{target.name}.{os.getpid()}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with disk_errors(target, partial):
            partial.mkdir()
            yield partial
            if target.exists():
                target.rmdir()
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuses a path below which nothing can be written, so that it is refused before the work.

    Raises:
        UserError: a parent is a file, or the folder that exists already is read-only or another user's.
    """
    target = Path(path).absolute()
    try:
        os.lstat(target)
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise UserError(f"{path} cannot be written: {error.strerror}.") from None
    # Path.exists raises where a parent may not be searched.
    there = next(place for place in (target, *target.parents) if os.path.exists(place))  # noqa: PTH110
    folder = there if there.is_dir() else there.parent
    if there is not target and not there.is_dir():
        raise UserError(f"{path} cannot be written: {there} is not a folder.")
    if not os.access(folder, os.W_OK | os.X_OK):
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        why = "is on a read-only file system" if read_only else "cannot be written to by this user"
        raise UserError(f"{path} cannot be written: {folder} {why}.")


#: Errors of a disk rather than of a program.
_OF_A_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


@contextmanager
def disk_errors(target: Path, partial: Path | None = None) -> Iterator[None]:
    """Raises what a full or read-only disk makes of a write inside as an ``OSError`` with ``target``'s name.

    Libraries report it as a ``RuntimeError`` (torch), a type of their own (safetensors) or without the file's name (a write
    by Python or numpy).

    Args:
        partial: where ``target`` is written; this name is replaced by the target's.
    """
    try:
        yield
    except MmcsError:
        raise
    except Exception as error:
        named = error.filename if isinstance(error, OSError) else None
        number = error.errno if named is not None and isinstance(error, OSError) else disk_errno(error)
        if isinstance(named, str) and partial is not None and Path(named).is_relative_to(partial):
            target = target / Path(named).relative_to(partial)
        elif named is not None:
            raise
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(target)) from error


def disk_errno(error: BaseException) -> int | None:
    """The number of the disk's error (full, read-only, broken) that caused ``error``; None for any other error."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.errno in _OF_A_DISK:
            return link.errno
        text = str(link)
        if (number := re.search(r"\(os error (\d+)\)", text)) and int(number[1]) in _OF_A_DISK:  # of a library in Rust
            return int(number[1])
        if re.search(
            r"\d+ requested and \d+ written|unexpected pos \d+ vs", text
        ):  # numpy's and torch's of a short write
            return errno.ENOSPC
        link = link.__cause__ or link.__context__
    return None


def replace_path(partial: Path, target: Path) -> None:
    """Gives ``partial`` the name ``target``, whether either is a file or a folder. No system replaces a folder in one step: what
    was there is kept aside for a moment, from where ``settled`` brings it back if that moment is the last.
    """
    if not partial.is_dir() and not target.is_dir():
        partial.replace(target)
        return
    aside = _aside(target)
    remove_path(aside)
    if target.exists():
        target.rename(aside)
    partial.rename(target)
    remove_path(aside)


def settled(path: Path) -> Path:
    """``path``, after what a kill within ``replace_path`` had left aside is back under it."""
    if not path.exists() and _aside(path).exists():
        _aside(path).rename(path)
    return path


def _aside(path: Path) -> Path:
    return path.parent / f".{path.name}.before"


def remove_path(path: Path) -> None:
    """Removes a file or a folder; nothing where there is none."""
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
    given = os.environ.get("MMCS_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "mmcs"
