"""What tells a picture again after it was re-encoded, resized or cropped: a perceptual hash and a small square of pixels.

The hash finds candidates (``hash_index.py``), the squares decide (``likeness.py``). ``overlap.py`` streams shards through
``Fingerprint``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcs.prepare.images import ImageError, decode, open_image
from mmcs.stream.decode import DecodeImage, image_file, jpeg_scans
from mmcs.stream.drops import BadSample
from mmcs.stream.features import digest

SIDE = 64  # of a square
_MARGIN = 6  # pixels by which a square is continued on all sides, where a view reaches beyond it
REACH = _MARGIN / SIDE  # how far a box may reach beyond a continued square
_HASHED = 32  # imagehash.phash looks at 32 x 32 pixels
#: The part of a picture that is hashed. Of a drawing that is its own mirror image half of the coefficients vanish and their
#: bits are noise; seen off centre it is no mirror image.
_OFF_CENTRE = (0.16, 0.07, 1.0, 1.0)
_FLAT = 2.0  # standard deviation in grey levels: below it there is nothing to hash

Box = tuple[float, float, float, float]  # left, top, right, bottom, in widths and heights of the picture


class View(NamedTuple):
    """How one picture may show the other: ``box`` of the first is the whole of the second, or, where ``wider``, the first
    is that ``box`` of the second.
    """

    box: Box
    wider: bool = False

    @property
    def seen(self) -> Box:
        """The second picture in widths and heights of the first; beyond 0 to 1 where it is wider."""
        if not self.wider:
            return self.box
        left, top, right, bottom = self.box
        width, height = right - left, bottom - top
        return -left / width, -top / height, (1 - left) / width, (1 - top) / height


def _cut_off(share: float, x: float, y: float) -> Box:
    return share * x, share * y, 1 - share + share * x, 1 - share + share * y


WHOLE = View((0.0, 0.0, 1.0, 1.0))
_CUTS = [_cut_off(share, *where) for share in (0.025, 0.05) for where in ((0.5, 0.5), (0, 0), (0, 1), (1, 0), (1, 1))]
#: The whole picture, and 2.5 and 5 % of both sides cut off around or in a corner, of either of the two pictures.
VIEWS = (WHOLE, *(View(box) for box in _CUTS), *(View(box, wider=True) for box in _CUTS))


class Fingerprint:
    """Sample stage: "files" → "digest" (of the image file), "square", "hashes", "flat" and "shorter".

    "square" is uint8 (64, 64, 3), the picture as people see it (upright, on white) squeezed into a square; "hashes" are
    int64 (V,), ``imagehash.phash`` of each of the V views; "flat" tells that there is nothing to hash; "shorter" is the
    picture's shorter side in pixels.

    Raises:
        BadSample: "no image", "undecodable image" or "image too large", as training drops them.
    """

    def __init__(self, views: Sequence[View] = (WHOLE,)) -> None:
        self.views = list(views)
        self._limits = DecodeImage(_unchanged)

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        content = image_file(sample)
        del sample["files"]
        square, shorter = self._square(content)
        grey = continued(square.convert("L"))
        hashes = [_hash(grey, view) for view in self.views]
        return sample | {
            "digest": digest(content),
            "square": np.array(square),
            "hashes": np.array(hashes, np.uint64).view(np.int64),
            "flat": bool(np.asarray(grey).std() < _FLAT),
            "shorter": shorter,
        }

    def _square(self, content: bytes) -> tuple[Image.Image, int]:
        """The square, and the shorter side of the picture that it was made from."""
        scans = jpeg_scans(content) if content.startswith(b"\xff\xd8") else 1
        try:
            with open_image(content) as image:
                shorter = min(image.size)
                self._limits.check_size(*image.size, scans)
                rgb, _ = decode(image, SIDE)
        except ImageError as problem:
            bomb = str(problem) == "decompression bomb"
            raise BadSample("image too large" if bomb else "undecodable image", str(problem)) from None
        return rgb.resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0), shorter


def continued(square: Image.Image) -> Image.Image:
    """The square with what lies on its edges repeated outwards: most often a picture goes on as it was there."""
    pixels = np.asarray(square)
    return Image.fromarray(np.pad(pixels, [(_MARGIN, _MARGIN)] * 2 + [(0, 0)] * (pixels.ndim - 2), mode="edge"))


def in_continued(box: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """A box of a square, in widths and heights of the continued one."""
    return (np.asarray(box) * SIDE + _MARGIN) / (SIDE + 2 * _MARGIN)


def cut(image: Image.Image, box: Sequence[float] | NDArray[np.float64], side: int) -> Image.Image:
    """A box of a picture, squeezed into ``side`` x ``side`` pixels."""
    width, height = image.size
    inside = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
    return image.resize((side, side), Image.Resampling.LANCZOS, box=inside)


def _hash(continued_grey: Image.Image, view: View) -> np.uint64:
    box = in_continued(_within(view.seen, _OFF_CENTRE))
    bits = imagehash.phash(cut(continued_grey, box, _HASHED)).hash
    return np.packbits(bits).view(">u8").astype(np.uint64)[0]


def _within(outer: Box, inner: Box) -> Box:
    """``inner``, given in widths and heights of ``outer``, in those that ``outer`` is given in."""
    left, top, right, bottom = outer
    width, height = right - left, bottom - top
    return left + inner[0] * width, top + inner[1] * height, left + inner[2] * width, top + inner[3] * height


def _unchanged(image: Any) -> Any:
    return image
