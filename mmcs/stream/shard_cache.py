"""Whole shards kept on the local disk, within a bound, for all processes of the machine.

``remote.py`` asks for a shard and hands in how it is copied; what is fetched from where is not known here.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from mmcs.common.file_lock import try_lock
from mmcs.errors import MmcsError
from mmcs.files import atomic_file
from mmcs.stream.stores import FetchError, Version, shown

_LONGEST_LOOK = 0.2  # seconds between two looks at a lock that another holds


class _NoRoom(Exception):
    """Shards that are being copied right now fill the cache."""


class ShardCache:
    """Shards by URL. Each has a file with its content and, written after it, one with the version and checksum.

    Args:
        folder: of the cache; may be shared by any number of processes.
        limit: bytes that all shards together may have, those included that are being copied.
        patience: seconds for which another process may copy a shard without a sign of life before this one goes alone.
    """

    def __init__(self, folder: Path, limit: int, patience: float) -> None:
        self._folder = folder
        self._limit = limit
        self._patience = patience
        self._verified: set[tuple[int, int, int]] = set()

    def open(self, url: str, version: Version, copy: Callable[[int], None]) -> int | None:
        """A descriptor of the shard in this version, copied by ``copy(descriptor)`` unless it is there; one process
        copies, others wait for it.

        Returns:
            The caller's own descriptor; None where the shard cannot be kept: too large, of unknown size, no room, or a
            file system without locks.

        Raises:
            FetchError: another content came than ``version`` announced; and whatever ``copy`` raises.
            MmcsError: the folder cannot be used.
        """
        if version.size is None or version.size > self._limit:
            return None
        try:
            (self._folder / "locks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MmcsError(
                f"The cache of shards {self._folder} cannot be used ({error.strerror}); move it by MMCS_CACHE."
            ) from None
        data = self._folder / blake2b(url.encode(), digest_size=16).hexdigest()
        found = self._usable(data, version)
        if found is not None:
            return found
        with self._locked(data.name, self._patience) as mine:
            if not mine:
                return None
            found = self._usable(data, version)
            if found is not None:
                return found
            try:
                return self._filled(data, url, version, copy)
            except _NoRoom:
                return None

    def _usable(self, data: Path, version: Version) -> int | None:
        """A descriptor of a kept shard, if it is whole and of this version; marks it as used now."""
        try:
            descriptor = os.open(data, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            noted = json.loads(_note(data).read_text(encoding="utf-8"))
            state = os.fstat(descriptor)
            if [state.st_size, noted["size"], noted["tag"]] == [version.size, version.size, version.tag]:
                stamp = (state.st_ino, state.st_mtime_ns, noted["crc32"])
                if stamp in self._verified or _checksum(descriptor) == noted["crc32"]:
                    self._verified.add(stamp)
                    os.utime(_note(data))
                    descriptor, kept = -1, descriptor
                    return kept
        except (OSError, ValueError, KeyError, TypeError):
            pass  # removed meanwhile, or damaged: copied anew
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return None

    def _filled(self, data: Path, url: str, version: Version, copy: Callable[[int], None]) -> int:
        """Copies a shard; this process holds its lock."""
        assert version.size is not None
        _note(data).unlink(missing_ok=True)
        for left in self._folder.glob(f".{data.name}.*.partial"):  # of a process that was killed
            left.unlink(missing_ok=True)
        with atomic_file(data) as partial, partial.open("w+b") as file:
            with self._locked("room", self._patience) as mine:
                if not mine or not self._makes_room(version.size):
                    raise _NoRoom
                os.ftruncate(file.fileno(), version.size)  # counts from now on as what it will be
            copy(file.fileno())
            if os.fstat(file.fileno()).st_size != version.size:
                raise FetchError(f"{shown(url)} changed while it was read.")
            checksum = _checksum(file.fileno())
            kept = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with atomic_file(_note(data)) as partial:
                note = {"url": shown(url), "size": version.size, "tag": version.tag, "crc32": checksum}
                partial.write_text(json.dumps(note), encoding="utf-8")
        except BaseException:
            os.close(kept)
            raise
        return kept

    def _makes_room(self, incoming: int) -> bool:
        """Removes what killed processes left, then the shards that were not used for longest; this process holds "room"."""
        total, kept = 0, []
        for path in self._folder.iterdir():
            try:
                state = path.stat()
                if path.name.endswith(".partial"):
                    if not self._removed(path.name.split(".")[1], path):
                        total += state.st_size
                elif path.is_file() and path.suffix == "":
                    total += state.st_size
                    note = _note(path)
                    used = note.stat().st_mtime_ns if note.exists() else 0
                    kept.append((used, path, state.st_size))
            except FileNotFoundError:
                pass  # its process finished or removed it just now
        for _, path, size in sorted(kept):
            if total + incoming <= self._limit:
                break
            if self._removed(path.name, _note(path), path):
                total -= size
        return total + incoming <= self._limit

    def _removed(self, name: str, *paths: Path) -> bool:
        """Removes files of shard ``name`` unless a process is at work on it; who has them open reads on."""
        with self._locked(name, 0.0) as mine:
            if mine:
                for path in paths:
                    path.unlink(missing_ok=True)
            return mine

    @contextmanager
    def _locked(self, name: str, patience: float) -> Iterator[bool]:
        """Holds a lock between processes (a killed one frees it); False when its holder shows no life for ``patience``."""
        descriptor = os.open(self._folder / "locks" / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            yield self._waited(descriptor, name, patience)
        finally:
            os.close(descriptor)

    def _waited(self, descriptor: int, name: str, patience: float) -> bool:
        sign, since, pause = self._sign_of_life(name), time.monotonic(), 0.01
        while True:
            locked = try_lock(descriptor, f"the cache of shards {self._folder} is not used (MMCS_CACHE moves it)")
            if locked is not False:
                return locked is True
            if self._sign_of_life(name) != sign:
                sign, since = self._sign_of_life(name), time.monotonic()
            if time.monotonic() - since >= patience:
                return False
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK)

    def _sign_of_life(self, name: str) -> list[int]:
        """Changes with every byte that another process writes of a shard."""
        signs = []
        for partial in self._folder.glob(f".{name}.*.partial"):
            with suppress(FileNotFoundError):
                signs.append(partial.stat().st_mtime_ns)
        return signs


def _note(data: Path) -> Path:
    return data.with_name(f"{data.name}.json")


def _checksum(descriptor: int) -> int:
    checksum, offset = 0, 0
    while block := os.pread(descriptor, 4 << 20, offset):
        checksum, offset = zlib.crc32(block, checksum), offset + len(block)
    return checksum
