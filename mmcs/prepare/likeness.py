"""Whether two small squares show the same picture: laid over each other as well as a cut allows, then compared place by place.

Perceptual hashes bring many pairs together that only resemble each other, above all drawings on white; this is what tells
them apart. Called by ``overlap_find.py`` for the candidates of a hash; ``docs/overlap.md`` has what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcs.prepare.fingerprint import REACH, WHOLE, Box, continued, cut, in_continued

_LOOK, _RESEMBLES = 16, 0.8  # pixels and correlation of a first look, before time is spent on laying one over the other
_ALIGNED, _COMPARED = 32, 48  # pixels of the squares that are laid over each other, and that are compared
_FEWEST = 12
_DETAIL = 0.75  # of the pixels of the smaller picture's shorter side are compared: finer is its own encoder's noise
_STEPS, _STEP, _FURTHEST = 4, 0.004, 0.03  # of the laying over: how many, how far to feel for the slope, how far to go
_BLOCKS = 6  # per side, whose means must agree
#: What a copy has: the correlation of its grey levels, and how far the mean of a block may be off in luma and in colour
#: (red and blue minus luma), in levels of 255.
SAME = 0.985
_LUMA, _COLOUR = 20.0, 40.0
_GREY = 15.0  # a picture without more colour than this is grey: then colour says nothing
_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)


def likeness(first: NDArray[np.uint8], second: NDArray[np.uint8], seen: Box, shorter: int) -> float:
    """The correlation of the grey levels of two squares where they show the same picture, else 0.

    Args:
        first, second: uint8 (64, 64, 3), as ``Fingerprint`` makes them.
        seen: where the first is taken to show the second (``View.seen``).
        shorter: pixels of the shorter side of the smaller of both pictures.
    """
    one, other = continued(Image.fromarray(first)), Image.fromarray(second)
    grey, wanted = one.convert("L"), other.convert("L")
    box = np.array(seen)
    if _correlation(_of_continued(grey, box, _LOOK), _pixels(wanted, WHOLE.box, _LOOK)) < _RESEMBLES:
        return 0.0
    side = max(_FEWEST, min(_COMPARED, int(shorter * _DETAIL) // _BLOCKS * _BLOCKS))
    box = _laid_over(grey, wanted, box, min(side, _ALIGNED))
    corner, size = np.tile(box[:2], 2), np.tile(box[2:] - box[:2], 2)
    in_both = box.clip(0, 1)
    of_other = ((in_both - corner) / size).clip(0, 1)
    left, right = _of_continued(one, in_both, side), _pixels(other, of_other, side)
    correlation = _correlation(left @ _WEIGHTS, right @ _WEIGHTS)
    return correlation if correlation >= SAME and _agree(_block_means(left), _block_means(right)) else 0.0


def _laid_over(one: Image.Image, other: Image.Image, box: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """The box of ``one`` that shows ``other`` best: Gauss-Newton steps on the squared difference of grey levels, from ``box``.

    Slopes are felt for by moving one edge at a time inwards.
    """
    wanted = _pixels(other, WHOLE.box, side)
    moves = np.diag([_STEP, _STEP, -_STEP, -_STEP])

    def off(at: NDArray[np.float64]) -> NDArray[np.float32]:
        return (_of_continued(one, at, side) - wanted).ravel()

    difference = off(box)
    for _ in range(_STEPS):
        slopes = np.stack([(off(box + move) - difference) / move.sum() for move in moves], axis=1).astype(np.float64)
        square = slopes.T @ slopes
        damped = square + (1e-3 * np.trace(square) / 4 + 1.0) * np.eye(4)  # solvable in flat pictures, too
        step = np.linalg.solve(damped, -slopes.T @ difference).clip(-_FURTHEST, _FURTHEST)
        moved = (box + step).clip([-REACH, -REACH, 0.5, 0.5], [0.5, 0.5, 1 + REACH, 1 + REACH])
        left = off(moved)
        gained = 1 - float(left @ left) / max(float(difference @ difference), 1e-6)
        if gained <= 0:
            break
        box, difference = moved, left
        if gained < 0.02:
            break
    return box


def _pixels(image: Image.Image, box: Sequence[float] | NDArray[np.float64], side: int) -> NDArray[np.float32]:
    return np.asarray(cut(image, box, side), np.float32)


def _of_continued(image: Image.Image, box: NDArray[np.float64], side: int) -> NDArray[np.float32]:
    return _pixels(image, in_continued(box), side)


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / max(1e-6, np.sqrt((one * one).sum() * (other * other).sum())))


def _block_means(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """(side, side, 3) RGB → (6, 6, 3): luma, red and blue minus luma of each block."""
    luma = pixels @ _WEIGHTS
    channels = np.stack([luma, pixels[..., 0] - luma, pixels[..., 2] - luma], axis=-1)
    size = len(pixels) // _BLOCKS
    return channels.reshape(_BLOCKS, size, _BLOCKS, size, 3).mean((1, 3))


def _agree(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    apart = np.abs(one - other)
    grey = min(np.abs(one[..., 1:]).max(), np.abs(other[..., 1:]).max()) <= _GREY
    return bool(apart[..., 0].max() <= _LUMA and (grey or apart[..., 1:].max() <= _COLOUR))
