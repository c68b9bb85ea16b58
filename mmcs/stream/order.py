"""The order of an epoch: which sample stands at which position, and who reads it.

Positions 0 .. N-1 are all that the stream keeps of its place. What stands at a position is drawn from (seed, epoch)
alone, so the same global batches come out for any number of ranks and workers. Pure arithmetic: no file is touched
here. Called by ``pipeline.py``; ``mixture.py`` builds the order of several sources out of these.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from mmcs.errors import UserError


@dataclass(frozen=True)
class Shuffle:
    """How an epoch is shuffled.

    Attributes:
        seed: with the epoch, the only thing that the order depends on.
        lanes: at most so many places of the data are read side by side; 64 is divided by the usual numbers of ranks
            × workers, which then read whole lanes. Part of the order: keep it when resuming.
        window: samples of a lane that are mixed at a time (at least so many, less than twice as many).
    """

    seed: int = 0
    lanes: int = 64
    window: int = 1024

    @property
    def reach(self) -> int:
        """No lane reads a sample so many samples before or after its place in the line of shards."""
        return 2 * self.window

    def __post_init__(self) -> None:
        if self.lanes < 1 or self.window < 1:
            raise UserError(
                f"data.shuffle.lanes and data.shuffle.window are at least 1; got {self.lanes} and {self.window}."
            )


@dataclass(frozen=True)
class Place:
    """Which process this is: global ``rank`` of ``world_size``."""

    rank: int = 0
    world_size: int = 1

    @classmethod
    def here(cls) -> Place:
        """This process's place in torch.distributed, or the only one."""
        from torch import distributed

        if distributed.is_available() and distributed.is_initialized():
            return cls(distributed.get_rank(), distributed.get_world_size())
        return cls()


class Spot(NamedTuple):
    """What stands at a position: sample ``ordinal`` of shard number ``shard`` (as listed), in the ``pass_`` over its source,
    read by ``lane``; ``following`` is the shard that the lane comes to soon, None where it stays in this one.
    """

    shard: int
    ordinal: int
    pass_: int
    lane: int
    following: int | None


def steps(total: int, batch: int, start: int = 0) -> range:
    """The global batches of ``batch`` positions that hold one of start … total − 1; the last may be smaller."""
    return range(start // batch if start < total else -(-total // batch), -(-total // batch))


class EpochOrder:
    """The order of one epoch over shards of the given sizes (N samples together).

    With a ``Shuffle``: the shards are permuted and laid end to end, the beginning of this line is moved to a random
    point, and the line is cut into ``L`` equal lanes (a shard may fall into several); each lane is permuted within
    consecutive windows. Position p = j · L + l is the j-th sample of lane l, so a global batch of G holds G / L
    samples of each lane. L is ``min(lanes, N // window)`` and at least 1: below ``2 · window`` samples the epoch is
    one uniform permutation. Two neighbours of a shard stand in one window with probability of about 1 − 1 / window,
    and then meet in a batch with probability (G / L − 1) / (window − 1).

    Without: position p is the p-th sample of the shards as they are listed.

    Args:
        epoch: the number of the pass over these shards.
        source: number of the source among several that are mixed: their orders are drawn independently.
    """

    def __init__(self, sizes: Sequence[int], epoch: int, shuffle: Shuffle | None, source: int = 0) -> None:
        self.total = sum(sizes)
        self._shuffle = shuffle
        self._epoch = epoch
        self._source = source
        self._shards = list(range(len(sizes)))
        self._turn = 0
        self.lanes = 1
        if shuffle is not None and self.total:
            self.lanes = max(1, min(shuffle.lanes, self.total // shuffle.window))
            draw = self._generator()
            self._shards = draw.permutation(len(sizes)).tolist()
            self._turn = int(draw.integers(self.total))
        self._ends = list(accumulate(sizes[shard] for shard in self._shards))
        self._reach = (shuffle or Shuffle()).reach
        self._windows: dict[int, tuple[int, list[int]]] = {}

    def spot(self, position: int) -> Spot:
        """What stands at a position."""
        index, left = (position, self.total - position) if self._shuffle is None else self._shuffled(position)
        slot = bisect_right(self._ends, index)
        remaining = self._ends[slot] - index
        soon = remaining <= self._reach and remaining < left
        following = self._shards[(slot + 1) % len(self._shards)] if soon else None
        ordinal = index - (self._ends[slot - 1] if slot else 0)
        return Spot(self._shards[slot], ordinal, self._epoch, position % self.lanes, following)

    def locate(self, position: int) -> tuple[int, int]:
        """(number of the shard as listed, number of the sample in it) at a position."""
        return self.spot(position)[:2]

    def share(self, step: int, batch: int, place: Place, worker: int, workers: int) -> list[int]:
        """The positions of global batch ``step`` that one of a rank's ``workers`` reads."""
        return [
            position
            for position in self.positions(step, batch, place)
            if self.worker(position, place.world_size, workers) == worker
        ]

    def positions(self, step: int, batch: int, place: Place) -> range:
        """The positions that a rank has of global batch ``step`` of ``batch`` samples: those ≡ rank mod world size.

        The last batch may be smaller; it is dealt out by the same rule, so some ranks may have one sample fewer, or
        none.
        """
        first = step * batch
        return range(first + (place.rank - first) % place.world_size, min(first + batch, self.total), place.world_size)

    def worker(self, position: int, world_size: int, workers: int) -> int:
        """The worker of its rank that reads a position: whole lanes where the lanes can be shared out evenly."""
        of_rank, rest = divmod(self.lanes, world_size)
        if rest == 0 and (of_rank % workers == 0 or of_rank >= 8 * workers):
            return (position % self.lanes) // world_size % workers
        return position // world_size % workers

    def _shuffled(self, position: int) -> tuple[int, int]:
        """The place on the line of shards of the sample at a position, and how far from there to the end of its lane."""
        assert self._shuffle is not None
        step, lane = divmod(position, self.lanes)
        shortest, longer = divmod(self.total, self.lanes)
        begin, length = lane * shortest + min(lane, longer), shortest + (lane < longer)
        windows = max(1, length // self._shuffle.window)
        window = ((step + 1) * windows - 1) // length
        first = window * length // windows
        held, order = self._windows.get(lane, (-1, []))
        if held != window:
            order = self._generator(lane, window).permutation((window + 1) * length // windows - first).tolist()
            self._windows[lane] = (window, order)
        offset = first + order[step - first]
        return (begin + offset + self._turn) % self.total, length - offset

    def _generator(self, *which: int) -> np.random.Generator:
        """The generator of (seed, epoch) for the epoch itself, or for one window of one lane."""
        assert self._shuffle is not None
        entropy = [self._shuffle.seed, self._source] if self._source else self._shuffle.seed
        key = np.random.SeedSequence(entropy, spawn_key=(self._epoch, *which))
        return np.random.Generator(np.random.Philox(key))
