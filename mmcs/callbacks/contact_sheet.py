"""A few queries of one language beside the images they find, as one picture. Which ones is decided in ``examples.py``."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from mmcs.callbacks.lettering import lines, writable, write
from mmcs.report.names import language_name

TILE = 88  # pixels, as all that follows
_GAP, _MARGIN, _TEXT, _TITLE = 8, 10, 216, 30
_FRAME, _BADGE = 4, 20
_RIGHT, _WRONG = "#1a7f37", "#8c959f"
_INK, _FAINT, _PAPER, _BLANK = "#1f2328", "#59636e", "#ffffff", "#eaeef2"


@dataclass(frozen=True)
class Tile:
    """An image that was found: at most ``TILE`` wide and high, None where it cannot be had; its id; whether it is right."""

    picture: Image.Image | None
    name: str
    right: bool


@dataclass(frozen=True)
class Row:
    """A query: its caption, the English one of the same image, the rank of its best right image, the first images."""

    caption: str
    english: str | None
    rank: int
    tiles: Sequence[Tile]


def contact_sheet(title: str, language: str, rows: Sequence[Row], gallery: int) -> np.ndarray:
    """uint8 (H, W, 3): a row per query, right images with a green frame and a tick, others with a thin grey one.

    A caption in a script that cannot be written here is replaced by the English one, and that is said.

    Args:
        title: one line. language: of the captions. gallery: how many images are searched.
    """
    columns = max(len(row.tiles) for row in rows)
    width = 2 * _MARGIN + _TEXT + columns * (TILE + _GAP)
    height = _TITLE + len(rows) * (TILE + _GAP) + _MARGIN - _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (_MARGIN, 20), lines(title, 14, width - 2 * _MARGIN, 1)[0], 14, _INK, width - 2 * _MARGIN)
    for number, row in enumerate(rows):
        top = _TITLE + number * (TILE + _GAP)
        _write_query(draw, top, language, row, gallery)
        for place, tile in enumerate(row.tiles):
            _paste(sheet, draw, (_MARGIN + _TEXT + _GAP + place * (TILE + _GAP), top), tile)
    return np.asarray(sheet)


def _write_query(draw: ImageDraw.ImageDraw, top: int, language: str, row: Row, gallery: int) -> None:
    if writable(row.caption):
        caption, below = row.caption, row.english if row.english != row.caption else None
    else:
        said = f"no font for {language_name(language)} here"
        caption, below = row.english or "", f"in English: {said}" if row.english else said
    y = float(top)
    for text, size, fill, most in ((caption, 15, _INK, 2 if below else 4), (below or "", 12, _FAINT, 2)):
        for line in lines(text, size, _TEXT, most):
            y += size + 3
            write(draw, (_MARGIN, y), line, size, fill, _TEXT)
    found = f"right image: rank {row.rank:,} of {gallery:,}"
    write(draw, (_MARGIN, top + TILE - 2), found, 12, _RIGHT if row.rank <= len(row.tiles) else _FAINT, _TEXT)


def _paste(sheet: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], tile: Tile) -> None:
    left, top = corner
    box = (left, top, left + TILE - 1, top + TILE - 1)
    if tile.picture is None:
        draw.rectangle(box, fill=_BLANK)
        y = top + 18
        for line in ["no picture", *lines(tile.name.rpartition("/")[2], 11, TILE - 16, 3)]:
            write(draw, (left + 8, y), line, 11, _FAINT, TILE - 16)
            y += 15
    else:
        wide, high = tile.picture.size
        sheet.paste(tile.picture, (left + (TILE - wide) // 2, top + (TILE - high) // 2))
    draw.rectangle(box, outline=_RIGHT if tile.right else _WRONG, width=_FRAME if tile.right else 1)
    if tile.right:
        tick = _tick()
        sheet.paste(tick, (left + TILE - _BADGE, top), tick)


@functools.cache
def _tick() -> Any:
    """A white tick on green, drawn large and made small, for smooth edges; the sign that needs no eye for colours."""
    large = Image.new("RGBA", (4 * _BADGE, 4 * _BADGE), _RIGHT)
    points = [(20, 42), (34, 58), (62, 24)]
    ImageDraw.Draw(large).line(points, fill="white", width=11, joint="curve")
    return large.resize((_BADGE, _BADGE), Image.Resampling.LANCZOS)
