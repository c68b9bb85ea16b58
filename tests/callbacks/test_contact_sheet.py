"""A picture of queries and what they find: its frames, signs and words."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmcs.callbacks import contact_sheet as sheets
from mmcs.callbacks.contact_sheet import TILE, Row, Tile, contact_sheet

GREEN, RED, WHITE = (0x1A, 0x7F, 0x37), (200, 0, 0), (255, 255, 255)
LEFT, TOP, STEP = 10 + 216 + 8, 30, TILE + 8


def tile(right: bool, size: tuple[int, int] | None = (TILE, TILE)) -> Tile:
    return Tile(None if size is None else Image.new("RGB", size, RED), "set/val/00000/0000012", right)


def cut(sheet: np.ndarray, row: int, column: int) -> np.ndarray:
    top, left = TOP + row * STEP, LEFT + column * STEP
    return sheet[top : top + TILE, left : left + TILE]


@pytest.fixture
def sheet():
    rows = [
        Row("Ein Hund im Schnee", "A dog in the snow", 2, [tile(False), tile(True), tile(False, (88, 30))]),
        Row("Eine Katze", "A cat", 1234, [tile(False), tile(False, None), tile(True, None)]),
    ]
    return contact_sheet("German (de), step 7", "de", rows, gallery=3600)


def test_right_images_have_a_green_frame_and_a_tick_others_a_thin_one(sheet):
    assert sheet.dtype == np.uint8 and sheet.shape == (30 + 2 * STEP + 2, 2 * 10 + 216 + 3 * STEP, 3)
    right, wrong = cut(sheet, 0, 1), cut(sheet, 0, 0)
    for edge in (right[-4:], right[:, :4], right[:4, :60]):
        assert (edge == GREEN).all()
    badge = right[:20, -20:].reshape(-1, 3)
    assert (badge == WHITE).all(1).sum() > 10 and (badge == GREEN).all(1).sum() > 100  # a sign, not a colour alone
    assert (right[30:80, 10:60] == RED).all() and (wrong[1:-1, 1:-1] == RED).all()
    assert not (wrong[0] == RED).any() and not (wrong == GREEN).all(2).any()


def test_small_pictures_stand_in_the_middle_and_missing_ones_say_so(sheet):
    flat = cut(sheet, 0, 2)
    assert (flat[29:59, 1:-1] == RED).all() and (flat[2:28, 2:-2] == WHITE).all()
    missing, framed = cut(sheet, 1, 1), cut(sheet, 1, 2)
    assert (missing < 150).all(2).sum() > 100  # "no picture", and the key
    assert (framed[:, :4] == GREEN).all()


def test_the_words_are_the_caption_the_english_one_and_the_rank(monkeypatch):
    written = []
    monkeypatch.setattr(sheets, "write", lambda draw, at, text, size, fill, width: written.append((text, fill)))
    rows = [
        Row("Ein Hund", "A dog", 5, [tile(True)] * 5),
        Row("A cat", "A cat", 1234, [tile(False)] * 5),
        Row("\U000f0000", "A cow", 1, [tile(True)] * 5),
        Row("\U000f0000", None, 1, [tile(True)] * 5),
    ]
    contact_sheet("title", "hi", rows, gallery=3600)
    texts = [text for text, _ in written]
    assert texts == [
        "title",
        *("Ein Hund", "A dog", "right image: rank 5 of 3,600"),
        *("A cat", "right image: rank 1,234 of 3,600"),
        *("A cow", "in English: no font for Hindi here", "right image: rank 1 of 3,600"),
        *("no font for Hindi here", "right image: rank 1 of 3,600"),
    ]
    assert [fill for text, fill in written if "rank" in text] == ["#1a7f37", "#59636e", "#1a7f37", "#1a7f37"]


@pytest.mark.parametrize("english", ["A very long caption that goes on and on " * 9, None])
def test_no_word_runs_into_the_pictures_or_into_another(english):
    long = Row("Donaudampfschifffahrtsgesellschaft " * 9, english, 1, [tile(False)])
    sheet = contact_sheet("A title that is much too long for one line " * 9, "de", [long, long], gallery=10)
    assert (sheet[TOP:, LEFT - 6 : LEFT] == WHITE).all() and (sheet[:, -9:] == WHITE).all()
    assert (sheet[TOP + TILE + 2 : TOP + STEP - 1] == WHITE).all()  # nor one query into the next
    rank = sheet[TOP + 60 : TOP + TILE + 2, : LEFT - 6]
    green = (np.abs(rank.astype(int) - GREEN).sum(2) < 60).any(1).nonzero()[0]
    dark = (rank.max(2) < 100).any(1).nonzero()[0]
    assert green.size and (not dark.size or dark.max() < green.min())  # the captions end above the rank
