"""Which sample each loading worker is at, and the sentence for a worker that dies there.

An exception is named by ``pipeline.py``; this is for what leaves no exception: a decoder's segmentation fault, the
kernel when memory runs out. ``pipeline.py`` notes, ``loader.py`` follows. A stage that never returns is not noticed.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType
from typing import Any

import torch
from torch.utils.data import get_worker_info

from mmcs.errors import MmcsError

_WIDTH = 512  # bytes of a note
_PATIENCE = 5.0  # seconds between a broken connection and the word of a death
_DEATH = re.compile(r"DataLoader worker \(pid(?:\(s\))? (\d+).*?(?:killed by signal: ([^.]+)|(exit code \d+)|$)")
#: Somebody ends the whole run, such as the launcher when another rank has failed: no sample's fault.
_ORDERS = frozenset(("Terminated", "Interrupt", "Hangup"))
_ADVICE = {
    "Killed": "perhaps memory ran out: lower data.num_workers or data.batch_size",
    "Bus error": "perhaps the shared memory (/dev/shm) is full: enlarge it or lower data.num_workers",
}
_OTHERWISE = "data.num_workers=0 shows what fails"

_watches: weakref.WeakSet[Watch] = weakref.WeakSet()
_before: Callable[[int, FrameType | None], Any] | None = None  # torch's own handler of SIGCHLD


class Watch:
    """Notes in shared memory, one a worker: its process and what it works on."""

    def __init__(self, workers: int) -> None:
        self._notes = torch.zeros((workers, _WIDTH), dtype=torch.uint8).share_memory_()
        self._note: memoryview | None = None
        _watches.add(self)

    def note(self, what: str) -> None:
        """In a worker: what it works on from now on; empty when it waits."""
        if self._note is None:
            info = get_worker_info()
            if info is None:
                return
            self._note = memoryview(self._notes[info.id].numpy())
        content = f"{os.getpid()} {what}".encode("utf-8", "backslashreplace")[: _WIDTH - 1] + b"\0"
        self._note[: len(content)] = content

    def of(self, pid: int) -> str | None:
        """The last note of a worker; None when it is none of this watch's."""
        for row in self._notes.numpy():
            owner, _, what = row.tobytes().split(b"\0", 1)[0].decode("utf-8", "replace").partition(" ")
            if owner == str(pid):
                return what
        return None

    def follow(self, loader: Iterable[Any]) -> Iterator[Any]:
        """What the workers of a DataLoader yield.

        Raises:
            MmcsError: a worker died; here, or wherever this process is when it learns of it.
        """
        parts = iter(loader)
        _listen()
        while True:
            try:
                got = [next(parts)]
            except StopIteration:
                return
            except (RuntimeError, OSError, EOFError) as error:
                if isinstance(error, RuntimeError) and not _DEATH.search(str(error)):
                    raise
                _raise_for_dead(getattr(parts, "_workers", ()))
                raise
            yield got.pop()  # kept here, a part that is an error would keep the workers until they are timed out

    def __getstate__(self) -> dict[str, Any]:
        return {"_notes": self._notes, "_note": None}


def _listen() -> None:
    """From now on torch's notice of a dead worker, which comes at any point of the main thread, is one sentence."""
    global _before
    set_by_torch = signal.getsignal(signal.SIGCHLD)
    if _before is None and callable(set_by_torch) and threading.current_thread() is threading.main_thread():
        _before = set_by_torch
        signal.signal(signal.SIGCHLD, _on_child)


def _on_child(number: int, frame: FrameType | None) -> None:
    assert _before is not None
    try:
        _before(number, frame)
    except RuntimeError as error:
        death = _DEATH.search(str(error))
        if death is None or death[2] in _ORDERS:
            raise
        raise _told(int(death[1]), death[2], death[3]) from None


def _raise_for_dead(workers: Sequence[Any]) -> None:
    """A worker's connection broke, or torch found one dead: which, and of what. The notice may come meanwhile."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        for worker in workers:
            code = worker.exitcode
            if code is None:
                continue
            by_signal = signal.strsignal(-code) if code < 0 else None
            if by_signal in _ORDERS:
                return
            raise _told(worker.pid, by_signal, f"exit code {code}") from None
        time.sleep(0.05)


def _told(pid: int, by_signal: str | None, by_itself: str | None) -> MmcsError:
    what = next((note for watch in _watches if (note := watch.of(pid)) is not None), "")
    how = f"was killed by signal: {by_signal}" if by_signal else f"ended with {by_itself}"
    where = f"at {what}" if what else "between two batches"
    skip = "; if it happens there again, list that sample in data.exclude" if what else ""
    return MmcsError(
        f"A loading worker (process {pid}) {how}, {where}; {_ADVICE.get(by_signal or '', _OTHERWISE)}{skip}."
    )
