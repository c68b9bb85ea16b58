"""Damaged samples and shards by the thousand, drawn from a seed: what the fuzz tests feed to the stream."""

from __future__ import annotations

import io
import json
import random
import tarfile
from pathlib import Path

from PIL import Image
from stream_shards import jpeg

Member = tuple[str, bytes]


def pictures() -> dict[str, list[bytes]]:
    """Good files of each kind, small."""
    image = Image.open(io.BytesIO(jpeg(3, 24, 20)))
    made: dict[str, list[bytes]] = {"jpg": [jpeg(seed, 24, 20) for seed in range(3)]}
    for extension, form in (
        ("png", "PNG"),
        ("webp", "WEBP"),
        ("gif", "GIF"),
        ("bmp", "BMP"),
        ("tif", "TIFF"),
        ("avif", "AVIF"),
    ):
        buffer = io.BytesIO()
        image.save(buffer, form)
        made[extension] = [buffer.getvalue()]
    return made


GOOD = pictures()
TEXTS = [
    b"a red dog",
    "ein grüner Hund".encode(),
    b"",
    b" \n",
    b"\xff\xfe",
    b"a\0b",
    b"x" * 20_000,
    "\u202e\u0000é".encode(),
]
RECORDS = [
    b"", b"{", b"[]", b"null", b"[" * 5000, b'{"a":' * 3000, b"9" * 5000, b'{"caption": 1e999}', b'{"caption": NaN}',
    b'{"caption": "\\ud800"}', b'{"captions": {"de": ["\\udfff"]}}', b'{"captions": 3}', b'{"captions": {"en": {"a": 1}}}',
    b'{"group": "\\ud800"}', b'{"group": []}', b'{"group": NaN}', b'{"caption": "x", "caption": ["y", null]}', b"\xef\xbb\xbf{}",
]  # fmt: skip
NAMES = [
    "../{}",
    "/{}",
    "C:\\{}",
    "a/../{}",
    "{}\n",
    "\x1b[2J{}",
    "d/{}",
    "._{}",
    "{}\u202e",
    "x" * 300 + "/{}",
    "__meta__/{}",
]


def flipped(draw: random.Random, content: bytes, most: int = 8) -> bytes:
    """Some bytes replaced, or the end cut off."""
    damaged = bytearray(content)
    for _ in range(draw.randrange(1, most) if damaged else 0):
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    return bytes(damaged[: draw.randrange(len(damaged) + 1)] if draw.random() < 0.3 else damaged)


def good_sample(draw: random.Random, key: str) -> list[Member]:
    extension = draw.choice(list(GOOD))
    meta = json.dumps({"captions": {"de": [f"Satz {key}"]}}).encode()
    members = [(f"{key}.{extension}", draw.choice(GOOD[extension])), (f"{key}.txt", f"text {key}".encode())]
    return members + ([(f"{key}.json", meta)] if draw.random() < 0.5 else [])


def bad_sample(draw: random.Random, key: str) -> list[Member]:
    """A sample with one kind of damage, which may be none."""
    members = good_sample(draw, key)
    which = draw.randrange(len(members))
    name, content = members[which]
    kind = draw.randrange(9)
    if kind == 0:
        del members[which]
    elif kind == 1:
        members[which] = (name, flipped(draw, content))
    elif kind == 2:
        members[which] = (name, draw.randbytes(draw.randrange(200)))
    elif kind == 3:
        members[1] = (f"{key}.txt", draw.choice(TEXTS))
    elif kind == 4:
        members = [*members[:2], (f"{key}.json", draw.choice(RECORDS))]
    elif kind == 5:
        members[which] = (draw.choice(NAMES).format(name), content)
    elif kind == 6:
        members.append((draw.choice([name, f"{key}.tar.gz", f"{key}.zip", f"{key}.npy", key]), content))
    elif kind == 7:
        members[0] = (f"{key}.{draw.choice(list(GOOD))}", draw.choice([*draw.choice(list(GOOD.values())), *TEXTS]))
    else:
        draw.shuffle(members)
    return members


def write_shard(path: Path, draw: random.Random, samples: int, share_good: float) -> dict[str, list[Member]]:
    """A shard of good and bad samples whose files are still in order; returns the good ones by key."""
    good: dict[str, list[Member]] = {}
    members: list[Member] = []
    for number in range(samples):
        key = f"{number:06d}"
        if draw.random() < share_good:
            good[key] = good_sample(draw, key)
            members += good[key]
        else:
            members += bad_sample(draw, key)
    form = draw.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    with tarfile.open(path, "w", format=form) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            try:
                tar.addfile(info, io.BytesIO(content))
            except ValueError:  # a name that ustar cannot hold
                info.name = "long.bin"
                tar.addfile(info, io.BytesIO(content))
    return good


def damage(path: Path, draw: random.Random) -> None:
    """Bytes of a shard replaced anywhere, most of them in headers; or cut, doubled, interrupted."""
    data = bytearray(path.read_bytes())
    kind = draw.randrange(5)
    if kind == 0:
        data = data[: draw.randrange(len(data))]
    elif kind == 1:
        at = draw.randrange(len(data))
        data[at:at] = draw.randbytes(draw.randrange(1500))
    elif kind == 2:
        data += data[: draw.randrange(len(data))]
    for _ in range(draw.randrange(1, 6)):
        block = draw.randrange(max(1, len(data) // 512)) * 512
        at = block + draw.choice([draw.randrange(512), 124 + draw.randrange(12), 156, draw.randrange(100)])
        if at < len(data):
            data[at] = draw.randrange(256)
    path.write_bytes(data)
