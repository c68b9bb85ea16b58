"""Finds the pictures that a table names in a folder: by the name as it is, else by another spelling of it.

Names differ between systems: a Mac decomposes letters (NFD), a screenshot has a narrow no-break space, a camera writes
``.JPG``. Called by table.py.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from mmcs.prepare.suite_files import files_below

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_DRIVE = re.compile(r"[a-z]:/", re.IGNORECASE)
OUTSIDE = "path that leads out of the images' folder"


class NoPicture(Exception):
    """A name that no picture belongs to; its text is the cause, the same for all names alike."""


class PictureFiles:
    """The pictures of a folder, by the names that a table gives them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._roots = dict.fromkeys((os.path.normpath(folder.absolute()), os.path.realpath(folder)))
        self._by_spelling: dict[str, list[str]] | None = None

    def find(self, name: str) -> PurePosixPath:
        """The path below the folder of the picture that ``name`` means.

        Args:
            name: a path below the folder, an absolute one inside it, or a ``file://`` address.

        Raises:
            NoPicture: there is none.
        """
        if _SCHEME.match(name.strip()):
            address = urlsplit(name.strip())
            if address.scheme.lower() != "file":
                raise NoPicture("URL instead of a file (download pictures with img2dataset; mmcs reads its shards)")
            name = unquote(address.path)
        if name.strip().startswith("data:"):
            raise NoPicture("picture inside the table instead of a file name")
        plain = name.strip().replace("\\", "/")
        for spelling in dict.fromkeys((name, name.replace("\\", "/"), name.strip(), plain)):
            path = self._below(spelling)
            if path is not None and _is_file(self.folder / path):
                return PurePosixPath(path)
        path = self._below(plain)
        if path is None:
            raise NoPicture(OUTSIDE)
        return PurePosixPath(self._otherwise_spelt(path))

    def _below(self, name: str) -> str | None:
        """The normalised path below the folder; None where it leads out of it."""
        if "\0" in name or _DRIVE.match(name):
            return None
        path = os.path.normpath(name)
        if path.startswith("/"):
            for full in (path, os.path.realpath(path)):
                for root in self._roots:
                    if full.startswith(f"{root.rstrip('/')}/"):
                        return os.path.relpath(full, root)
            return None
        return None if path in ("", ".", "..") or path.startswith("../") else path

    def _otherwise_spelt(self, path: str) -> str:
        if self._by_spelling is None:
            self._by_spelling = defaultdict(list)
            for file in files_below(self.folder):
                below = str(file.relative_to(self.folder))
                self._by_spelling[_alike(below)].append(below)
        candidates = self._by_spelling.get(_alike(path), [])
        for same in (_composed, _with_small_extension, _alike):
            found = [candidate for candidate in candidates if same(candidate) == same(path)]
            if len(found) == 1:
                return found[0]
            if found:
                raise NoPicture("several files whose names differ only in spelling")
        raise NoPicture("missing file")


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _with_small_extension(path: str) -> str:
    path = _composed(path)
    extension = PurePosixPath(path).suffix
    return path.removesuffix(extension) + extension.lower()


def _alike(path: str) -> str:
    """The path without what spellings differ in: normal form, case of the extension, kind and number of spaces."""
    parts = (" ".join(part.split()) for part in _with_small_extension(path).split("/"))
    return "/".join(parts)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have: a caption, most often
        return False


def inventory(files: Iterable[tuple[str, Path]], missing: int = 0) -> dict[str, Any]:
    """What a preparation read, so that it is noticed when that changes: number, bytes and a hash of names, sizes, times.

    Args:
        files: the name of each file in the source, and where it is.
        missing: how many files the source names that are not there.
    """
    digest, number, total = hashlib.sha256(), 0, 0
    for name, path in files:
        status = path.stat()
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        number, total = number + 1, total + status.st_size
    return {"files": number, "missing": missing, "bytes": total, "sha256": digest.hexdigest()}


def inventory_below(sources: Iterable[Path], suffixes: tuple[str, ...] = ("",)) -> dict[str, Any]:
    """``inventory`` of files, and of those below folders whose names end with one of ``suffixes``."""
    found: list[tuple[str, Path]] = []
    for source in sources:
        below = [source] if source.is_file() else files_below(source)
        found += [(str(file.relative_to(source)), file) for file in below if file.name.endswith(suffixes)]
    return inventory(found)
