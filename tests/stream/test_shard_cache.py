"""The cache of shards: shared by processes, bounded, and never trusted blindly."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from remote_servers import CONTENT, Server, fetched, open_forked, serving, shards, taken, until

from mmcs.stream import tries
from mmcs.stream.remote import Access, Fetcher


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "FIRST_PAUSE", 0.01)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server(shards())) as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMCS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shards"


def whole_copies(server: Server) -> int:
    return sum(part != "bytes=0-0" for _, _, part in server.asked)


def kept_bytes(cache: Path) -> int:
    return sum(path.stat().st_size for path in cache.iterdir() if path.is_file() and path.suffix == "")


CACHED = Access(timeout=5.0, cache_gb=0.001)


def test_processes_share_one_copy(server: Server, cache: Path) -> None:
    url = f"{server.url}/train/00005.tar"
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        results = [pool.apply_async(open_forked, (Fetcher(CACHED), url)) for _ in range(4)]
        assert [result.get(timeout=20) for result in results] == [len(CONTENT) + 1] * 4
    assert fetched(url, CACHED) == CONTENT + b"\5"
    assert whole_copies(server) == 1, server.asked


def test_the_bound_holds_and_what_was_used_last_stays(server: Server, cache: Path) -> None:
    fetcher = Fetcher(CACHED)  # room for three
    urls = [f"{server.url}/train/{number:05}.tar" for number in range(12)]
    held = fetcher.open(urls[0])
    for url in (*urls[1:3], urls[0], urls[3], urls[0]):
        assert taken(fetcher.open(url))[:-1] == CONTENT
        assert kept_bytes(cache) <= 1_000_000
    assert whole_copies(server) == 4  # the first was used again and again, so it was never removed
    taken(fetcher.open(urls[1]))
    assert whole_copies(server) == 5
    for url in urls:
        fetcher.begin(url)
    assert [taken(fetcher.open(url))[-1] for url in urls] == list(range(12))
    assert kept_bytes(cache) <= 1_000_000
    assert taken(held) == CONTENT + b"\0"  # removed from the cache, still whole for who has it open
    assert fetched(urls[0], Access(cache_gb=0.0001)) == CONTENT + b"\0"  # larger than the whole cache: not kept


@pytest.mark.parametrize("damage", ["truncated", "changed", "no note", "bad note"])
def test_a_damaged_copy_is_never_used(server: Server, cache: Path, damage: str) -> None:
    url = f"{server.url}/train/00000.tar"
    fetched(url, CACHED)
    (data,) = (path for path in cache.iterdir() if path.is_file() and path.suffix == "")
    if damage == "truncated":
        os.truncate(data, 1000)
    elif damage == "changed":
        data.write_bytes(bytes(len(CONTENT) + 1))
    elif damage == "no note":
        data.with_name(f"{data.name}.json").unlink()
    else:
        data.with_name(f"{data.name}.json").write_text("[")
    assert fetched(url, CACHED) == CONTENT + b"\0"
    assert whole_copies(server) == 2


def test_a_copy_of_an_older_version_is_not_used(server: Server, cache: Path) -> None:
    url = f"{server.url}/train/00000.tar"
    fetched(url, CACHED)
    server.files["/train/00000.tar"], server.etag = CONTENT[::-1] + b"\0", '"2"'
    assert fetched(url, CACHED) == CONTENT[::-1] + b"\0"
    assert fetched(url, CACHED) == CONTENT[::-1] + b"\0"
    assert whole_copies(server) == 2


def test_a_killed_process_leaves_nothing_that_counts(server: Server, cache: Path) -> None:
    """Killed in the middle of a copy: the next process has the lock, the room and, by a copy of its own, the shard."""
    url = f"{server.url}/train/00000.tar"
    server.ranges, server.plan = True, lambda number: "byte" if number == 1 else ""
    victim = multiprocessing.get_context("fork").Process(
        target=open_forked, args=(Fetcher(Access(timeout=60, cache_gb=0.001)), url)
    )
    victim.start()
    until(lambda: server.gets == 2)  # the second asks for the content
    os.kill(victim.pid or 0, signal.SIGKILL)
    victim.join()
    assert fetched(url, CACHED) == CONTENT + b"\0"
    assert not list(cache.glob(".*.partial"))
    assert fetched(url, CACHED) == CONTENT + b"\0"
    assert whole_copies(server) == 2


def test_a_silent_holder_of_the_lock_is_not_waited_for(server: Server, cache: Path) -> None:
    url = f"{server.url}/train/00000.tar"
    server.plan = lambda number: "byte" if number == 1 else ""
    holder = multiprocessing.get_context("fork").Process(
        target=open_forked, args=(Fetcher(Access(timeout=60, cache_gb=0.001)), url)
    )
    holder.start()
    until(lambda: server.gets == 2)  # the second asks for the content
    try:
        assert fetched(url, Access(timeout=0.3, retries=0, cache_gb=0.001)) == CONTENT + b"\0"
    finally:
        holder.kill()
        holder.join()
