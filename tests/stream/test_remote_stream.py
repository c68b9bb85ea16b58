"""The stream over shards that lie elsewhere: the same batches as from local ones, dead shards counted, disk given back."""

from __future__ import annotations

import contextlib
import os
import random
from collections import Counter
from pathlib import Path

import pytest
from remote_servers import FAULTS, Server, serving

from mmcs.errors import DataError
from mmcs.stream.loader import StreamLoader
from mmcs.stream.order import Shuffle
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import ReadSample
from mmcs.stream.remote import Access
from mmcs.stream.shard_sizes import sizes
from mmcs.stream.sources import expand

IMPATIENT = Access(timeout=0.5, retries=12)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("mmcs.stream.tries.FIRST_PAUSE", 0.01)


@pytest.fixture
def server(make_shards):
    """Serves a prepared folder of shards with 9, 40, 2 and 11 samples."""
    shards = make_shards([9, 40, 2, 11])
    folder = Path(shards[0].path).parent
    with serving(Server({f"/set/train/{file.name}": file.read_bytes() for file in folder.iterdir()})) as serving_it:
        yield serving_it


def batches(shards, access, **options):
    stages = [ReadSample(access=access, extensions=["txt", "json"]), ParseSample()]
    counts = sizes(shards, access)
    loader = StreamLoader(shards, counts, stages, batch_size=7, shuffle=Shuffle(5, lanes=4, window=8), **options)
    return [(batch["position"].tolist(), batch.get("identity"), batch["dropped"]) for batch in loader]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_batches_as_from_local_shards_whatever_goes_wrong_on_the_way(server, tmp_path, workers):
    draw = random.Random(3)
    server.plan = lambda _: draw.choice([*FAULTS, *len(FAULTS) * [""]])
    local = batches(expand(tmp_path / "set/train"), None)
    away = expand(f"{server.url}/set/train/{{00000..00003}}.tar", IMPATIENT)
    assert batches(away, IMPATIENT, num_workers=workers) == local


def test_a_dead_shard_is_counted_and_the_rest_is_read(server, tmp_path):
    content = server.files["/set/train/00000.tar"]
    shards = expand(f"{server.url}/set/train/{{00000..00003}}.tar", IMPATIENT)
    counts = sizes(shards, IMPATIENT)
    del server.files["/set/train/00000.tar"]
    stages = [ReadSample(access=IMPATIENT, extensions=["txt", "json"]), ParseSample()]
    loader = StreamLoader(shards, counts, stages, batch_size=20)
    dropped = [drop for batch in loader for drop in batch["dropped"]]
    assert Counter((cause, shard) for cause, shard, *_ in dropped) == {("unreadable archive", "set/train/00000"): 9}
    assert all("does not exist" in detail and server.url in detail for *_, detail in dropped)
    server.files["/set/train/00000.tar"] = content
    loader.set_epoch(1)
    assert not any(batch["dropped"] for batch in loader), "another epoch tries again"


def test_a_source_of_which_nothing_can_be_had_ends_the_run(server):
    """Shards are asked for side by side: eight that are silent cost one shard's time, and the sentence names the host."""
    shards = expand(f"{server.url}/set/train/{{00000..00020}}.tar")
    server.plan = lambda _: "stall"
    access = Access(timeout=0.2, retries=1)
    stages = [ReadSample(access=access, extensions=["txt", "json"]), ParseSample()]
    with pytest.raises(DataError, match=f"Nothing could be read from {server.url}: 8 different shards"):
        list(StreamLoader(shards, [5] * 21, stages, batch_size=50))


def test_sizes_that_nobody_tells_are_counted(server):
    shards = expand(f"{server.url}/set/train/{{00000..00003}}.tar")
    del server.files["/set/train/sizes.json"]
    server.files["/set/train/00001_stats.json"] = b'{"successes": 33}'
    assert sizes(shards) == [9, 33, 2, 11]


def test_disk_is_given_back_when_a_shard_is_read(make_shards):
    """Of 20 shards few are held at a time, and none is fetched for a lane twice."""
    folder = Path(make_shards([50] * 20)[0].path).parent
    with serving(Server({f"/set/train/{file.name}": file.read_bytes() for file in folder.iterdir()})) as server:
        shards = expand(f"{server.url}/set/train/{{00000..00019}}.tar")
        before, held = unnamed_files(), []
        order = Shuffle(1, lanes=2, window=20)
        read = ReadSample(extensions=["txt"], reach=order.reach)
        for _ in StreamLoader(shards, [50] * 20, [read], batch_size=20, shuffle=order):
            held.append(unnamed_files() - before)
        # Three a lane (the last, this, the next), and each copy under way has two descriptors.
        assert 2 <= max(held) <= 12
        fetched = Counter(path for method, path, _ in server.asked if method == "GET")
        assert len(fetched) == 20 and fetched.total() <= 22, "the ends of two lanes lie within shards"


def unnamed_files() -> int:
    """How many files of this process have no name any more."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the descriptor of this very listing
            count += "(deleted)" in str(link.readlink())
    return count


def test_what_follows_is_fetched_before_it_is_read(server):
    """In the order of the shards: when the first is being read, the second is asked for."""
    shards = expand(f"{server.url}/set/train/{{00000..00003}}.tar")
    read = ReadSample(extensions=["txt"])
    loader = iter(StreamLoader(shards, [9, 40, 2, 11], [read], batch_size=2))
    next(loader)
    descriptor = read._fetcher.open(shards[1].path)  # waits for what was begun, or would ask now
    os.close(descriptor)
    asked = [path for _, path, _ in server.asked]
    assert asked.count("/set/train/00001.tar") == 1 and "/set/train/00003.tar" not in asked
