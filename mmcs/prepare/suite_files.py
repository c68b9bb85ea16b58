"""The files of an evaluation suite as a user has them: a clone of its repository, a folder, or single files.

Files are found by name, text is read as UTF-8 within bounds, and every mistake names file and line. Called by the sources of
suites (xm3600.py, xtd10.py, …) and by suites.py; nothing here knows a set.
"""

from __future__ import annotations

import filecmp
import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mmcs.errors import DataError, UserError
from mmcs.prepare.records import path_inside

MAX_TEXT_BYTES = 2**30
_COCO_2014 = re.compile(r"COCO_(?:train|val)2014_(\d{12}\.jpg)")


class Files:
    """Files and folders that an option names, with whatever lies below them; links are followed.

    Args:
        given: what the user named.
        option: where, for the sentences of errors.

    Raises:
        UserError: one of them does not exist.
    """

    def __init__(self, given: Sequence[Path], option: str) -> None:
        self.given, self.option = [Path(each) for each in given], option
        for path in self.given:
            if not path.exists():
                raise UserError(f"{option} {path} does not exist.")
        self._index: dict[str, list[Path]] | None = None

    def __str__(self) -> str:
        return f"{self.option} {' '.join(map(str, self.given))}"

    def all(self) -> Iterator[Path]:
        """Every file, folder by folder, in the order of names."""
        for paths in self._by_name().values():
            yield from paths

    def find(self, *names: str) -> Path | None:
        """The file of the first of these names that is there.

        Raises:
            DataError: two files of one name differ.
        """
        for name in names:
            first, *others = self._by_name().get(name, [None])
            for other in others:
                if first is not None and other is not None and not filecmp.cmp(first, other, shallow=False):
                    raise DataError(f"{first} and {other} differ; name the right one with {self.option}.")
            if first is not None:
                return first
        return None

    def _by_name(self) -> dict[str, list[Path]]:
        if self._index is None:
            self._index = {}
            for path in self.given:
                for file in [path] if path.is_file() else files_below(path):
                    known = self._index.setdefault(file.name, [])
                    if file not in known:
                        known.append(file)
        return self._index


class Images(Files):
    """The folders with a suite's pictures."""

    def __init__(self, given: Sequence[Path]) -> None:
        super().__init__(given, "--images")
        for folder in self.given:
            if not folder.is_dir():
                raise UserError(f"--images {folder} is not a folder.")

    def of(self, path: PurePosixPath) -> Path | None:
        """A picture: under its path or its last name in one of the folders, else under that name anywhere below.

        COCO's pictures of 2014 are found under the names of 2017, too: they are the same ones.
        """
        modern = _COCO_2014.fullmatch(path.name)
        names = [path.name] + ([modern[1]] if modern else [])
        for folder in self.given:
            for candidate in [str(path), *names]:
                if (folder / candidate).is_file():
                    return folder / candidate
        return self.find(*names)


class Captions(Files):
    """The files with a suite's captions; ``sha256`` covers all that was read of them, in order."""

    def __init__(self, given: Sequence[Path]) -> None:
        super().__init__(given, "--captions")
        self.sha256 = hashlib.sha256()

    def only(self, name: str, what: str) -> Path:
        """The one file that a set consists of: ``name``, or whatever single file the user named.

        Raises:
            UserError: it is not there.
        """
        if len(self.given) == 1 and self.given[0].is_file():
            return self.given[0]
        found = self.find(name)
        if found is None:
            raise UserError(f"{self} holds no {name} ({what}).")
        return found

    def text(self, path: Path) -> str:
        """A text file, gzip or plain.

        Raises:
            DataError: it is damaged, too large, or not UTF-8.
        """
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as handle:
                data = handle.read(MAX_TEXT_BYTES + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path} is damaged ({error}); fetch it again.") from None
        if len(data) > MAX_TEXT_BYTES:
            raise DataError(f"{path} holds more than {MAX_TEXT_BYTES >> 20} MiB; it is not read.")
        self.sha256.update(hashlib.sha256(data).digest())
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise DataError(f"{path} is not UTF-8 (line {line}).") from None

    def lines(self, path: Path) -> list[str]:
        """The lines of a text file. Only line feeds end one: captions may hold what else Unicode takes for an end."""
        lines = self.text(path).split("\n")
        if lines[-1] == "":
            lines.pop()
        return [line.removesuffix("\r") for line in lines]

    def rows(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        """The objects of a JSON-lines file, each with its place for the sentences of errors (``FILE line N``)."""
        for number, line in enumerate(self.lines(path), start=1):
            if line.strip():
                yield (
                    f"{path} line {number}",
                    as_object(parse_json(line, f"{path} line {number}"), f"{path} line {number}"),
                )


class Listed:
    """Tells when a picture is listed twice. ``where`` says where each stands: a line, a place in a list."""

    def __init__(self) -> None:
        self._places: dict[str, str] = {}

    def add(self, name: str, where: str) -> None:
        if name in self._places:
            raise DataError(f"{name} is listed twice: {self._places[name]}, {where}; remove one of them.")
        self._places[name] = where


def image_list(files: Captions, path: Path) -> list[PurePosixPath]:
    """A list of pictures, one a line; what stands behind ``#`` (the number of a sentence) is left out.

    Raises:
        DataError: one leads out of the pictures' folder, or stands twice.
    """
    listed, found = Listed(), []
    for number, line in enumerate(files.lines(path), start=1):
        where = f"{path} line {number}"
        found.append(as_path(line.partition("#")[0].strip(), where))
        listed.add(str(found[-1]), where)
    return found


def aligned(
    paths: Mapping[str, Path], files: Captions, wanted: int, index: Path
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The lines of files that go line by line with a list of images, and why a file that does not is left out.

    Args:
        paths: by language, or by whatever tells them apart.
        files: reads them.
        wanted: the length of the list.
        index: the file that holds it.
    """
    lines, absent = {}, {}
    for name, path in paths.items():
        own = files.lines(path)
        if len(own) == wanted:
            lines[name] = own
        else:
            absent[name] = f"{path.name} has {len(own):,} lines, {index.name} {wanted:,}"
    return lines, absent


def parse_json(text: str, where: str, hook: Any = None) -> Any:
    """Raises DataError where it is no JSON, or nested beyond reason."""
    try:
        return json.loads(text, object_hook=hook)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON ({error}).") from None


def as_object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where} holds {type(value).__name__}, where an object is wanted.")
    return value


def as_texts(value: Any, where: str) -> list[str]:
    """A list of texts, as it stands."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DataError(f"{where} is not a list of texts.")
    for text in value:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise DataError(f"{where} holds half a surrogate pair, which is no text.") from None
    return value


def as_path(value: Any, where: str) -> PurePosixPath:
    """A picture's path below a folder.

    Raises:
        DataError: it is none, or leads out of the folder.
    """
    if not isinstance(value, str) or not value:
        raise DataError(f"{where} names no picture.")
    path = path_inside(as_texts([value], where)[0])
    if path is None:
        raise DataError(f"{where}: {value!r} leads out of the pictures' folder; it is refused.")
    return path


def files_below(folder: Path, seen: set[str] | None = None) -> Iterator[Path]:
    """The files below a folder, hidden ones left out; a folder that links lead to again is entered once."""
    seen = set() if seen is None else seen
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    with os.scandir(folder) as entries:
        ordered = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in ordered:
        if entry.is_dir():
            yield from files_below(Path(entry.path), seen)
        elif entry.is_file():
            yield Path(entry.path)
