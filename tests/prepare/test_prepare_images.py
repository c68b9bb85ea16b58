"""Pictures of every kind into RGB JPEGs on white, upright and bounded."""

from __future__ import annotations

import base64
import contextlib
import io
import random

import numpy as np
import pytest
from PIL import Image

from mmcs.prepare.images import ImageError, convert, keep, render_svg

SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {}>{}</svg>'


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data: bytes, extension: str = "raster", size: int = 64) -> np.ndarray:
    with Image.open(io.BytesIO(convert(data, extension, size).jpeg)) as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")
        return np.asarray(image).astype(int)


def test_the_longer_side_shrinks_to_the_size_and_the_aspect_stays():
    picture = convert(encoded(Image.new("RGB", (400, 100), "red"), "JPEG"), "raster", 64)
    assert (picture.width, picture.height, picture.original_width, picture.original_height) == (64, 16, 400, 100)
    small = convert(encoded(Image.new("RGB", (12, 30), "red"), "PNG"), "raster", 64)
    assert (small.width, small.height) == (12, 30), "a raster image is not blown up"


def test_shrinking_does_not_alias():
    """A checkerboard of single pixels becomes grey, as a mean over the area would have it."""
    board = np.indices((512, 512)).sum(0) % 2 * 255
    pixels = decoded(encoded(Image.fromarray(board.astype(np.uint8)), "PNG"))
    assert abs(pixels - 127.5).max() < 10


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_becomes_white(mode):
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (16, 0, 32, 32))
    pixels = decoded(encoded(image.convert(mode), "PNG"))
    assert pixels[:, :12].min() > 240
    assert pixels[:, 20:].max() < 15


def test_half_transparent_red_is_pink():
    pixels = decoded(encoded(Image.new("RGBA", (32, 32), (255, 0, 0, 128)), "PNG"))
    assert np.allclose(pixels.mean((0, 1)), (255, 127, 127), atol=4)


def test_cmyk_and_16_bit_grey_keep_their_brightness():
    cmyk = decoded(encoded(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG"))
    assert np.allclose(cmyk.mean((0, 1)), (255, 0, 0), atol=10)
    grey = Image.fromarray(np.full((32, 32), 0x8080, np.uint16))
    assert np.allclose(decoded(encoded(grey, "PNG")), 128, atol=2)


def test_exif_orientation_turns_the_picture_and_its_sizes():
    image = Image.new("RGB", (60, 30), "white")
    image.paste("black", (0, 0, 30, 30))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: left goes up
    picture = convert(encoded(image, "JPEG", exif=exif), "raster", 64)
    assert (picture.width, picture.height, picture.original_width, picture.original_height) == (30, 60, 30, 60)
    pixels = np.asarray(Image.open(io.BytesIO(picture.jpeg))).astype(int)
    assert pixels[:24].max() < 40 and pixels[36:].min() > 215


@pytest.mark.parametrize("orientation", ["6", b"\x06", b"", "rotated", 0, 9, 4000000000])
def test_an_orientation_that_is_no_number_from_1_to_8_is_ignored(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("JPEG", "PNG", "WEBP"):
        try:
            data = encoded(Image.new("RGB", (60, 30), "red"), kind, exif=exif)
        except Exception:  # Pillow cannot write every value
            continue
        picture = convert(data, "raster", 64)
        assert (picture.width, picture.height, picture.original_width) == (60, 30, 60)


def test_damaged_metadata_leaves_the_picture():
    png = encoded(Image.new("RGB", (60, 30), "red"), "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\x01")
    tiff = encoded(Image.new("LA", (60, 30), (0, 128)), "TIFF")
    for data, grey in ((png, None), (tiff, 127)):
        pixels = decoded(data)
        assert pixels.shape == (30, 60, 3)
        assert grey is None or abs(pixels - grey).max() < 4


def test_heic_is_read():
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 32), "red")).save(buffer)
    assert np.allclose(decoded(buffer.getvalue()).mean((0, 1)), (255, 0, 0), atol=12)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns about damaged metadata
def test_damaged_bytes_never_raise_anything_but_the_fault_of_that_picture():
    """Headers and metadata of each format, damaged at random: a picture, or an ImageError."""
    draw = random.Random(0)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    image = Image.effect_noise((24, 16), 60)
    kinds = [
        ("JPEG", "RGB"),
        ("PNG", "P"),
        ("PNG", "LA"),
        ("TIFF", "LA"),
        ("TIFF", "RGB"),
        ("WEBP", "RGBA"),
        ("GIF", "P"),
        ("BMP", "RGB"),
    ]
    for kind, mode in kinds:
        metadata = {"exif": exif} if kind in ("JPEG", "PNG", "TIFF", "WEBP") else {}
        whole = encoded(image.convert(mode), kind, **metadata)
        for _ in range(40):
            data = bytearray(whole)
            for _ in range(draw.choice((1, 2, 8))):
                data[draw.randrange(min(len(data), draw.choice((64, len(data)))))] = draw.choice(
                    (0, 255, draw.randrange(256))
                )
            for use in (lambda data: convert(data, "raster", 16), lambda data: keep(data, None)):
                with contextlib.suppress(ImageError):
                    assert use(bytes(data[: draw.choice((len(data), draw.randrange(len(data))))])).jpeg


def test_what_cannot_be_decoded_is_named_by_cause(monkeypatch):
    photo = encoded(Image.effect_noise((200, 200), 60), "JPEG")
    causes = {
        b"": "empty file",
        b"just text, called .jpg": "not read: a text file",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n": "not read: a text file",
        b"\x17\x03\xff" * 9: "not an image",
        b"\xff\xd8\xff" + b"junk" * 9: "damaged JPEG picture",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99): "damaged HEIC picture",
        b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99): "not read: a JPEG 2000 picture; convert it",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>": "not read: an SVG drawing",
        b"<!DOCTYPE html><title>404</title>": "not read: a web page",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "not read: a Git LFS pointer.*git lfs pull",
        photo[: len(photo) // 2]: "damaged image",
        encoded(Image.new("L", (5000, 10)), "PNG"): "one side more than 200 times the other",
        encoded(Image.new("F", (8, 8)), "TIFF"): "floating-point pixels",
    }
    for data, cause in causes.items():
        with pytest.raises(ImageError, match=cause):
            convert(data, "raster", 64)


def test_a_decompression_bomb_is_refused_by_its_header():
    bomb = encoded(Image.new("1", (10_000, 10_000)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(ImageError, match="decompression bomb"):
        convert(bomb, "raster", 64)


def test_svg_is_rendered_at_the_size_on_white():
    picture = convert(SVG.format('width="20pt" height="10pt"', '<rect width="13" height="14"/>').encode(), "svg", 64)
    assert (picture.width, picture.height) in ((64, 31), (64, 32))
    pixels = np.asarray(Image.open(io.BytesIO(picture.jpeg))).astype(int)
    assert pixels[:, :28].max() < 20 and pixels[:, 36:].min() > 235


@pytest.mark.parametrize(
    ("attributes", "content", "cause"),
    [
        ('viewBox="0 0 9 9"', '<image width="9" height="9" href="/etc/hostname"/>', "refers to another file"),
        ('viewBox="0 0 9 9"', '<image width="9" height="9" xlink:href="file:///etc/hostname"/>', "refers to another"),
        (
            'viewBox="0 0 9 9"',
            '<image width="9" height="9" href="data:image/svg+xml,%3Csvg/%3E"/>',
            "refers to another",
        ),
        ('viewBox="0 0 9 9"', "", "shows nothing"),
        ('viewBox="0 0 9 9"', "<rect", "damaged SVG"),
        ('viewBox="0 0 9 9"', "<g>" * 20_000 + "</g>" * 20_000, "nested more than 100 levels"),
        ('viewBox="0 0 9 9"', "<a>" * 101, "nested more than 100 levels"),
        ('viewBox="0 0 9 9"', '<rect width="1e99"/>' * 3 + "<g/>" * 100_000, "more than 100,000 elements"),
    ],
)
def test_svg_that_cannot_be_used(attributes, content, cause):
    with pytest.raises(ImageError, match=cause):
        convert(SVG.format(attributes, content).encode(), "svg", 64)


def test_svg_may_hold_a_bounded_picture():
    def drawing(image: Image.Image) -> bytes:
        address = f"data:image/png;base64,{base64.b64encode(encoded(image, 'PNG')).decode()}"
        return SVG.format('viewBox="0 0 9 9"', f'<image width="5" height="9" href="{address}"/>').encode()

    pixels = decoded(drawing(Image.new("RGB", (8, 8), "red")), "svg")
    assert np.allclose(pixels[20:40, :20].mean((0, 1)), (254, 0, 0), atol=4)
    with pytest.raises(ImageError, match="decompression bomb"):
        convert(drawing(Image.new("1", (10_000, 10_000))), "svg", 64)


def test_svg_whose_references_nest_deeply_does_not_end_the_process():
    """The renderer recurses through ``use``: some hundred levels overflow the stack of a usual thread."""
    inner = ["<circle r='4'/>", *(f'<use href="#a{n}"/>' for n in range(10))]
    groups = "".join(f'<g id="a{n}">{"<g>" * 90}{content}{"</g>" * 90}</g>' for n, content in enumerate(inner))
    data = SVG.format('viewBox="0 0 9 9"', f'<defs>{groups}</defs><use href="#a10"/>').encode()
    assert decoded(data, "svg").min() < 100


def test_svg_with_an_absurd_aspect_or_entities_needs_no_memory():
    rendered = render_svg(SVG.format('width="1" height="1000000000"', '<rect width="1" height="9"/>').encode(), 64)
    assert max(Image.open(io.BytesIO(rendered)).size) == 64
    entities = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 20}">' for n in range(12))
    laughs = f'<!DOCTYPE svg [<!ENTITY e0 "ha">{entities}]>' + SVG.format("", "<text>&e12;</text>")
    with pytest.raises(ImageError, match="damaged SVG"):
        render_svg(laughs.encode(), 64)
