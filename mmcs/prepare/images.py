"""Pictures into what shards hold: RGB on white, upright, at most SIZE pixels on the longer side, JPEG.

Raster images go through Pillow, bounded before they are decoded; SVG through resvg, which fetches nothing. Photographs of
evaluation suites stay as they are (``keep``). Called by shards.py for every record, and by inspect.py to verify what shards hold.
"""

from __future__ import annotations

import base64
import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmcs.common.file_kind import LOOKED_AT, SVG, file_kind
from mmcs.common.image_formats import image_formats, unidentified

RASTER = "raster"  # an extension for whatever is never given to the SVG renderer, whatever its file is called
MAX_BYTES = 128 * 2**20
MAX_ASPECT = 200  # training drops what is longer: see mmcs.stream.decode
MAX_SVG_DEPTH = 100
MAX_SVG_ELEMENTS = 100_000
_SVG_STACK = 64 * 2**20  # bytes, reserved but not filled
_STACK_LOCK = threading.Lock()
_EMBEDDED = re.compile(r"data:image/(?:png|jpe?g|gif|webp)[;,]", re.IGNORECASE)  # not an SVG, which nothing would bound
JPEG_QUALITY = 95
_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(Exception):
    """A picture that cannot be used; its text is the cause, a few words, the same for all pictures alike."""


@contextmanager
def _blamed(cause: str) -> Iterator[None]:
    """Turns whatever an image library raises into an ImageError: it is the fault of that one file.

    Damaged files make Pillow raise nearly anything, and the SVG renderer panics with a BaseException of its own.
    """
    try:
        yield
    except (ImageError, KeyboardInterrupt, SystemExit):
        raise
    except MemoryError:
        raise ImageError("needs more memory than there is") from None
    except BaseException as error:
        raise ImageError(cause) from error


@dataclass(frozen=True, slots=True)
class Picture:
    """A converted picture: its JPEG bytes, its width and height, and those of the original, in pixels."""

    jpeg: bytes
    width: int
    height: int
    original_width: int
    original_height: int


def convert(data: bytes, extension: str, size: int) -> Picture:
    """Encodes a picture for a shard.

    Args:
        data: the encoded original.
        extension: ``svg``, or anything else for a raster image.
        size: the longer side in pixels. SVG is rendered at it; raster images are only ever made smaller.

    Raises:
        ImageError: it cannot be decoded; the text is the cause.
    """
    if extension == "svg":
        data = render_svg(data, size)
    with open_image(data) as image:
        original = image.size
        rgb, turned = decode(image, size)
    if extension == "svg" and rgb.getcolors(1) is not None:
        raise ImageError("SVG that shows nothing")  # text alone, most often: no fonts are read, they differ by machine
    if max(rgb.size) > MAX_ASPECT * min(rgb.size):
        raise ImageError(f"one side more than {MAX_ASPECT} times the other")
    scale = size / max(rgb.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in rgb.size)
        rgb = rgb.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    encoded = io.BytesIO()
    rgb.save(encoded, "JPEG", quality=JPEG_QUALITY)
    return Picture(encoded.getvalue(), *rgb.size, *(original[::-1] if turned else original))


def keep(data: bytes, shorter_side: int | None) -> Picture:
    """A photograph that figures are taken on: a JPEG stays as it is, byte for byte, unless it is to be made smaller.

    Nothing is turned upright either where the bytes stay, as OpenCLIP and others evaluate.

    Args:
        data: the encoded original.
        shorter_side: pixels; a longer shorter side is scaled down to it, and the picture encoded anew. None: never.

    Raises:
        ImageError: it cannot be decoded; the text is the cause.
    """
    with open_image(data) as image:
        low, high = sorted(image.size)
        stays = image.format in ("JPEG", "MPO") and (shorter_side is None or low <= shorter_side)
        if high > MAX_ASPECT * low:
            raise ImageError(f"one side more than {MAX_ASPECT} times the other")
        if stays:
            size = image.size
            with _blamed("damaged image"):  # found now, not when metrics are computed
                image.load()
            return Picture(data, *size, *size)
    return convert(data, RASTER, high if shorter_side is None else round(shorter_side * high / low))


def open_image(data: bytes) -> Image.Image:
    """The image with its header read and nothing decoded, its size checked against ``Image.MAX_IMAGE_PIXELS``."""
    if not data:
        raise ImageError("empty file")
    if len(data) > MAX_BYTES:
        raise ImageError(f"more than {MAX_BYTES // 2**20} MiB")
    with warnings.catch_warnings(), _blamed("damaged image"):
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # an error below
        try:
            image = Image.open(io.BytesIO(data), formats=image_formats())
        except UnidentifiedImageError:
            raise ImageError(unidentified(data)) from None
        except Image.DecompressionBombError:
            raise ImageError("decompression bomb") from None
    if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        image.close()
        raise ImageError("decompression bomb")
    return image


def decode(image: Image.Image, size: int) -> tuple[Image.Image, bool]:
    """Decodes the first frame: RGB on white, upright by its EXIF orientation.

    Args:
        image: as ``open_image`` gives it.
        size: pixels on the longer side that are needed; a larger JPEG is decoded at a half, quarter or eighth.

    Returns:
        The picture, and whether it was turned so that its sides are swapped.

    Raises:
        ImageError: it cannot be decoded.
    """
    with _blamed("damaged image"):
        image.draft(None, (2 * size, 2 * size))
        image.load()
    orientation = _orientation(image)
    with _blamed("damaged image"):
        rgb = to_rgb(image)
        if (turn := _TURNS.get(orientation)) is not None:
            rgb = rgb.transpose(turn)
    return rgb, orientation > 4


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where it is missing, damaged or no such number."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged metadata leaves the pixels readable
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB: transparency composited on white, 16 bits scaled to 8.

    Raises:
        ImageError: floating-point pixels, whose range is unknown.
    """
    if image.mode == "La":  # as TIFF stores it
        image = image.convert("LA")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8))
    if image.mode == "F":
        raise ImageError("floating-point pixels")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("RGB")


def is_svg(data: bytes) -> bool:
    return file_kind(data[:LOOKED_AT]) is SVG


def render_svg(data: bytes, size: int) -> bytes:
    """Renders an SVG on white as PNG, its longer side at ``size`` pixels.

    Raises:
        ImageError: it is no SVG, has no sizes, refers to another file (which is never read), or is nested too deeply;
            the renderer is not installed.
    """
    try:
        import resvg_py
    except ImportError:
        raise ImageError("SVG, which needs resvg_py (pip install 'mmcs[demo]')") from None
    if len(data) > MAX_BYTES:
        raise ImageError(f"more than {MAX_BYTES // 2**20} MiB")
    with _blamed("damaged SVG"):
        text = ElementTree.tostring(_svg_tree(data), encoding="unicode")
    with _blamed("SVG that does not render"):
        # Both sides are given: with the width alone a hostile aspect ratio asks for any amount of memory.
        return _with_deep_stack(
            lambda: resvg_py.svg_to_bytes(
                svg_string=text,
                width=size,
                height=size,
                dpi=96,  # the renderer's own default of 0 makes a width in points nothing
                background="#ffffff",
                skip_system_fonts=True,
            )
        )


def _with_deep_stack(render: Callable[[], bytes]) -> bytes:
    """Renders in a thread of its own: the renderer recurses over 1,024 levels (``use`` adds some) before it gives up, and a
    usual stack overflows after some hundred, which ends the process.
    """
    done: Future[bytes] = Future()

    def run() -> None:
        try:
            done.set_result(render())
        except BaseException as error:
            done.set_exception(error)

    with _STACK_LOCK:
        usual = threading.stack_size(_SVG_STACK)
        try:
            threading.Thread(target=run).start()
        finally:
            threading.stack_size(usual)
    return done.result()


def _svg_tree(data: bytes) -> ElementTree.Element:
    """The parsed SVG, its depth and number of elements bounded while it is read, without references to files."""
    root: ElementTree.Element | None = None
    depth = elements = 0
    for event, element in ElementTree.iterparse(io.BytesIO(data), events=("start", "end")):
        if event == "end":
            depth -= 1
            continue
        root = element if root is None else root
        depth, elements = depth + 1, elements + 1
        if depth > MAX_SVG_DEPTH:
            raise ImageError(f"SVG nested more than {MAX_SVG_DEPTH} levels deep")
        if elements > MAX_SVG_ELEMENTS:
            raise ImageError(f"SVG of more than {MAX_SVG_ELEMENTS:,} elements")
        if element.tag.rpartition("}")[2] not in ("image", "feImage"):
            continue
        for name, value in element.items():
            if name.rpartition("}")[2] == "href" and not value.strip().startswith("#"):
                _check_embedded(value.strip())
    assert root is not None  # without one, the parser raises
    return root


def _check_embedded(address: str) -> None:
    """Refuses what an SVG shows besides its own drawing, unless it is a picture in the file and bounded in size."""
    if _EMBEDDED.match(address) is None:
        raise ImageError("SVG that refers to another file")
    head, _, body = address.partition(",")
    try:
        open_image(base64.b64decode(body) if head.endswith("base64") else unquote_to_bytes(body)).close()
    except ValueError:
        return  # it is damaged, and the renderer leaves it out
    except ImageError as error:
        if str(error) == "decompression bomb":
            raise
