"""Captions of any script: what can be written can be read, and what cannot is known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from mmcs.callbacks import lettering
from mmcs.callbacks.lettering import lines, width_of, writable, write


def drawn(text: str, width: int = 400) -> np.ndarray:
    """Where a line leaves ink, (60, width + 40) bool; the line has 20 pixels on both sides."""
    picture = Image.new("L", (width + 40, 60), 255)
    write(ImageDraw.Draw(picture), (20, 35), text, 20, "black", width)
    return np.asarray(picture) < 128


def use_fonts(monkeypatch, names: list[str]) -> None:
    """Only these of the machine's fonts, as on a machine that has no others."""
    paths = [path for path in lettering._fonts() if path.rpartition("/")[2] in names]
    assert len({path.rpartition("/")[2] for path in paths}) == len(names)
    monkeypatch.setattr(lettering, "_fonts", lambda: paths)
    for cached in (lettering._font_for, lettering._font_of):
        cached.cache_clear()


@pytest.fixture
def bundled(monkeypatch):
    """The font that matplotlib brings, which every machine has."""
    use_fonts(monkeypatch, ["DejaVuSans.ttf"])
    yield
    for cached in (lettering._font_for, lettering._font_of):
        cached.cache_clear()


SHAPED = pytest.mark.needs("fribidi")


@pytest.mark.parametrize(
    "text",
    [
        *("A dog — “big”", "größer", "собака", "σκύλος", "Một chiếc xe", "კატა"),
        *(pytest.param(text, marks=SHAPED) for text in ("كلب (3)", "כלב")),
    ],
    ids=str,
)
def test_common_scripts_are_written_on_every_machine(bundled, text):
    assert writable(text) and drawn(text).any()


@pytest.mark.parametrize("text", ["एक कुत्ता", "犬", "สุนัข", "dog कुत्ता", "", "  ", "\ue123", "🐶", "\x07"], ids=ascii)
def test_what_no_font_has_is_known_and_not_drawn_as_boxes(bundled, text):
    assert not writable(text)
    assert drawn(text).sum() == drawn("dog" if "dog" in text else "").sum()


def test_signs_without_a_font_are_left_out_and_letters_stay(bundled):
    assert writable("a dog 🐶!") and (drawn("a dog 🐶!") == drawn("a dog !")).all()


@SHAPED
def test_every_glyph_is_one_of_the_font_and_none_its_box(bundled):
    """Letters differ from each other, and from what the font draws for a character it lacks."""
    from PIL import ImageFont

    box = ImageFont.truetype(lettering._fonts()[0], 20).getmask("\U0010fffd", "L")
    seen = {bytes(drawn(letter)) for letter in "abcжψאب"}
    assert len(seen) == 7 and bytes(box) not in seen


@SHAPED
def test_arabic_letters_join_and_lines_from_right_to_left_stand_at_the_right(bundled):
    apart = sum(width_of(letter, 20) for letter in "كلب")
    assert width_of("كلب", 20) < 0.9 * apart
    columns = drawn("كلب").any(0).nonzero()[0]
    assert columns.min() > 300 and columns.max() <= 421
    assert drawn("dog").any(0).nonzero()[0].max() < 100
    assert (drawn("ab").any(0).nonzero()[0] < 60).all()


def test_without_raqm_what_needs_shaping_is_not_written(bundled, monkeypatch):
    monkeypatch.setattr(lettering, "_SHAPES", False)
    assert not any(map(writable, ["كلب", "כלב", "कुत्ता"]))
    assert all(map(writable, ["dog", "größer", "собака", unicode_apart("größer")]))


def unicode_apart(text: str) -> str:
    import unicodedata

    return unicodedata.normalize("NFD", text)


@pytest.mark.needs("fribidi", "a Devanagari font")
def test_a_second_font_takes_over_where_the_first_ends(monkeypatch):
    use_fonts(monkeypatch, ["DejaVuSans.ttf", "NotoSansDevanagari-Regular.ttf"])
    assert writable("dog कुत्ता") and width_of("dog कुत्ता", 20) > width_of("कुत्ता", 20) > 0
    assert not writable("كلب कुत्ता")  # two fonts from right to left: their order would be wrong
    for cached in (lettering._font_for, lettering._font_of):
        cached.cache_clear()


def test_lines_hold_the_whole_text_or_say_that_there_is_more():
    text = "The quick brown fox jumps over the lazy dog beside a donaudampfschifffahrtsgesellschaftskapitaensmuetze"
    assert "".join("".join(lines(text, 15, 100, 99)).split()) == "".join(text.split())
    short = lines(text, 15, 100, 2)
    assert len(short) == 2 and short[1].endswith("…") and not lines("dog", 15, 100, 2)[0].endswith("…")
    assert lines("", 15, 100, 2) == []


@pytest.mark.needs("a Chinese font")
def test_lines_of_a_script_without_spaces_break_anywhere():
    assert lines("雪の中の赤い車と犬", 15, 40, 9) != ["雪の中の赤い車と犬"]


@given(st.text(max_size=60), st.integers(1, 4))
def test_any_text_keeps_within_its_lines(text, most):
    found = lines(text, 12, 120, most)
    assert len(found) <= most
    for line in found:
        assert width_of(line, 12) <= 120
        drawn(line, 120)
    writable(text)


def test_a_caption_of_ten_thousand_characters_takes_no_longer_than_its_lines():
    assert len(lines("dog " * 2500, 15, 200, 2)) == 2
    assert len(lines("d" * 10_000, 15, 200, 2)) == 2
