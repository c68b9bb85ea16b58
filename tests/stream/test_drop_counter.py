"""What is dropped is added up by cause and shard, and stops a run with one sentence."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from mmcs.errors import DataError
from mmcs.stream.drops import CAUSES, BadSample, Drop, DropCounter, printable


def batch(kept, *dropped, shard="a"):
    return {
        "position": range(kept),
        "source": ["s"] * kept,
        "shard": [shard] * kept,
        "dropped": [Drop(*drop) for drop in dropped],
    }


def test_counts_by_cause_and_shard():
    counter = DropCounter()
    assert counter.summary() == "none of 0 samples dropped"
    counter.add(batch(6, ("no image", "s/a", "1"), ("bad json", "s/b", "2")))
    counter.add(batch(1, ("no image", "s/b", "3"), ("no image", "s/b", "4")))
    assert (counter.seen, counter.dropped) == (11, 4)
    assert counter.by_cause == {"no image": 3, "bad json": 1}
    assert counter.by_shard == {"s/a": 1, "s/b": 3}
    assert counter.seen_by_shard == {"s/a": 8, "s/b": 3}
    assert counter.summary() == "4 of 11 samples dropped (36.4%): 3 no image, 1 bad json"


def test_batches_need_not_name_their_shards():
    counter = DropCounter()
    counter.add({"position": range(4), "dropped": []})
    assert counter.summary() == "none of 4 samples dropped"


def test_the_worst_shard_is_named_once_enough_was_seen():
    counter = DropCounter()
    counter.add(batch(10, ("no image", "s/a", "1"), ("bad json", "s/b", "2", "why"), ("no image", "s/b", "3")))
    counter.check(0.01)
    with pytest.raises(DataError, match=r"worst shard is s/b \(2 of 2 dropped, such as s/b/2: bad json: why\)"):
        counter.check(0.01, final=True)
    counter.add(batch(100))
    counter.check(0.5)
    with pytest.raises(DataError, match=r"more than the allowed share of 1\.0%"):
        counter.check(0.01)


def test_the_worst_shard_is_neither_the_largest_nor_a_single_bad_sample():
    """100 bad of 900 allowed 10 %; 1 of 1; 40 of 50: the last lies furthest above what is allowed."""
    counter = DropCounter()
    for shard, kept, bad in (("large", 800, 100), ("tiny", 0, 1), ("broken", 10, 40)):
        counter.add(batch(kept, *[("no image", f"s/{shard}", str(n)) for n in range(bad)], shard=shard))
    assert counter.worst(0.1, 3) == ["s/broken", "s/large", "s/tiny"]
    assert counter.share("s/broken") == 0.8
    with pytest.raises(DataError, match=r"worst shard is s/broken \(40 of 50"):
        counter.check(0.1)


def test_what_is_excluded_is_no_fault():
    counter = DropCounter()
    counter.add(batch(50, *[("excluded", "s/a", str(n)) for n in range(150)]))
    counter.check(0.0, final=True)
    assert (counter.dropped, counter.by_cause["excluded"], counter.worst()) == (0, 150, [])
    assert counter.summary() == "none of 50 samples dropped; 150 more excluded"
    counter.add(batch(0, ("no image", "s/b", "1")))
    assert counter.summary() == "1 of 51 samples dropped (2.0%): 1 no image; 150 more excluded"
    assert list(counter.report(0.0)["shards"]) == ["s/b", "s/a"]


def test_the_sum_of_counters_is_the_counter_of_the_sum():
    """Of ranks, and of what came before a resume and after it; through JSON, as a checkpoint holds it."""
    draw = random.Random(0)
    whole, parts = DropCounter(), [DropCounter() for _ in range(3)]
    for _ in range(60):
        drops = [(draw.choice(CAUSES), f"s/{draw.randrange(4)}", str(draw.random())) for _ in range(draw.randrange(4))]
        one = batch(draw.randrange(9), *drops, shard=str(draw.randrange(4)))
        whole.add(one)
        draw.choice(parts).add(one)
    merged = DropCounter()
    for part in parts:
        merged.merge(json.loads(json.dumps(part.state_dict())))
    assert (merged.seen, merged.by_cause, merged.by_shard) == (whole.seen, whole.by_cause, whole.by_shard)
    assert merged.seen_by_shard == whole.seen_by_shard and Counter(merged.worst(0.1, 9)) == Counter(whole.worst(0.1, 9))


def test_the_report_is_bounded():
    counter = DropCounter()
    for shard in range(30):
        counter.add(batch(0, *[("bad json", f"s/{shard}", "k" * 5000, "d" * 5000)] * (shard + 1)))
    report = counter.report(0.1, most=10)
    assert list(report["shards"]) == [f"s/{shard}" for shard in range(29, 19, -1)]
    assert (report["shards_not_shown"], report["dropped"], report["by_cause"]) == (20, 465, {"bad json": 465})
    assert report["shards"]["s/29"]["causes"]["bad json"]["count"] == 30
    assert len(json.dumps(report)) < 20_000


def test_names_from_the_data_do_not_write_to_the_terminal():
    assert str(Drop("no image", "s/a", "\x1b[2Jx", "half \ud800")) == "s/a/\\x1b[2Jx: no image: half \\ud800"
    assert str(Drop("damaged archive", "s/a", "")) == "the end of s/a: damaged archive"
    assert len(printable("x" * 10_000)) == 200


def test_only_known_causes():
    assert str(BadSample("no image", "x")) == "no image: x"
    with pytest.raises(ValueError, match="unknown cause"):
        BadSample("bad luck")
