"""The headers of a tar, one after the other: ``walk`` steps over the data and trusts no number that it finds.

Which files make a sample, and which names are refused, is decided in ``tar.py``, the only caller.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from zlib import adler32

from mmcs.common.file_kind import LOOKED_AT, file_kind

BLOCK = 512
#: A long name or a pax header beyond this is an attack or damage; both are a few hundred bytes in practice.
LARGEST_HEADER = 1 << 20
#: What a shard may hold; the index of so many files takes about 1 GB while it is made.
MOST_FILES = 4_000_000
#: Long names and pax headers before one file: tar writes three at most.
_MOST_DESCRIPTIONS = 16
_CHUNK = 8192
_NO_FILES = b"5DMNV"  # folders and GNU's notes
_WITHOUT_DATA = b"123456"
#: Of zero bytes behind an archive, read at a time.
_MOST_ZEROS = 1 << 20


class Ends(Exception):
    """The walk cannot go on."""

    def __init__(self, cause: str, detail: str = "") -> None:
        super().__init__(cause, detail)
        self.cause = cause
        self.detail = detail


def walk(descriptor: int, length: int) -> Iterator[tuple[bytes, bytes, int, int]]:
    """Yields (name, kind, offset, size) of everything but folders, of concatenated archives, too (as ``tar -i`` reads them).

    Raises:
        Ends: damage, behind which nothing can be found.
    """
    reader = _Reader(descriptor)
    position = files = descriptions = 0
    long_name: bytes | None = None
    long_size: int | None = None
    ended = False
    if not length:
        raise _no_archive(b"")
    while position < length:
        header = reader.read(position, BLOCK)
        if not header.strip(b"\0") and (ended or len(header) == BLOCK):  # the end, unless another archive follows
            position = reader.after_zeros(position, length)
            ended, long_name, long_size, descriptions = True, None, None, 0
            continue
        size = _number(header[124:136]) if len(header) == BLOCK else None
        if size is None or not _checksum_fits(header):
            if not position:
                raise _no_archive(reader.read(0, LOOKED_AT))
            if ended:
                raise Ends(
                    "bytes after the end", f"{length - position:,} bytes after the end of the archive are no tar"
                )
            if len(header) < BLOCK:
                raise Ends("truncated archive")
            raise Ends("damaged archive", f"at byte {position:,}")
        ended = False
        kind, data = header[156:157], position + BLOCK
        if kind in b"LKxXg":  # describes the member that follows
            descriptions += 1
            if size > LARGEST_HEADER or descriptions > _MOST_DESCRIPTIONS:
                raise Ends("damaged archive", f"headers without end at byte {position:,}")
            if data + size > length:
                raise Ends("truncated archive")
            if kind == b"L":
                long_name = reader.read(data, size).rstrip(b"\0")
            elif kind in b"xX":
                fields = _pax(reader.read(data, size))
                long_name = fields.get(b"path", long_name)
                long_size = _decimal(fields.get(b"size", b""), long_size)
            position = data + _padded(size)
            continue
        files += 1
        if files > MOST_FILES:
            raise Ends("damaged archive", f"more than {MOST_FILES:,} files")
        size = size if long_size is None else long_size
        name = _name(header) if long_name is None else long_name
        if kind not in _NO_FILES and not name.endswith(b"/"):
            yield name, kind, data, size
        position = data + (_padded(size) if kind not in _WITHOUT_DATA else 0)
        long_name = long_size = None
        descriptions = 0
    if position > length:  # cut within the padding of the last file
        raise Ends("truncated archive")


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

    def after_zeros(self, position: int, length: int) -> int:
        """The first block from ``position`` on that holds more than zeros, or the end of the file."""
        size = BLOCK
        while zeros := self.read(position, size):
            other = len(zeros) - len(zeros.lstrip(b"\0"))
            if other < len(zeros):
                return position + other // BLOCK * BLOCK
            position += len(zeros)
            size = min(2 * size, _MOST_ZEROS)
        return length


def _no_archive(beginning: bytes) -> Ends:
    kind = file_kind(beginning)
    return Ends("not an archive", "" if kind is None else f"it is {kind}")


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


def _decimal(digits: bytes, otherwise: int | None) -> int | None:
    return int(digits) if digits.isdigit() and len(digits) <= 20 else otherwise


def _name(header: bytes) -> bytes:
    name = header[:100].split(b"\0", 1)[0]
    if header[257:263] == b"ustar\0" and header[345]:  # GNU keeps times where ustar keeps the name's first part
        return header[345:500].split(b"\0", 1)[0] + b"/" + name
    return name


def _pax(data: bytes) -> dict[bytes, bytes]:
    """The fields of a pax header: lines of ``LENGTH KEY=VALUE``; what is malformed is passed over."""
    fields = {}
    position = 0
    while (space := data.find(b" ", position, position + 20)) > 0 and data[position:space].isdigit():
        end = position + int(data[position:space])
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or end <= position:
            break
        fields[key] = value
        position = end
    return fields
