"""Damage of every kind, drawn from fixed seeds: the stream never raises, and accounts for every position."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stream_fuzz
from stream_fuzz import Member

from mmcs.stream.decode import DecodeImage
from mmcs.stream.drops import CAUSES, NO_LANGUAGE
from mmcs.stream.loader import StreamLoader
from mmcs.stream.order import Place, Shuffle
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import IMAGE_EXTENSIONS, ReadSample
from mmcs.stream.shard_sizes import sizes
from mmcs.stream.sources import expand
from mmcs.stream.tar import index_shard
from mmcs.stream.transforms import eval_transform


def delivered(folder: Path) -> tuple[dict[str, dict[str, Any]], Counter[str], int]:
    """The samples that come out of a folder by identity, the causes of the others, and the number of positions."""
    shards = expand(folder)
    counts = sizes(shards)
    stages = [ReadSample(), ParseSample(), DecodeImage(eval_transform(16))]
    loader = StreamLoader(shards, counts, stages, batch_size=64, shuffle=Shuffle(seed=1), place=Place())
    samples: dict[str, dict[str, Any]] = {}
    causes: Counter[str] = Counter()
    for batch in loader:
        causes.update(drop.cause for drop in batch["dropped"])
        for drop in batch["dropped"]:
            assert str(drop).isprintable()
        for row, identity in enumerate(batch.get("identity", ())):
            assert identity not in samples
            samples[identity] = {name: batch[name][row] for name in ("captions", "image", "groups")}
    lost = sum(len(index_shard(shard.path).lost) for shard in shards)  # under the keys of others
    assert len(samples) + causes.total() - causes[NO_LANGUAGE] == sum(counts) + lost
    assert causes.keys() <= set(CAUSES)
    return samples, causes, sum(counts) + lost


def expected(members: list[Member]) -> tuple[list[str], np.ndarray]:
    """Captions and pixels of a good sample, without the stream's reading."""
    files = {name.split(".")[1]: content for name, content in members}
    content = next(files[extension] for extension in IMAGE_EXTENSIONS if extension in files)
    decode = DecodeImage(eval_transform(16))
    return [files["txt"].decode()], eval_transform(16)(_tensor(decode.decode(content))).numpy()


def _tensor(pixels: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(pixels).permute(2, 0, 1)


def check_samples(folder: Path, seed: int, shards: int, samples: int) -> Counter[str]:
    """Damaged samples in whole shards: their intact neighbours come out as they went in."""
    draw = random.Random(seed)
    good = {}
    for number in range(shards):
        path = folder / f"{number:05d}.tar"
        good[number] = stream_fuzz.write_shard(path, draw, samples, share_good=0.4)
    found, causes, positions = delivered(folder)
    source = "/".join(folder.parts[-2:])
    for number, intact in good.items():
        for key, members in intact.items():
            captions, pixels = expected(members)
            sample = found[f"{source}/{number:05d}/{key}"]
            assert sample["captions"]["en"] == captions
            assert np.array_equal(sample["image"].numpy(), pixels)
    assert positions >= shards * samples * 0.9
    return causes


def check_shards(folder: Path, seed: int, shards: int, samples: int) -> Counter[str]:
    """Damaged shards beside a whole one."""
    draw = random.Random(seed)
    for number in range(shards):
        path = folder / f"{number:05d}.tar"
        stream_fuzz.write_shard(path, draw, samples, share_good=0.8)
        stream_fuzz.damage(path, draw)
    intact = stream_fuzz.write_shard(folder / f"{shards:05d}.tar", draw, samples, share_good=1.0)
    found, causes, _ = delivered(folder)
    source = "/".join(folder.parts[-2:])
    assert all(f"{source}/{shards:05d}/{key}" in found for key in intact)
    return causes


def folder_of(tmp_path: Path) -> Path:
    folder = tmp_path / "fuzz/train"
    folder.mkdir(parents=True)
    return folder


def test_two_thousand_damaged_samples(tmp_path):
    causes = check_samples(folder_of(tmp_path), seed=0, shards=8, samples=400)
    for cause in (
        *("no image", "undecodable image", "bad utf-8", "bad json", "no caption", "empty caption"),
        *("caption too long", "duplicate key", "archive in archive", "unsafe name"),
    ):
        assert causes[cause], cause


def test_hundreds_of_damaged_shards(tmp_path):
    causes = check_shards(folder_of(tmp_path), seed=1, shards=150, samples=6)
    for cause in ("damaged archive", "truncated archive"):
        assert causes[cause], cause


@pytest.mark.slow
def test_ten_thousand_damaged_samples(tmp_path):
    check_samples(folder_of(tmp_path), seed=2, shards=17, samples=1000)


@pytest.mark.slow
def test_thousands_of_damaged_shards(tmp_path):
    check_shards(folder_of(tmp_path), seed=3, shards=2000, samples=8)
