"""Tries: watched so that none waits in silence, repeated where that may help, and put into one sentence when it does not.

What a try does is ``transfer.py``'s; nothing here knows how a store gives its bytes.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from mmcs.common.library_error import words_of
from mmcs.errors import DataError, MmcsError, UserError
from mmcs.stream.stores import FIRST_PAUSE, LONGEST_PAUSE, Access, FetchError, Missing, Refused, scrubbed, shown

T = TypeVar("T")

#: Bytes asked of an object store at a time, and the gain after which the count of tries begins anew.
BLOCK = 16 << 20
_SMALLEST_BLOCK = 64 << 10
#: Answers of a web server that another try may change; every other from 400 to 499 is final.
_PASSING = (408, 425, 429)
_jitter = random.SystemRandom()  # random's own generator is part of a run's state, which a bad network must not touch


class Broken(Exception):
    """A try ended before everything had come."""


class Arrivals:
    """What has come of one file, through however many tries; a try that was given up adds nothing any more."""

    def __init__(self, descriptor: int | None = None, limit: int | None = None) -> None:
        self.received = 0
        self.most = 0
        self.last = time.monotonic()
        self.block = BLOCK
        self.abandon: Callable[[], None] | None = None  # what ends the present try from outside
        self._descriptor = descriptor
        self._limit = limit
        self._try = 0
        self._lock = threading.Lock()

    def new_try(self) -> int:
        with self._lock:
            self._try += 1
            self.last = time.monotonic()
            self.abandon = None
            return self._try

    def gives_up(self, timeout: float) -> bool:
        """Ends the present try if nothing has come for ``timeout`` seconds."""
        with self._lock:
            if time.monotonic() - self.last < timeout:
                return False
            self._try += 1
        if self.abandon is not None:
            self.abandon()
        return True

    def beat(self, number: int, restart: bool = False) -> None:
        """Try ``number`` heard from the store; with ``restart`` everything comes anew."""
        with self._lock:
            self._check(number)
            self.received = 0 if restart else self.received

    def add(self, number: int, data: bytes) -> None:
        assert self._descriptor is not None
        with self._lock:  # held while writing: the descriptor may be another file's once the try is given up
            self._check(number)
            if self._limit is not None and self.received + len(data) > self._limit:
                raise DataError(f"it holds more than the {self._limit:,} bytes that such a file may have")
            rest = memoryview(data)
            try:
                while len(rest):
                    written = os.pwrite(self._descriptor, rest, self.received)
                    rest = rest[written:]
                    self.received += written
            except OSError as error:
                raise MmcsError(
                    f"What is fetched cannot be written to the local disk ({error.strerror}); free space there, or move "
                    "it by TMPDIR (MMCS_CACHE for the cache)."
                ) from None
            self.most = max(self.most, self.received)

    def finish(self) -> None:
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, self.received)

    def _check(self, number: int) -> None:
        if number != self._try:
            raise Broken("given up")
        self.last = time.monotonic()


def retried(
    url: str,
    access: Access,
    work: Callable[[int], T],
    arrivals: Arrivals | None = None,
    stopped: threading.Event | None = None,
) -> T:
    """What ``work(number of the try)`` gives, tried again after passing failures and silences.

    Raises:
        FetchError, UserError, DataError: see ``copy``.
    """
    arrivals, stopped = arrivals or Arrivals(), stopped or threading.Event()
    mark = tries = 0
    while True:
        try:
            return _watched(work, arrivals, access.timeout)
        except (UserError, FetchError):
            raise
        except DataError as error:
            raise DataError(f"{shown(url)} cannot be used: {error}.") from None
        except MmcsError:
            raise
        except Exception as error:
            if arrivals.most - mark >= BLOCK:
                mark, tries = arrivals.most, 0
            tries += 1
            failure = _failure(url, error, tries, access)
            if failure is not None:
                raise failure from None
            if isinstance(error, TimeoutError):  # a slow line may carry less in the time
                arrivals.block = max(_SMALLEST_BLOCK, arrivals.block // 4)
        if stopped.wait(min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE) * _jitter.uniform(0.5, 1.0)):
            raise FetchError(f"{shown(url)} is no longer wanted.")


def _watched(work: Callable[[int], T], arrivals: Arrivals, timeout: float) -> T:
    """Runs one try in a thread that is left behind, deaf, when nothing comes: so that any file system keeps to time."""
    number = arrivals.new_try()
    results: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            results.append(work(number))
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=run, name="mmcs-try", daemon=True).start()
    while not done.wait(max(0.0, arrivals.last + timeout - time.monotonic())):
        if arrivals.gives_up(timeout):
            raise TimeoutError(_silent(timeout))
    if errors:
        try:
            raise errors[0]
        finally:
            errors.clear()  # else error and frame hold each other
    return results[0]


def _failure(url: str, error: Exception, tries: int, access: Access) -> MmcsError | None:
    """The end of all tries; None when another one may help."""
    told = str(getattr(error, "status", None) or getattr(error, "code", None))
    status = int(told) if told.isdecimal() else None
    kind = type(error).__name__
    if kind in ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "NoRegionError"):
        return UserError(
            f"{shown(url)} needs credentials ({scrubbed(str(error))}); set them up as for the store's own tools, or for a "
            "public store data.access.storage_options={anon: true}."
        )
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return Missing(f"{shown(url)} does not exist.")
    if isinstance(error, PermissionError) or status == 403 or str(error).startswith("Forbidden"):
        return Refused(f"{shown(url)} may not be read: access is denied ({_cause(error, status, access)}).")
    final = status is not None and 400 <= status < 500 and status not in _PASSING
    if final or kind in ("InvalidURL", "InvalidUrlClientError", "ParamValidationError", "IsADirectoryError"):
        return FetchError(f"{shown(url)} cannot be read: {_cause(error, status, access)}.")
    if tries > access.retries:
        times = "once" if tries == 1 else f"{tries} times"
        return FetchError(f"{shown(url)} could not be read, tried {times}; at last {_cause(error, status, access)}.")
    return None


def _cause(error: Exception, status: int | None, access: Access) -> str:
    if status is not None:
        return f"the server answered {status}"
    if isinstance(error, TimeoutError):
        return _silent(access.timeout)
    words = " ".join(str(error).split()) if isinstance(error, Broken) else words_of(error)
    return scrubbed(words).rstrip(".")


def _silent(timeout: float) -> str:
    return f"not a byte came within {timeout:g} s"
