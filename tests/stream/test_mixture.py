"""Sources mixed by weight: the shares are kept at every point, nothing is lost over passes, layouts do not matter."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from stream_shards import shard_of

from mmcs.errors import DataError, UserError
from mmcs.stream.loader import StreamLoader
from mmcs.stream.mixture import MixedOrder, Mixture, open_data, open_sources
from mmcs.stream.order import Place, Shuffle
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import ReadSample

TEXT = [ReadSample(extensions=["txt", "json"]), ParseSample()]
SIZES = [7, 3, 5, 20, 11]
COUNTS = (2, 1, 2)  # sources of 10, 5 and 31 samples


def line(weights, length, epochs=1, shuffle=None):
    """(source, shard, ordinal, pass) of every position of the epochs, one after the other."""
    source_of = [source for source, count in enumerate(COUNTS) for _ in range(count)]
    found = []
    for epoch in range(epochs):
        order = MixedOrder(SIZES, epoch, shuffle, Mixture(COUNTS, weights, length))
        spots = [order.spot(position) for position in range(order.total)]
        found += [(source_of[spot.shard], spot.shard, spot.ordinal, spot.pass_) for spot in spots]
    return found


@pytest.mark.parametrize("weights", [(1, 1, 1), (3, 1, 0 + 2), (1, 1000, 7), (97, 2, 1)])
def test_every_source_is_within_a_sample_of_its_share_at_every_point(weights):
    counts = Counter()
    for number, (source, *_) in enumerate(line(weights, 500, epochs=2), 1):
        counts[source] += 1
        for each, weight in enumerate(weights):
            assert abs(counts[each] - number * weight / sum(weights)) < 2


@pytest.mark.parametrize("shuffle", [None, Shuffle(seed=3, lanes=4, window=3)])
def test_each_pass_over_a_source_holds_every_sample_once(shuffle):
    """Passes run on over the ends of epochs."""
    found = line((2, 1, 1), 33, epochs=20, shuffle=shuffle)
    for source, own in enumerate(([0, 1], [2], [3, 4])):
        everything = sorted((shard, number) for shard in own for number in range(SIZES[shard]))
        passes: dict[int, list[tuple[int, int]]] = {}
        for at, shard, number, pass_ in found:
            if at == source:
                passes.setdefault(pass_, []).append((shard, number))
        assert list(passes) == list(range(len(passes))) and len(passes) > 5
        for pass_ in range(len(passes) - 1):
            assert sorted(passes[pass_]) == everything
        if shuffle:
            assert passes[0] != passes[1]


def test_sources_of_one_size_are_shuffled_independently():
    order = MixedOrder([40, 40], 0, Shuffle(seed=1), Mixture((1, 1), (1, 1), 80))
    spots = [order.spot(position) for position in range(80)]
    first, second = ([spot.ordinal for spot in spots if spot.shard == shard] for shard in (0, 1))
    assert sorted(first) == sorted(second) and first != second


@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (1, 3), (2, 2), (3, 4)])
def test_ranks_and_workers_share_out_every_batch(ranks, workers):
    order = MixedOrder(SIZES, 3, Shuffle(lanes=4, window=3), Mixture(COUNTS, (2, 1, 1), 50))
    for step in range(5):
        shares = [
            [order.share(step, 12, Place(rank, ranks), worker, workers) for worker in range(workers)]
            for rank in range(ranks)
        ]
        dealt = [position for rank in shares for share in rank for position in share]
        assert sorted(dealt) == list(range(step * 12, min(step * 12 + 12, 50)))
        per_rank = [sum(map(len, rank)) for rank in shares]
        assert max(per_rank) - min(per_rank) <= 1


@pytest.fixture
def two(make_shards, tmp_path):
    make_shards([9, 4], "big/train")
    make_shards([3], "small/train")
    return [
        {"shards": str(tmp_path / "big/train"), "weight": 1},
        {"shards": str(tmp_path / "small/train"), "weight": 3},
    ]


def read(data, ranks=1, workers=0, epochs=2, resume=None):
    """Per step the sorted (position, identity, pass) of all ranks."""
    steps = []
    for epoch in range(epochs):
        parts = []
        for rank in range(ranks):
            stream = StreamLoader(
                data.shards,
                data.sizes,
                TEXT,
                batch_size=6 // ranks,
                num_workers=workers,
                shuffle=Shuffle(2),
                mixture=data.mixture,
                place=Place(rank, ranks),
            )
            stream.set_epoch(epoch)
            if resume and resume["epoch"] == epoch:
                stream.load_state_dict(resume)
            parts.append([list(zip(b["position"].tolist(), b["identity"], strict=True)) for b in stream])
        steps += [sorted(pair for part in step for pair in part) for step in zip(*parts, strict=True)]
    return steps


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_mixture_is_the_same_on_any_layout(two):
    data = open_data(two, 20)
    assert data.sizes == [9, 4, 3]
    expected = read(data)
    assert [len(step) for step in expected] == [6, 6, 6, 2] * 2
    shares = Counter(identity.split("/")[0] for step in expected for _, identity in step)
    assert shares == {"small": 30, "big": 10}
    assert read(data, ranks=2) == read(data, ranks=3, workers=2) == read(data, workers=3) == expected


def test_an_epoch_of_weighed_sources_is_as_long_as_they_are(two):
    assert open_data(two).mixture.samples_per_epoch == 16


def test_without_weights_every_sample_is_read_once(two):
    data = open_data([{"shards": source["shards"]} for source in two])
    assert data.mixture is None and data.sizes == [9, 4, 3]
    assert open_data([source["shards"] for source in two]).shards == data.shards


def test_one_source_may_have_an_epoch_of_any_length(two):
    """13 samples, 5 an epoch: 13 epochs are 5 passes."""
    data = open_data(two[0]["shards"], 5)
    seen = Counter(identity for step in read(data, epochs=13) for _, identity in step)
    assert len(seen) == 13 and set(seen.values()) == {5}


@pytest.mark.parametrize("guess", [4, 10, 25])
def test_sizes_that_nobody_tells_are_guessed(make_shards, guess):
    """Of two shards with 9 and 1 samples: pass for pass all of them are read, whatever share they were given."""
    shards = make_shards([9, 1], "set/train")
    folder = Path(shards[0].path).parent
    (folder / "sizes.json").unlink()
    data = open_data(str(folder), guess)
    assert data.sizes == [-(-guess // 2)] * 2 and all(shard.estimated for shard in data.shards)
    steps = read(data, epochs=30)
    assert sum(map(len, steps)) == 30 * guess
    seen = Counter(identity for step in steps for _, identity in step)
    assert len(seen) == 10
    of_the_large = [count for identity, count in seen.items() if "/00000/" in identity]
    assert max(of_the_large) - min(of_the_large) <= 2
    assert open_data(str(folder), guess, counted=True).sizes == [9, 1]


def test_a_source_may_have_its_own_caption_field(tmp_path):
    """A key of the .json, or a file of its own; lists of captions, and samples that lack the field."""
    shard_of(tmp_path / "a.tar", {"1.txt": b"plain", "1.json": b'{"alt": ["one", "two"], "caption": "no"}'})
    shard_of(tmp_path / "b.tar", {"1.txt": b"plain", "1.cap": b"from the file", "2.txt": b"plain"})
    given = [
        {"shards": str(tmp_path / f"{name}.tar"), "caption": field} for name, field in (("a", "alt"), ("b", ".cap"))
    ]
    data = open_data([{**given[0]}, {**given[1]}])
    (batch,) = StreamLoader(data.shards, data.sizes, TEXT, batch_size=4)
    assert batch["caption"] == ["one", "from the file"]
    assert [captions["en"] for captions in batch["captions"]] == [["one", "two"], ["from the file"]]
    assert [cause for cause, *_ in batch["dropped"]] == ["no caption"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weigth": 2}, "unknown key 'weigth'; a source is {shards, weight, caption, caption_lines}"),
        ({"weight": -1}, "a weight is a number above 0; got -1"),
        ({"weight": "2"}, "a weight is a number above 0; got '2'"),
        ({"weight": None}, "small/train has no weight, others have"),
    ],
)
def test_mistakes_are_one_sentence(two, change, sentence):
    with pytest.raises(UserError, match=sentence):
        open_sources([two[0], {**two[1], **change}])


@pytest.mark.parametrize("length", [0, -5, 2.5, True])
def test_an_impossible_length_is_refused(two, length):
    with pytest.raises(UserError, match=r"data\.samples_per_epoch is a number of samples"):
        open_data(two, length)


def test_a_source_without_samples_is_named(make_shards, two):
    shards = make_shards([0], "empty/train")
    with pytest.raises(DataError, match="empty/train hold no sample"):
        open_data([*two, {"shards": shards[0].path, "weight": 1}], 10)
