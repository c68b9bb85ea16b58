"""Reads word vectors, the most frequent words first: text (fastText, word2vec, GloVe), word2vec binary, fastText models.

Which kind a file is, its bytes tell, not its name. fastText's own models are read in ``fasttext_model``; mapping and
retrieval are elsewhere. ``embeddings`` (the builder) calls ``read_vectors``.
"""

from __future__ import annotations

import gzip
import mmap
import os
import re
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np

from mmcs.errors import DataError, UserError
from mmcs.lexicons import fasttext_model
from mmcs.prepare.records import Tally
from mmcs.progress import track

MAX_DIM = 16_384
MAX_SHARE = 0.2  # of the rows read, left out
MAX_MISSING = 2  # rows fewer than the header announces: fastText counts words that it does not write
_CHUNK = 4096  # rows: what a header promises is never allocated at once
_LINE = 1 << 20  # bytes; no row of a text file is longer
_WORD = 4096  # bytes; no word of a binary file is longer

_HEADER = re.compile(rb"(\d{1,18})[ \t](\d{1,9})[ \t]*\r?\n")

Row = tuple[bytes, np.ndarray | None, str]
"""A word, its vector, and where it stands (line 17); without a vector the row is damaged: the text says where and how."""


@dataclass(frozen=True)
class Vectors:
    """Words and their vectors.

    Attributes:
        path: the file.
        words: as the file spells them, each once, the most frequent first.
        matrix: (words, dim) float32; finite, no row zero.
        left_out: rows that are not here, by cause.
        note: how the number of rows differs from the one that the header announces; "" where it does not.
    """

    path: Path
    words: list[str]
    matrix: np.ndarray
    left_out: Tally
    note: str = ""

    @property
    def dim(self) -> int:
        return self.matrix.shape[1]


def read_vectors(path: str | os.PathLike[str], max_words: int = 200_000) -> Vectors:
    """The first ``max_words`` usable rows of a file of word vectors.

    Raises:
        UserError: there is no such file. DataError: it is no such file, is cut off, or more than ``MAX_SHARE`` of the
            rows read are damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"there is no file of word vectors {path}."
            if not path.exists()
            else f"{path} is a folder; name a file of word vectors (.vec, .txt, .bin)."
        )
    try:
        dim, total, rows = _open(path)
        with warnings.catch_warnings():
            # Where a row is not all numbers, older numpy warns and gives those before, newer numpy raises ValueError.
            warnings.filterwarnings("error", "string or file could not be read", DeprecationWarning)
            shown = track(rows, f"reading {path.name}", min(total or max_words, max_words))
            return _collect(path, dim, total, shown, max_words)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} cannot be unpacked ({error}); it is damaged or cut off: get it again.") from None


def _open(path: Path) -> tuple[int, int | None, Iterator[Row]]:
    """Width, number of rows where it is known, and the rows."""
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    with _unzipped(path, zipped) as file:
        head = file.read(1 << 16)
    if not head:
        raise DataError(f"{path} is empty; it should hold word vectors.")
    binary = fasttext_model.is_model(head) or _is_word2vec(head)
    if binary and zipped:
        raise DataError(f"{path} is a packed binary file, which cannot be read in place; unpack it first (gunzip).")
    if fasttext_model.is_model(head):
        model = fasttext_model.FastTextModel(path)
        return model.dim, len(model.words), model.rows()
    header = _HEADER.match(head.removeprefix(b"\xef\xbb\xbf"))
    if binary:
        assert header is not None
        return (
            _width(path, int(header[2])),
            int(header[1]),
            _word2vec(path, int(header[1]), int(header[2]), header.end()),
        )
    first = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    if b"\0" in head or not re.search(rb"\S[ \t]", first):
        raise DataError(f"{path} holds no word vectors that can be read (text, word2vec or fastText's binary form).")
    if header is not None:
        dim, total = int(header[2]), int(header[1])
    else:
        dim, total = len(first.split()) - 1, None
    return _width(path, dim), total, _text(path, zipped, dim, skip=header is not None)


def _unzipped(path: Path, zipped: bool) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if zipped else path.open("rb")


def _width(path: Path, dim: int) -> int:
    if not 1 <= dim <= MAX_DIM:
        raise DataError(f"{path} says that its vectors have {dim} numbers; 1 to {MAX_DIM} can be read.")
    return dim


def _is_word2vec(head: bytes) -> bool:
    """Whether numbers in binary follow the first word."""
    header = _HEADER.match(head)
    if header is None:
        return False
    _, _, numbers = head[header.end() :].partition(b" ")
    numbers = numbers[: 4 * min(int(header[2]), 16)]
    # Text may be damaged in its first row, but does not hold control characters.
    return len(numbers) >= 4 and re.search(rb"[\x00-\x08\x0e-\x1f]", numbers) is not None


def _collect(path: Path, dim: int, total: int | None, rows: Iterator[Row], max_words: int) -> Vectors:
    words: dict[str, None] = {}
    left_out, chunks, n, seen, note = Tally(), [np.empty((0, dim), np.float32)], 0, 0, ""
    for raw, vector, where in rows:
        seen += 1
        try:
            word = raw.decode()
        except UnicodeDecodeError:
            left_out.add("not UTF-8", f"{where}: {raw!r}")
            continue
        cause = _damage(vector, where)
        if not cause and (not word or word in words):
            cause = "named before" if word else "no word"
        if cause:
            left_out.add(cause, f"{where.partition(': ')[0]}: {word[:80]!r}")
            continue
        if n % _CHUNK == 0:
            chunks.append(np.empty((min(_CHUNK, max_words - n), dim), np.float32))
        chunks[-1][n % _CHUNK] = vector
        words[word] = None
        n += 1
        if n == max_words:
            break
    else:
        note = _compared(path, total, seen)
    if left_out.total > MAX_SHARE * seen:
        cause, about = next(iter(left_out.as_dict().items()))
        raise DataError(
            f"{path}: {left_out.total:,} of {seen:,} rows cannot be used, mostly '{cause}' (e.g. {about['examples'][0]});"  # type: ignore[index]
            " the file is damaged or of another kind."
        )
    if not n:
        raise DataError(f"{path} holds no word vector.")
    chunks[-1] = chunks[-1][: (n - 1) % _CHUNK + 1]
    return Vectors(path, list(words), np.concatenate(chunks), left_out, note)


def _compared(path: Path, announced: int | None, seen: int) -> str:
    """What a file that was read to its end holds against its header; "" where they agree, or there is none.

    Raises:
        DataError: more than ``MAX_MISSING`` rows are missing.
    """
    if announced is None or announced == seen:
        return ""
    if seen < announced - MAX_MISSING:
        raise DataError(f"{path} is cut off: its header announces {announced:,} rows, it has {seen:,}; get it again.")
    return f"the header of {path.name} announces {announced:,} rows, it has {seen:,}; all of them were read"


def _damage(vector: np.ndarray | None, where: str) -> str:
    """Why a row cannot be used; empty where it can."""
    if vector is None:
        return where.partition(": ")[2]
    with np.errstate(over="ignore", invalid="ignore"):
        square = float(np.dot(vector, vector))
    if not np.isfinite(square):
        return "numbers beyond float32's range" if np.isfinite(vector).all() else "not a number"
    return "" if square > 0 else "all zero"


def _text(path: Path, zipped: bool, dim: int, *, skip: bool) -> Iterator[Row]:
    with _unzipped(path, zipped) as file:
        number = 0
        while line := file.readline(_LINE):
            number += 1
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
                if skip:
                    continue
            where = f"line {number}"
            if len(line) == _LINE and not line.endswith(b"\n"):
                while (rest := file.readline(_LINE)) and not rest.endswith(b"\n"):
                    pass
                yield line[:80].split(b" ")[0].decode(errors="replace").encode(), None, f"{where}: too long"
                continue
            line = line.rstrip(b" \t\r\n")
            if line:
                yield _text_row(line, dim, where)


def _text_row(line: bytes, dim: int, where: str) -> Row:
    word, _, rest = line.partition(b" ")
    vector = _parsed(rest, dim)
    if vector is None:  # a word with spaces, columns apart by tabs, or damage
        parts = line.replace(b"\t", b" ").rsplit(b" ", dim)
        if len(parts) <= dim:
            return word, None, f"{where}: too few numbers"
        word, vector = parts[0].strip(b" "), _parsed(b" ".join(parts[1:]), dim)
        if vector is None:
            return word, None, f"{where}: not numbers"
    return word, vector, where


def _parsed(text: bytes, dim: int) -> np.ndarray | None:
    """The ``dim`` numbers that ``text`` holds, or None."""
    try:
        vector = np.fromstring(text, np.float32, sep=" ")
    except (DeprecationWarning, ValueError):  # see ``read_vectors``
        return None
    return vector if len(vector) == dim else None


def _word2vec(path: Path, count: int, dim: int, start: int) -> Iterator[Row]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if len(data) < start + count * (4 * dim + 1):
            raise DataError(
                f"{path} is cut off: {count:,} words of {dim} numbers take more than its {len(data):,} bytes; get it again."
            )
        for i in range(count):
            where = f"word {i + 1}"
            end = data.find(b" ", start, start + _WORD)
            if end < 0 or end + 1 + 4 * dim > len(data):
                raise DataError(f"{path} is damaged or cut off at {where} of {count:,}; get it again.")
            vector = np.frombuffer(data[end + 1 : end + 1 + 4 * dim], "<f4")
            yield data[start:end].lstrip(b"\n"), vector, where
            start = end + 1 + 4 * dim
        if rest := len(data[start : start + _WORD].strip()):
            raise DataError(
                f"{path} has at least {rest:,} bytes more than the {count:,} words that its header announces; it is damaged: "
                "get it again."
            )
