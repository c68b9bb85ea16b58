"""Files that lie elsewhere: listed, read whole when small, and shards fetched ahead of time into local copies.

URLs of any kind that fsspec reads, and ``pipe:`` commands. How one copy is made is ``transfer.py``'s, the cache
``shard_cache.py``'s. Called by ``sources.py`` and ``read.py``.
"""

from __future__ import annotations

import fnmatch
import os
import re
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from mmcs.errors import DataError
from mmcs.files import cache_folder
from mmcs.progress import track
from mmcs.stream.shard_cache import ShardCache
from mmcs.stream.stores import Access, FetchError, Missing, Refused, Stores, shown
from mmcs.stream.transfer import check_pipe, copy, version
from mmcs.stream.tries import retried

#: Copies that are made side by side in the background, and small files read side by side.
_MOST_COPIES = 8
_MOST_SMALL = 32
#: So many different shards of one host in a row, none of which could be had, end the run.
_HOPELESS = 8


def is_remote(path: str) -> bool:
    """Whether a path is a URL (other than ``file://``) or a ``pipe:`` command."""
    return path.startswith("pipe:") or bool(re.match(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]*://", path))


def listing(url: str, access: Access) -> list[str]:
    """The ``*.tar`` of a folder, or what a glob matches: full URLs, sorted; empty where there is nothing.

    Raises:
        FetchError: the store did not answer, or does not allow it.
        UserError: see ``transfer.copy``.
    """
    stores = Stores(access)
    stores.prepare(url)
    host = "/".join(url.split("/", 3)[:3])
    magic = re.compile(r"[*\[]" if url.startswith("http") else r"[*?\[]").search(url, len(host))
    plain = url[: magic.start()].rpartition("/")[0] if magic else url.rstrip("/")
    pattern = url[len(plain) + 1 :] if magic else "*.tar"

    def look(_: int) -> list[str]:
        fs, folder = stores.of(plain + "/")
        # In any case, for its errors: ``glob`` takes a folder that cannot be listed for an empty one.
        names = fs.ls(folder if url.startswith("http") else folder.rstrip("/"), detail=False)
        if "/" in pattern:
            names = fs.glob(fs._strip_protocol(f"{plain}/{pattern}"))
        before = plain.removesuffix(folder.rstrip("/"))  # what fsspec strips: the scheme, for some stores the host
        full = sorted({name if "://" in name else before + name for name in map(str, names)})
        return full if "/" in pattern else [name for name in full if fnmatch.fnmatchcase(_last(name), pattern)]

    try:
        # The pages of a long listing give no sign of life; each of them keeps to the store's own time-out.
        return retried(url, replace(access, timeout=10 * access.timeout), look)
    except Missing:
        return []


def read_small(url: str, access: Access, limit: int = 64 << 20, stores: Stores | None = None) -> bytes | None:
    """The content of a small file; None if it does not exist, or if the store, which may not tell, denies access.

    Raises:
        FetchError: it could not be had.
        DataError: it holds more than ``limit`` bytes.
    """
    with tempfile.TemporaryFile() as file:
        try:
            copy(url, file.fileno(), access, stores or Stores(access), limit=limit)
        except Refused:
            return None
        return os.pread(file.fileno(), limit, 0)


def read_many(urls: Sequence[str], access: Access) -> list[bytes | None]:
    """``read_small`` of each, side by side."""
    if not urls:
        return []
    stores = Stores(access)
    threads = ThreadPoolExecutor(min(_MOST_SMALL, len(urls)), thread_name_prefix="mmcs-small")
    try:
        contents = threads.map(lambda url: read_small(url, access, stores=stores), urls)
        return list(track(contents, "Reading small files", len(urls)) if len(urls) > _MOST_SMALL else contents)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


class _Job:
    """A shard to be copied."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.claimed = False
        self.done = threading.Event()
        self.stopped = threading.Event()
        self.descriptor: int | None = None
        self.error: Exception | None = None


class _Here:
    """What a fetcher has under way in one process."""

    def __init__(self, access: Access) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.stores = Stores(access)
        self.jobs: dict[str, _Job] = {}
        self.waiting: deque[_Job] = deque()
        self.threads = 0


class Fetcher:
    """Local copies of shards, made ahead of time where ``begin`` is called early enough.

    For one caller at a time. It may be pickled and forked: each process makes its own copies. Without a cache a copy is
    a file without a name in the folder for temporary files, which is gone with its last descriptor.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._failed: dict[str, FetchError] = {}
        self._in_a_row: dict[str, set[str]] = {}
        self._now: _Here | None = None
        self._cache = None
        if access.cache_gb is not None:
            self._cache = ShardCache(cache_folder() / "shards", int(access.cache_gb * 1e9), access.longest_silence)

    def begin(self, url: str) -> None:
        """Begins to copy in the background, unless that has begun or failed before."""
        here = self._here()
        with here.lock:
            if url in here.jobs or url in self._failed:
                return
            here.jobs[url] = job = _Job(url)
            here.waiting.append(job)
            if here.threads < _MOST_COPIES:
                here.threads += 1
                threading.Thread(target=self._work, args=(here,), name="mmcs-fetch", daemon=True).start()

    def open(self, url: str) -> int:
        """A descriptor of a complete local copy, the caller's own; waits for the copy, or makes it now.

        Raises:
            FetchError: it could not be had. Until ``forget_failures`` that is said again without another try.
            DataError: of its host, eight different shards in a row could not be had.
            UserError: a ``pipe:`` that is not allowed, a scheme that is not known, a package or credentials that lack.
            MmcsError: the local disk is full.
        """
        if url in self._failed:
            raise FetchError(str(self._failed[url]))
        here = self._here()
        with here.lock:
            job = here.jobs.pop(url, None) or _Job(url)
            mine, job.claimed = not job.claimed, True
        if mine:
            self._make(here, job)
        job.done.wait()
        host = _host(url)
        if job.descriptor is not None:
            self._in_a_row.pop(host, None)
            return job.descriptor
        assert job.error is not None
        if isinstance(job.error, FetchError):
            self._failed[url] = job.error
            row = self._in_a_row.setdefault(host, set())
            row.add(url)
            if len(row) >= _HOPELESS:
                raise DataError(
                    f"Nothing could be read from {host}: {len(row)} different shards in a row failed. The last: {job.error}"
                )
        try:
            raise job.error
        finally:
            del job  # else error and frame hold each other

    def forget_failures(self) -> None:
        """What could not be had is tried again when it is next asked for."""
        self._failed.clear()

    def close(self) -> None:
        """Gives back the copies that nobody opened and begins no further try; the fetcher can be used again."""
        here, self._now = self._now, None
        if here is None or here.pid != os.getpid():
            return
        with here.lock:
            jobs, here.jobs = list(here.jobs.values()), {}
            here.waiting.clear()
            for job in jobs:
                job.stopped.set()
                if job.descriptor is not None:
                    os.close(job.descriptor)
                    job.descriptor = None

    def _here(self) -> _Here:
        if self._now is None or self._now.pid != os.getpid():  # a fork has no threads, and a lock may stay held in it
            for job in self._now.jobs.values() if self._now is not None else ():
                if job.descriptor is not None:
                    os.close(job.descriptor)
            self._now = _Here(self._access)
        return self._now

    def _work(self, here: _Here) -> None:
        while True:
            with here.lock:
                job = None
                while here.waiting and (job is None or job.claimed):  # ``open`` may have claimed it
                    job = here.waiting.popleft()
                if job is None or job.claimed:
                    here.threads -= 1
                    return
                job.claimed = True
            self._make(here, job)

    def _make(self, here: _Here, job: _Job) -> None:
        descriptor = None
        try:
            descriptor = self._copy(here.stores, job)
        except Exception as error:
            job.error = error
        finally:
            with here.lock:
                if descriptor is not None and job.stopped.is_set():
                    os.close(descriptor)
                else:
                    job.descriptor = descriptor
            job.done.set()

    def _copy(self, stores: Stores, job: _Job) -> int:
        access, url = self._access, job.url
        check_pipe(url, access)
        if self._cache is not None and not url.startswith("pipe:"):
            present = version(url, access, stores, job.stopped)
            kept = self._cache.open(url, present, lambda file: copy(url, file, access, stores, job.stopped))
            if kept is not None:
                return kept
        with tempfile.TemporaryFile() as file:
            copy(url, file.fileno(), access, stores, job.stopped)
            return os.dup(file.fileno())

    def __getstate__(self) -> dict[str, Any]:
        return {"_access": self._access}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_access"])  # type: ignore[misc]

    def __del__(self) -> None:
        if getattr(self, "_now", None) is not None and not sys.is_finalizing():
            self.close()


def _host(url: str) -> str:
    """Scheme and host, or bucket, of a URL; a command's own name."""
    return shown(url) if url.startswith("pipe:") else "/".join(shown(url).split("/", 3)[:3])


def _last(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2] if url.startswith("http") else url.rpartition("/")[2]
