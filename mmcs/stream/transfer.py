"""How the bytes of one file come: over HTTP(S), from any other store of fsspec, out of a command.

A copy goes through ``tries.py``. What is copied when, and where copies are kept, is decided in ``remote.py`` and
``shard_cache.py``. fsspec's own loop is started by the first copy, in the process that makes it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from mmcs.errors import UserError
from mmcs.stream.stores import WEB, Access, FetchError, Stores, Version, scrubbed, shown
from mmcs.stream.tries import BLOCK, Arrivals, Broken, retried


def copy(
    url: str,
    descriptor: int,
    access: Access,
    stores: Stores,
    stopped: threading.Event | None = None,
    limit: int | None = None,
) -> None:
    """Copies a whole file into an open one, in order, from its beginning.

    Args:
        stopped: when set, no further try is begun.
        limit: bytes; of a longer file no more is read.

    Raises:
        FetchError: it could not be had; one sentence with the URL, the tries and the last cause.
        UserError: a URL or options that cannot work.
        DataError: longer than ``limit``.
    """
    arrivals = Arrivals(descriptor, limit)
    work: Callable[[int], None]
    if url.startswith("pipe:"):
        check_pipe(url, access)
        work = partial(_run, url.removeprefix("pipe:"), arrivals)
    else:
        stores.prepare(url)
        work = (_Web if url.partition("://")[0] in WEB else _Blocks)(url, stores, arrivals)
    retried(url, access, work, arrivals, stopped)
    arrivals.finish()


def version(url: str, access: Access, stores: Stores, stopped: threading.Event | None = None) -> Version:
    """The present state of a file, without its content. Raises as ``copy`` does."""
    stores.prepare(url)

    def ask(_: int) -> Version:
        fs, path = stores.of(url)
        if url.partition("://")[0] not in WEB:
            return _version_of(fs.info(path))
        from fsspec.asyn import sync

        return sync(fs.loop, _ask_web, fs, url)

    return retried(url, access, ask, None, stopped)


class _Web:
    """Tries of HTTP(S): one stream; the next try goes on where the last one broke, if the server can and nothing changed.

    fsspec's own ``cat_file`` takes the whole body for a range where a server ignores ranges, so the answer is read here.
    """

    def __init__(self, url: str, stores: Stores, arrivals: Arrivals) -> None:
        self._url = url
        self._stores = stores
        self._arrivals = arrivals
        self._version: Version | None = None

    def __call__(self, number: int) -> None:
        from fsspec.asyn import sync

        fs, _ = self._stores.of(self._url)
        sync(fs.loop, self._stream, fs, number)

    async def _stream(self, fs: Any, number: int) -> None:
        arrivals, start = self._arrivals, self._arrivals.received
        async with await _get(fs, self._url, f"bytes={start}-" if start else None) as answer:
            if answer.status == 416:  # shorter than it was
                arrivals.beat(number, restart=True)
                raise Broken("it changed while it was read")
            answer.raise_for_status()
            first, found = _told(answer)
            if first != (start if answer.status == 206 else 0) or (start == 0 and answer.status != 200):
                raise Broken(f"the server answered {answer.status} with another part than was asked for")
            if answer.status == 206 and found != self._version:
                arrivals.beat(number, restart=True)
                raise Broken("it changed while it was read")
            self._version = found
            arrivals.beat(number, restart=answer.status == 200)
            async for chunk in answer.content.iter_any():
                arrivals.add(number, chunk)
        if found.size is not None and arrivals.received != found.size:
            raise Broken(f"{arrivals.received:,} bytes came instead of {found.size:,}")


async def _ask_web(fs: Any, url: str) -> Version:
    """Asks for one byte, not by HEAD: servers and signed URLs that allow GET alone answer this, too."""
    async with await _get(fs, url, "bytes=0-0") as answer:
        if answer.status == 416:
            return Version(0, "")
        answer.raise_for_status()
        return _told(answer)[1]


async def _get(fs: Any, url: str, part: str | None) -> Any:
    session = await fs.set_session()
    options = dict(fs.kwargs)
    headers = {**options.pop("headers", {}), "Accept-Encoding": "identity"} | ({"Range": part} if part else {})
    try:
        return await session.get(fs.encode_url(url), headers=headers, **options)
    except TypeError as error:
        raise UserError(f"http:// does not take these data.access.storage_options: {error}.") from None


def _told(answer: Any) -> tuple[int, Version]:
    """Where an answer begins, and what it says of the whole file."""
    first, size = 0, None
    if answer.status == 206:
        told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
        if told is None:
            raise Broken("the server does not say which part it sends")
        first, size = int(told[1]), None if told[2] == "*" else int(told[2])
    elif answer.headers.get("Content-Encoding", "identity") in ("", "identity"):
        length = answer.headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() else None
    return first, Version(size, answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")


class _Blocks:
    """Tries of every other store: blocks of known length, each checked; what has come stays."""

    def __init__(self, url: str, stores: Stores, arrivals: Arrivals) -> None:
        self._url = url
        self._stores = stores
        self._arrivals = arrivals
        self._size: int | None = None

    def __call__(self, number: int) -> None:
        arrivals = self._arrivals
        fs, path = self._stores.of(self._url)
        if self._size is None:
            self._size = _version_of(fs.info(path)).size
            if self._size is None:
                raise FetchError(f"{shown(self._url)} cannot be read: its store does not tell how long it is.")
        arrivals.beat(number)
        while arrivals.received < self._size:
            end = min(arrivals.received + arrivals.block, self._size)
            data = fs.cat_file(path, start=arrivals.received, end=end)
            if len(data) != end - arrivals.received:
                raise Broken(f"{len(data):,} bytes came instead of {end - arrivals.received:,}")
            arrivals.add(number, data)
            arrivals.block = min(BLOCK, 2 * arrivals.block)


def _version_of(info: Mapping[str, Any]) -> Version:
    if info.get("type") == "directory":
        raise FileNotFoundError
    names = ("ETag", "etag", "md5Hash", "generation", "LastModified", "last_modified", "updated", "mtime", "created")
    tag = next((str(info[name]) for name in names if info.get(name)), "")
    return Version(None if info.get("size") is None else int(info["size"]), tag)


def _run(command: str, arrivals: Arrivals, number: int) -> None:
    """One try of a shell command; it and all that it started are killed when it falls silent."""
    arrivals.beat(number, restart=True)
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            command, shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, start_new_session=True
        ) as process,
    ):
        arrivals.abandon = lambda: _kill(process)
        assert process.stdout is not None
        try:
            while data := os.read(process.stdout.fileno(), 1 << 20):
                arrivals.add(number, data)
            status = process.wait()
        finally:
            if process.poll() is None:
                _kill(process)
        if status:
            said.seek(max(0, said.seek(0, os.SEEK_END) - 300))
            words = scrubbed(said.read().decode("utf-8", "replace")).strip().splitlines()
            raise Broken(f"the command ended with status {status}" + (f" ({words[-1]})" if words else ""))


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def check_pipe(url: str, access: Access) -> None:
    """Raises UserError for a command where commands are not allowed."""
    if url.startswith("pipe:") and not access.allow_pipe:
        raise UserError(f"{shown(url)} would run a shell command; data.allow_pipe=true allows it.")
