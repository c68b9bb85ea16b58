"""Random draws that belong to one caption: from (seed, epoch, identity, caption index), and nothing else.

Every stage that chooses anything for a sample draws here, so that workers, ranks, order and resume cannot matter.
"""

from __future__ import annotations

import struct
from hashlib import shake_128


class Draw:
    """Uniform numbers keyed by ``parts``: the same parts give the same numbers on every machine.

    The numbers are the output of SHAKE-128 (FIPS 202) on the key and, from the second call on, the number of the call: one
    call of the library makes all numbers of a caption.
    """

    __slots__ = ("_calls", "_key")

    def __init__(self, *parts: str | int) -> None:
        self._key = ("%s\x1f" * len(parts) % parts).encode("utf-8", "surrogatepass")
        self._calls = 0

    def numbers(self, n: int) -> tuple[int, ...]:
        """``n`` whole numbers in 0..2**32 - 1."""
        key = self._key if not self._calls else b"%b\x1e%d" % (self._key, self._calls)
        self._calls += 1
        return struct.unpack(f"<{n}I", shake_128(key).digest(4 * n))

    def uniform(self) -> float:
        """A number in [0, 1)."""
        low, high = self.numbers(2)
        return (high << 21 | low >> 11) * 2.0**-53

    def index(self, n: int) -> int:
        """One of 0..n-1, uniformly."""
        low, high = self.numbers(2)
        return (high << 32 | low) * n >> 64
