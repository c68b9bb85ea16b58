"""The stamps of Tux Paint: real pictures, each with an English caption and human translations in up to 75 languages.

They come out of the Debian package ``tuxpaint-stamps-default``, or from a folder or .deb file that the user names.
"""

from __future__ import annotations

import os
import re
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from rich.console import Console

from mmcs.common.language_tags import language_tag
from mmcs.errors import DataError, UserError
from mmcs.prepare.debs import download_deb, extract_deb
from mmcs.prepare.layout import Layout
from mmcs.prepare.picture_files import inventory_below
from mmcs.prepare.records import Record, Tally, concept_of, shuffle_key
from mmcs.prepare.reuse import find_prepared
from mmcs.prepare.shards import Origin, Prepared, write_splits
from mmcs.progress import track

NAME = "stamps"
PACKAGE = "tuxpaint-stamps-default"
INSIDE = PurePosixPath("usr/share/tuxpaint/stamps")
SUFFIXES = (".txt", ".png", ".svg")
ENGLISH = re.compile(r"en(_[A-Z]{2})?")
TRANSLATION = re.compile(r"([A-Za-z_@]+)\.utf8=(.*)")
# Letters and digits: what they show is a sign, not a thing, and their captions differ in that sign alone.
SIGNS = re.compile(r"symbols/alphabets/|symbols/math/\d\.txt")
HELP = (
    f"get the Tux Paint stamps (Debian package {PACKAGE}, or tuxpaint-stamps from the Tux Paint project's own site) "
    "and name the .deb file or the unpacked folder with --source"
)


def prepare_stamps(
    out: str | os.PathLike[str], source: str | os.PathLike[str] | None = None, *, layout: Layout | None = None
) -> Prepared:
    """Makes the set, or finds it in ``out``.

    Args:
        out: the folder to make.
        source: an unpacked folder or a .deb file; without it the package is fetched with ``apt-get download``.
        layout: splits and sizes.

    Raises:
        UserError: the package cannot be had, or ``source`` or ``out`` is not what it should be.
        DataError: the source holds no stamps.
    """
    layout = layout or Layout()
    asked: dict[str, Any] = {"from": None}
    if source is not None:
        if not Path(source).exists():
            raise UserError(f"--source {source} does not exist; {HELP}.")
        asked = {"from": str(Path(source).resolve()), "pictures": inventory_below([Path(source)], (*SUFFIXES, ".deb"))}
    if (found := find_prepared(out, NAME, layout, asked)) is not None:
        return found
    origin = Origin(
        NAME,
        f"Tux Paint stamps, Debian package {PACKAGE}",
        "GPL-2.0",
        asked if asked["from"] else {"from": f"apt-get download {PACKAGE}"},
    )
    left_out, dropped = Tally(), Tally()
    with _unpacked(source) as root:
        records = read_stamps(root, left_out, dropped)
        return write_splits(records, out, origin, layout, left_out=left_out, dropped=dropped)


def read_stamps(root: Path, left_out: Tally, dropped: Tally) -> Iterator[Record]:
    """The records of an unpacked folder of stamps, mixed by a hash of their names."""
    texts = [path.relative_to(root).as_posix() for path in root.rglob("*.txt")]
    for name in track(sorted(texts, key=shuffle_key), "Preparing stamps"):
        if SIGNS.match(name):
            left_out.add("letter or digit", name)
            continue
        path = root / name
        # Where a stamp has both, the SVG is the original.
        picture = next((p for p in (path.with_suffix(".svg"), path.with_suffix(".png")) if p.is_file()), None)
        if picture is None:
            left_out.add("caption without a picture", name)
            continue
        try:
            caption, captions, unknown = parse_captions(path.read_text("utf-8"))
        except UnicodeDecodeError:
            dropped.add("caption not in UTF-8", name)
            continue
        if not caption:
            dropped.add("no English caption", name)
            continue
        for locale in unknown:
            left_out.add("translation into a language that is not registered", f"{locale} in {name}")
        yield Record(
            name=picture.relative_to(root).as_posix(),
            image=picture.read_bytes(),
            extension=picture.suffix[1:],
            caption=caption,
            captions=captions,
            group=concept_of(caption),
        )


def parse_captions(text: str) -> tuple[str, dict[str, list[str]], list[str]]:
    """A stamp's ``.txt``: the first line is English, the others ``LOCALE.utf8=translation``.

    Returns:
        The English caption, BCP 47 tag to captions (``en``: British or Australian wording that differs from the first
        line), and the locales of no registered language.
    """
    first, *lines = text.splitlines() or [""]
    caption = clean(first)
    captions: dict[str, list[str]] = {}
    unknown: list[str] = []
    for line in lines:
        match = TRANSLATION.fullmatch(line.strip())
        if match is None:
            continue
        translated = clean(match[2])
        try:
            language = "en" if ENGLISH.fullmatch(match[1]) else language_tag(match[1])
        except UserError:
            unknown.append(match[1])
            continue
        known = captions.setdefault(language, [])
        if translated and translated not in known and not (language == "en" and translated == caption):
            known.append(translated)
    return caption, {language: known for language, known in sorted(captions.items()) if known}, unknown


def clean(text: str) -> str:
    """One caption, without the slips of the files: ``\\t`` spelt out, a bar for a danda, an end mark in front."""
    text = unicodedata.normalize("NFC", text.replace("\\t", " ")).replace("|", "।")
    text = " ".join(text.split())
    return re.sub(r"^[.!।]\s*(?=\D)", "", text).replace(" ।", "।")


@contextmanager
def _unpacked(source: str | os.PathLike[str] | None) -> Iterator[Path]:
    """The folder of stamps inside ``source`` (a folder, a .deb file, or None for the package)."""
    if source is not None and Path(source).is_dir():
        yield _stamps_folder(Path(source))
        return
    with tempfile.TemporaryDirectory(prefix="mmcs-stamps-") as folder:
        temporary = Path(folder)
        with Console(stderr=True).status(f"Fetching and unpacking {PACKAGE} (160 MB)"):
            deb = Path(source) if source is not None else download_deb(PACKAGE, temporary, HELP)
            extract_deb(deb, temporary / "unpacked", INSIDE, suffixes=SUFFIXES)
        yield _stamps_folder(temporary / "unpacked")


def _stamps_folder(folder: Path) -> Path:
    for root in (folder / INSIDE, folder / "stamps", folder):
        if root.is_dir() and any(path.with_suffix(".txt").is_file() for path in root.rglob("*.png")):
            return root
    raise DataError(f"{folder} holds no stamps (pictures with a .txt of the same name beside them); {HELP}.")
