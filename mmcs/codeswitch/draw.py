"""Random draws that belong to one caption: from (seed, epoch, identity, caption index), and nothing else.

Every stage that chooses anything for a sample draws here, so that workers, ranks, order and resume cannot matter.
"""

from __future__ import annotations

from hashlib import blake2b

_MASK = (1 << 64) - 1


class Draw:
    """Uniform numbers keyed by ``parts``: the same parts give the same numbers on every machine.

    The key is hashed once (BLAKE2b); the numbers come from SplitMix64 (Steele, Lea, Flood 2014, figure 15), which is the
    cheapest generator of good quality that needs no state beyond one integer.
    """

    __slots__ = ("_state",)

    def __init__(self, *parts: str | int) -> None:
        key = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
        self._state = int.from_bytes(blake2b(key, digest_size=8).digest(), "little")

    def uniform(self) -> float:
        """A number in [0, 1)."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((z ^ (z >> 31)) >> 11) * 2.0**-53

    def index(self, n: int) -> int:
        """One of 0..n-1, uniformly."""
        return int(self.uniform() * n)
