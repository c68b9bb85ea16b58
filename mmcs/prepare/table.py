"""A user's own pictures and a table of captions into shards.

One row is one picture with a caption; several rows of one picture are several captions. A column named by a language
tag holds captions in that language.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mmcs.common.caption_text import clean_caption
from mmcs.common.file_kind import LOOKED_AT, file_kind
from mmcs.common.language_columns import LanguageColumns, find_language_columns, tag_of
from mmcs.common.language_tags import languages_of
from mmcs.common.parquet import BYTES
from mmcs.errors import DataError, UserError
from mmcs.prepare.groups import group_alike
from mmcs.prepare.images import MAX_BYTES, RASTER, is_svg
from mmcs.prepare.layout import Layout
from mmcs.prepare.picture_files import NoPicture, PictureFiles, inventory
from mmcs.prepare.records import Record, Tally, shuffle_key
from mmcs.prepare.reuse import find_prepared
from mmcs.prepare.shards import Origin, Prepared, write_splits
from mmcs.prepare.table_file import AUTOMATIC, Dialect, Row, read_table
from mmcs.progress import track

NAME = "table"
LAYOUT = Layout(val=0.1, test=0.0)
IMAGE_COLUMNS = ("image", "filename", "filepath", "file_name", "image_name", "image_path")
CAPTION_COLUMNS = ("caption", "title", "text", "comment", "en")
MAX_CAPTION = 10_000  # characters; training drops longer ones


@dataclass(frozen=True, slots=True)
class Table:
    """What to read.

    Attributes:
        images: the folder that the image column's paths start from.
        captions: the table: CSV and its kin, JSON lines or Parquet, with names of columns.
        group: the column that names the concept; without it see ``groups.group_alike``.
        image_column, caption_column: their names, found by the usual ones if None.
        languages, ignored, mapping: which columns are languages; see ``find_language_columns``.
        dialect: how delimited text is read.
        licence: for the manifest.
    """

    images: Path
    captions: Path
    group: str | None = None
    image_column: str | None = None
    caption_column: str | None = None
    languages: Sequence[str] | None = None
    ignored: Sequence[str] = ()
    mapping: Mapping[str, str] = field(default_factory=dict)
    dialect: Dialect = AUTOMATIC
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
    found: LanguageColumns

    def as_dict(self) -> dict[str, Any]:
        return {
            "image": self.image,
            "caption": self.caption,
            "group": self.group,
            "languages": self.found.languages,
            "left_out": self.found.left_out,
        }


def prepare_table(
    table: Table, out: str | os.PathLike[str], *, layout: Layout = LAYOUT, max_dropped: float = 0.1
) -> Prepared:
    """Makes the set, or finds it in ``out`` when it was made from the same table and pictures.

    Args:
        table: what to read.
        out: the folder to make.
        layout: splits and sizes.
        max_dropped: the share of pictures that may be unusable (0 to 1).

    Raises:
        UserError: a path or column does not exist, or ``out`` holds something else.
        DataError: the table cannot be read, nothing is left, or more than ``max_dropped`` is unusable.
    """
    if not 0 <= max_dropped <= 1:
        raise UserError(f"--max-dropped must be between 0 and 1, got {max_dropped}.")
    if not table.images.is_dir():
        raise UserError(f"--images {table.images} is not a folder{_kind_of_file(table.images)}.")
    rows = read_table(table.captions, table.dialect)
    columns = find_columns(table, rows)
    left_out, dropped = Tally(), Tally()
    entries = collect(rows, columns, table, left_out, dropped)
    missing = dropped.counts["missing file"]
    arguments = {
        "images": str(table.images.resolve()),
        "captions_sha256": hashlib.sha256(table.captions.read_bytes()).hexdigest(),
        "dialect": [table.dialect.delimiter, table.dialect.quote],
        "columns": columns.as_dict(),
        "licence": table.licence,
        "pictures": inventory(((str(path), table.images / path) for path in sorted(entries)), missing),
    }
    if (found := find_prepared(out, NAME, layout, arguments, max_dropped=max_dropped)) is not None:
        return found
    origin = Origin(NAME, f"{table.captions.name} with pictures of {table.images.name}", table.licence, arguments)
    records = read_images(entries, table.images, dropped)
    return write_splits(records, out, origin, layout, left_out=left_out, dropped=dropped, max_dropped=max_dropped)


def find_columns(table: Table, rows: Sequence[Row]) -> Columns:
    """Finds the columns by name, and the languages by name and cells.

    Raises:
        UserError: one that is needed or named does not exist; the sentence lists those that do.
    """
    names = list(rows[0].cells)
    known = ", ".join(names)
    may_be = [name for name in names if name not in table.ignored and table.mapping.get(name, "en") == "en"]

    def pick(asked: str | None, usual: Sequence[str], option: str) -> str:
        if asked is not None:
            if asked not in names:
                raise UserError(f"{table.captions} has no column '{asked}' ({option}); it has: {known}.")
            return asked
        lower = {name.lower(): name for name in reversed(may_be)}
        for name in usual:
            if name in lower:
                return lower[name]
        wanted, hint = " or ".join(dict.fromkeys(usual)), " (and --delimiter)" if len(names) == 1 else ""
        raise UserError(
            f"{table.captions} has no column named {wanted}; name one with {option}{hint}; it has: {known}."
        )

    image = pick(table.image_column, IMAGE_COLUMNS, "--image-column")
    english = [name for name in may_be if (table.mapping.get(name) or tag_of(name)) == "en" and name != image]
    mapped = [name.lower() for name in english if name in table.mapping]
    caption = pick(table.caption_column, [*mapped, *CAPTION_COLUMNS, *map(str.lower, english)], "--caption-column")
    group = pick(table.group, (), "--group") if table.group is not None else None
    others = [name for name in names if name not in (image, caption, group)]
    found = find_language_columns(
        {name: [row.cells[name] for row in rows] for name in others},
        [row.cells[caption] for row in rows],
        where=str(table.captions),
        languages=table.languages and [name for name in table.languages if name in others or tag_of(name) != "en"],
        ignored=table.ignored,
        mapping={name: tag for name, tag in table.mapping.items() if name != caption},
    )
    own = languages_of(["en", *found.languages.values()])
    return Columns(
        image,
        caption,
        group,
        LanguageColumns({name: own[tag] for name, tag in found.languages.items()}, found.left_out),
    )


def collect(
    rows: Iterable[Row], columns: Columns, table: Table, left_out: Tally, dropped: Tally
) -> dict[PurePosixPath, Entry]:
    """The rows put together by image; what cannot be used is counted, rows in ``left_out``, pictures in ``dropped``."""
    pictures = PictureFiles(table.images)
    paths: dict[str, PurePosixPath | None] = {}
    entries: dict[PurePosixPath, Entry] = {}
    sources = {columns.caption: "en", **columns.found.languages}
    for row in rows:
        name = row.cells[columns.image]
        if name == BYTES:
            raise DataError(
                f"{table.captions}: its column '{columns.image}' holds pictures, not names of files; write them to files first."
            )
        if not name.strip():
            dropped.add("row without an image", row.where)
            continue
        if name not in paths:
            paths[name] = _find(pictures, name, dropped)
        if (path := paths[name]) is None:
            continue
        texts = [(language, _caption(row, column, table)) for column, language in sources.items()]
        entry = entries.setdefault(path, Entry())
        for language, text in texts:
            if text and text not in entry.captions[language]:
                entry.captions[language].append(text)
        if not any(text for _, text in texts):
            left_out.add("rows without a caption", row.where)
        if columns.group is None or not (group := " ".join(row.cells[columns.group].split())):
            continue
        if entry.group not in (None, group):
            raise DataError(
                f"{table.captions} {row.where}: {path} is in two groups, '{entry.group}' and '{group}'; give it one."
            )
        entry.group = group
    for path in [path for path, entry in entries.items() if not entry.captions["en"]]:
        dropped.add("no English caption", str(path))
        del entries[path]
    return entries


def read_images(entries: dict[PurePosixPath, Entry], folder: Path, dropped: Tally) -> Iterator[Record]:
    """The records, mixed by a hash of their names; unreadable files are counted in ``dropped``."""
    present: dict[PurePosixPath, Entry] = {}
    for path in sorted(entries, key=lambda each: shuffle_key(str(each))):
        if (folder / path).stat().st_size > MAX_BYTES:
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
        extension = "svg" if is_svg(image) else RASTER
        yield Record(str(path), image, extension, caption, captions, entry.group or groups[path])


def _find(pictures: PictureFiles, name: str, dropped: Tally) -> PurePosixPath | None:
    try:
        return pictures.find(name)
    except NoPicture as error:
        dropped.add(str(error), name)
        return None


def _caption(row: Row, column: str, table: Table) -> str:
    text = " ".join(clean_caption(row.cells[column]).split())
    if len(text) > MAX_CAPTION:
        raise DataError(
            f"{table.captions} {row.where}: '{column}' has {len(text):,} characters, a caption has at most {MAX_CAPTION:,}."
        )
    return text


def _kind_of_file(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as handle:
        return f" but {kind}" if (kind := file_kind(handle.read(LOOKED_AT))) else ""
