"""No process is left behind: one that was started for a run ends with the process that started it, SIGKILL included.

``mmcs.train`` calls this in the processes of several devices, ``mmcs.stream.loader`` in its workers.
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


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    # Not an exception: the main thread may sit in a pipe or a collective that nobody will ever answer.
    os.kill(os.getpid(), signal.SIGKILL)
