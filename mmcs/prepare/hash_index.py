"""64-bit hashes within a Hamming distance, found without looking at all of them. Called by ``overlap_find.py``.

Multi-index hashing (Norouzi, Punjani, Fleet: Fast exact search in Hamming space with multi-index hashing, 2014): of two
hashes that differ in at most D of 64 bits, at least one of the four 16-bit pieces differs in at most D // 4.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mmcs.errors import UserError

_PIECES, _BITS = 4, 16
#: Beyond it too many hashes are looked at, and unrelated pictures come near each other.
MOST = 15


class HashIndex:
    """Finds those of N hashes that are near to a query: exact, in far fewer than N steps.

    Args:
        hashes: uint64 (N,).
    """

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        self.hashes = np.ascontiguousarray(hashes, np.uint64)
        pieces = self.hashes.view(np.uint16).reshape(-1, _PIECES)
        self._order = [np.argsort(pieces[:, place], kind="stable") for place in range(_PIECES)]
        self._sorted = [self.hashes[order] for order in self._order]  # hashes of one value side by side in memory
        every = np.arange((1 << _BITS) + 1)
        self._first = [np.searchsorted(pieces[order, place], every) for place, order in enumerate(self._order)]

    def near(
        self, queries: NDArray[np.uint64], distance: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """All pairs of a query and a hash that differ in at most ``distance`` bits.

        Args:
            queries: uint64 (Q,).
            distance: 0 to ``MOST``.

        Returns:
            numbers of queries, numbers of hashes, and bits that differ: (K,) each, sorted by query, then hash.

        Raises:
            UserError: another distance.
        """
        if not 0 <= distance <= MOST:
            raise UserError(f"hashes are searched within 0 to {MOST} of their 64 bits; got a distance of {distance}.")
        queries = np.ascontiguousarray(queries, np.uint64)
        pieces = queries.view(np.uint16).reshape(-1, _PIECES)
        flips = _flips(distance // _PIECES)
        found = []
        for place in range(_PIECES):
            probes = pieces[:, place, None] ^ flips  # (Q, P)
            begin = self._first[place][probes]
            held = self._first[place][1:][probes] - begin
            query, probe = held.nonzero()
            counts = held[query, probe]
            of_probe = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            at, of = np.repeat(begin[query, probe], counts) + of_probe, np.repeat(query, counts)
            differ = bits_set(self._sorted[place][at] ^ queries[of])
            (near,) = (differ <= distance).nonzero()
            found.append(np.stack([of[near], self._order[place][at[near]], differ[near]], axis=1))
        pairs = np.unique(np.concatenate(found), axis=0)  # near in several pieces, found several times
        return pairs[:, 0], pairs[:, 1], pairs[:, 2]


def bits_set(numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How many bits are set in each number: pairs of bits are added up, then fours, then bytes."""
    ones, twos, fours = (np.uint64(mask) for mask in (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F))
    count = numbers - ((numbers >> np.uint64(1)) & ones)
    count = (count & twos) + ((count >> np.uint64(2)) & twos)
    count = (count + (count >> np.uint64(4))) & fours
    return ((count * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.int64)


def _flips(bits: int) -> NDArray[np.uint16]:
    """All numbers of one piece with at most ``bits`` bits set."""
    masks = [sum(1 << bit for bit in chosen) for n in range(bits + 1) for chosen in combinations(range(_BITS), n)]
    return np.array(masks, np.uint16)
