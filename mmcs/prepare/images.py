"""Pictures into what shards hold: RGB on white, upright, at most SIZE pixels on the longer side, JPEG.

Raster images go through Pillow, bounded before they are decoded; SVG through resvg, which fetches nothing. Photographs of
evaluation suites stay as they are (``keep``). Called by shards.py for every record, and by inspect.py to verify what shards hold.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mmcs.errors import UserError

RASTER = "raster"  # an extension for whatever is never given to the SVG renderer, whatever its file is called
MAX_BYTES = 128 * 2**20
MAX_ASPECT = 200  # training drops what is longer: see mmcs.stream.decode
JPEG_QUALITY = 95
# What Pillow decodes by itself. EPS is not among them: it would start another program.
Image.init()
FORMATS = tuple(
    name for name in ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF") if name in Image.OPEN
)


class ImageError(Exception):
    """A picture that cannot be used; its text is the cause, a few words, the same for all pictures alike."""


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
        ImageError: it cannot be decoded; the text says why.
    """
    if extension == "svg":
        data = render_svg(data, size)
    with open_image(data) as image:
        original = image.size
        if image.getexif().get(0x0112, 1) > 4:  # EXIF orientations 5 to 8 swap the sides
            original = original[::-1]
        image.draft(None, (2 * size, 2 * size))  # a JPEG is decoded at a half, quarter or eighth where that suffices
        rgb = to_rgb(load(image))
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
    return Picture(encoded.getvalue(), *rgb.size, *original)


def keep(data: bytes, shorter_side: int | None) -> Picture:
    """A photograph that figures are taken on: a JPEG stays as it is, byte for byte, unless it is to be made smaller.

    Nothing is turned upright either where the bytes stay, as OpenCLIP and others evaluate.

    Args:
        data: the encoded original.
        shorter_side: pixels; a longer shorter side is scaled down to it, and the picture encoded anew. None: never.

    Raises:
        ImageError: it cannot be decoded; the text says why.
    """
    with open_image(data) as image:
        low, high = sorted(image.size)
        stays = image.format in ("JPEG", "MPO") and (shorter_side is None or low <= shorter_side)
        if high > MAX_ASPECT * low:
            raise ImageError(f"one side more than {MAX_ASPECT} times the other")
        if stays:
            size = image.size
            load(image)  # what is damaged is found now, not when figures are taken
            return Picture(data, *size, *size)
    return convert(data, RASTER, high if shorter_side is None else round(shorter_side * high / low))


def open_image(data: bytes) -> Image.Image:
    """The image with its header read and nothing decoded, its size checked against ``Image.MAX_IMAGE_PIXELS``."""
    if not data:
        raise ImageError("empty file")
    if len(data) > MAX_BYTES:
        raise ImageError(f"more than {MAX_BYTES // 2**20} MiB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # told apart below, as an error
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError:
            raise ImageError("not an image") from None
        except Image.DecompressionBombError:
            raise ImageError("decompression bomb") from None
        except Exception:  # Pillow's readers raise whatever a damaged header leads them to
            raise ImageError("damaged image") from None
    if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        image.close()
        raise ImageError("decompression bomb")
    return image


def load(image: Image.Image) -> Image.Image:
    """Decodes all pixels of the first frame and turns it upright by its EXIF orientation."""
    try:
        image.load()
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:
        raise ImageError("damaged image") from None


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB: transparency composited on white, 16 bits scaled to 8.

    Raises:
        ImageError: floating-point pixels, whose range nothing tells.
    """
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8))
    if image.mode == "F":
        raise ImageError("floating-point pixels")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("RGB")


def render_svg(data: bytes, size: int) -> bytes:
    """Renders an SVG on white as PNG, its longer side at ``size`` pixels.

    Raises:
        ImageError: it is no SVG, has no sizes, or refers to another file (which is never read).
        UserError: the renderer is not installed.
    """
    try:
        import resvg_py
    except ImportError:
        raise UserError("SVG pictures need resvg_py: pip install 'mmcs[demo]'.") from None
    if len(data) > MAX_BYTES:
        raise ImageError(f"more than {MAX_BYTES // 2**20} MiB")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError):
        raise ImageError("damaged SVG") from None
    for element in root.iter():
        if element.tag.rpartition("}")[2] not in ("image", "feImage"):
            continue
        for name, value in element.items():
            if name.rpartition("}")[2] == "href" and not value.strip().startswith(("#", "data:")):
                raise ImageError("SVG that refers to another file")
    try:
        # Both sides are given: with the width alone a hostile aspect ratio asks for any amount of memory.
        return resvg_py.svg_to_bytes(
            svg_string=ElementTree.tostring(root, encoding="unicode"),
            width=size,
            height=size,
            dpi=96,  # the renderer's own default of 0 makes a width in points nothing
            background="#ffffff",
            skip_system_fonts=True,
        )
    except ValueError:
        raise ImageError("SVG that does not render") from None
