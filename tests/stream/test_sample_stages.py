"""Read, parse and decode: what a good sample becomes, and the cause that each kind of bad one is dropped for."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from stream_shards import jpeg, shard_of

from mmcs.stream.decode import DecodeImage
from mmcs.stream.drops import BadSample
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import ReadSample
from mmcs.stream.sources import Shard


def sample(**files: bytes) -> dict:
    return {"identity": "s/0/k", "epoch": 0, "files": files}


def cause(stage, given) -> str:
    with pytest.raises(BadSample) as caught:
        stage(given)
    return caught.value.cause


def encoded(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


# ---------------------------------------------------------------- read


def place(shard: Shard, ordinal: int, promised: int) -> dict:
    return {"origin": shard, "ordinal": ordinal, "promised": promised}


def test_reads_the_files_asked_for(tmp_path):
    shard = shard_of(tmp_path / "0.tar", {"a/b.jpg": b"i", "a/b.txt": b"t", "a/b.npy": b"n", "c.txt": b"u"})
    assert ReadSample()(place(shard, 0, 2)) == {
        "source": "s",
        "shard": "0",
        "key": "a/b",
        "identity": "s/0/a/b",
        "files": {"jpg": b"i", "txt": b"t"},
    }
    assert ReadSample(extensions=["txt"])(place(shard, 1, 2))["files"] == {"txt": b"u"}


def test_what_cannot_be_read_says_why(tmp_path):
    shard = shard_of(tmp_path / "0.tar", {"a.jpg": b"i" * 600, "b.txt": b"t" * 50})
    assert cause(ReadSample(), place(shard, 2, 3)) == "missing"
    assert cause(ReadSample(largest_image=599), place(shard, 0, 2)) == "file too large"
    assert cause(ReadSample(largest_text=49), place(shard, 1, 2)) == "file too large"
    assert cause(ReadSample(), place(Shard("s", "1", str(tmp_path / "1.tar")), 0, 1)) == "unreadable archive"
    read = ReadSample()
    read(place(shard, 1, 2))
    Path(shard.path).write_bytes(Path(shard.path).read_bytes()[:900])
    assert cause(read, place(shard, 0, 2)) == "truncated archive", "cut while it was being read"
    assert cause(ReadSample(), place(shard, 7, 9)) == "truncated archive", "rather than missing"


def test_samples_that_sizes_json_does_not_promise_are_told(tmp_path):
    shard = shard_of(tmp_path / "0.tar", {"a.txt": b"", "b.txt": b"", "c.txt": b"", "d.txt": b""})
    assert "surplus" not in ReadSample()(place(shard, 0, 2))
    assert ReadSample()(place(shard, 1, 2))["surplus"] == ["c", "d"]


def test_many_shards_do_not_pile_up_open_files(tmp_path):
    shards = [shard_of(tmp_path / f"{number}.tar", {"a.txt": b"t"}) for number in range(130)]
    read = ReadSample()
    for _ in range(2):
        for shard in shards:
            read(place(shard, 0, 1))
    assert len(read._descriptors) <= 100


# ---------------------------------------------------------------- parse


def test_captions_and_group():
    record = {"caption": "copy", "captions": {"en": ["second", "A dog "], "de": ["Hund", " "], "fi": []}, "group": 7}
    parsed = ParseSample()(sample(txt=b"\xef\xbb\xbf A dog\n", json=json.dumps(record).encode(), jpg=b"i"))
    assert parsed["caption"] == "A dog"
    assert parsed["captions"] == {"en": ["A dog", "second"], "de": ["Hund"]}
    assert parsed["group"] == "7"
    assert parsed["files"] == {"jpg": b"i"}
    assert ParseSample()(sample(txt=b"x"))["group"] == "s/0/k"


@pytest.mark.parametrize("record", [{"caption": "dog"}, {"captions": {"en": ["dog"]}}, {"captions": {"en": "dog"}}])
@pytest.mark.parametrize("text", [None, b"  "])
def test_english_from_the_json_where_the_txt_has_none(record, text):
    files = {"json": json.dumps(record).encode()} | ({} if text is None else {"txt": text})
    assert ParseSample()(sample(**files))["captions"] == {"en": ["dog"]}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"jpg": b"i"}, "no caption"),
        ({"json": b'{"captions": {"de": ["Hund"]}}'}, "no caption"),
        ({"txt": b" \n\t"}, "empty caption"),
        ({"txt": b"", "json": b"{}"}, "empty caption"),
        ({"json": b'{"caption": null}'}, "empty caption"),
        ({"txt": b"\xff\xfe"}, "bad utf-8"),
        ({"txt": b"x", "json": b'{"a": "\xff"}'}, "bad utf-8"),
        ({"txt": b"x", "json": b'{"a": '}, "bad json"),
        ({"txt": b"x", "json": b"[1]"}, "bad json"),
        ({"txt": b"x", "json": b'{"captions": ["x"]}'}, "bad json"),
        ({"txt": b"x", "json": b"[" * 100_000}, "bad json"),
        ({"txt": b"x", "json": b"9" * 10_000}, "bad json"),
    ],
)
def test_causes_of_text(files, expected):
    assert cause(ParseSample(), sample(**files)) == expected


# ---------------------------------------------------------------- decode

KEEP = DecodeImage(lambda image: image)
COLOURS = Image.open(io.BytesIO(jpeg(1, 61, 47)))


def pixels(**files: bytes) -> np.ndarray:
    image = KEEP(sample(**files))["image"]
    assert image.dtype == torch.uint8
    return image.permute(1, 2, 0).numpy()


def as_open_clip(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_is_pils_within_a_rounding(subsampling):
    data = encoded(COLOURS, "JPEG", quality=90, subsampling=subsampling)
    difference = pixels(jpg=data).astype(int) - as_open_clip(data)
    assert 10 * np.log10(255**2 / max((difference**2).mean(), 1e-9)) > 50


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("1", "PNG"),
        ("RGB", "WEBP"), ("RGBA", "WEBP"), ("P", "GIF"), ("RGB", "BMP"),
    ],
)  # fmt: skip
def test_every_kind_is_what_open_clip_makes_of_it(mode, form):
    image = COLOURS.convert(mode)
    if "A" in mode:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    data = encoded(image, form)
    assert np.abs(pixels(**{form.lower().replace("jpeg", "jpg"): data}).astype(int) - as_open_clip(data)).max() <= 2


def test_16_bit_greyscale_is_scaled():
    ramp = np.linspace(0, 65535, 40 * 30).reshape(30, 40).astype(np.uint16)
    grey = pixels(png=encoded(Image.fromarray(ramp), "PNG"))
    assert (grey == (ramp >> 8)[:, :, None]).all()


def test_exif_rotation_is_not_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(COLOURS, "JPEG", exif=exif)
    assert pixels(jpg=data).shape == as_open_clip(data).shape == (47, 61, 3)


def bomb(width: int, height: int) -> bytes:
    """A PNG that only claims to be so large."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return header + struct.pack(">I", 20) + b"IDAT" + bytes(24)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "no image"),
        ({"jpg": b""}, "undecodable image"),
        ({"jpg": b"a text"}, "undecodable image"),
        ({"jpg": jpeg(0)[:400]}, "undecodable image"),
        ({"png": encoded(COLOURS, "PNG")[:600]}, "undecodable image"),
        ({"png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"}, "undecodable image"),
        ({"png": bomb(50_000, 50_000)}, "image too large"),
        ({"png": bomb(9_000, 9_000)}, "image too large"),
        ({"png": bomb(30_000, 2)}, "image too large"),
        ({"jpg": jpeg(0, 1200, 5)}, "image too large"),
    ],
)
def test_causes_of_images(files, expected, recwarn):
    assert cause(KEEP, sample(**files)) == expected
    assert not recwarn


def test_a_wrong_extension_does_not_matter():
    assert pixels(jpg=encoded(COLOURS, "PNG")).shape == pixels(png=jpeg(1, 61, 47)).shape


def test_draws_depend_on_seed_epoch_and_identity_alone():
    """And leave the generator of the process, from which a model's dropout draws, as it was."""

    def draw(seed=0, epoch=0, identity="s/0/k"):
        stage = DecodeImage(lambda image: torch.rand(()), seed=seed)
        return stage({"identity": identity, "epoch": epoch, "files": {"jpg": jpeg(0)}})["image"].item()

    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = draw()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert draw() == first
    assert len({first, draw(seed=1), draw(epoch=1), draw(identity="s/0/l")}) == 4
