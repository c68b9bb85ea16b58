"""Read, parse and decode: what a good sample becomes, and the cause that each kind of bad one is dropped for."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from PIL import Image
from stream_shards import jpeg, shard_of
from torchvision.transforms import v2

from mmcs.errors import UserError
from mmcs.stream.batch import Collate, empty_like, merge
from mmcs.stream.decode import DecodeImage, jpeg_scans
from mmcs.stream.drops import BadSample, Drop
from mmcs.stream.flip import RandomFlip
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import ReadSample
from mmcs.stream.sources import Shard
from mmcs.stream.transforms import train_transform


def sample(**files: bytes) -> dict:
    return {"identity": "s/0/k", "epoch": 0, "pass": 0, "files": files}


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
    beyond = ReadSample()(place(shard, 1, 2))["surplus"]
    assert beyond == [Drop("not in sizes.json", "s/0", "c"), Drop("not in sizes.json", "s/0", "d")]


def test_many_shards_do_not_pile_up_open_files(tmp_path):
    shards = [shard_of(tmp_path / f"{number}.tar", {"a.txt": b"t"}) for number in range(130)]
    read = ReadSample()
    for _ in range(2):
        for shard in shards:
            read(place(shard, 0, 1))
    assert len(read._open) <= 100


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
        ({"txt": b"x", "json": b'{"captions": 3}'}, "bad json"),
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


def with_scans(number: int) -> bytes:
    """A progressive JPEG whose last scan is repeated until there are so many: a few bytes each, a pass over all pixels."""
    data = encoded(COLOURS, "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (number - data.count(b"\xff\xda")) + data[-2:]


def test_scans_are_bounded_before_decoding():
    assert pixels(jpg=with_scans(12)).shape == (47, 61, 3)
    for number in (101, 5_000):
        with pytest.raises(BadSample, match=f"image too large: {number} scans of 61 x 47 pixels"):
            KEEP(sample(jpg=with_scans(number)))
    few_pixels = DecodeImage(lambda image: image, max_pixels=61 * 47)
    assert cause(few_pixels, sample(jpg=with_scans(17))) == "image too large"
    # Bytes that look like scans in the thumbnail of an ordinary JPEG are no passes over it.
    looks = encoded(COLOURS, "JPEG", exif=b"Exif\0\0" + b"\xff\xda" * 2_000)
    assert pixels(jpg=looks).shape == (47, 61, 3)


def header(marker: int, components: int, scans: list[int]) -> bytes:
    frame = bytes([8, 0, 9, 0, 9, components]) + bytes(3 * components)
    data = b"\xff\xd8\xff" + bytes([marker]) + struct.pack(">H", 2 + len(frame)) + frame
    for of in scans:
        data += b"\xff\xda" + struct.pack(">H", 6 + 2 * of) + bytes([of]) + bytes(2 * of + 3) + b"\x55"
    return data


@pytest.mark.parametrize(
    ("marker", "components", "scans", "expected"),
    [
        (0xC0, 3, [3], 1), (0xC0, 1, [1], 1), (0xC0, 3, [1, 1, 1], 3), (0xC1, 3, [2, 1], 2),
        (0xC2, 3, [3], 1), (0xC2, 3, [3, 1, 1, 1], 4), (0xC0, 3, [], 1),
    ],
)  # fmt: skip
def test_scans_are_counted_where_a_decoder_reads_several(marker, components, scans, expected):
    assert jpeg_scans(header(marker, components, scans)) == expected
    assert jpeg_scans(header(marker, components, scans)[:9]) == 1, "cut off"


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "MPO"])
def test_of_several_frames_the_first_counts(form):
    """MPO is what phones write: a JPEG with another one behind it."""
    others = [Image.new("RGB", COLOURS.size, colour) for colour in ("red", "blue")]
    options = {"quality": 90} if form == "MPO" else {"lossless": True} if form == "WEBP" else {}
    data = encoded(COLOURS, form, save_all=True, append_images=others, **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert np.abs(pixels(jpg=data).astype(int) - as_open_clip(data)).max() <= 2
    assert np.abs(pixels(jpg=data).astype(int) - np.asarray(COLOURS)).mean() < 12


def absurd(form: str, side: int) -> bytes:
    """A file of some forty bytes that claims to be ``side`` pixels wide and high."""
    if form == "GIF":
        size = struct.pack("<HH", side, side)
        return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + b",\0\0\0\0" + size + b"\0\x02\x02\x4c\x01\0;"
    if form == "BMP":
        return b"BM" + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    small = encoded(Image.new("RGB", (8, 8)), "WEBP")[12:]
    canvas = b"VP8X" + struct.pack("<II", 10, 0) + 2 * (side - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 4 + len(canvas + small)) + b"WEBP" + canvas + small


@pytest.mark.parametrize(
    ("form", "side"),
    [("GIF", 9_000), ("GIF", 65_535), ("BMP", 9_000), ("BMP", 65_535), ("WEBP", 16_383), ("WEBP", 65_535)],
)
def test_absurd_dimensions_cost_no_memory(form, side):
    tracemalloc.start()
    try:
        assert cause(KEEP, sample(jpg=absurd(form, side))) == "image too large"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", ["ICO", "TGA", "JPEG2000", "ICNS", "PCX", "DDS"])
def test_no_other_decoder_is_run(form, monkeypatch):
    data = encoded(COLOURS.resize((64, 64)), form)
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    assert cause(KEEP, sample(jpg=data)) == "undecodable image"


def test_a_wrong_extension_does_not_matter():
    assert pixels(jpg=encoded(COLOURS, "PNG")).shape == pixels(png=jpeg(1, 61, 47)).shape


def test_draws_depend_on_seed_pass_and_identity_alone():
    """And leave the generator of the process, from which a model's dropout draws, as it was."""

    def draw(transform, seed=0, number=0, identity="s/0/k"):
        stage = DecodeImage(transform, seed=seed)
        given = {"identity": identity, "epoch": 7 * number, "pass": number, "files": {"jpg": jpeg(0)}}
        return stage(given)["image"]

    for transform in (lambda image: torch.randint(0, 256, (3, 4, 5), dtype=torch.uint8), train_transform(16)):
        torch.manual_seed(5)
        state = torch.get_rng_state()
        first = draw(transform)
        assert torch.equal(torch.get_rng_state(), state)
        torch.rand(3)
        assert torch.equal(draw(transform), first)
        others = [draw(transform, **other) for other in ({"seed": 1}, {"number": 1}, {"identity": "s/0/l"})]
        assert not any(torch.equal(other, first) for other in others)


# ---------------------------------------------------------------- augmentation


def test_any_torchvision_transform_serves():
    """Hydra's way to write a v2.Compose; its draws repeat with (seed, pass, identity), and the processes' order is nothing."""
    named = "torchvision.transforms.v2."
    config = {
        "_target_": named + "Compose",
        "transforms": [
            {"_target_": named + "RandomResizedCrop", "size": [24, 32], "scale": [0.5, 1.0]},
            {"_target_": named + "RandAugment"},
            {"_target_": named + "ColorJitter", "brightness": 0.3},
            {"_target_": named + "RandomGrayscale", "p": 0.5},
        ],
    }
    stage = DecodeImage(instantiate(config), seed=3, size=(24, 32))
    given = [sample(jpg=jpeg(0)) | {"identity": f"s/0/{i}", "pass": i % 3} for i in range(12)]
    forwards = [stage(dict(one))["image"] for one in given]
    backwards = [stage(dict(one))["image"] for one in reversed(given)][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert len({one.numpy().tobytes() for one in forwards}) == 12
    assert all(one.shape == (3, 24, 32) for one in forwards)


@pytest.mark.parametrize(
    ("transform", "what"),
    [
        (v2.ToDtype(torch.float32, scale=True), r"ToDtype gives torch.float32 \(3, 32, 40\)"),
        (v2.Resize([16, 17]), r"Resize gives torch.uint8 \(3, 16, 17\)"),
        (v2.Grayscale(1), r"Grayscale gives torch.uint8 \(1, 32, 40\)"),
        (v2.ToPILImage(), "ToPILImage gives Image"),
    ],
    ids=["float", "size", "grey", "PIL"],
)
def test_a_transform_that_gives_something_else_is_answered(transform, what):
    with pytest.raises(UserError, match=f"{what}, not torch.uint8 \\(3, 16, 16\\)"):
        DecodeImage(transform, size=(16, 16))(sample(jpg=jpeg(0)))


def test_flips_are_drawn_like_the_rest():
    given = [sample() | {"identity": f"s/0/{i}"} for i in range(400)]
    flips = [RandomFlip(0.25, seed=1)(dict(one))["flip"] for one in given]
    assert flips == [RandomFlip(0.25, seed=1)(one | {"epoch": 5})["flip"] for one in given]
    assert flips != [RandomFlip(0.25, seed=1)(one | {"pass": 1})["flip"] for one in given]
    assert 60 < sum(flips) < 140
    assert not any(RandomFlip(0.0)(one)["flip"] for one in given) and all(RandomFlip(1.0)(one)["flip"] for one in given)


# ---------------------------------------------------------------- batch


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_pictures_keep_their_layout_and_places_in_a_batch_of_parts(layout):
    """Parts of different sizes, with rows of either memory layout: the layout of the whole is that of the parts."""
    pictures = torch.randint(0, 256, (7, 3, 8, 9), dtype=torch.uint8).contiguous(memory_format=layout)
    samples = [{"position": i, "image": picture, "flip": i % 2 == 0} for i, picture in enumerate(pictures)]
    parts = [Collate()(samples[i::3]) | {"dropped": []} for i in range(3)]
    batch = merge(parts)
    assert torch.equal(batch["image"], pictures) and batch["flip"] == [i % 2 == 0 for i in range(7)]
    assert batch["image"].is_contiguous(memory_format=layout)
    assert empty_like(batch)["image"].shape == (0, 3, 8, 9)
