"""Several sources in one epoch: how they are named, how many samples each gives, and the order that comes of it.

Sources stand in an endless line by their weights, each repeating its own passes; an epoch is a stretch of that line. So
a place is one number here, too. What a single source looks like is ``sources.py``'s, its order ``order.py``'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd, lcm
from typing import Any

import numpy as np

from mmcs.errors import DataError, UserError
from mmcs.stream.order import EpochOrder, Place, Shuffle, Spot
from mmcs.stream.remote import Access
from mmcs.stream.shard_sizes import known_sizes, sizes
from mmcs.stream.sources import Reading, Shard

_KEYS = ("shards", "weight", "caption", "caption_lines")
Given = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]


@dataclass(frozen=True)
class Mixture:
    """How an epoch is mixed: ``counts`` shards belong to each source, in the order in which shards are listed; sources
    share the positions by ``weights``; an epoch has ``samples_per_epoch``.
    """

    counts: tuple[int, ...]
    weights: tuple[int, ...]
    samples_per_epoch: int

    def taken(self, number: np.ndarray) -> np.ndarray:
        """int64 (S, n): how many of the first ``number`` (n,) samples of the endless line each of S sources gives.

        Each weight is split off what the sources before it leave, by whole numbers: every source is within one sample of
        its share at every point of the line.
        """
        left, rest, rows = number.astype(np.int64), sum(self.weights), []
        for weight in self.weights[:-1]:
            rows.append(left * weight // rest)
            left, rest = left - rows[-1], rest - weight
        return np.stack([*rows, left])

    def passes(self, sizes: Sequence[int], epochs: int) -> Iterator[tuple[int, int]]:
        """(epoch, pass) of all samples that ``epochs`` epochs read, each pair once per source."""
        totals = np.array([sum(own) for own in self.split(sizes)])
        for epoch in range(epochs):
            ends = np.array([epoch, epoch + 1]) * self.samples_per_epoch
            for total, (first, end) in zip(totals, self.taken(ends), strict=True):
                if end > first:
                    yield from ((epoch, number) for number in range(first // total, (end - 1) // total + 1))

    def most_passes(self, sizes: Sequence[int], epochs: int) -> int:
        """How many passes, begun ones included, ``epochs`` epochs make over the source that is repeated most."""
        taken = self.taken(np.array([epochs * self.samples_per_epoch]))[:, 0].tolist()
        return max(-(-number // sum(own)) for number, own in zip(taken, self.split(sizes), strict=True))

    def split(self, per_shard: Sequence[Any]) -> list[list[Any]]:
        """What is listed per shard, by source."""
        ends = np.cumsum(self.counts).tolist()
        return [list(per_shard[end - count : end]) for end, count in zip(ends, self.counts, strict=True)]


class MixedOrder:
    """The order of one epoch over several sources: as ``EpochOrder``, for S sources in the proportion of their weights.

    Position p of epoch e is number x = e · samples_per_epoch + p of the endless line. It belongs to the source whose count
    grows there, as that source's j-th sample: position j mod N of pass j // N over its N samples, in the order that
    ``EpochOrder`` gives that pass. The ranks get equal stretches of a global batch, ordered by lanes, so that a worker
    keeps to few shards.
    """

    def __init__(self, sizes: Sequence[int], epoch: int, shuffle: Shuffle | None, mixture: Mixture) -> None:
        self.total = mixture.samples_per_epoch
        self._epoch = epoch
        self._mixture = mixture
        self._sizes = mixture.split(sizes)
        self._first = np.cumsum([0, *mixture.counts]).tolist()
        whole = sum(mixture.weights)
        self._shuffles = [
            None if shuffle is None else replace(shuffle, lanes=max(1, round(shuffle.lanes * weight / whole)))
            for weight in mixture.weights
        ]
        self._orders: dict[tuple[int, int], EpochOrder] = {}
        self._totals = np.array([sum(own) for own in self._sizes])
        self._lanes = np.array([self._order(source, 0).lanes for source in range(len(self._sizes))])
        self._first_lane = np.cumsum([0, *self._lanes])[:-1]

    def spot(self, position: int) -> Spot:
        """What stands at a position; shards and lanes are numbered through all sources."""
        source, number = (int(each[0]) for each in self._numbers(np.array([position])))
        pass_, place = divmod(number, int(self._totals[source]))
        spot = self._order(source, pass_).spot(place)
        following = None if spot.following is None else spot.following + self._first[source]
        lane = spot.lane + int(self._first_lane[source])
        return spot._replace(shard=spot.shard + self._first[source], lane=lane, following=following)

    def share(self, step: int, batch: int, place: Place, worker: int, workers: int) -> list[int]:
        """The positions of global batch ``step`` that one of a rank's ``workers`` reads."""
        first = step * batch
        positions = np.arange(first, min(first + batch, self.total))
        source, number = self._numbers(positions)
        lanes = number % self._totals[source] % self._lanes[source] + self._first_lane[source]
        by_lane = positions[np.argsort(lanes, kind="stable")].tolist()
        return sorted(_stretch(_stretch(by_lane, place.rank, place.world_size), worker, workers))

    def _numbers(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Source, and number in the source's own line, of each position."""
        begin = positions + self._epoch * self._mixture.samples_per_epoch
        before = self._mixture.taken(begin)
        source = np.argmax(self._mixture.taken(begin + 1) > before, axis=0)
        return source, before[source, np.arange(len(positions))]

    def _order(self, source: int, pass_: int) -> EpochOrder:
        order = self._orders.get((source, pass_))
        if order is None:
            if len(self._orders) > 2 * len(self._sizes):  # an epoch of many passes over a small source
                self._orders.clear()
            order = EpochOrder(self._sizes[source], pass_, self._shuffles[source], source)
            self._orders[source, pass_] = order
        return order


def _stretch(positions: list[int], part: int, parts: int) -> list[int]:
    return positions[len(positions) * part // parts : len(positions) * (part + 1) // parts]


def epoch_order(
    sizes: Sequence[int], epoch: int, shuffle: Shuffle | None, mixture: Mixture | None
) -> EpochOrder | MixedOrder:
    """The order of an epoch, of one source or of several."""
    return EpochOrder(sizes, epoch, shuffle) if mixture is None else MixedOrder(sizes, epoch, shuffle, mixture)


@dataclass(frozen=True)
class Data:
    """What is trained on: the shards of all sources, samples per shard, and how they are mixed (None: one after another)."""

    shards: list[Shard]
    sizes: list[int]
    mixture: Mixture | None


def open_sources(
    given: Given, access: Access | None = None, images: Sequence[str] | None = None, where: str = "data.train_shards"
) -> list[tuple[list[Shard], Fraction | None]]:
    """The shards and weight of each source that ``data.train_shards``, or the key ``where``, names.

    Args:
        given: what ``expand`` takes: one source. Or a list in which a source is a mapping of ``shards`` (what ``expand``
            takes), ``weight`` (its share of the samples, over that of the others), ``caption`` and ``caption_lines`` (see
            ``Shard``).
        images: extensions of pictures, the preferred first; None: the usual ones.

    Raises:
        UserError: shards that do not exist, an unknown key, some weights missing or one that is no positive number.
    """
    listed = [given] if isinstance(given, str | Mapping) else list(given)
    plain = [entry for entry in listed if isinstance(entry, str)]
    if len(plain) == len(listed):
        return [(Reading(images=images).expand(plain, access), None)]
    entries: list[dict[str, Any]] = [{"shards": entry} if isinstance(entry, str) else dict(entry) for entry in listed]
    for entry in entries:
        unknown = [key for key in entry if key not in _KEYS]
        if unknown or "shards" not in entry:
            what = f"unknown key {unknown[0]!r}" if unknown else f"no 'shards' in {entry}"
            raise UserError(f"{where}: {what}; a source is {{{', '.join(_KEYS)}}}, only shards is a must.")
    weights = [_weight(entry.get("weight"), where) for entry in entries]
    if None in weights and any(weights):
        without = entries[weights.index(None)]["shards"]
        raise UserError(f"{where}: {without} has no weight, others have; weigh all sources or none.")
    named = [
        Reading(entry.get("caption"), entry.get("caption_lines", False), images).expand(entry["shards"], access)
        for entry in entries
    ]
    return list(zip(_told_apart(named), weights, strict=True))


def open_data(
    given: Given,
    samples_per_epoch: int | None = None,
    access: Access | None = None,
    *,
    counted: bool = False,
    images: Sequence[str] | None = None,
) -> Data:
    """What ``data.train_shards`` and ``data.samples_per_epoch`` describe.

    Weights or ``samples_per_epoch`` make an epoch a stretch of the endless mixture; its length is ``samples_per_epoch``,
    else the number of samples there are. Shards whose size nobody tells are counted, unless there is
    ``samples_per_epoch``: then each stands for an equal part of its source's share, and one that holds more or fewer is
    read on from where the last pass stopped, or again from its beginning.

    Args:
        counted: count unknown sizes in any case.
        images: see ``open_sources``.

    Raises:
        UserError: as ``open_sources``; a ``samples_per_epoch`` that is no positive number. DataError: no sample at all.
    """
    if samples_per_epoch is not None and (type(samples_per_epoch) is not int or samples_per_epoch < 1):
        raise UserError(f"data.samples_per_epoch is a number of samples, at least 1; got {samples_per_epoch!r}.")
    sources = open_sources(given, access, images)
    weighed = any(weight is not None for _, weight in sources)
    shards = [shard for own, _ in sources for shard in own]
    if not weighed and samples_per_epoch is None:
        return Data(shards, _some(sizes(shards, access), given), None)
    if not weighed:
        sources = [(shards, Fraction(1))]
    weights = _whole([weight or Fraction(1) for _, weight in sources])
    counts = tuple(len(own) for own, _ in sources)
    found: list[int] = []
    listed: list[Shard] = []
    for (own, _), weight in zip(sources, weights, strict=True):
        if samples_per_epoch is None or counted:
            known: list[int | None] = list(sizes(own, access))
        else:
            known = known_sizes(own, access)
        share = -(-(samples_per_epoch or 0) * weight // (sum(weights) * len(own)))  # rounded up
        listed += [replace(shard, estimated=size is None) for shard, size in zip(own, known, strict=True)]
        found += [max(1, share) if size is None else size for size in known]
        if not sum(found[-len(own) :]):
            raise DataError(f"the shards of {own[0].source} hold no sample; leave that source out.")
    return Data(listed, found, Mixture(counts, weights, samples_per_epoch or sum(_some(found, given))))


def _some(found: list[int], given: Given) -> list[int]:
    if not sum(found):
        raise DataError(f"the shards of data.train_shards ({given}) hold no sample.")
    return found


def _weight(value: Any, where: str) -> Fraction | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise UserError(f"{where}: a weight is a number above 0; got {value!r}.")
    return Fraction(str(value))


def _whole(weights: Sequence[Fraction]) -> tuple[int, ...]:
    """Whole numbers in the proportion of ``weights``; rounded to 1 in a million where exact ones would overflow."""
    common = lcm(*(weight.denominator for weight in weights))
    exact = [int(weight * common) for weight in weights]
    exact = [number // gcd(*exact) for number in exact]
    if sum(exact) <= 1 << 20:
        return tuple(exact)
    return tuple(max(1, round((number << 20) / sum(exact))) for number in exact)


def _told_apart(sources: list[list[Shard]]) -> list[list[Shard]]:
    """Sources that are named alike get ``~2`` and so on, as folders within one do."""
    taken: dict[str, str] = {}
    renamed: list[list[Shard]] = []
    for shards in sources:
        renamed.append([])
        for shard in shards:
            folder = shard.path.rpartition("/")[0]
            name, count = shard.source, 1
            while taken.setdefault(name, folder) != folder:
                count += 1
                name = f"{shard.source.partition('~')[0]}~{count}"
            renamed[-1].append(replace(shard, source=name))
    return renamed
