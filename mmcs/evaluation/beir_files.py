"""The files of a folder in BEIR's format: which they are, and their lines and records. ``beir`` gives these their meaning.

Next to BEIR's own names (``corpus.jsonl``), Parquet is found as data sets on hubs lay it out: ``corpus.parquet``,
``corpus-00000-of-00002.parquet``, or any ``*.parquet`` in a folder ``corpus``.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmcs.common.file_kind import LOOKED_AT, file_kind
from mmcs.common.parquet import parquet_rows
from mmcs.errors import DataError, UserError

LONGEST = 16 << 20  # bytes of a line: the longest documents of known sets have one
PARQUET = ".parquet"
_QRELS = ("qrels", "data")  # the second is what Hugging Face's push_to_hub makes of a default configuration


def set_files(folder: Path, stem: str, split: str) -> list[Path]:
    """The files that hold ``stem`` (corpus, queries): one, or the parts of Parquet in order, those of ``split`` if some are.

    Raises:
        UserError: there are none.
    """
    if found := _files(folder, stem, (".jsonl",), split):
        return found
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder.")
    inner = sorted(
        {path.parent.name for path in (*folder.glob(f"*/{stem}.jsonl*"), *folder.glob(f"*/{stem}*{PARQUET}"))}
    )
    hint = f"did you mean one of its folders {', '.join(inner)}?" if inner else "see docs/evaluation-beir.md."
    raise UserError(f"{folder} is not in BEIR's format: it holds no {stem}.jsonl or {stem}{PARQUET}; {hint}")


def qrels_files(folder: Path, split: str) -> list[Path]:
    """The files that hold the judgments of ``split``; as ``set_files``.

    Raises:
        UserError: there are none; the sentence lists the splits that have some.
    """
    for name in _QRELS:
        if found := _files(folder / name, split, (".tsv", ".jsonl"), split):
            return found
    names = (path.name for path in (folder / "qrels").glob("*") if path.is_file() or path.is_dir())
    splits = sorted({name.partition(".")[0].partition("-0")[0] for name in names if not name.startswith(".")})
    hint = f"has judgments for {', '.join(splits)}" if splits else "has no folder qrels with SPLIT.tsv"
    raise UserError(f"{folder} {hint}, not for the split {split!r} (--split).")


def _files(folder: Path, stem: str, endings: Sequence[str], split: str) -> list[Path]:
    for ending in endings:
        for path in (folder / f"{stem}{ending}", folder / f"{stem}{ending}.gz"):
            if path.is_file():
                return [path]
    for pattern in (f"{stem}{PARQUET}", f"{stem}-*{PARQUET}", f"{stem}/**/*{PARQUET}"):
        if found := sorted(folder.glob(pattern)):
            return [path for path in found if path.name.startswith((f"{split}-", f"{split}."))] or found
    return []


def records_of(paths: Sequence[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of JSON lines or the rows of Parquet, each with its place for messages."""
    for path in paths:
        if path.suffix == PARQUET:
            yield from parquet_rows(path)
            continue
        for number, line in lines_of(path):
            where = f"{path}, line {number}"
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{where} is not JSON ({error}).") from None
            if not isinstance(record, dict):
                raise DataError(f"{where} is {type(record).__name__}, where an object is wanted.")
            yield where, record


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers and texts of the lines that are not blank."""
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as handle:
            while line := handle.readline(LONGEST + 1):
                number += 1
                if number == 1 and (kind := file_kind(line[:LOOKED_AT])) is not None and "LFS" in kind.what:
                    raise DataError(f"{path} is {kind}.")
                if len(line) > LONGEST:
                    raise DataError(f"{path}, line {number} is longer than {LONGEST >> 20} MiB.")
                if text := line.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n "):
                    yield number, text
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, line {number}: not UTF-8 at byte {error.start}.") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}, after line {number}: damaged gzip ({error}); fetch it again.") from None
