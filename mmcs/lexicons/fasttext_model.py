"""fastText's own models (``.bin``): the vectors of their words, from the words' rows and those of their character n-grams.

The file is mapped into memory and only the rows that are asked for are read. ``vectors`` calls this; text files and
word2vec's binary form are read there.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmcs.errors import DataError

MAGIC = 793712314
_VERSIONS = (11, 12)
_ARGS = struct.Struct("<12id")
_COUNTS = struct.Struct("<3i2q")
_SUPERVISED = 3
_WORD, _LONGEST = 0, 1 << 16
_BATCH = 1024  # words whose rows are summed at a time
_FNV_START, _FNV_PRIME = 2166136261, 16777619
# The hash takes each byte as a signed number: from 128 on the upper bits are set.
_SIGNED = [byte | (0xFFFFFF00 if byte >= 128 else 0) for byte in range(256)]


def is_model(head: bytes) -> bool:
    """Whether a file that begins so is a fastText model."""
    return head[:4] == MAGIC.to_bytes(4, "little")


class FastTextModel:
    """A model that is open for reading.

    Attributes:
        words: as bytes, the most frequent first; labels of classifiers are not among them.
        dim: width of the vectors.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self._read()
        except (struct.error, IndexError):
            raise self._cut() from None

    def _cut(self) -> DataError:
        return DataError(f"{self.path} is a fastText model that is damaged or cut off; get it again.")

    def _read(self) -> None:
        data = self._data
        (version,) = struct.unpack_from("<i", data, 4)
        if version not in _VERSIONS:
            raise DataError(f"{self.path} is a fastText model of version {version}; versions 11 and 12 can be read.")
        values = _ARGS.unpack_from(data, 8)
        self.dim, model, self.bucket, self.minn, self.maxn = (int(values[i]) for i in (0, 7, 8, 9, 10))
        if version == 11 and model == _SUPERVISED:
            self.maxn = 0  # classifiers had no character n-grams then
        at = 8 + _ARGS.size
        size, n_words, _, _, pruned = _COUNTS.unpack_from(data, at)
        at = self._read_words(at + _COUNTS.size, size)
        if len(self.words) != n_words or not 1 <= self.dim < 1 << 16 or not 0 <= self.maxn < 256 or self.bucket < 0:
            raise self._cut()
        if pruned >= 0:
            raise DataError(f"{self.path} is a reduced fastText model; take the full one (.bin, not .ftz).")
        if data[at]:
            raise DataError(f"{self.path} is a quantised fastText model; take the full one (.bin, not .ftz).")
        rows, columns = struct.unpack_from("<2q", data, at + 1)
        at += 17
        if columns != self.dim or rows != n_words + self.bucket or at + rows * columns * 4 > len(data):
            raise self._cut()
        self._matrix = np.frombuffer(data, "<f4", rows * columns, at).reshape(rows, columns)
        # The output matrix is not needed, but without it the file is cut off.
        at += rows * columns * 4
        rows, columns = struct.unpack_from("<2q", data, at + 1)
        if min(rows, columns) < 0 or at + 17 + rows * columns * 4 > len(data):
            raise self._cut()

    def _read_words(self, at: int, size: int) -> int:
        """Reads the dictionary; returns where it ends."""
        self.words: list[bytes] = []
        for _ in range(size):
            end = self._data.find(b"\0", at, at + _LONGEST)
            if end < 0:
                raise self._cut()
            if self._data[end + 9] == _WORD:  # behind the count
                self.words.append(self._data[at:end])
            at = end + 10
        return at

    def rows(self) -> Iterator[tuple[bytes, np.ndarray, str]]:
        """Words, their vectors, and where they stand."""
        for start in range(0, len(self.words), _BATCH):
            words = self.words[start : start + _BATCH]
            ids = [[start + i, *self._subwords(word)] for i, word in enumerate(words)]
            lengths = np.array([len(of_word) for of_word in ids])
            every = np.fromiter((row for of_word in ids for row in of_word), np.int64, int(lengths.sum()))
            sums = np.add.reduceat(self._matrix[every], np.cumsum(lengths) - lengths, axis=0)
            vectors = sums * (1 / lengths).astype(np.float32)[:, None]
            for i, word in enumerate(words):
                yield word, vectors[i], f"word {start + i + 1}"

    def _subwords(self, word: bytes) -> list[int]:
        """Rows of a word's n-grams: minn to maxn characters of the word between '<' and '>', hashed into the buckets."""
        if word == b"</s>" or not self.maxn or not self.bucket:
            return []
        text = b"<" + word + b">"
        # Where characters begin: every byte that does not continue one.
        begins = [i for i, byte in enumerate(text) if byte & 0xC0 != 0x80] + [len(text)]
        first, last, rows = len(self.words), len(begins) - 1, []
        for i in range(last):
            value = _FNV_START
            for n in range(1, min(self.maxn, last - i) + 1):
                for byte in text[begins[i + n - 1] : begins[i + n]]:
                    value = (value ^ _SIGNED[byte]) * _FNV_PRIME & 0xFFFFFFFF
                if n >= self.minn and not (n == 1 and (i == 0 or i + n == last)):
                    rows.append(first + value % self.bucket)
        return rows
