"""Where every sample of a tar shard lies: ``index_shard`` makes samples of the files that ``tar_headers.py`` finds.

Damage is noted by cause, never raised: a sample that cannot be used keeps its place in the index and is counted when
it is read. Nothing is ever unpacked to disk and no link is followed. Called by ``read.py`` and, where a shard has no
``sizes.json``, by ``sources.py``.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterable

import numpy as np

from mmcs.stream.tar_headers import MOST_FILES, Ends, walk

#: Bytes; no file system takes a longer path.
LONGEST_NAME = 4096
_KEY_AND_EXTENSION = re.compile(r"((?:.*/)?[^./]+)[.]([^/]*)", re.DOTALL)
_META = re.compile(r"__[^/]*__/")
#: Leads out of a folder on some system, or writes to a terminal: control characters, ``\``, ``/…``, ``C:…``, ``..``.
_UNSAFE = re.compile(r"[\0-\x1f\x7f-\x9f\\]|^(?:/|[A-Za-z]:)|(?:^|/)[.][.](?:/|$)")
_ARCHIVES = frozenset(("tar", "tgz", "tbz2", "txz", "zip", "gz", "bz2", "xz", "zst", "7z", "rar"))
_REGULAR = b"07\0"
#: Extensions of pictures, the preferred first, and of the files with captions.
IMAGE_EXTENSIONS = (
    *("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic", "heif", "jfif", "ppm", "pgm"),
    *("svg", "jp2", "jxl"),  # read to be named as what they are
)
TEXT_EXTENSIONS = ("txt", "json")
#: The cause for samples whose files have one key because of dots in their names.
DOTS = "dots in file names"
_PLAIN = frozenset((*IMAGE_EXTENSIONS, *TEXT_EXTENSIONS))


class ShardIndex:
    """The samples of one shard in the order of their first file, about 100 bytes of memory each.

    Attributes:
        keys: the samples' keys, printable and at most 200 characters where they are "unsafe name".
        damage: the cause (one of ``drops.CAUSES``) by number of each sample that cannot be used.
        details: more about some of them, for people.
        ending: why the shard ends earlier than it should, if it does: the cause for samples that are not there.
        lost: (key, detail) of samples that have no place, since their files lie under the key of another: cause ``DOTS``.
    """

    def __init__(
        self,
        keys: list[str],
        damage: dict[int, str],
        details: dict[int, str],
        ending: str | None,
        lost: list[tuple[str, str]],
        members: _Members,
    ) -> None:
        self.keys = keys
        self.damage = damage
        self.details = details
        self.ending = ending
        self.lost = lost
        self._extensions = list(members.extensions)
        owner = np.frombuffer(members.owner, np.int64)
        by_sample = np.argsort(owner, kind="stable")
        self._first = np.searchsorted(owner[by_sample], np.arange(len(keys) + 1))
        self._extension = np.frombuffer(members.extension, np.int64)[by_sample].astype(np.int32)
        self._offset = np.frombuffer(members.offset, np.int64)[by_sample]
        self._size = np.frombuffer(members.size, np.int64)[by_sample]

    def __len__(self) -> int:
        return len(self.keys)

    def members(self, number: int) -> dict[str, tuple[int, int]]:
        """The files of a sample: lower-case extension → (offset, size) in bytes."""
        first, last = self._first[number], self._first[number + 1]
        names = self._extension[first:last].tolist()
        places = zip(self._offset[first:last].tolist(), self._size[first:last].tolist(), strict=True)
        return {self._extensions[name]: place for name, place in zip(names, places, strict=True)}


def index_shard(file: str | os.PathLike[str] | int) -> ShardIndex:
    """Indexes a tar (ustar, GNU or pax): a path, or an open descriptor, which stays open.

    As in webdataset, a sample's key is a file's path up to the first dot of its base name and the rest, in lower
    case, is the extension; names without a dot, ``__meta__`` folders and folders are no samples. Unlike there, nor
    are hidden files, and files of one key need not stand side by side. A second file of the same key and extension
    begins a sample of its own that is marked "duplicate key".

    A sample is marked, too, for any of its files: "unsafe name" (absolute, ``..``, backslashes, drive letters,
    control characters, no UTF-8, beyond ``LONGEST_NAME``), "archive in archive" (by extension), "not a plain file"
    (links, devices, pipes, sparse files). An unsafe name that is no sample's stands behind all samples, so that it
    takes no place that a ``sizes.json`` promises.

    ``a.1.jpg``, ``a.1.txt``, ``a.2.jpg`` and ``a.2.txt`` are one sample of the key ``a`` for webdataset, though two are meant:
    it is marked ``DOTS``, and each further one is in ``lost``.

    Raises:
        OSError: the file cannot be opened or read.
    """
    if isinstance(file, int):
        return _Indexing().run(file)
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        return _Indexing().run(descriptor)
    finally:
        os.close(descriptor)


class _Indexing:
    """The index of one shard while it is made."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.damage: dict[int, str] = {}
        self.details: dict[int, str] = {}
        self.strays: dict[str, None] = {}
        self.lost: list[tuple[str, str]] = []
        self.newest: dict[str, int] = {}
        self.members = _Members()

    def run(self, descriptor: int) -> ShardIndex:
        length = os.fstat(descriptor).st_size
        ending = None
        try:
            for raw, kind, offset, size in walk(descriptor, length):
                number = self._add(raw, kind, offset, min(size, length))
                if number is not None and offset + size > length:
                    ending = self.damage[number] = "truncated archive"
                    break
        except Ends as end:
            ending = end.cause
            self._begin("", end.cause, end.detail)
        self._find_dots()
        for stray in self.strays:
            self._begin(stray, "unsafe name")
        return ShardIndex(self.keys, self.damage, self.details, ending, self.lost, self.members)

    def _add(self, raw: bytes, kind: bytes, offset: int, size: int) -> int | None:
        """Notes a file under its sample, and returns the sample's number; None where it is no sample's."""
        name, cause = _judged(raw)
        if cause is None and _META.match(name):
            return None
        found = _KEY_AND_EXTENSION.fullmatch(name)
        if found is None:
            if cause is not None:
                self.strays[name] = None
            return None
        key, extension = found[1], found[2].lower()
        if cause is None and extension.rpartition(".")[2] in _ARCHIVES:
            cause = "archive in archive"
        elif cause is None and kind not in _REGULAR:
            cause = "not a plain file"
        number = self.newest.get(key)
        if number is None:
            number = self.newest[key] = self._begin(key)
        elif self.members.holds(number, extension):
            number = self.newest[key] = self._begin(key, "duplicate key", f".{extension}")
        if cause is not None and number not in self.damage:
            self.damage[number], self.details[number] = cause, f".{extension}"
        self.members.add(number, extension, offset, size)
        return number

    def _find_dots(self) -> None:
        """Marks the samples of which several are meant, or one of another key."""
        for number, extensions in self.members.with_dots().items():
            meant, key = _meant(extensions), self.keys[number]
            if meant and not any(extension in _PLAIN for extension in extensions):
                detail = f"the first of {len(meant)} with this key, {key}.{meant.pop(0)}"
                if number not in self.damage:
                    self.damage[number], self.details[number] = DOTS, detail
            self.lost += [(f"{key}.{name}", f"its key is {key}") for name in meant]

    def _begin(self, key: str, cause: str | None = None, detail: str = "") -> int:
        self.keys.append(key)
        if cause is not None:
            self.damage[len(self.keys) - 1] = cause
            if detail:
                self.details[len(self.keys) - 1] = detail
        return len(self.keys) - 1


class _Members:
    """The files found so far, in flat arrays."""

    def __init__(self) -> None:
        self.owner, self.extension, self.offset, self.size = (array("q") for _ in range(4))
        self.extensions: dict[str, int] = {}
        self._held: set[int] = set()  # owner and extension in one number: half the memory of pairs

    def holds(self, number: int, extension: str) -> bool:
        return number << 32 | self.extensions.get(extension, MOST_FILES) in self._held

    def add(self, number: int, extension: str, offset: int, size: int) -> None:
        code = self.extensions.setdefault(extension, len(self.extensions))
        self._held.add(number << 32 | code)
        self.owner.append(number)
        self.extension.append(code)
        self.offset.append(offset)
        self.size.append(size)

    def with_dots(self) -> dict[int, list[str]]:
        """The extensions of each sample that has a picture with a further dot in its extension."""
        names = list(self.extensions)
        pictures = {code for name, code in self.extensions.items() if _picture(name.rpartition("."))}
        if not pictures:
            return {}
        found: dict[int, list[str]] = {
            owner: [] for owner, code in zip(self.owner, self.extension, strict=True) if code in pictures
        }
        for owner, code in zip(self.owner, self.extension, strict=True):
            if owner in found:
                found[owner].append(names[code])
        return found


def _picture(parts: tuple[str, str, str]) -> bool:
    """Whether the parts around an extension's last dot, if it has one, are those of a picture."""
    return bool(parts[1]) and parts[2] in IMAGE_EXTENSIONS


def _meant(extensions: Iterable[str]) -> list[str]:
    """What comes before the last dot where a picture and a caption share it: each names a sample that somebody meant.

    Where a sample has files of its own without a further dot, a picture with a ``.json`` may be a mask with notes.
    """
    kinds: dict[str, set[str]] = {}
    plain = False
    for extension in extensions:
        before, dot, last = extension.rpartition(".")
        if dot:
            kinds.setdefault(before, set()).add("image" if last in IMAGE_EXTENSIONS else last)
        plain = plain or extension in _PLAIN
    captions = {"txt"} if plain else {"txt", "json"}
    return [before for before, found in kinds.items() if "image" in found and found & captions]


def _judged(raw: bytes) -> tuple[str, str | None]:
    """A member's name as text, and "unsafe name" if it is one: then printable and short."""
    try:
        name = raw.decode()
        if len(raw) <= LONGEST_NAME and not _UNSAFE.search(name):
            return name, None
    except UnicodeDecodeError:
        pass
    text = raw[: LONGEST_NAME + 1].decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= 200 else f"{text[:199]}…", "unsafe name"
