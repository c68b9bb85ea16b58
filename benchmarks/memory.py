"""How much memory a function takes beyond what is there before it. Measured in a process of its own: memory that was freed is
seldom given back, so a second measurement would find the room of the first.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def growth(function: Callable[[], Any]) -> int:
    """KiB between the resident memory before the call and the peak after it."""
    before = _kib("VmRSS")
    function()
    return _kib("VmHWM") - before


def _kib(entry: str) -> int:  # not getrusage: its peak begins at that of the process that started this one
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{entry}:"))
