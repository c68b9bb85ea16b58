"""Random draws that belong to one caption: from (seed, epoch, identity, caption index), and nothing else.

Every stage that chooses anything for a sample draws here, so that workers, ranks, order and resume cannot matter.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

_PER_BLOCK = 16


class Draw:
    """Uniform numbers keyed by ``parts``: the same parts give the same numbers on every machine.

    The numbers are BLAKE2b (RFC 7693) of the key, and of the key with a counter where more than one block is drawn: one call
    of the library makes all numbers of a usual caption.
    """

    __slots__ = ("_blocks", "_key")

    def __init__(self, *parts: str | int) -> None:
        self._key = ("%s\x1f" * len(parts) % parts).encode("utf-8", "surrogatepass")
        self._blocks = 0

    def numbers(self, n: int) -> tuple[int, ...]:
        """``n`` whole numbers in 0..2**32 - 1, others in every call."""
        if n <= _PER_BLOCK:
            return struct.unpack_from(f"<{n}I", self._block())
        return struct.unpack_from(f"<{n}I", b"".join([self._block() for _ in range(-(-n // _PER_BLOCK))]))

    def _block(self) -> bytes:
        key = self._key if not self._blocks else b"%b\x1e%d" % (self._key, self._blocks)
        self._blocks += 1
        return blake2b(key).digest()

    def uniform(self) -> float:
        """A number in [0, 1)."""
        low, high = self.numbers(2)
        return (high << 21 | low >> 11) * 2.0**-53

    def index(self, n: int) -> int:
        """One of 0..n-1, uniformly."""
        low, high = self.numbers(2)
        return (high << 32 | low) * n >> 64
