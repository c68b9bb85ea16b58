"""Where every sample of a tar shard lies: ``index_shard`` walks the headers once and reads no data.

Damage is noted by cause, never raised: a sample that cannot be used keeps its place in the index and is counted when
it is read. Nothing is ever unpacked to disk, so names that point elsewhere are harmless. Called by ``read.py``
and, where a shard has no ``sizes.json``, by ``sources.py``.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterator
from zlib import adler32

import numpy as np

BLOCK = 512
#: A long name or a pax header beyond this is an attack or damage; both are a few hundred bytes in practice.
LARGEST_HEADER = 1 << 20
_CHUNK = 8192
_KEY_AND_EXTENSION = re.compile(r"((?:.*/)?[^./]+)[.]([^/]*)", re.DOTALL)
_META = re.compile(r"__[^/]*__/")
_REGULAR = b"07\0"


class ShardIndex:
    """The samples of one shard in the order of their first file, about 100 bytes of memory each.

    Attributes:
        keys: the samples' keys.
        damage: the cause (one of ``drops.CAUSES``) by number of each sample that cannot be used.
        ending: why the shard ends earlier than it should, if it does: the cause for samples that are not there.
    """

    def __init__(self, keys: list[str], damage: dict[int, str], ending: str | None, members: _Members) -> None:
        self.keys = keys
        self.damage = damage
        self.ending = ending
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


def index_shard(path: str | os.PathLike[str]) -> ShardIndex:
    """Indexes a tar (ustar, GNU or pax).

    As in webdataset, a sample's key is a file's path up to the first dot of its base name and the rest, in lower
    case, is the extension; names without a dot, ``__meta__`` folders, links and folders are no samples. Unlike there,
    nor are hidden files, and files of one key need not stand side by side. A second file of the same key and extension begins a
    sample of its own that is marked "duplicate key".

    Raises:
        OSError: the file cannot be opened or read.
    """
    keys: list[str] = []
    damage: dict[int, str] = {}
    ending = None
    newest: dict[str, int] = {}
    members = _Members()

    def begin(key: str, cause: str | None = None) -> int:
        keys.append(key)
        if cause is not None:
            damage[len(keys) - 1] = cause
        return len(keys) - 1

    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        length = os.fstat(descriptor).st_size
        for name, offset, size in _walk(descriptor, length):
            if size < 0:  # the walk ends here; ``name`` is the cause
                ending = name
                begin("", ending)
                break
            found = None if _META.match(name) else _KEY_AND_EXTENSION.fullmatch(name)
            if found is None:
                continue
            key, extension = found[1], found[2].lower()
            number = newest.get(key)
            if number is None:
                number = newest[key] = begin(key)
            elif members.holds(number, extension):
                number = newest[key] = begin(key, "duplicate key")
            members.add(number, extension, offset, size)
            if offset + size > length:
                damage[number] = ending = "truncated archive"
                break
    finally:
        os.close(descriptor)
    return ShardIndex(keys, damage, ending, members)


class _Members:
    """The files found so far, in flat arrays."""

    def __init__(self) -> None:
        self.owner, self.extension, self.offset, self.size = (array("q") for _ in range(4))
        self.extensions: dict[str, int] = {}
        self._held: set[tuple[int, int]] = set()

    def holds(self, number: int, extension: str) -> bool:
        return (number, self.extensions.get(extension, -1)) in self._held

    def add(self, number: int, extension: str, offset: int, size: int) -> None:
        code = self.extensions.setdefault(extension, len(self.extensions))
        self._held.add((number, code))
        self.owner.append(number)
        self.extension.append(code)
        self.offset.append(offset)
        self.size.append(size)


def _walk(descriptor: int, length: int) -> Iterator[tuple[str, int, int]]:
    """Yields (name, offset, size) of each regular file; at damage (cause, offset, -1), and nothing more."""
    reader = _Reader(descriptor)
    position = 0
    long_name: str | None = None
    long_size: int | None = None
    if not length:
        yield "not an archive", 0, -1
    while position < length:
        header = reader.read(position, BLOCK)
        if len(header) < BLOCK:
            yield ("truncated archive" if position else "not an archive"), position, -1
            return
        if header.count(0) == BLOCK:  # the mark of the end
            return
        size = _number(header[124:136])
        if size is None or not _checksum_fits(header):
            yield ("damaged archive" if position else "not an archive"), position, -1
            return
        kind, data = header[156:157], position + BLOCK
        if kind in b"LKxg":  # describes the member that follows
            if size > LARGEST_HEADER or data + size > length:
                yield ("damaged archive" if size > LARGEST_HEADER else "truncated archive"), position, -1
                return
            if kind == b"L":
                long_name = _text(reader.read(data, size))
            elif kind == b"x":
                fields = _pax(reader.read(data, size))
                long_name = fields.get("path", long_name)
                long_size = int(fields["size"]) if fields.get("size", "").isdecimal() else long_size
            position = data + _padded(size)
            continue
        size = size if long_size is None else long_size
        name = _name(header) if long_name is None else long_name
        if kind in _REGULAR and not name.endswith("/"):
            yield name, data, size
        position = data + (_padded(size) if kind not in b"123456" else 0)
        long_name = long_size = None
    if position > length:  # cut within the padding of the last file
        yield "truncated archive", length, -1


class _Reader:
    """pread in chunks: a caption, its JSON and their headers come with one call; images are stepped over."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._start = 0
        self._chunk = b""

    def read(self, position: int, size: int) -> bytes:
        begin = position - self._start
        if begin < 0 or begin + size > len(self._chunk):
            self._start, begin = position, 0
            self._chunk = os.pread(self._descriptor, max(size, _CHUNK), position)
        return self._chunk[begin : begin + size]


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _checksum_fits(header: bytes) -> bool:
    """The header's sum of bytes against its own note of it, spaces standing for the note.

    adler32's lower half is 1 + the sum of all bytes mod 65521, some thirty times faster than ``sum``.
    """
    noted = _number(header[148:156])
    if noted is None:
        return False
    total = (adler32(header) & 0xFFFF) - 1 - sum(header[148:156]) + 8 * 32
    return (total - noted) % 65521 == 0


def _number(field: bytes) -> int | None:
    """A tar number, octal or base-256; None when it is neither, or negative."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    try:
        return int(digits or b"0", 8) if digits.isdigit() or not digits else None
    except ValueError:
        return None


def _name(header: bytes) -> str:
    name = _text(header[:100])
    if header[257:263] == b"ustar\0" and header[345]:  # GNU keeps times where ustar keeps the name's first part
        return f"{_text(header[345:500])}/{name}"
    return name


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _pax(data: bytes) -> dict[str, str]:
    """The fields of a pax header: lines of ``LENGTH KEY=VALUE``; what is malformed is passed over."""
    fields = {}
    position = 0
    while (space := data.find(b" ", position, position + 20)) > 0 and data[position:space].isdigit():
        end = position + int(data[position:space])
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or end <= position:
            break
        fields[key.decode("utf-8", "backslashreplace")] = value.decode("utf-8", "backslashreplace")
        position = end
    return fields
