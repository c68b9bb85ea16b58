"""Progress bars on standard error: shown on a terminal, nothing at all in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def track(items: Iterable[T], description: str, total: float | None = None) -> Iterator[T]:
    """Yields ``items`` behind a bar; ``total`` where they have no length."""
    from rich.console import Console
    from rich.progress import track as rich_track

    console = Console(stderr=True)
    yield from rich_track(items, description, total, console=console, transient=True, disable=not console.is_terminal)
