"""Streaming rows out of a dump of one SQL table, as MediaWiki publishes them (``enwiki-20250101-page.sql.gz``).

What mysqldump writes is read and nothing else: the columns of its CREATE TABLE, the rows of its INSERTs. Memory is bounded by a
few MB, whatever the size of the file and the length of its lines. ``wikititles`` calls it.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmcs.errors import DataError, UserError
from mmcs.lexicons.chunks import Text, gunzip
from mmcs.lexicons.lines import MAX_DAMAGED
from mmcs.prepare.records import EXAMPLES_KEPT, Tally

MAX_ROW = 1 << 16  # bytes; the longest row of MediaWiki's tables of titles has about 2,000
DAMAGED = "row that does not fit the table"

_PACKED = 1 << 18  # bytes read at once
_JUDGED = 1000  # damaged rows after which their share is looked at before the end
_GZIP = b"\x1f\x8b"

# A string may be marked as binary; a quote in it stands behind a backslash or is doubled.
_VALUE = rb"(?:_binary )?'[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*+'|[^\s'(),;]++"
_NAME = re.compile(rb"`([^`]+)`")
_CREATE = re.compile(rb"CREATE TABLE (?:IF NOT EXISTS )?`([^`]+)`", re.IGNORECASE)
_CLOSED = re.compile(rb"^\)[^\n]*;", re.MULTILINE)
_COLUMN = re.compile(rb"^\s*`([^`]+)`", re.MULTILINE)
_INSERT = re.compile(rb"(?:INSERT|REPLACE)\s+(?:IGNORE\s+)?INTO\s+`([^`]+)`\s*(\([^()]*\)\s*)?VALUES\s*", re.IGNORECASE)
_SEPARATOR = re.compile(rb"[\s,]+")
# Comments with which mysqldump begins and ends a file. Both are missing with its option --skip-comments.
_FIRST_LINE = re.compile(rb"-- (?:MySQL|MariaDB) dump ")
_LAST_LINE = re.compile(rb"-- Dump completed")
_ESCAPED = re.compile(rb"\\(.)|''", re.DOTALL)
_FORMS = (b"%s", b"'%s'", b"_binary '%s'")
_HEX = re.compile(rb"0x(?:[0-9a-fA-F]{2})+")
_QUOTE, _MARK = b"'_"
_ESCAPES = {b"0": b"\0", b"b": b"\b", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"Z": b"\x1a"}

Row = tuple[bytes | None, ...]


class Dump:
    """The rows of a table, as tuples of the columns that are asked for; to be iterated once.

    Values are bytes, unescaped; numbers as they are written; None for NULL.

    Attributes:
        path: the file.
        read: rows so far, damaged ones and those that ``where`` holds back among them.
        passed: those that ``where`` holds back, by column, with examples.
        damaged: rows that cannot be read, with examples.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        table: str,
        columns: Sequence[str],
        *,
        where: Mapping[str, Collection[str]] | None = None,
        max_damaged: float = MAX_DAMAGED,
    ) -> None:
        """Opens nothing yet.

        Args:
            path: a dump of mysqldump, plain or gzip (told by its first bytes).
            table: its name.
            columns: their names, in the order wanted.
            where: per column (of ``columns`` or not) the values that it may have; rows with another one are held back.
            max_damaged: share of damaged rows (0 to 1) above which the file is refused.
        """
        if not 0 <= max_damaged <= 1:
            raise UserError(f"--max-damaged is a share from 0 to 1; got {max_damaged:g}.")
        self.path, self.table, self.columns, self.where = Path(path), table, tuple(columns), dict(where or {})
        self.max_damaged = max_damaged
        self.read = 0
        self.passed, self.damaged = Tally(), Tally()
        self._digest = hashlib.sha256()
        self._created: list[str] = []  # all columns of the table
        self._began = False
        self._ends: bool | None = None  # whether mysqldump's last line was found; None: without the first there is none

    @property
    def sha256(self) -> str:
        """Of the file as it lies there; known once all rows are read."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[Row]:
        """Raises:
        UserError: there is no such file.
        DataError: it is cut off, holds another table or no rows, or more than ``max_damaged`` of them are damaged.
        """
        try:
            with self.path.open("rb") as file:
                text = Text(self._unpacked(file))
                while (columns := self._to_rows(text)) is not None:
                    yield from self._rows(text, columns)
        except FileNotFoundError:
            raise UserError(f"there is no file {self.path}.") from None
        except IsADirectoryError:
            raise UserError(f"{self.path} is a folder; name a file.") from None
        if self._ends is False:
            raise DataError(
                f"{self.path} is cut off: it lacks mysqldump's last line ({self.read:,} rows were read before); fetch it again."
            )
        if not self._began:
            raise DataError(f"{self.path} holds no rows of a table {self.table}; is it a dump of mysqldump?")
        self._judge()

    def _unpacked(self, file: Any) -> Iterator[bytes]:
        """The SQL in chunks of bounded size, behind a bar that shows how much of the file is read."""
        from mmcs.progress import track

        def packed() -> Iterator[bytes]:
            while data := file.read(_PACKED):
                self._digest.update(data)
                yield data

        pieces = track(packed(), self.path.name, os.fstat(file.fileno()).st_size / _PACKED)
        first = next(pieces, b"")
        if not first:
            raise DataError(f"{self.path} is empty.")
        pieces = itertools.chain([first], pieces)
        if not first.startswith(_GZIP):
            yield from pieces
            return
        try:
            yield from gunzip(pieces)
        except EOFError:
            raise DataError(f"{self.path} is cut off ({self.read:,} rows were read before); fetch it again.") from None
        except zlib.error as error:
            raise DataError(
                f"{self.path} is damaged ({error}; {self.read:,} rows were read before); fetch it again."
            ) from None

    def _to_rows(self, text: Text) -> list[str] | None:
        """Moves on to the next rows and returns their columns; None at the end of the file."""
        while text.line():
            if create := _CREATE.match(text.data):
                while not (closed := _CLOSED.search(text.data)) and len(text.data) < 16 * MAX_ROW and text.more():
                    pass
                if not closed:
                    raise DataError(f"{self.path}: its CREATE TABLE has no end; is it a dump of mysqldump?")
                if create[1].decode("utf-8", "replace") == self.table:
                    self._created = [
                        name.decode("utf-8", "replace") for name in _COLUMN.findall(text.data, 0, closed.start())
                    ]
                text.data = text.data[closed.end() :]
            elif insert := _INSERT.match(text.data):
                if (name := insert[1].decode("utf-8", "replace")) != self.table:
                    raise DataError(f"{self.path} holds the table {name}; a dump of {self.table} is expected.")
                text.data = text.data[insert.end() :]
                self._began = True
                listed = _NAME.findall(insert[2] or b"")
                return [name.decode("utf-8", "replace") for name in listed] or self._created
            else:
                if _FIRST_LINE.match(text.data):
                    self._ends = False
                elif _LAST_LINE.match(text.data):
                    self._ends = True
                text.skip_line()
        return None

    def _rows(self, text: Text, columns: Sequence[str]) -> Iterator[Row]:
        """The rows up to the end of their statement."""
        pattern, places, checks = self._compiled(columns)
        at, passed = 0, self.passed.counts
        while True:
            # What is held back is judged by its bytes as they stand, without a call: this loop sees every row.
            read = 0
            for match in pattern.finditer(text.data, at):
                if match.start() != at:
                    break
                at = match.end()
                read += 1
                values = match.groups()
                for place, allowed, column in checks:
                    if values[place] not in allowed:
                        if passed[column] < EXAMPLES_KEPT:
                            self.passed.examples.setdefault(column, []).append(_shown(b", ".join(values)))
                        passed[column] += 1
                        break
                else:
                    self.read += read
                    read = 0
                    yield tuple([_value(values[place]) for place in places])
            self.read += read
            if separator := _SEPARATOR.match(text.data, at):
                at = separator.end()
            elif text.data.startswith(b";", at):
                text.data = text.data[at:]
                return
            elif len(text.data) - at < MAX_ROW and text.more(at):
                at = 0
            elif at == len(text.data):
                raise DataError(f"{self.path} is cut off after {self.read:,} rows; fetch it again.")
            else:
                at = self._resume(text, at, pattern)

    def _compiled(
        self, columns: Sequence[str]
    ) -> tuple[re.Pattern[bytes], list[int], list[tuple[int, frozenset[bytes], str]]]:
        """The pattern of a row, where the wanted columns stand in its groups, and what ``where`` looks at."""
        wanted = [*self.columns, *(name for name in self.where if name not in self.columns)]
        if missing := [name for name in wanted if name not in columns]:
            has = ", ".join(columns) or "no CREATE TABLE that names its columns"
            raise DataError(f"{self.path}: the table {self.table} lacks {', '.join(missing)}; it has {has}.")
        groups = [name for name in columns if name in wanted]
        values = [b"(" + _VALUE + b")" if name in wanted else b"(?:" + _VALUE + b")" for name in columns]
        # The usual way to the next row is part of the row: Python need not look at it.
        end = rb"\)(?:,|;\n(?:INSERT INTO `" + re.escape(self.table.encode()) + rb"` VALUES ))?"
        pattern = re.compile(rb"\(" + b",".join(values) + end, re.DOTALL)
        checks = [
            (groups.index(name), frozenset(form % value.encode() for value in allowed for form in _FORMS), name)
            for name, allowed in self.where.items()
        ]
        return pattern, [groups.index(name) for name in self.columns], checks

    def _resume(self, text: Text, at: int, pattern: re.Pattern[bytes]) -> int:
        """Counts what stands at ``at`` and is no row; returns where the next row or the end of the statement is."""
        self.damaged.add(DAMAGED, f"row {self.read + 1:,}: {_shown(text.data[at : at + 60])}")
        self.read += 1
        start = at = at + 1
        while True:
            row, end = pattern.search(text.data, at), text.data.find(b";\n", at)
            if row and (end < 0 or row.start() < end):
                end = row.start()
            if end >= 0 or not text.more(start := max(start, len(text.data) - MAX_ROW)):
                break
            start = at = 0
        end = end if end >= 0 else len(text.data)
        further = text.data.count(b"),(", start, end - 1)  # rows that went down with it
        self.damaged.counts[DAMAGED] += further
        self.read += further
        if self.damaged.total > _JUDGED:
            self._judge()
        return end

    def _judge(self) -> None:
        if self.damaged.total > self.max_damaged * self.read:
            share = self.damaged.total / self.read
            raise DataError(
                f"{self.path}: {self.damaged.total:,} of {self.read:,} rows ({share:.1%}) cannot be read (first: "
                f"{self.damaged.examples[DAMAGED][0]}); fetch it again."
            )


def _value(raw: bytes) -> bytes | None:
    if raw[0] == _MARK:
        raw = raw[len(b"_binary ") :]
    if raw[0] == _QUOTE:
        raw = raw[1:-1]
        return _ESCAPED.sub(_unescaped, raw) if b"\\" in raw or b"'" in raw else raw
    if raw[:2] == b"0x" and _HEX.fullmatch(raw):
        return bytes.fromhex(raw[2:].decode())
    return None if raw == b"NULL" else raw


def _unescaped(match: re.Match[bytes]) -> bytes:
    char = match[1]
    return b"'" if char is None else _ESCAPES.get(char, char)


def _shown(raw: bytes) -> str:
    """For people: one line, short."""
    return " ".join(raw.decode("utf-8", "replace").split())[:60]
