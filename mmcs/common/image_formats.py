"""The picture formats that mmcs decodes, in shards and in a user's folders alike."""

from __future__ import annotations

import functools

#: What Pillow decodes by itself. EPS, which starts another program, and rare formats with rarely tested decoders are not
#: among them.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "HEIF")


@functools.cache
def image_formats() -> tuple[str, ...]:
    """Names of formats for ``PIL.Image.open(formats=...)``: AVIF where Pillow has it, HEIC where pillow-heif is installed."""
    from PIL import Image

    try:
        import pillow_heif
    except ImportError:
        pass
    else:
        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)
