"""Fixtures of the stream's tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from stream_shards import write_shard

from mmcs.stream.sources import Shard, expand


@pytest.fixture(autouse=True)
def one_thread():
    """Tests share the machine's cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
