"""A text of any size, of which no more is held than is looked at; unpacked as it is read.

How a dump of gigabytes is read in a few megabytes: ``sqldump`` calls it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

MAX_HEAD = 1 << 16  # bytes of a line that are looked at as a whole

_CHUNK = 1 << 20  # bytes unpacked at once


class Text:
    """The part of the SQL that is looked at."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks, self.data = chunks, b""

    def more(self, start: int = 0) -> bool:
        """Drops what stands before ``start`` and reads on; False at the end, where nothing is dropped."""
        chunk = next(self.chunks, None)
        if chunk is None:
            return False
        self.data = self.data[start:] + chunk
        return True

    def line(self) -> bool:
        """Makes the beginning of a line stand at the front, whole unless it is longer than ``MAX_HEAD``; False at the end."""
        while True:
            self.data = self.data.lstrip(b" \t\r\n;")
            if b"\n" in self.data or len(self.data) >= MAX_HEAD or not self.more():
                return bool(self.data)

    def skip_line(self) -> None:
        """Drops the line at the front."""
        while (end := self.data.find(b"\n")) < 0:
            self.data = b""
            if not self.more():
                return
        self.data = self.data[end + 1 :]


def gunzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Unpacks a gzip file of any number of members, at most ``_CHUNK`` bytes at once.

    Raises:
        EOFError: it is cut off. zlib.error: it is damaged.
    """
    unpacker, begun = zlib.decompressobj(wbits=31), False
    for piece in pieces:
        while piece:
            begun = True
            if chunk := unpacker.decompress(piece, _CHUNK):
                yield chunk
            piece = unpacker.unconsumed_tail
            if unpacker.eof:
                piece = unpacker.unused_data.lstrip(b"\0")  # padding, or a further member
                unpacker, begun = zlib.decompressobj(wbits=31), False
    while begun and (chunk := unpacker.decompress(b"", _CHUNK)):
        yield chunk
    if begun and not unpacker.eof:
        raise EOFError
