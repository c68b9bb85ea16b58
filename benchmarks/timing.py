"""Ours and the peer in turn, so that a machine that slows down slows both; in this process, or each in one of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def side_by_side(
    name: str,
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    peer_name: str,
    *,
    per: int = 1,
    unit: str = "s",
    repeats: int = 5,
) -> dict[str, Any]:
    """One row of the results: seconds divided by ``per``, medians of ``repeats`` after one warm-up each."""
    ours()
    peer()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for taken, function in zip(times, (ours, peer), strict=True):
            started = time.perf_counter()
            function()
            taken.append((time.perf_counter() - started) / per)
    mine, theirs = (statistics.median(taken) for taken in times)
    scale = {"s": 1, "us": 1e6}[unit]
    return {
        "name": name,
        "ours": mine * scale,
        "peer": theirs * scale,
        "unit": unit,
        "ratio": theirs / mine,
        "peer_name": peer_name,
    }


def job(module: str, name: str, arguments: dict[str, Any], webdataset: Path | None = None) -> float:
    """The rate that ``python -m MODULE NAME JSON`` prints last, in a new process; ``webdataset`` comes before the installed one."""
    environment = dict(os.environ)
    if webdataset is not None:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(webdataset), environment.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", module, name, json.dumps(arguments)],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr.strip()[-2000:]}")
    return float(done.stdout.splitlines()[-1])


def rates(name: str, ours: Sequence[float], peer: Sequence[float], peer_name: str) -> dict[str, Any]:
    """A row of samples per second by rounds: medians; the ratio is the median of the rounds' ratios, since a machine's speed
    changes between rounds.
    """
    return {
        "name": name,
        "ours": statistics.median(ours),
        "peer": statistics.median(peer),
        "unit": "1/s",
        "ratio": statistics.median(a / b for a, b in zip(ours, peer, strict=True)),
        "peer_name": peer_name,
    }
