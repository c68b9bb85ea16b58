"""The picture formats that mmcs decodes, in shards and in a user's folders alike."""

from __future__ import annotations

import functools
import logging

from mmcs.common.file_kind import LOOKED_AT, file_kind

#: What Pillow decodes by itself. EPS, which starts another program, and rare formats with rarely tested decoders are not
#: among them.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "HEIF")


@functools.cache
def image_formats() -> tuple[str, ...]:
    """Names of formats for ``PIL.Image.open(formats=...)``: AVIF where Pillow has it, HEIC where pillow-heif is installed."""
    from PIL import Image

    # Pillow logs some damage before it raises; whoever decodes counts the file and its cause.
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    try:
        import pillow_heif
    except ImportError:
        pass
    else:
        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def unidentified(data: bytes) -> str:
    """The cause for a file that Pillow takes for no image.

    >>> unidentified(b"II*\\0"), unidentified(b"<svg/>"), unidentified(b"\\x01\\x02\\x03"), unidentified(b"")
    ('damaged TIFF picture', 'not read: an SVG drawing; render it as PNG or JPEG', 'not an image', 'not read: empty; download it again')
    """
    kind = file_kind(data[:LOOKED_AT])
    if kind is None:
        return "not an image"
    name = kind.what.partition(" ")[2].removesuffix(" picture")
    readable = name.upper().replace("HEIC", "HEIF") in image_formats()
    return f"damaged {name} picture" if readable else f"not read: {kind}"
