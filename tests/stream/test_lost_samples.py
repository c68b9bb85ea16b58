"""The stream counts what a shard holds and no position reaches: names with dots, archives behind the first, odd keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import fsspec
import pytest
from stream_shards import jpeg, shard_of

from mmcs.stream.decode import DecodeImage
from mmcs.stream.drops import DropCounter
from mmcs.stream.loader import StreamLoader
from mmcs.stream.order import Place
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import ReadSample
from mmcs.stream.shard_sizes import sizes
from mmcs.stream.sources import Reading, Shard, expand
from mmcs.stream.transforms import eval_transform


def counted(shards: Sequence[Shard], workers: int = 0, epochs: int = 1) -> tuple[list[str], DropCounter]:
    """The keys of all samples that come, and what is dropped."""
    stages = [ReadSample(), ParseSample(), DecodeImage(eval_transform(16))]
    loader = StreamLoader(shards, sizes(shards), stages, batch_size=4, num_workers=workers, place=Place())
    counter, keys = DropCounter(), []
    for epoch in range(epochs):
        loader.set_epoch(epoch)
        for batch in loader:
            counter.add(batch)
            keys += batch.get("key", [])
    return keys, counter


def sample(key: str) -> dict[str, bytes]:
    return {f"{key}.jpg": jpeg(0), f"{key}.txt": b"a dog"}


DOTTED = {name: data for number in range(6) for name, data in sample(f"IMG_v1.{number}").items()}


@pytest.mark.parametrize("promised", [None, 3, 2])
def test_samples_that_share_a_key_are_counted_once_each(tmp_path, promised):
    """Whatever number of samples a ``sizes.json`` promises."""
    shard = shard_of(tmp_path / "0.tar", sample("a") | DOTTED | sample("b"))
    if promised is not None:
        (tmp_path / "sizes.json").write_text(json.dumps({"0.tar": promised}))
    keys, counter = counted([shard])
    beyond = 1 if promised == 2 else 0
    assert keys == ["a", "b"][: 2 - beyond]
    assert counter.by_cause == {"dots in file names": 6} | ({"not in sizes.json": 1} if beyond else {})
    assert counter.seen == 8
    dropped = counter.report(0.0)["shards"]["s/0"]["causes"]["dots in file names"]
    assert dropped["count"] == 6 and dropped["examples"][1] == {"key": "IMG_v1.1", "detail": "its key is IMG_v1"}


def test_an_extension_with_a_dot_is_read_where_it_is_named(tmp_path):
    shard_of(tmp_path / "0.tar", {**DOTTED, "b.0.jpg": jpeg(1), "b.0.txt": b"a cat"})
    shards = Reading(caption=".0.txt", images=["0.jpg"]).expand(str(tmp_path))
    assert counted(shards)[0] == ["IMG_v1", "b"] and counted(shards)[1].seen == 2


def test_of_several_pictures_the_preferred_one_is_read(tmp_path):
    files = {"k.input.jpg": jpeg(0), "k.depth.png": jpeg(1), "k.txt": b"a dog"}
    shard_of(tmp_path / "0.tar", files)
    assert counted(expand(tmp_path))[1].by_cause == {"no image": 1}
    for name, content in files.items():
        if name != "k.txt":
            (shard,) = Reading(images=[name.partition(".")[2], "jpg"]).expand(str(tmp_path))
            read = ReadSample()({"origin": shard, "ordinal": 0, "promised": 1})["files"]
            assert read == {name.partition(".")[2]: content, "txt": b"a dog"}
            assert sorted(read.names) == ["depth.png", "input.jpg", "txt"]


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_concatenated_shards_are_read_to_their_end(tmp_path, where):
    parts = [Path(shard_of(tmp_path / f"{key}.part", sample(key)).path).read_bytes() for key in "abc"]
    content = parts[0] + bytes(1024) + parts[1] + parts[2] + b"x" * 100
    if where == "here":
        (tmp_path / "all.tar").write_bytes(content)
        shards = expand(tmp_path / "all.tar")
    else:
        fsspec.filesystem("memory").pipe("/lost/set/all.tar", content)
        shards = expand("memory://lost/set/all.tar")
    keys, counter = counted(shards)
    assert keys == ["a", "b", "c"] and counter.by_cause == {"bytes after the end": 1}


@pytest.mark.parametrize("workers", [0, 2])
def test_keys_that_are_no_language_are_counted_and_their_samples_used(tmp_path, workers):
    record = json.dumps({"captions": {"blip2": "x", "original": "y", "de": "Hund"}}).encode()
    files = {name: data for key in "abcde" for name, data in (sample(key) | {f"{key}.json": record}).items()}
    shard = shard_of(tmp_path / "0.tar", files)
    keys, counter = counted([shard], workers)
    assert sorted(keys) == list("abcde") and counter.seen == 5 and counter.dropped == 0
    assert counter.by_cause == {"no language": 10}
    assert counter.summary() == ("none of 5 samples dropped; captions under 10 keys that are no language ignored")
    counter.check(0.0, final=True)
    again = DropCounter()
    again.merge(counter.state_dict())
    assert again.report(0.0) == counter.report(0.0)


def test_details_are_the_same_in_every_run(tmp_path):
    broken = {"0.jpg": b"no picture", "1.png": jpeg(0)[:200], "2.gif": b"GIF89a;", "3.tif": b"II*\0" + bytes(9)}
    texts = {f"{number}.txt": b"x" for number in range(4)}
    shard = shard_of(tmp_path / "0.tar", broken | texts)
    reports = [json.dumps(counted([shard])[1].report(0.0)) for _ in range(2)]
    assert reports[0] == reports[1] and " at 0x" not in reports[0]


def test_an_epoch_of_estimated_size_counts_lost_samples_once_a_pass(tmp_path):
    from mmcs.stream.mixture import open_data

    shard_of(tmp_path / "0.tar", sample("a") | DOTTED | sample("b") | sample("c"))
    data = open_data([{"shards": str(tmp_path / "0.tar"), "weight": 1}], samples_per_epoch=8)
    stages = [ReadSample(), ParseSample()]
    loader = StreamLoader(data.shards, data.sizes, stages, batch_size=4, mixture=data.mixture, place=Place())
    counter = DropCounter()
    for batch in loader:
        counter.add(batch)
    assert counter.by_cause == {"dots in file names": 2 * 6}  # two passes over four positions
