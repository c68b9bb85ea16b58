"""A probability that may change over the epochs: ``codeswitch.p`` as a number or as a curriculum. Strategies call it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from mmcs.errors import UserError

Curriculum = float | Sequence[Sequence[float]]


class Schedule:
    """p at an epoch: constant, or linear between the points of a curriculum and constant after the last.

    Args:
        key: how the user calls it, for messages.
        value: a number in 0..1, or points ``[epoch, p]`` with rising epochs.

    Raises:
        UserError: anything else.

    >>> Schedule("codeswitch.p", [[0, 0.0], [10, 0.5]]).at(4)
    0.2
    """

    def __init__(self, key: str, value: Curriculum) -> None:
        if isinstance(value, Sequence) and not isinstance(value, str):
            self.epochs, self.values = _points(key, value)
        else:
            self.epochs, self.values = [0.0], [probability(key, value)]
        self.constant = len(self.epochs) == 1
        self._last: tuple[int, float] = (-1, 0.0)

    def at(self, epoch: int) -> float:
        """The probability in ``epoch`` (0, 1, …)."""
        if self.constant:
            return self.values[0]
        if self._last[0] != epoch:
            self._last = (epoch, self._interpolate(epoch))
        return self._last[1]

    def _interpolate(self, epoch: int) -> float:
        right = bisect_right(self.epochs, epoch)
        if right in (0, len(self.epochs)):
            return self.values[min(right, len(self.values) - 1)]
        share = (epoch - self.epochs[right - 1]) / (self.epochs[right] - self.epochs[right - 1])
        return self.values[right - 1] + share * (self.values[right] - self.values[right - 1])


def _points(key: str, points: Sequence[Any]) -> tuple[list[float], list[float]]:
    for point in points:
        if isinstance(point, str) or not isinstance(point, Sequence) or len(point) != 2:
            raise UserError(
                f"{key} is a number, or a list of points [epoch, p] such as [[0, 0.1], [10, 0.5]]; got {points!r}."
            )
    epochs = [point[0] for point in points]
    whole = all(isinstance(epoch, int) and not isinstance(epoch, bool) and epoch >= 0 for epoch in epochs)
    if not epochs or not whole or any(b <= a for a, b in pairwise(epochs)):
        raise UserError(f"{key}: the epochs of a curriculum are whole numbers that rise, from 0; got {epochs}.")
    return [float(epoch) for epoch in epochs], [probability(key, point[1]) for point in points]


def probability(key: str, value: Any) -> float:
    """``value`` as a number in 0..1, or a UserError that names ``key``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UserError(f"{key} is a probability between 0 and 1, got {value!r}.")
    return float(value)


def one_of(key: str, value: str, known: Sequence[str]) -> str:
    """``value`` if it is one of ``known``, else a UserError that lists them."""
    if value not in known:
        raise UserError(f"{key} is one of {', '.join(known)}; got {value!r}.")
    return value
