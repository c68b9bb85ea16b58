"""A user's own pictures and a CSV of captions into shards.

One row is one picture with a caption; several rows of one picture are several captions. A column named by a language
tag holds captions in that language.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mmcs.common.language_tags import language_tag
from mmcs.errors import DataError, UserError
from mmcs.prepare.groups import group_alike
from mmcs.prepare.images import MAX_BYTES, RASTER
from mmcs.prepare.layout import Layout
from mmcs.prepare.records import Record, Tally, path_inside, shuffle_key
from mmcs.prepare.shards import Origin, Prepared, find_prepared, write_splits
from mmcs.progress import track

NAME = "table"
LAYOUT = Layout(val=0.1, test=0.0)
IMAGE_COLUMNS = ("image", "filename", "filepath", "file_name")
CAPTION_COLUMNS = ("caption", "title", "text", "en")
DELIMITERS = ",;\t"
# Indonesian and Norwegian, but far more often an identifier and a number: taken as captions if a value has a space.
AMBIGUOUS = ("id", "no")


@dataclass(frozen=True, slots=True)
class Table:
    """What to read.

    Attributes:
        images: the folder that the image column's paths start from.
        captions: the CSV file (comma, semicolon or tab; UTF-8; with a header).
        group: the column that names the concept; without it see ``groups.group_alike``.
        image_column, caption_column: their names, found by the usual ones if None.
        languages: the columns with captions in other languages; if None, every column named by a language tag of
            two letters with or without script or region (``de``, ``pt-BR``). Tags of three letters are asked for by
            name, since ``url`` and ``key`` are languages too.
        licence: for the manifest.
    """

    images: Path
    captions: Path
    group: str | None = None
    image_column: str | None = None
    caption_column: str | None = None
    languages: Sequence[str] | None = None
    licence: str = "not stated"


@dataclass(slots=True)
class Entry:
    """What the rows say about one image: captions by language, English under ``en``, and the group if one is named."""

    captions: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column is what: names of the header, languages as column name to BCP 47 tag."""

    image: str
    caption: str
    group: str | None
    languages: dict[str, str]
    ignored: list[str]


def prepare_table(
    table: Table, out: str | os.PathLike[str], *, layout: Layout = LAYOUT, max_dropped: float = 0.1
) -> Prepared:
    """Makes the set, or finds it in ``out`` when it was made from the same table.

    Args:
        table: what to read.
        out: the folder to make.
        layout: splits and sizes.
        max_dropped: the share of pictures that may be unusable (0 to 1).

    Raises:
        UserError: a path or column does not exist, or ``out`` holds something else.
        DataError: the CSV cannot be read, nothing is left, or more than ``max_dropped`` is unusable.
    """
    if not 0 <= max_dropped <= 1:
        raise UserError(f"--max-dropped is {max_dropped}; give a share between 0 and 1.")
    if not table.images.is_dir():
        raise UserError(f"--images {table.images} is not a folder.")
    rows = read_csv(table.captions)
    digest = hashlib.sha256(table.captions.read_bytes()).hexdigest()
    columns = find_columns(table, rows)
    arguments = {
        "images": str(table.images.resolve()),
        "captions_sha256": digest,
        "columns": {
            "image": columns.image,
            "caption": columns.caption,
            "group": columns.group,
            "languages": columns.languages,
            "ignored": columns.ignored,
        },
    }
    if (found := find_prepared(out, NAME, layout, arguments)) is not None:
        return found
    left_out, dropped = Tally(), Tally()
    entries = collect(rows, columns, table, dropped)
    origin = Origin(NAME, f"{table.captions.name} with pictures of {table.images.name}", table.licence, arguments)
    records = read_images(entries, table.images, dropped)
    return write_splits(records, out, origin, layout, left_out=left_out, dropped=dropped, max_dropped=max_dropped)


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV as column to stripped value; the delimiter is the one that gives the header most columns.

    Raises:
        UserError: there is no such file.
        DataError: it is not a CSV in UTF-8, or has no rows.
    """
    if not path.is_file():
        raise UserError(f"--captions {path} does not exist.")
    data = path.read_bytes()
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise DataError(f"{path} is a spreadsheet, not a CSV; save it as CSV (UTF-8) and name that file.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{path} is not UTF-8 (line {line}); save it as CSV with encoding UTF-8.") from None
    if "\0" in text:
        raise DataError(f"{path} is not a CSV: it holds zero bytes.")
    header = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=lambda each: len(next(csv.reader([header], delimiter=each), [])))
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="", restval="", strict=True)
    try:
        names = [name.strip() for name in reader.fieldnames or []]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{path} has two columns named '{twice}'; rename one.")
        reader.fieldnames = names
        rows = []
        for row in reader:
            if row.get("") and "" not in names:
                raise DataError(
                    f"{path} line {reader.line_num} has more values than the header has columns ({len(names)}); "
                    f"put values that hold '{delimiter}' into quotation marks."
                )
            rows.append({name: " ".join(row[name].split()) for name in names})
    except csv.Error as error:
        raise DataError(f"{path} line {reader.reader.line_num} is not CSV ({error}).") from None
    if not rows:
        raise DataError(f"{path} holds no rows below its header.")
    return rows


def find_columns(table: Table, rows: list[dict[str, str]]) -> Columns:
    """Finds the columns by name.

    Raises:
        UserError: one that is needed or named does not exist; the sentence lists those that do.
    """
    names = list(rows[0])
    known = ", ".join(names)

    def pick(asked: str | None, usual: Sequence[str], option: str) -> str:
        if asked is not None:
            if asked not in names:
                raise UserError(f"{table.captions} has no column '{asked}' ({option}); it has: {known}.")
            return asked
        lower = {name.lower(): name for name in reversed(names)}
        for name in usual:
            if name in lower:
                return lower[name]
        raise UserError(
            f"{table.captions} has no column named {' or '.join(usual)}; name one with {option}; it has: {known}."
        )

    image = pick(table.image_column, IMAGE_COLUMNS, "--image-column")
    caption = pick(table.caption_column, CAPTION_COLUMNS, "--caption-column")
    group = pick(table.group, (), "--group") if table.group is not None else None
    others = [name for name in names if name not in (image, caption, group)]
    if table.languages is not None:
        languages = {pick(name, (), "--languages"): language_tag(name) for name in table.languages}
    else:
        languages = {name: tag for name in others if (tag := _language_of(name, rows)) is not None}
    return Columns(image, caption, group, languages, [name for name in others if name not in languages])


def collect(
    rows: Iterable[dict[str, str]], columns: Columns, table: Table, dropped: Tally
) -> dict[PurePosixPath, Entry]:
    """The rows put together by image; those that cannot be used are counted in ``dropped``."""
    entries: dict[PurePosixPath, Entry] = {}
    sources = {columns.caption: "en", **columns.languages}
    for number, row in enumerate(rows, start=1):
        name = row[columns.image]
        path = path_inside(name)
        if not name:
            dropped.add("row without an image", f"row {number}")
            continue
        if path is None:
            dropped.add("path that leads out of the images' folder", name)
            continue
        entry = entries.setdefault(path, Entry())
        for column, language in sources.items():
            text = row[column]
            if text and text not in entry.captions[language]:
                entry.captions[language].append(text)
        if columns.group is None or not row[columns.group]:
            continue
        if entry.group not in (None, row[columns.group]):
            raise DataError(
                f"{table.captions}: {name} stands in two groups, '{entry.group}' and '{row[columns.group]}'."
            )
        entry.group = row[columns.group]
    for path in [path for path, entry in entries.items() if not entry.captions["en"]]:
        dropped.add("no English caption", str(path))
        del entries[path]
    return entries


def read_images(entries: dict[PurePosixPath, Entry], folder: Path, dropped: Tally) -> Iterator[Record]:
    """The records, mixed by a hash of their names; missing and unreadable files are counted in ``dropped``."""
    present: dict[PurePosixPath, Entry] = {}
    for path in sorted(entries, key=lambda each: shuffle_key(str(each))):
        if not (folder / path).is_file():
            dropped.add("missing file", str(path))
        elif (folder / path).stat().st_size > MAX_BYTES:
            dropped.add(f"more than {MAX_BYTES // 2**20} MiB", str(path))
        else:
            present[path] = entries[path]
    groups = group_alike({path: each.captions["en"] for path, each in present.items() if each.group is None}, folder)
    for path, entry in track(list(present.items()), "Preparing pictures"):
        try:
            image = (folder / path).read_bytes()
        except OSError as error:
            dropped.add(f"unreadable file ({error.strerror})", str(path))
            continue
        caption, *further = entry.captions["en"]
        captions = {"en": further, **{tag: texts for tag, texts in sorted(entry.captions.items()) if tag != "en"}}
        captions = {tag: texts for tag, texts in captions.items() if texts}
        yield Record(str(path), image, RASTER, caption, captions, entry.group or groups[path])


def _language_of(column: str, rows: list[dict[str, str]]) -> str | None:
    """The language that a column's name stands for, or None."""
    try:
        tag = language_tag(column)
    except UserError:
        return None
    if len(tag.partition("-")[0]) != 2 or not any(row[column] for row in rows):
        return None
    if tag in AMBIGUOUS and not any(" " in row[column] for row in rows):
        return None
    return tag
