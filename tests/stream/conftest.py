"""Shards for the stream's tests, written with webdataset's own writer."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from mmcs.stream.sources import Shard, expand


@pytest.fixture(autouse=True)
def one_thread():
    """Tests share the machine's cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def jpeg(seed: int, width: int = 40, height: int = 32) -> bytes:
    """A smooth random picture."""
    grid = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def write_shard(path: Path, keys: Sequence[str], with_images: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path)) as tar:
        for number, key in enumerate(keys):
            sample = {
                "__key__": key,
                "txt": f"caption {key}",
                "json": json.dumps({"captions": {"de": [f"Satz {key}"]}}),
            }
            if with_images:
                sample["jpg"] = jpeg(number)
            tar.write(sample)


@pytest.fixture
def make_shards(tmp_path: Path) -> Callable[..., list[Shard]]:
    """make_shards([3, 5], "set/train"): folder with shards of 3 and 5 samples and their sizes.json; keys repeat."""

    def make(counts: Sequence[int], folder: str = "set/train", with_images: bool = False) -> list[Shard]:
        for shard, count in enumerate(counts):
            keys = [f"{number:04d}" for number in range(count)]
            write_shard(tmp_path / folder / f"{shard:05d}.tar", keys, with_images)
        names = {f"{shard:05d}.tar": count for shard, count in enumerate(counts)}
        (tmp_path / folder / "sizes.json").write_text(json.dumps(names))
        return expand(tmp_path / folder)

    return make
