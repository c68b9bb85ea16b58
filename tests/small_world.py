"""Coloured shapes with captions in three languages, as shards: what several rooms' tests read."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

COLOURS = {
    "red": ("rot", "punainen", (220, 30, 30)),
    "green": ("grün", "vihreä", (30, 180, 60)),
    "blue": ("blau", "sininen", (40, 60, 220)),
    "black": ("schwarz", "musta", (10, 10, 10)),
    "yellow": ("gelb", "keltainen", (240, 220, 40)),
}
SHAPES = {
    "circle": ("Kreis", "ympyrä"),
    "square": ("Quadrat", "neliö"),
    "line": ("Linie", "viiva"),
    "triangle": ("Dreieck", "kolmio"),
}


def picture(colour: tuple[int, int, int], shape: str, size: int) -> bytes:
    """A JPEG of one shape on white."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (96, 80), "white")
    draw = ImageDraw.Draw(image)
    box = (48 - size, 40 - size, 48 + size, 40 + size)
    if shape == "circle":
        draw.ellipse(box, fill=colour)
    elif shape == "square":
        draw.rectangle(box, fill=colour)
    elif shape == "line":
        draw.line(box, fill=colour, width=6)
    else:
        draw.polygon([(48, 40 - size), (48 - size, 40 + size), (48 + size, 40 + size)], fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """One file into a tar."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def write_shard(path: Path, sizes: list[int]) -> int:
    """Every coloured shape in every size: img2dataset's layout with captions in de and fi. Returns the number of samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    with tarfile.open(path, "w") as tar:
        for size in sizes:
            for colour, (de, fi, rgb) in COLOURS.items():
                for shape, (shape_de, shape_fi) in SHAPES.items():
                    meta = {
                        "captions": {"de": [f"{de} {shape_de}"], "fi": [f"{fi} {shape_fi}"]},
                        "group": f"{colour} {shape}",
                    }
                    key = f"{number:09d}"
                    add(tar, f"{key}.jpg", picture(rgb, shape, size))
                    add(tar, f"{key}.txt", f"A {colour} {shape}.".encode())
                    add(tar, f"{key}.json", json.dumps(meta).encode())
                    number += 1
    return number
