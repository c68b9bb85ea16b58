"""Text of any script into a picture, with the fonts that the machine has; what it cannot write, it says beforehand.

Fonts are found through matplotlib, shaped by Pillow (through raqm, where it has it). Called by ``contact_sheet.py``.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator

import regex
from PIL import ImageDraw, ImageFont, features

#: Tried first, the others after them. They come on most machines, and matplotlib brings the last.
_FAMILIES = ("Noto Sans", "Noto", "Liberation Sans", "DejaVu Sans")
#: Fonts of boxes and of single signs, whose tables promise letters that nobody could read.
_UNFIT = regex.compile(r"Last Resort|Symbols?\b|Math|Mono|Display|^cm|STIX|Music|Emoji|Keyboard|Rashi|Nastaliq|Kufi")
_VARIANTS = frozenset("\ufe0e\ufe0f")
_LONGEST = 400  # characters; more are not looked at
#: Pillow's wheels bring raqm, which does nothing without the system's fribidi.
_SHAPES = bool(features.check("raqm") and features.check("fribidi"))


def writable(text: str) -> bool:
    """Whether every letter, mark and digit of a text can be written so that it can be read.

    Not so where no font has one; where letters join or run from right to left and Pillow comes without raqm; and where
    a text that runs from right to left needs more than one font.
    """
    text = _prepared(text)
    if not _SHAPES and any(_is_complex(character) for character in text):
        return False
    if not all(map(_font_of, filter(_counts, text))):
        return False
    return 1 <= len(list(_runs(text))) <= (1 if _runs_leftwards(text) else len(text))


def lines(text: str, size: int, width: int, most: int) -> list[str]:
    """A text in at most ``most`` lines, none wider than ``width`` pixels at ``size``, cut with an ellipsis."""
    found: list[str] = []
    rest = _prepared(text)
    while rest and len(found) < most:
        end = _fitting(rest, size, width)
        found.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    if rest and found:
        last = regex.findall(r"\X", found[-1])
        while last and width_of("".join(last) + "…", size) > width:
            last.pop()
        found[-1] = "".join(last).rstrip() + "…"
    return found


def width_of(text: str, size: int) -> float:
    """Pixels that a line takes."""
    return sum(_font(path, size).getlength(run) for path, run in _runs(_prepared(text)))


def write(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, fill: str, width: int) -> None:
    """One line on the baseline ``at``, within ``width`` pixels: against the right side where it runs from there. Signs that no
    font has are left out.
    """
    text, (x, y) = _prepared(text), at
    if _runs_leftwards(text):
        x += width - width_of(text, size)
    for path, run in _runs(text):
        font = _font(path, size)
        draw.text((x, y), run, fill=fill, font=font, anchor="ls")
        x += font.getlength(run)


def _prepared(text: str) -> str:
    """Composed letters and single spaces: what needs no shaping asks for none."""
    return unicodedata.normalize("NFC", " ".join(text[:_LONGEST].split()))


def _fitting(text: str, size: int, width: int) -> int:
    """How much of a text stands on one line: up to the last space that fits, or a word's last whole character that does."""
    fits = 0
    for match in regex.finditer(r"\S+\s*", text):
        if width_of(text[: match.end()].rstrip(), size) > width:
            break
        fits = match.end()
    if fits:
        return fits
    for match in regex.finditer(r"\X", text):
        if fits and width_of(text[: match.end()], size) > width:
            break
        fits = match.end()
    return fits


def _runs(text: str) -> Iterator[tuple[str, str]]:
    """Parts of a text with the font of each: one for all where one has all letters, else each as long as its font goes on."""
    known = "".join(character for character in text if character == " " or _font_of(character)).strip()
    every = frozenset(known) - {" "}
    whole = _font_for(every) or _font_for(frozenset(filter(_counts, every)))
    if not every:
        return
    if whole is not None:
        yield (
            whole,
            "".join(character for character in known if character == " " or ord(character) in _characters(whole)),
        )
        return
    path, run = "", ""
    for character in known:
        if run and (character == " " or ord(character) in _characters(path)):
            run += character
            continue
        if run:
            yield path, run
        path, run = _font_of(character) or path, character
    yield path, run


def _counts(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM" and character not in _VARIANTS


def _is_complex(character: str) -> bool:
    return unicodedata.bidirectional(character) in ("R", "AL") or unicodedata.category(character) in ("Mn", "Mc")


def _runs_leftwards(text: str) -> bool:
    """By its first letter of a direction, as Unicode's algorithm has it (UAX #9, P2)."""
    first = next((c for c in map(unicodedata.bidirectional, text) if c in ("L", "R", "AL")), "L")
    return first != "L"


@functools.lru_cache(maxsize=1024)
def _font_for(needed: frozenset[str]) -> str | None:
    codes = set(map(ord, needed))
    return next((path for path in _fonts() if codes <= _characters(path)), None)


@functools.lru_cache(maxsize=1024)
def _font_of(character: str) -> str | None:
    """None, too, for what is no sign: control characters, private ones, halves of surrogate pairs, variation selectors."""
    if unicodedata.category(character) in ("Cc", "Cn", "Co", "Cs") or character in _VARIANTS:
        return None
    return _font_for(frozenset(character))


@functools.cache
def _fonts() -> list[str]:
    """The machine's upright fonts of normal weight, those first that are made for reading."""
    from matplotlib.font_manager import fontManager

    upright = [
        font
        for font in fontManager.ttflist
        if font.style == "normal" and font.weight in (400, "normal") and not _UNFIT.search(font.name)
    ]

    def place(name: str) -> int:
        return next((i for i, family in enumerate(_FAMILIES) if name.startswith(family)), len(_FAMILIES))

    # Of one family the plain one first ("Noto Sans"), which holds what most captions are written in.
    ordered = sorted(upright, key=lambda font: (place(font.name), font.name, font.fname))
    return list(dict.fromkeys(font.fname for font in ordered))


@functools.cache
def _characters(path: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        ImageFont.truetype(path, 12)
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # gone since matplotlib listed it, or of a kind that one of the two does not read
        return frozenset()


@functools.lru_cache(maxsize=64)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)
