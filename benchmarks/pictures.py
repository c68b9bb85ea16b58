"""Shards for the loader's benchmark: JPEGs that cost a decoder what photographs cost it, each with a caption.

A picture is a cloud of noise at every scale (the spectrum of photographs) under two enlarged pictures of the demo's
stamps, where they are there. At qualities 85 to 92 and 4:2:0 they take 1.3 to 2.2 bits per pixel.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mmcs.files import atomic_file

#: Distinct pictures; the shards hold each several times, under different keys.
DISTINCT = 192


def write_shards(folder: Path, kind: str, samples: int, shards: int, captions: Sequence[str]) -> None:
    """``folder``/00000.tar …: ``samples`` pairs of "small" (both sides 256 to 512) or "large" (640 x 480) pictures."""
    draw = np.random.default_rng(0)
    stamps = _stamps()
    pictures = [
        _jpeg(draw, stamps, *((640, 480) if kind == "large" else draw.integers(256, 513, 2).tolist()))
        for _ in range(min(samples, DISTINCT))
    ]
    folder.mkdir()
    sizes = {}
    for shard in range(shards):
        numbers = range(shard, samples, shards)
        with atomic_file(folder / f"{shard:05}.tar") as path, tarfile.open(path, "w") as tar:
            for number in numbers:
                files = {"jpg": pictures[number % len(pictures)], "txt": captions[number % len(captions)].encode()}
                for extension, content in files.items():
                    member = tarfile.TarInfo(f"{number:07}.{extension}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        sizes[f"{shard:05}.tar"] = len(numbers)
    (folder / "sizes.json").write_text(str(sizes).replace("'", '"'))


def pictures_of(folder: Path, most: int) -> list[bytes]:
    """Up to ``most`` of the JPEGs in a folder of shards."""
    found: list[bytes] = []
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith(".jpg") and (handle := tar.extractfile(member)) is not None:
                    found.append(handle.read())
                if len(found) == most:
                    return found
    return found


def _stamps() -> list[Image.Image]:
    """The demo's stamps (pictures, some transparent) of a fair size; none where its data is not there."""
    folder = Path(os.environ.get("MMCS_DATA") or "data") / "stamps" / "train"
    opened = (Image.open(io.BytesIO(content)).convert("RGB") for content in pictures_of(folder, 400))
    return [image for image in opened if min(image.size) >= 100]


def _jpeg(draw: np.random.Generator, stamps: Sequence[Image.Image], width: int, height: int) -> bytes:
    image = _clouds(draw, width, height)
    for _ in range(2 if stamps else 0):
        stamp = stamps[draw.integers(len(stamps))]
        factor = draw.uniform(0.8, 1.6)
        stamp = stamp.resize((int(stamp.width * factor), int(stamp.height * factor)), Image.Resampling.BICUBIC)
        image.paste(stamp, (int(draw.integers(-30, width - 60)), int(draw.integers(-30, height - 60))))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(draw.integers(85, 93)))
    return buffer.getvalue()


def _clouds(draw: np.random.Generator, width: int, height: int) -> Image.Image:
    """Noise of grains from 128 down to 4 pixels, each finer one weaker; mostly grey, a third of it coloured."""
    total = np.full((height, width, 3), 120.0, np.float32)
    for octave in range(6):
        grain = 128 >> octave
        shape = (max(2, height // grain + 1), max(2, width // grain + 1))
        grey = draw.normal(size=(*shape, 1)) + 0.35 * draw.normal(size=(*shape, 3))
        planes = (Image.fromarray(grey[..., colour].astype(np.float32)) for colour in range(3))
        scaled = [plane.resize((width, height), Image.Resampling.BICUBIC) for plane in planes]
        total += np.stack(scaled, axis=-1) * (60 / 1.45**octave)
    return Image.fromarray(np.clip(total, 0, 255).astype(np.uint8))
