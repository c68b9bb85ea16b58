"""Alternating medians: ours and the peer in turn, so that a machine that slows down slows both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
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
