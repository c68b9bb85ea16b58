"""What is dropped is added up by cause and shard, and stops a run with one sentence."""

from __future__ import annotations

import pytest

from mmcs.errors import DataError
from mmcs.stream.drops import BadSample, DropCounter


def batch(kept, *dropped):
    return {"position": range(kept), "dropped": list(dropped)}


def test_counts_by_cause_and_shard():
    counter = DropCounter()
    assert counter.summary() == "none of 0 samples dropped"
    counter.add(batch(6, ("no image", "s/a", "1"), ("bad json", "s/b", "2")))
    counter.add(batch(1, ("no image", "s/b", "3"), ("no image", "s/b", "4")))
    assert (counter.seen, counter.dropped) == (11, 4)
    assert counter.by_cause == {"no image": 3, "bad json": 1}
    assert counter.by_shard == {"s/a": 1, "s/b": 3}
    assert counter.summary() == "4 of 11 samples dropped (36.4%): 3 no image, 1 bad json"


def test_the_worst_shard_is_named_once_enough_was_seen():
    counter = DropCounter()
    counter.add(batch(10, ("no image", "s/a", "1"), ("bad json", "s/b", "2"), ("no image", "s/b", "3")))
    counter.check(0.01)
    with pytest.raises(DataError, match=r"worst shard is s/b \(2 dropped, first 2: bad json\)"):
        counter.check(0.01, final=True)
    counter.add(batch(100))
    counter.check(0.5)
    with pytest.raises(DataError, match=r"more than the allowed share of 1\.0%"):
        counter.check(0.01)


def test_only_known_causes():
    assert str(BadSample("no image", "x")) == "no image: x"
    with pytest.raises(ValueError, match="unknown cause"):
        BadSample("bad luck")
