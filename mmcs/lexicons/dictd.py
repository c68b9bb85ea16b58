"""Reading dictd dictionaries (``.index`` + ``.dict.dz``) as FreeDict ships them: entries out, texts untouched.

What an entry's text means is ``senses.py``'s business; where the files come from is ``packages.py``'s.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mmcs.errors import DataError
from mmcs.prepare.records import Tally

MAX_INDEX_BYTES = 2**28
MAX_DICT_BYTES = 2**30
# Above this share of unreadable entries the file is not what it claims to be.
MAX_DAMAGED = 0.2
# Every part of a dictionary belongs to an entry; an index that leaves more than this share uncovered is cut off.
MAX_UNCOVERED = 0.02
# So many lines may point beyond the end of the dictionary; they are counted. More: one of the files is cut off.
MAX_BEYOND = 2
_DIGITS = {char: i for i, char in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}
_METADATA = ("00database", "00-database")
_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_LICENCES = (  # what FreeDict's "Availability" says, as SPDX names; the first that matches
    (r"Creative Commons Attribution-ShareAlike (\d\.\d)", "CC-BY-SA-{}"),
    (r"Creative Commons Attribution (\d\.\d)", "CC-BY-{}"),
    (
        r"both the GNU General Public License, version 3 .*GNU Affero General Public License",
        "GPL-3.0-only AND AGPL-3.0-only",
    ),
    (r"GNU Free Documentation License ver\. (\d\.\d) or any later", "GFDL-{}-or-later"),
    (
        r"GNU General Public License,? ver(?:sion|\.) (\d)(?:\.0)?,? \(?(?:and|or)(?: \(?at your option\)?)? any later",
        "GPL-{}.0-or-later",
    ),
    (r"GNU General Public License,? version (\d)", "GPL-{}.0-only"),
)


class Entry(NamedTuple):
    """A headword as the index has it (letters and digits alone survive there) and the entry's text."""

    key: str
    text: str


class Dictionary:
    """An opened dictionary.

    Attributes:
        name: title and version, as the dictionary gives them.
        licence: SPDX name where its text is a known one, else the beginning of that text.
        availability: the whole licence paragraph.
        damaged: index lines that could not be used, by cause.
    """

    def __init__(self, index: Path) -> None:
        """Opens ``index`` and the ``.dict.dz`` (or ``.dict``) beside it.

        Raises:
            DataError: a file is missing, too large, damaged, or not UTF-8.
        """
        self.index = index
        self.damaged = Tally()
        self._lines = _text(_bounded(index, MAX_INDEX_BYTES), index).splitlines()
        self._data = _unpack(index)
        about = {entry.key: entry.text for entry in self._read(metadata=True)}
        info = about.get("00databaseinfo") or about.get("00-database-info") or ""
        title = about.get("00databaseshort") or about.get("00-database-short") or index.stem
        self.name = " ".join(title.split())
        found = re.search(r"Availability:\s*(.*?)\n\s*\n(?=\S)", info, re.DOTALL)
        self.availability = " ".join(found.group(1).split()) if found else ""
        self.licence = licence_name(self.availability)

    def __len__(self) -> int:
        """Number of lines of the index."""
        return len(self._lines)

    def entries(self) -> Iterator[Entry]:
        """All entries but the dictionary's own metadata, in the order of the index.

        Raises:
            DataError: more than a fifth of the lines cannot be used, or one of the two files is cut off.
        """
        self.damaged = Tally()
        yield from self._read(metadata=False)
        self._check_size()
        if self.damaged.total > MAX_DAMAGED * len(self._lines):
            cause, examples = next(iter(self.damaged.examples.items()))
            raise DataError(
                f"{self.index}: {self.damaged.total} of {len(self._lines)} lines cannot be used (first: {cause}, {examples[0]}); "
                "is it a dictd index, and does it belong to the .dict.dz beside it?"
            )

    def _check_size(self) -> None:
        """Compares the two files: the entries of a whole index cover the whole dictionary."""
        spans: dict[int, int] = {}
        for line in self._lines:
            _, start, length = self._place(line)
            spans[start] = max(length, spans.get(start, 0))
        spans.pop(-1, None)
        beyond = [start for start, length in spans.items() if start + length > len(self._data)]
        if len(beyond) > MAX_BEYOND:
            raise DataError(
                f"{self.index}: {len(beyond):,} of its {len(self._lines):,} lines point beyond the end of the dictionary "
                f"({len(self._data):,} bytes), which is cut off or of another version; get both files again."
            )
        for start in beyond:
            del spans[start]
        covered = sum(spans.values()) / max(1, len(self._data))
        if covered < 1 - MAX_UNCOVERED - self.damaged.total / len(self._lines):
            raise DataError(
                f"{self.index} is cut off or of another version: its {len(self._lines):,} lines cover {covered:.0%} of the "
                "dictionary; get both files again."
            )

    def _read(self, *, metadata: bool) -> Iterator[Entry]:
        for number, line in enumerate(self._lines, 1):
            if line.startswith(_METADATA) is not metadata or not line.strip():
                continue
            key, start, length = self._place(line)
            if start < 0 or not key.strip():
                cause = "not headword, offset and length between tabs"
            elif start + length > len(self._data):
                cause = "points beyond the end of the dictionary"
            else:
                try:
                    yield Entry(key, self._data[start : start + length].decode())
                    continue
                except UnicodeDecodeError:
                    cause = "text is not UTF-8"
            self.damaged.add(cause, f"line {number}: {line[:60]}")

    def _place(self, line: str) -> tuple[str, int, int]:
        """Headword, offset and length of an index line; the offset is -1 where the line is not one."""
        columns = line.split("\t")
        if len(columns) < 3:
            return line, -1, 0
        start, length = _number(columns[1]), _number(columns[2])
        return columns[0], -1 if min(start, length) < 0 else start, length


def _number(digits: str) -> int:
    """dictd's base-64 number, -1 where it is none."""
    value = 0
    for char in digits:
        if char not in _DIGITS:
            return -1
        value = value * 64 + _DIGITS[char]
    return value if digits else -1


def _bounded(path: Path, limit: int) -> bytes:
    if not path.is_file():
        raise DataError(f"there is no {path}; a dictd dictionary is a .index and a .dict.dz of the same name.")
    if path.stat().st_size > limit:
        raise DataError(f"{path} is larger than {limit >> 20} MiB; that is no dictd dictionary.")
    return path.read_bytes()


def _text(raw: bytes, path: Path) -> str:
    """``raw`` as text; anything but UTF-8 is named and refused."""
    if encoding := _BOMS.get(raw[:2]):
        raise DataError(f"{path} is {encoding}; save it as UTF-8.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not UTF-8 (line {line}, byte 0x{raw[error.start]:02x}); save it as UTF-8."
        ) from None


def _unpack(index: Path) -> bytes:
    plain, packed = index.with_suffix(".dict"), index.with_suffix(".dict.dz")
    if plain.is_file() and not packed.is_file():
        return _bounded(plain, MAX_DICT_BYTES)
    _bounded(packed, MAX_DICT_BYTES)
    try:
        with gzip.open(packed) as handle:
            data = handle.read(MAX_DICT_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{packed} is damaged ({error}); fetch it again.") from None
    if len(data) > MAX_DICT_BYTES:
        raise DataError(f"{packed} unpacks to more than {MAX_DICT_BYTES >> 20} MiB; it is not used.")
    return data


def licence_name(availability: str) -> str:
    for pattern, name in _LICENCES:
        if found := re.search(pattern, availability):
            return name.format(*found.groups())
    return availability[:120] or "not stated"
