"""The order of an epoch: a permutation, the same for everyone, shared out without loss."""

from __future__ import annotations

import numpy as np
import pytest

from mmcs.stream.order import EpochOrder, Place, Shuffle

SIZES = [[1], [5], [0, 3, 0], [7, 1, 0, 90, 33], [100] * 13, [1000, 2000, 17]]
SMALL = Shuffle(seed=3, lanes=8, window=16)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("shuffle", [None, Shuffle(), SMALL, Shuffle(lanes=5, window=1)])
def test_every_sample_has_one_position(sizes, shuffle):
    order = EpochOrder(sizes, 2, shuffle)
    found = [order.locate(position) for position in range(order.total)]
    everything = [(shard, number) for shard, size in enumerate(sizes) for number in range(size)]
    assert sorted(found) == everything
    if shuffle is None:
        assert found == everything


def test_seed_and_epoch_draw_the_order():
    def places(seed, epoch):
        order = EpochOrder([100] * 5, epoch, Shuffle(seed=seed, lanes=8, window=16))
        return [order.locate(position) for position in range(500)]

    assert places(1, 0) == places(1, 0)
    orders = [places(1, 0), places(1, 1), places(2, 0), places(0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    agreeing = sum(one == other for one, other in zip(orders[0], orders[1], strict=True))
    assert agreeing < 10, "about one of 500 agrees by chance"


def test_a_position_can_be_asked_for_at_any_time():
    """No state: positions asked in any order give what they give in order (so a resume needs no replay)."""
    order = EpochOrder([100] * 5, 0, SMALL)
    forwards = [order.locate(position) for position in range(500)]
    mixed = np.random.default_rng(0).permutation(500).tolist()
    assert [order.locate(position) for position in mixed] == [forwards[position] for position in mixed]


def test_the_order_is_fixed():
    """Golden: a change here breaks the resume of every run in progress."""
    order = EpochOrder([5, 7], 1, Shuffle(seed=7, lanes=2, window=3))
    assert [order.locate(position) for position in range(12)] == [
        (1, 4),
        (0, 4),
        (1, 5),
        (0, 3),
        (1, 3),
        (0, 2),
        (0, 0),
        (1, 1),
        (1, 6),
        (1, 2),
        (0, 1),
        (1, 0),
    ]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("shuffle", [None, SMALL, Shuffle(lanes=64, window=2)])
def test_ranks_and_workers_share_out_every_batch(world_size, workers, shuffle):
    order, batch = EpochOrder([50, 30, 21], 0, shuffle), 12
    for step in range(-(-order.total // batch)):
        shares = [
            [
                p
                for p in order.positions(step, batch, Place(rank, world_size))
                if order.worker(p, world_size, workers) == w
            ]
            for rank in range(world_size)
            for w in range(workers)
        ]
        assert sorted(p for share in shares for p in share) == list(range(step * batch, min((step + 1) * batch, 101)))
        per_rank = [len(order.positions(step, batch, Place(rank, world_size))) for rank in range(world_size)]
        assert max(per_rank) - min(per_rank) <= 1


@pytest.mark.parametrize(("world_size", "workers"), [(1, 4), (2, 2), (1, 3), (4, 2)])
def test_workers_read_whole_lanes(world_size, workers):
    """With 64 lanes, no lane is read by two workers, and no worker has much more than another."""
    order = EpochOrder([1000] * 64, 0, Shuffle(window=500))
    assert order.lanes == 64
    owners = {}
    counts = {}
    for position in range(64 * 30):
        owner = (position % world_size, order.worker(position, world_size, workers))
        counts[owner] = counts.get(owner, 0) + 1
        assert owners.setdefault(position % 64, owner) == owner
    assert len(counts) == world_size * workers
    assert max(counts.values()) <= 1.07 * min(counts.values())


def test_few_samples_are_one_uniform_permutation():
    """Neighbours of a shard meet in a batch as often as any two samples do, over many epochs."""
    total, batch, epochs = 60, 10, 3000
    together = 0
    for epoch in range(epochs):
        order = EpochOrder([total], epoch, Shuffle())
        where = {order.locate(position)[1]: position // batch for position in range(total)}
        together += sum(where[number] == where[number + 1] for number in range(total - 1))
    share = together / epochs / (total - 1)
    assert abs(share - (batch - 1) / (total - 1)) < 0.005


def test_batches_mix_shards():
    """With 100 shards and 64 lanes, a batch of 128 holds samples of at least 60 shards."""
    order = EpochOrder([1000] * 100, 0, Shuffle())
    for first in (0, 128 * 300, 128 * 700):
        assert len({order.locate(first + number)[0] for number in range(128)}) >= 60
