"""Debian packages: fetched with apt-get, their files taken out without dpkg.

A package is an ``ar`` archive whose ``data.tar.*`` holds the files. Only regular files below one folder, with chosen
suffixes, are taken, and their number and size are bounded. Called by stamps.py, cldr.py and mmcs/lexicons.
"""

from __future__ import annotations

import functools
import io
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mmcs.errors import DataError, UserError
from mmcs.files import cache_folder

MAX_FILE_BYTES = 64 * 2**20
MAX_TOTAL_BYTES = 4 * 2**30
MAX_FILES = 100_000


def download_deb(package: str, folder: Path, otherwise: str) -> Path:
    """Fetches a package into ``folder`` with ``apt-get download``, which checks its signature; no root is needed.

    Args:
        package: its name.
        folder: an existing, empty folder.
        otherwise: what to do where it cannot be had, for the sentence of the error.

    Raises:
        UserError: there is no apt-get, or it fails.
    """
    apt = shutil.which("apt-get")
    if apt is None:
        raise UserError(f"There is no apt-get on this machine; {otherwise}.")
    done = _apt_get(apt, ["download", package], folder)
    if done.returncode:  # a fresh machine has no lists of packages, or old ones
        done = _apt_get(apt, [*_own_lists(apt), "download", package], folder)
    debs = sorted(folder.glob("*.deb"))
    if done.returncode or not debs:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"'apt-get download {package}' failed ({reason}); {otherwise}.")
    return debs[0]


@functools.cache
def _own_lists(apt: str) -> tuple[str, ...]:
    """Options that let apt-get use lists of packages that it has just fetched into a folder of ours, without root."""
    folder = cache_folder() / "apt"
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    options = (f"-oDir::State::Lists={folder / 'lists'}", f"-oDir::Cache={folder / 'cache'}", "-oAPT::Sandbox::User=")
    _apt_get(apt, [*options, "update"], folder)
    return options


def _apt_get(apt: str, arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([apt, *arguments], cwd=folder, capture_output=True, text=True, errors="replace")


def extract_deb(deb: Path, folder: Path, inside: PurePosixPath, suffixes: tuple[str, ...]) -> int:
    """Writes the files of ``deb`` that lie below ``inside`` into ``folder``, under their names relative to it.

    Returns:
        The number of files.

    Raises:
        DataError: it is no Debian package, is damaged, or holds more than the bounds allow.
    """
    try:
        with deb.open("rb") as handle, tarfile.open(fileobj=_data_member(handle, deb), mode="r|*") as tar:
            return extract_tar(tar, deb, folder, inside, suffixes)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise DataError(f"{deb} is damaged or not a Debian package ({error}); fetch it again.") from None


def extract_tar(
    tar: tarfile.TarFile, archive: Path, folder: Path, inside: PurePosixPath, suffixes: tuple[str, ...]
) -> int:
    """What ``extract_deb`` does, for an open tar: plain files below ``inside`` alone, bounded in number and size."""
    folder.mkdir(parents=True, exist_ok=True)
    files = total = 0
    for member in tar:
        path = _relative(member, inside)
        if path is None or path.suffix not in suffixes:
            continue
        files, total = files + 1, total + member.size
        if member.size > MAX_FILE_BYTES or total > MAX_TOTAL_BYTES or files > MAX_FILES:
            raise DataError(f"{archive} holds more or larger files than expected ({member.name}); it is not used.")
        source = tar.extractfile(member)
        assert source is not None  # _relative lets regular files through, nothing else
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read())
    return files


def _relative(member: tarfile.TarInfo, inside: PurePosixPath) -> PurePosixPath | None:
    """The path below ``inside``, or None for anything that is not a plain file there."""
    path = PurePosixPath(member.name)
    if not member.isreg() or path.is_absolute() or ".." in path.parts or not path.is_relative_to(inside):
        return None
    return path.relative_to(inside)


def _data_member(handle: BinaryIO, deb: Path) -> BinaryIO:
    """The bytes of ``data.tar.*`` inside the ``ar`` archive, as a file."""
    if handle.read(8) != b"!<arch>\n":
        raise DataError(f"{deb} is not a Debian package.")
    while header := handle.read(60):
        if len(header) < 60 or header[58:] != b"`\n":
            raise DataError(f"{deb} is damaged: its archive header cannot be read; fetch it again.")
        name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), int(header[48:58])
        if name.startswith("data.tar"):
            if name.endswith(".zst"):
                raise DataError(f"{deb} is packed with zstd: unpack it with 'dpkg-deb -x' and name the folder instead.")
            return io.BufferedReader(_Slice(handle, size))
        handle.seek(size + size % 2, io.SEEK_CUR)
    raise DataError(f"{deb} is damaged: it holds no data.tar; fetch it again.")


class _Slice(io.RawIOBase):
    """The next ``size`` bytes of a file, as a file of their own."""

    def __init__(self, handle: BinaryIO, size: int) -> None:
        self._handle, self._left = handle, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._handle.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)
