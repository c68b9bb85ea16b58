"""Damage by the hundred: whatever an image library raises is the fault of that one file, named by its cause."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from PIL import Image
from stream_shards import jpeg

from mmcs.stream.decode import DecodeImage
from mmcs.stream.drops import BadSample

DECODE = DecodeImage(lambda image: image)
EXIF = Image.Exif()
EXIF[0x0112] = 6
EXIF[0x010E] = "a dog"
AS_TEXT = EXIF.tobytes().replace(b"\x12\x01\x03\0", b"\x12\x01\x02\0").replace(b"\x01\x12\0\x03", b"\x01\x12\0\x02")


def encoded(form: str, mode: str = "RGB", **options) -> bytes:
    content = io.BytesIO()
    Image.open(io.BytesIO(jpeg(1, 48, 40))).convert(mode).save(content, form, **options)
    return content.getvalue()


FILES = {
    "jpeg": encoded("JPEG", exif=AS_TEXT),
    "progressive": encoded("JPEG", progressive=True),
    "cmyk": encoded("JPEG", "CMYK"),
    "png": encoded("PNG", "P"),
    "png exif": encoded("PNG", exif=AS_TEXT),
    "webp": encoded("WEBP", lossless=True),
    "gif": encoded("GIF", "P"),
    "bmp": encoded("BMP"),
    "tiff": encoded("TIFF"),
    "tiff grey alpha": encoded("TIFF", "LA", compression="tiff_deflate"),
    "tiff float": encoded("TIFF", "F"),
    "avif": encoded("AVIF"),
}


@pytest.mark.parametrize("name", list(FILES))
def test_whole_files_are_decoded(name):
    assert DECODE.decode(FILES[name]).shape == (40, 48, 3)


@pytest.mark.parametrize("name", list(FILES))
def test_damaged_files_give_pixels_or_a_cause(name):
    whole, draw = FILES[name], random.Random(name)
    for _ in range(120):
        damaged = bytearray(whole)
        reach = draw.choice((64, 256, len(whole)))
        for _ in range(draw.choice((1, 2, 8))):
            damaged[draw.randrange(min(reach, len(whole)))] = draw.choice((0, 255, draw.randrange(256)))
        if draw.random() < 0.25:
            del damaged[draw.randrange(1, len(damaged)) :]
        try:
            pixels = DECODE.decode(bytes(damaged))
        except BadSample as bad:
            assert bad.cause in ("undecodable image", "image too large")
            assert " at 0x" not in bad.detail and len(bad.detail) <= 200
        else:
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
