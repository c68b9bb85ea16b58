"""No process is left behind: one that was started for a run ends with the process that started it, SIGKILL included.

``mmcs.train`` and ``mmcs.processes`` call this in what they start, ``mmcs.stream.loader`` in its workers.
"""

from __future__ import annotations

import os
import signal
import threading
import time

_SECONDS_BETWEEN_LOOKS = 1.0


def end_with_parent(*_: object) -> None:
    """Has this process end soon after its parent is gone, whatever it is doing or waiting for then."""
    threading.Thread(target=_watch, args=(os.getppid(),), name="end-with-parent", daemon=True).start()


def end_by_parent_alone(*_: object) -> None:
    """As ``end_with_parent``, and of the signals that ask a run to end only its parent's own SIGTERM ends this process: they
    are often sent to all processes of a job, and the parent still needs this one for its last step.
    """
    # Blocked, since a handler is not told who has sent the signal; the thread waits for it instead. Threads begun later inherit
    # this.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ASKING)
    threading.Thread(target=_watch_and_hear, args=(os.getppid(),), name="end-by-parent", daemon=True).start()


_ASKING = {signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT}


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    _end()


def _watch_and_hear(parent: int) -> None:
    while os.getppid() == parent:
        came = signal.sigtimedwait(_ASKING, _SECONDS_BETWEEN_LOOKS)
        if came is not None and came.si_signo == signal.SIGTERM and came.si_pid == parent:
            os._exit(0)  # as torch's own handler does: no failure, which the parent would report
    _end()


def _end() -> None:
    # Not an exception: the main thread may sit in a pipe or a collective that nobody will ever answer.
    os.kill(os.getpid(), signal.SIGKILL)
