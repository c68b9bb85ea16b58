"""Shards from elsewhere: whole and equal whatever servers do, never waited for without end, kept within a bound."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from remote_servers import CONTENT, FAULTS, QUICK, Server, fetched, open_forked, serving, shards, taken, until

from mmcs.errors import DataError, MmcsError, UserError
from mmcs.stream import tries
from mmcs.stream.remote import Access, Fetcher, is_remote, listing, read_many, read_small
from mmcs.stream.stores import FetchError, Stores, scrubbed, shown


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "FIRST_PAUSE", 0.01)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server(shards())) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        ("s3://b/0.tar", True),
        ("https://h/0.tar", True),
        ("pipe:cat x", True),
        ("file:///x.tar", False),
        ("/x/y.tar", False),
        ("C:/x.tar", False),
    ],
)
def test_what_is_remote(path: str, remote: bool) -> None:
    assert is_remote(path) is remote


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no-ranges"])
@pytest.mark.parametrize("lengths", [True, False], ids=["lengths", "no-lengths"])
def test_equal_bytes_whatever_a_web_server_can(server: Server, ranges: bool, lengths: bool) -> None:
    server.ranges, server.lengths, server.heads = ranges, lengths, False
    assert fetched(f"{server.url}/train/00003.tar") == CONTENT + b"\3"


@pytest.mark.parametrize(("fault", "ranges"), [*((fault, True) for fault in FAULTS), ("byte", False), ("cut", False)])
def test_a_fault_is_tried_again_and_the_bytes_are_equal(server: Server, fault: str, ranges: bool) -> None:
    server.ranges = ranges
    server.plan = lambda number: fault if number < 2 else ""
    assert fetched(f"{server.url}/train/00000.tar") == CONTENT + b"\0"
    assert server.gets >= 3  # more on a machine that is slower than the time-out


def test_random_faults_with_ahead_of_time_copies(server: Server) -> None:
    draw = random.Random(1)
    server.plan = lambda _: draw.choice(("500", "503", "cut", "", "", ""))
    fetcher = Fetcher(Access(timeout=2.0, retries=30))
    urls = [f"{server.url}/train/{number:05}.tar" for number in range(12)]
    for url in urls:
        fetcher.begin(url)
    assert [taken(fetcher.open(url)) for url in urls] == [server.files[f"/train/{n:05}.tar"] for n in range(12)]


def test_a_broken_stream_goes_on_where_it_broke(server: Server) -> None:
    server.plan = lambda number: "cut" if number == 0 else ""
    assert fetched(f"{server.url}/train/00000.tar") == CONTENT + b"\0"
    assert [part for _, _, part in server.asked] == ["", f"bytes={len(CONTENT + b'0') // 2}-"]


def test_what_changes_between_two_tries_is_read_anew(server: Server) -> None:
    def plan(number: int) -> str:
        if number == 1:
            server.etag, server.files["/train/00000.tar"] = '"2"', CONTENT[::-1] + b"\0"
        return "cut" if number == 0 else ""

    server.plan = plan
    assert fetched(f"{server.url}/train/00000.tar") == CONTENT[::-1] + b"\0"


@pytest.mark.parametrize("fault", ["stall", "byte"])
def test_a_silent_server_is_given_up_after_the_tries_that_are_allowed(server: Server, fault: str) -> None:
    server.ranges, server.plan = False, lambda _: fault
    with pytest.raises(FetchError, match=r"tried 3 times; at last not a byte came within 0\.3 s"):
        fetched(f"{server.url}/train/00000.tar", Access(timeout=0.3, retries=2))
    assert server.gets == 3


def test_any_file_system_is_given_up_when_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without any time-out of its own: fsspec's memory, made to hang, then to send too little."""
    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem

    fsspec.filesystem("memory").pipe_file("/hang/0.tar", CONTENT)
    whole, calls = MemoryFileSystem.cat_file, []

    def faulty(self: MemoryFileSystem, path: str, start: int, end: int) -> bytes:
        calls.append((start, end))
        if len(calls) == 1:
            time.sleep(1.0)
        return whole(self, path, start, end)[: 10 if len(calls) == 2 else None]

    monkeypatch.setattr(MemoryFileSystem, "cat_file", faulty)
    assert fetched("memory://hang/0.tar", Access(timeout=0.3)) == CONTENT
    assert len(calls) == 3
    assert listing("memory://hang", QUICK) == listing("memory://hang/*.tar", QUICK) == ["memory://hang/0.tar"]


def test_large_files_come_in_blocks_and_a_lost_block_alone_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem

    content = random.Random(2).randbytes(2 * tries.BLOCK + 5)
    fsspec.filesystem("memory").pipe_file("/large/0.tar", content)
    whole, calls = MemoryFileSystem.cat_file, []

    def faulty(self: MemoryFileSystem, path: str, start: int, end: int) -> bytes:
        calls.append(start // tries.BLOCK)
        if len(calls) == 2:
            raise ConnectionResetError
        return whole(self, path, start, end)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", faulty)
    assert fetched("memory://large/0.tar") == content
    assert calls == [0, 1, 1, 2]


def test_gcs_reaches_its_file_system_with_the_options() -> None:
    gcsfs = pytest.importorskip("gcsfs")
    access = Access(storage_options={"gs": {"token": "anon", "project": "p"}, "s3": {"endpoint_url": "http://x"}})
    fs, path = Stores(access).of("gs://bucket/train/0.tar")
    assert isinstance(fs, gcsfs.GCSFileSystem)
    assert (path, fs.project, fs.credentials.method) == ("bucket/train/0.tar", "p", "anon")


def test_listing_of_a_web_folder(server: Server) -> None:
    links = "".join(f'<a href="{number:05}.tar">x</a>' for number in (1, 0)) + '<a href="notes.txt">x</a>'
    server.files["/train/"] = f"<html>{links}</html>".encode()
    server.plan = lambda number: "503" if number == 0 else ""
    urls = [f"{server.url}/train/{number:05}.tar" for number in range(2)]
    assert listing(f"{server.url}/train/", QUICK) == urls
    assert listing(f"{server.url}/train/*1.tar", QUICK) == urls[1:]
    assert listing(f"{server.url}/nothing/", QUICK) == []
    server.plan = lambda _: "500"
    with pytest.raises(FetchError, match="the server answered 500"):
        listing(f"{server.url}/train/*.tar", QUICK)


def test_small_files_side_by_side(server: Server) -> None:
    server.files |= {f"/{number}.json": str(number).encode() for number in range(100)}
    server.plan = lambda number: "500" if number < 30 and number % 2 else ""
    urls = [f"{server.url}/{number}.json" for number in range(101)]
    assert read_many(urls, Access(timeout=5.0)) == [*(str(number).encode() for number in range(100)), None]
    with pytest.raises(DataError, match="more than the 10 bytes"):
        read_small(f"{server.url}/train/00000.tar", QUICK, limit=10)


def test_mistakes_are_said_at_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FetchError, match=r"/none\.tar does not exist\."):
        fetched(f"{server.url}/none.tar")
    server.plan = lambda _: "403"
    with pytest.raises(FetchError, match="access is denied"):
        fetched(f"{server.url}/train/00000.tar")
    assert server.gets == 2  # neither was tried again
    with pytest.raises(UserError, match="fsspec knows no nosuch://"):
        fetched("nosuch://x/0.tar")
    with pytest.raises(UserError, match="storage_options"):
        fetched(f"{server.url}/train/00000.tar", Access(storage_options={"endpoint_url": "http://x"}))
    with pytest.raises(UserError, match=r"not installed \(Install webdav4"):
        fetched("webdav://x/0.tar")
    monkeypatch.setattr("fsspec.get_filesystem_class", lambda _: import_module("no_s3fs"))
    with pytest.raises(UserError, match=r"pip install 'mmcs\[remote\]'"):
        fetched("s3://shards/train/00000.tar")
    with pytest.raises(UserError, match="more than 0"):
        Access(timeout=0)


def test_no_password_or_token_in_a_sentence(server: Server) -> None:
    url = server.url.replace("http://", "http://me:hidden@") + "/none.tar?token=hidden"
    with pytest.raises(FetchError) as caught:
        fetched(url)
    assert "hidden" not in str(caught.value)
    assert shown("pipe:curl -H hidden https://x") == "pipe:curl …"
    assert scrubbed("GET 'https://a:b@h/x?k=v' failed") == "GET 'https://h/x?…' failed"


def test_failures_are_remembered_until_forgotten(server: Server) -> None:
    server.plan = lambda _: "500"
    fetcher, url = Fetcher(Access(timeout=0.5, retries=1)), f"{server.url}/train/00000.tar"
    fetcher.begin(url)
    for _ in range(2):
        with pytest.raises(FetchError, match="tried 2 times"):
            fetcher.open(url)
    fetcher.begin(url)
    assert server.gets == 2
    server.plan = lambda _: ""
    fetcher.forget_failures()
    assert taken(fetcher.open(url)) == CONTENT + b"\0"


def test_eight_different_shards_in_a_row_end_the_run(server: Server) -> None:
    fetcher = Fetcher(Access(timeout=0.5, retries=0))
    fine = f"{server.url}/train/00000.tar"
    for number in range(7):
        with pytest.raises(FetchError):
            fetcher.open(f"{server.url}/a{number}.tar")
    os.close(fetcher.open(fine))  # one success: the count begins anew
    for number in range(7):
        with pytest.raises(FetchError):
            fetcher.open(f"{server.url}/b{number}.tar")
    with pytest.raises(FetchError):
        fetcher.open(f"{server.url}/b0.tar")  # the same one counts once
    with pytest.raises(
        DataError, match=r"Nothing could be read from http://127\.0\.0\.1:\d+: 8 different shards"
    ) as end:
        fetcher.open(f"{server.url}/b7.tar")
    assert not isinstance(end.value, OSError)  # else it would count as one more bad shard


def test_pipes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    allowed = Access(timeout=0.5, retries=1, allow_pipe=True, cache_gb=1)
    with pytest.raises(UserError, match=r"pipe:cat … would run a shell command; data\.allow_pipe=true"):
        fetched(f"pipe:cat {tmp_path}/x")
    assert fetched(f"pipe:cat {tmp_path}/x | cat", allowed) == CONTENT
    with pytest.raises(FetchError, match=r"tried 2 times; at last the command ended with status 3 \(no such thing\)"):
        fetched(f"pipe:head -c 9 {tmp_path}/x; echo no such thing >&2; exit 3", allowed)
    once = f"pipe:if [ -e {tmp_path}/tried ]; then cat {tmp_path}/x; else touch {tmp_path}/tried; echo junk; exit 1; fi"
    assert fetched(once, allowed) == CONTENT  # nothing of the failed try is left in it


def test_a_silent_pipe_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    command = f"sleep 60 & echo $! >> {tmp_path}/pids; wait"
    with pytest.raises(FetchError, match="not a byte came"):
        fetched(f"pipe:{command}", Access(timeout=0.4, retries=1, allow_pipe=True))
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 2
    for pid in pids:
        until(lambda pid=pid: not _runs(int(pid)))


def test_pickled_and_forked_fetchers_work_on_their_own(server: Server) -> None:
    fetcher, url = Fetcher(Access(timeout=30)), f"{server.url}/train/00001.tar"
    assert taken(fetcher.open(url)) == CONTENT + b"\1"  # fsspec's thread now runs here, and in no fork
    fetcher.begin(url)
    assert taken(pickle.loads(pickle.dumps(fetcher)).open(url)) == CONTENT + b"\1"
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = [pool.apply_async(open_forked, (fetcher, url)) for _ in range(2)]
        assert [result.get(timeout=60) for result in results] == [len(CONTENT) + 1] * 2
    assert taken(fetcher.open(url)) == CONTENT + b"\1"


def test_a_closed_fetcher_keeps_no_file_and_no_process(server: Server) -> None:
    before = _descriptors()
    fetcher = Fetcher(QUICK)
    for number in range(3):
        fetcher.begin(f"{server.url}/train/{number:05}.tar")
    until(lambda: all(job.done.is_set() for job in fetcher._here().jobs.values()))
    fetcher.close()
    assert taken(fetcher.open(f"{server.url}/train/00004.tar")) == CONTENT + b"\4"
    until(lambda: _descriptors() <= before + 8)  # the connections of fsspec's session
    server.plan = lambda _: "stall"
    code = "import sys; from mmcs.stream.remote import *; f = Fetcher(Access(timeout=60)); f.begin(sys.argv[1])"
    ended = subprocess.run(
        [sys.executable, "-c", code, f"{server.url}/train/00000.tar"], timeout=30, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_full_disk_ends_the_run(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(MmcsError, match="No space left on device") as caught:
        fetched(f"{server.url}/train/00000.tar")
    assert caught.value.exit_code == 1
    assert server.gets == 1


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
