"""What several rooms' tests share: a small but real world of pictures, captions in three languages, a lexicon, a model."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

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


def pytest_configure() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"  # a test that reaches for a hub is wrong


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


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``train/`` (80 samples in two shards), ``test/`` (20), ``words.lex`` and ``model.json``."""
    from mmcs.lexicons.format import write_lexicon

    root = tmp_path_factory.mktemp("world")
    write_shard(root / "train" / "00000.tar", [12, 20])
    write_shard(root / "train" / "00001.tar", [26, 32])
    write_shard(root / "test" / "00000.tar", [16])
    entries: dict[str, dict[str, list[tuple[str, float]]]] = {"de": {}, "fi": {}}
    for english, (de, fi, *_) in {**COLOURS, **SHAPES}.items():
        entries["de"][english] = [(de, 1.0)]
        entries["fi"][english] = [(fi, 1.0)]
    write_lexicon(
        root / "words.lex",
        entries,
        source_language="en",
        sources=[{"name": "test", "provenance": "made here", "licence": "CC0"}],
    )
    model = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    (root / "model.json").write_text(json.dumps(model))
    return root
