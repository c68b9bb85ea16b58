"""A table of captions as a file: delimited text in any of its dialects, JSON lines or Parquet, gzip or not, into rows of text.

Nothing is guessed in silence: a row that cannot be read as it was meant is an error that names the line. Called by table.py,
which gives the columns their meaning.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mmcs.common.file_kind import LOOKED_AT, file_kind
from mmcs.common.language_columns import kind_of
from mmcs.common.parquet import MAGIC, parquet_rows
from mmcs.errors import DataError, UserError

MAX_BYTES = 2**30
MAX_CELL_LINES = 20  # a quotation mark that is never closed would swallow the rest of the file
csv.field_size_limit(MAX_BYTES)  # the text is in memory already, and a column that nobody reads may have any size
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
NO_QUOTE = "none"
_SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # Excel's first line
_FILE_NAME = re.compile(r".*\.[a-z][a-z0-9]{1,4}\s*", re.IGNORECASE)
_UNSAVED = "save it as CSV with encoding UTF-8"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it is (``line 7``), and its cells by column, as they are in the file."""

    where: str
    cells: dict[str, str]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How delimited text is read.

    Attributes:
        delimiter: between cells; "" to take the one that gives the header most columns.
        quote: the quotation mark around cells; "" where quotation marks are text.
    """

    delimiter: str = ""
    quote: str = '"'


AUTOMATIC = Dialect()


def dialect_of(delimiter: str | None, quote: str | None) -> Dialect:
    """What ``--delimiter`` and ``--quote`` ask for.

    Raises:
        UserError: one of them is not a single character or a known name.
    """
    chosen = DELIMITERS.get(delimiter or "", (delimiter or "").replace("\\t", "\t"))
    mark = "" if quote == NO_QUOTE else '"' if quote is None else quote
    for option, value, names in (("--delimiter", chosen, tuple(DELIMITERS)), ("--quote", mark, (NO_QUOTE,))):
        if len(value) > 1 or value in ("\n", "\r"):
            raise UserError(f"{option} takes one character or {', '.join(names)}; got '{value}'.")
    if chosen and chosen == mark:
        raise UserError(f"--delimiter and --quote are both '{chosen}'.")
    return Dialect(chosen, mark)


def read_table(path: Path, dialect: Dialect = AUTOMATIC) -> list[Row]:
    """The rows of a table, all with the same columns in the order of the file.

    A column without a name is called ``column N``. Cells of JSON and Parquet that hold a list become a row each.

    Raises:
        UserError: there is no such file, or a package is missing that reads it.
        DataError: it is not a table, is damaged, or has no rows.
    """
    if not path.is_file():
        raise UserError(f"--captions {path} is {'a folder; name a file' if path.is_dir() else 'not there'}.")
    with path.open("rb") as handle:
        magic = handle.read(4)
    if magic == MAGIC:
        return _of_records(parquet_rows(path), path)
    text = _text(path)
    if text.lstrip()[:1] in ("{", "["):
        return _of_records(_json_records(text, path), path)
    rows = list(_delimited(text, path, dialect))
    if not rows:
        raise DataError(f"{path} holds no rows below its header.")
    return rows


def _text(path: Path) -> str:
    """The text of a file, gzip or plain: UTF-8, or UTF-16 and UTF-32 with a byte-order mark."""
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as handle:
            data = handle.read(MAX_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged ({error}); download it again.") from None
    if len(data) > MAX_BYTES:
        raise DataError(f"{path} holds more than {MAX_BYTES >> 20} MiB; split it.")
    if not data.strip():
        raise DataError(f"{path} is empty.")
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise DataError(f"{path} is a spreadsheet or an archive, not a table of text; {_UNSAVED} and name that file.")
    kind = file_kind(data[:LOOKED_AT])
    binary: object = None if kind is None or kind.todo == "convert it" else kind  # the kinds of text end so
    if kind is not None and "shards" in kind.todo:
        binary = f"{kind.what}; save it as Parquet or CSV"
    try:
        wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = data.decode(("utf-32" if b"\0\0" in data[:4] else "utf-16") if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{path} is {binary or f'not UTF-8 (line {line}); {_UNSAVED}'}.") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        archive = data[257:262] == b"ustar"
        raise DataError(
            f"{path} {'is a tar archive; unpack it' if archive else f'holds zero bytes (line {line}); {_UNSAVED}'}."
        )
    if kind is not None and ("LFS" in kind.what or "web page" in kind.what):
        raise DataError(f"{path} is {kind}.")
    return text


def _delimited(text: str, path: Path, dialect: Dialect) -> Iterator[Row]:
    lines = [line.rstrip("\r").replace("\r", " ") for line in text.split("\n")] if "\n" in text else text.split("\r")
    delimiter, first = dialect.delimiter, 0
    if (told := _SEPARATOR.fullmatch(lines[0].strip())) is not None:
        delimiter, first = delimiter or told[1], 1
    elif lines[0].strip().lower() == "sep=":  # a tab, which was stripped
        delimiter, first = delimiter or "\t", 1
    while first < len(lines) and not lines[first].strip():
        first += 1
    if first == len(lines):
        return
    if not delimiter:
        widths = {each: len(_quoted([lines[first]], each, dialect.quote)[0] or ()) for each in DELIMITERS.values()}
        delimiter = max(widths, key=lambda each: widths[each])
    names: list[str] = []
    for place, cells in _cells(lines, path, delimiter, dialect.quote, first):
        if not names:
            names = _names(cells, path)
            continue
        where = f"line {place + 1}"
        if len(cells) > len(names):
            raise DataError(
                f"{path} {where} has more values than the header has columns ({len(cells)}, {len(names)}); put values that "
                f"hold '{delimiter}' into quotation marks, or name another --delimiter."
            )
        if any(map(str.strip, cells)):
            yield Row(where, dict(zip_longest(names, cells, fillvalue="")))


def _names(cells: list[str], path: Path) -> list[str]:
    names = [" ".join(cell.split()) or f"column {place}" for place, cell in enumerate(cells, start=1)]
    if len(set(names)) < len(names):
        raise DataError(f"{path} has two columns named '{next(n for n in names if names.count(n) > 1)}'; rename one.")
    return names


def _cells(lines: list[str], path: Path, delimiter: str, quote: str, first: int = 0) -> Iterator[tuple[int, list[str]]]:
    """The index of its first line and the cells of each row that is not blank."""
    width, place = 0, first
    while place < len(lines):
        if not lines[place].strip():
            place += 1
            continue
        cells, height = _quoted(lines[place : place + MAX_CELL_LINES], delimiter, quote, width)
        if cells is None and delimiter == "\t":
            cells = lines[place].split(delimiter)  # most programs that write tabs do not quote: the mark is text
        if cells is None:
            raise DataError(
                f"{path} line {place + 1}: its quotation marks do not match, or a cell spans the rows after it; close the "
                f"last one, double those inside cells, or read them as text with --quote {NO_QUOTE}."
            )
        yield place, cells
        width = width or len(cells)
        place += height


def _quoted(lines: list[str], delimiter: str, quote: str, width: int = 0) -> tuple[list[str] | None, int]:
    """The cells of the first row of ``lines`` and its number of lines; None where its quotation marks do not match."""
    if not quote or quote not in lines[0]:
        return lines[0].split(delimiter), 1
    marks = 0
    for height, line in enumerate(lines, start=1):
        marks += line.count(quote)
        if height > 1 and marks % 2:
            continue
        try:
            block = [f"{each}\n" for each in lines[:height]]
            cells = next(csv.reader(block, delimiter=delimiter, quotechar=quote, strict=True, skipinitialspace=True))
        except csv.Error:
            continue
        return (None, 1) if height > 1 and _swallows(cells, delimiter, width) else (cells, height)
    return None, 1


def _swallows(cells: list[str], delimiter: str, width: int) -> bool:
    """Whether a row of several lines holds other rows, since its quotation mark is text or was never closed."""
    if width and len(cells) != width:
        return True
    pictures = [place for place, cell in enumerate(cells) if _FILE_NAME.fullmatch(cell)]
    for cell in cells:
        further = [line.split(delimiter) for line in cell.split("\n")[1:]]
        if delimiter == "\t" and any(len(parts) > 1 for parts in further):
            return True
        if any(len(parts) > place and _FILE_NAME.fullmatch(parts[place]) for parts in further for place in pictures):
            return True
        kinds = [[kind_of(part) for part in parts] for parts in [cells, *further] if len(parts) == width]
        if (
            further
            and len(kinds) == 1 + len(further)
            and any(own[0] and len(set(own)) == 1 for own in zip(*kinds, strict=True))
        ):
            return True
    return False


def _json_records(text: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of JSON lines, or of one JSON list."""
    if text.lstrip().startswith("["):
        values: Iterable[tuple[str, Any]] = (
            (f"{path}, object {n}", value) for n, value in enumerate(_parsed(text, str(path)), start=1)
        )
    else:
        lines = enumerate(text.split("\n"), start=1)
        values = ((f"{path} line {n}", _parsed(line, f"{path} line {n}")) for n, line in lines if line.strip())
    for where, value in values:
        if not isinstance(value, dict):
            raise DataError(f"{where} is {type(value).__name__}; a table as JSON has an object a row.")
        yield where, value


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON ({error}); a table as JSON has an object a line.") from None


def _of_records(records: Iterable[tuple[str, dict[str, Any]]], path: Path) -> list[Row]:
    """Rows of text out of objects: a list becomes a row each, an object inside an object its columns."""
    names: dict[str, None] = {}
    rows: list[Row] = []
    for where, record in records:
        columns: dict[str, list[str]] = {}
        for name, value in record.items():
            for inner, own in value.items() if isinstance(value, dict) else ((name, value),):
                texts = own if isinstance(own, list) and all(isinstance(each, str) for each in own) else [own]
                columns[str(inner)] = [_cell(each, where, str(inner)) for each in texts]
        names |= dict.fromkeys(columns)
        longest = max(map(len, columns.values()), default=0)
        for place in range(longest):
            cells = {
                name: (own * longest if len(own) == 1 else own)[place : place + 1] for name, own in columns.items()
            }
            rows.append(
                Row(where.removeprefix(f"{path}").lstrip(", "), {name: "".join(own) for name, own in cells.items()})
            )
    if not rows:
        raise DataError(f"{path} holds no rows.")
    return [Row(row.where, {name: row.cells.get(name, "") for name in names}) for row in rows]


def _cell(value: Any, where: str, column: str) -> str:
    if value is None or value != value:
        return ""
    text = json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(f"{where}: '{column}' holds half a surrogate pair, which is not text.") from None
    return text
