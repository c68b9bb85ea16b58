"""The whole stream: the same batches whatever the ranks and workers, no sample lost or doubled, its place kept."""

from __future__ import annotations

import json
import os
import pickle
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from stream_shards import jpeg, shard_of, write_shard
from torch import distributed

from mmcs.errors import DataError, UserError
from mmcs.stream.batch import stable_id
from mmcs.stream.decode import DecodeImage
from mmcs.stream.drops import BadSample
from mmcs.stream.loader import StreamLoader
from mmcs.stream.order import EpochOrder, Place, Shuffle
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import ReadSample
from mmcs.stream.shard_sizes import sizes
from mmcs.stream.sources import expand
from mmcs.stream.transforms import train_transform

TEXT = [ReadSample(extensions=["txt", "json"]), ParseSample()]
SHUFFLE = Shuffle(seed=4, lanes=8, window=4)


def loader(shards, *, batch=12, ranks=1, rank=0, epoch=0, stages=TEXT, **options) -> StreamLoader:
    """A loader whose global batch is ``batch``, whatever the ranks."""
    options = {"shuffle": SHUFFLE} | options
    made = StreamLoader(shards, sizes(shards), stages, batch_size=batch // ranks, place=Place(rank, ranks), **options)
    made.set_epoch(epoch)
    return made


def global_batches(shards, ranks=1, **options) -> list[list[tuple[int, str]]]:
    """Per step (position, identity) of all ranks' samples, in the order of positions."""
    steps = [list(loader(shards, ranks=ranks, rank=rank, **options)) for rank in range(ranks)]
    assert len({len(batches) for batches in steps}) == 1, "every rank takes the same number of steps"
    assert len(steps[0]) == len(loader(shards, ranks=ranks, **options))
    for batch in (batch for batches in steps for batch in batches):
        assert batch["position"].tolist() == sorted(batch["position"].tolist())
    return [
        sorted(
            pair for batch in step for pair in zip(batch["position"].tolist(), batch.get("identity", []), strict=True)
        )
        for step in zip(*steps, strict=True)
    ]


def everything(shards) -> list[str]:
    counts = zip(shards, sizes(shards), strict=True)
    return sorted(f"{shard.label}/{number:04d}" for shard, count in counts for number in range(count))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(
    ("counts", "shuffle"), [([100], SHUFFLE), ([1, 0, 40, 3, 56], SHUFFLE), ([1, 0, 40, 3, 56], None)]
)
def test_the_same_global_batches_for_any_ranks_and_workers(make_shards, counts, shuffle):
    """One shard for all, and shards of very different sizes; more workers than shards among them."""
    shards = make_shards(counts)
    expected = global_batches(shards, shuffle=shuffle)
    assert sorted(identity for batch in expected for _, identity in batch) == everything(shards)
    assert [len(batch) for batch in expected] == [12] * 8 + [4]
    for ranks in (1, 2):
        for workers in (0, 1, 2, 3):
            assert global_batches(shards, ranks=ranks, num_workers=workers, shuffle=shuffle) == expected


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_one_shard_for_four_workers_and_three_ranks(make_shards):
    shards = make_shards([50])
    assert global_batches(shards, num_workers=4) == global_batches(shards) == global_batches(shards, ranks=3)


def test_a_sample_is_the_same_wherever_it_is_read(make_shards):
    """Its picture too, augmented: for two ranks with a worker each as for one process."""
    shards = make_shards([9, 6], with_images=True)
    stages = [ReadSample(), ParseSample(), DecodeImage(train_transform(16), seed=1)]

    def pictures(**options):
        return {
            identity: image.numpy().tobytes()
            for rank in range(options.get("ranks", 1))
            for batch in loader(shards, rank=rank, batch=4, stages=stages, **options)
            for identity, image in zip(batch["identity"], batch["image"], strict=True)
        }

    here = pictures()
    assert len(here) == 15
    assert pictures(ranks=2, num_workers=2) == here
    assert pictures(shuffle=None) == here
    assert all(pictures(epoch=1)[identity] != image for identity, image in here.items())


def test_epochs_differ_and_repeat(make_shards):
    shards = make_shards([30, 30])
    stream = loader(shards, num_workers=2)

    def read(epoch):
        stream.set_epoch(epoch)
        batches = list(stream)
        assert {batch["epoch"] for batch in batches} == {epoch}
        return [identity for batch in batches for identity in batch["identity"]]

    first, second = read(0), read(1)
    assert first != second
    assert sorted(first) == sorted(second) == everything(shards)
    assert read(0) == first


@pytest.mark.parametrize("workers", [0, 2])
def test_resume_from_every_position_gives_the_tail(make_shards, workers):
    shards = make_shards([20, 13])
    whole = global_batches(shards, batch=4, epoch=3)
    for done in range(len(whole) + 1):
        first = loader(shards, batch=4, epoch=3, num_workers=0)
        taken = [batch for _, batch in zip(range(done), first, strict=False)]
        state = json.loads(json.dumps(first.state_dict()))
        here = {"epoch": 3, "consumed": min(4 * done, 33), "total": 33, "batch": 4}
        assert state == here | {"order": state["order"]} and len(taken) == done
        if workers and done % 3:
            continue
        second = loader(shards, batch=4, num_workers=workers)
        second.load_state_dict(state)
        second.set_epoch(3)  # as Lightning does on a resume
        assert second.state_dict() == state
        tail = [list(zip(batch["position"].tolist(), batch["identity"], strict=True)) for batch in second]
        assert tail == whole[done:]
        assert len(second) == len(whole), "a length is that of the epoch"
        second.set_epoch(4)
        assert sum(len(batch["position"]) for batch in second) == 33, "the next epoch is whole again"


def test_resume_on_another_layout(make_shards):
    shards = make_shards([20, 13])
    whole = global_batches(shards, batch=4)
    first = loader(shards, batch=4, num_workers=2)
    for _ in zip(range(3), first, strict=False):  # in this order zip takes no fourth
        pass
    tails = []
    for rank in range(2):
        second = loader(shards, batch=4, ranks=2, rank=rank)
        second.load_state_dict(first.state_dict())
        tails.append(list(second))
    assert [sorted(a["identity"] + b["identity"]) for a, b in zip(*tails, strict=True)] == [
        sorted(identity for _, identity in batch) for batch in whole[3:]
    ]


def test_a_skipped_sample_is_not_read(make_shards):
    read = []

    class Note:
        def __call__(self, sample):
            read.append(sample["position"])
            return sample

    stream = loader(make_shards([20]), batch=4, stages=[*TEXT, Note()])
    stream.load_state_dict(stream.state_dict() | {"consumed": 12})
    list(stream)
    assert read == list(range(12, 20))


def test_a_state_of_other_data_is_refused(make_shards):
    """And taken for the same: another number of ranks or workers, as long as the global batch is the same."""
    shards = make_shards([12, 8])
    state = loader(shards).state_dict()
    loader(shards, ranks=3, rank=1, num_workers=2).load_state_dict(state)
    with pytest.raises(UserError, match="taken in 21 samples, now there are 20"):
        loader(shards).load_state_dict(state | {"total": 21})
    for other in (
        loader(shards, shuffle=None),
        loader(shards, shuffle=Shuffle(seed=5, lanes=8, window=4)),
        loader(shards, shuffle=Shuffle(seed=4, lanes=8, window=5)),
        loader(shards[::-1]),
        loader([replace(shard, source="other/train") for shard in shards]),
    ):
        with pytest.raises(UserError, match="taken in another order"):
            other.load_state_dict(state)
    with pytest.raises(UserError, match=r"must stay 12, as in the checkpoint, .* now it is 4 × 2"):
        loader(shards, batch=8, ranks=2).load_state_dict(state)


def test_waiting_is_measured(make_shards):
    """All of a slow stage's time without workers; what the consumer does meanwhile is not counted."""

    class Slow:
        def __call__(self, sample):
            time.sleep(0.002)
            return sample

    stream = loader(make_shards([24]), stages=[*TEXT, Slow()])
    began, elsewhere = time.perf_counter(), 0.0
    for _ in stream:
        paused = time.perf_counter()
        time.sleep(0.05)
        elsewhere += time.perf_counter() - paused
    assert 24 * 0.002 <= stream.waited <= time.perf_counter() - began - elsewhere


def test_a_pass_that_is_left_early_does_not_disturb_the_next(make_shards):
    stream = loader(make_shards([40, 40]), num_workers=2)
    expected = [batch["identity"] for batch in stream]
    left = iter(stream)
    next(left)
    assert [batch["identity"] for batch in stream] == expected
    with pytest.raises(RuntimeError, match="new pass"):
        next(left)


# ---------------------------------------------------------------- what a batch holds


class Views:
    """A stand-in for the switch: a caption has two views."""

    def __call__(self, sample):
        sample["texts"] = [sample["caption"], sample["caption"].upper()]
        sample["image_features"] = np.full(3, sample["position"], np.float32)
        return sample


class Lengths:
    """A stand-in for the tokeniser: as many columns as the longest text of this part."""

    pad_id = 7

    def __call__(self, batch):
        width = [max(map(len, view)) for view in batch["texts"]]
        batch["tokens"] = [
            torch.tensor([[1] * len(text) + [7] * (w - len(text)) for text in view])
            for view, w in zip(batch["texts"], width, strict=True)
        ]
        return batch


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 3])
def test_what_a_batch_holds(tmp_path, workers):
    write_shard(tmp_path / "set/train/00000.tar", ["a" * number for number in range(1, 11)])
    shards = expand(tmp_path / "set/train")
    batches = list(loader(shards, batch=10, stages=[*TEXT, Views()], batch_stages=[Lengths()], num_workers=workers))
    assert len(batches) == 1
    batch = batches[0]
    order = EpochOrder([10], 0, SHUFFLE)
    keys = ["a" * (order.locate(position)[1] + 1) for position in range(10)]
    assert batch["key"] == keys
    assert batch["identity"] == batch["groups"] == [f"set/train/00000/{key}" for key in keys]
    assert batch["texts"] == [[f"caption {key}" for key in keys], [f"CAPTION {key}".upper() for key in keys]]
    assert batch["captions"][0] == {"en": [f"caption {keys[0]}"], "de": [f"Satz {keys[0]}"]}
    assert batch["group"].tolist() == [stable_id(group) for group in batch["groups"]]
    assert batch["image_features"].tolist() == [[position] * 3 for position in range(10)]
    assert (batch["epoch"], batch["dropped"]) == (0, [])
    for view in batch["tokens"]:
        assert view.shape == (10, len("caption ") + 10)
        assert [int((row != 7).sum()) for row in view] == [len("caption " + key) for key in keys]


def test_group_ids_are_fixed():
    """Golden: they stand in results that outlive a process."""
    assert stable_id("a frog") == -8382663661626619816
    assert len({stable_id(str(number)) for number in range(10_000)}) == 10_000


# ---------------------------------------------------------------- what is dropped


def damaged_shards(folder: Path):
    """Three shards with 6 good samples among 18 promised ones, one cause each."""
    folder.mkdir(parents=True)
    good = jpeg(1)
    first = {
        "0.jpg": good, "0.txt": b"zero", "1.txt": b"no picture", "2.jpg": good, "3.jpg": b"a text", "3.txt": b"three",
        "4.jpg": good, "4.txt": b" ", "5.jpg": good, "5.txt": b"\xff", "6.jpg": good, "6.txt": b"six", "6.json": b"{",
        "7.jpg": good, "7.txt": b"seven",
    }  # fmt: skip
    shard_of(folder / "00000.tar", first)
    write_shard(folder / "00001.tar", ["a", "b", "c", "d"], with_images=True)
    data = (folder / "00001.tar").read_bytes()
    (folder / "00001.tar").write_bytes(data[: len(data) // 2 + 600])
    (folder / "00002.tar").write_bytes(b"not a tar at all")
    write_shard(folder / "00003.tar", ["a", "b", "c"], with_images=True)
    counts = {"00000.tar": 8, "00001.tar": 4, "00002.tar": 2, "00003.tar": 2}
    (folder / "sizes.json").write_text(json.dumps(counts))
    return expand(folder)


@pytest.mark.parametrize(("ranks", "workers"), [(1, 0), (2, 2)])
def test_every_drop_is_counted_once_with_its_cause(tmp_path, ranks, workers):
    shards = damaged_shards(tmp_path / "set/train")
    stages = [ReadSample(), ParseSample(), DecodeImage(train_transform(16))]
    batches = [
        batch
        for rank in range(ranks)
        for batch in loader(shards, batch=4, ranks=ranks, rank=rank, stages=stages, num_workers=workers)
    ]
    assert sorted(identity for batch in batches for identity in batch["identity"]) == [
        "set/train/00000/0",
        "set/train/00000/7",
        "set/train/00001/a",
        "set/train/00001/b",
        "set/train/00003/a",
        "set/train/00003/b",
    ]
    assert sorted(drop[:3] for batch in batches for drop in batch["dropped"]) == [
        ("bad json", "set/train/00000", "6"),
        ("bad utf-8", "set/train/00000", "5"),
        ("empty caption", "set/train/00000", "4"),
        ("no caption", "set/train/00000", "2"),
        ("no image", "set/train/00000", "1"),
        ("not an archive", "set/train/00002", ""),
        ("not an archive", "set/train/00002", "#1"),
        ("not in sizes.json", "set/train/00003", "c"),
        ("truncated archive", "set/train/00001", "#3"),
        ("truncated archive", "set/train/00001", "c"),
        ("undecodable image", "set/train/00000", "3"),
    ]


def test_a_sizes_json_that_promises_too_much_never_hangs(make_shards):
    shards = make_shards([10])
    (Path(shards[0].path).parent / "sizes.json").write_text('{"00000.tar": 25}')
    for workers in (0, 2):
        batches = list(loader(shards, batch=8, num_workers=workers))
        assert sum(len(batch["position"]) for batch in batches) == 10
        assert [drop.cause for batch in batches for drop in batch["dropped"]] == ["missing"] * 15
        assert len(batches) == 4


class DropBelow:
    def __init__(self, first):
        self.first = first

    def __call__(self, sample):
        if sample["position"] < self.first:
            raise BadSample("no image")
        return sample


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_of_which_nothing_is_left_has_every_key(make_shards, workers):
    """Also when it is the first, or a rank has no share in the last one."""
    shards = make_shards([21], with_images=True)
    stages = [ReadSample(), ParseSample(), DecodeImage(train_transform(16)), Views(), DropBelow(8)]
    options = {"stages": stages, "batch_stages": [Lengths()], "num_workers": workers}
    empty, full, *_ = loader(shards, batch=8, **options)
    assert empty.keys() == full.keys()
    assert empty["image"].shape == (0, 3, 16, 16) and empty["image"].dtype == torch.uint8
    assert [len(view) for view in empty["tokens"]] == [len(view) for view in empty["texts"]] == [0, 0]
    assert len(empty["dropped"]) == 8 and full["dropped"] == []
    last = list(loader(shards, batch=20, ranks=2, rank=1, **options))[-1]
    assert last.keys() == full.keys() and last["dropped"] == [] and len(last["position"]) == 0


def test_if_nothing_at_all_is_left_the_epoch_still_ends(make_shards):
    batches = list(loader(make_shards([21]), batch=8, stages=[*TEXT, DropBelow(99)]))
    assert [len(batch["dropped"]) for batch in batches] == [8, 8, 5]
    assert all(len(batch["position"]) == 0 for batch in batches)


# ---------------------------------------------------------------- errors, processes


class Fail:
    def __init__(self, error):
        self.error = error

    def __call__(self, sample):
        if sample["key"] == "0005":
            raise self.error
        return sample


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failing_stage_names_the_sample(make_shards, workers):
    shards = make_shards([9])
    with pytest.raises(RuntimeError, match=r"Fail failed on the sample set/train/00000/0005: KeyError\('x'\)"):
        list(loader(shards, stages=[*TEXT, Fail(KeyError("x"))], num_workers=workers))
    for error in (DataError("One sentence."), OSError(28, "No space left on device")):
        with pytest.raises(type(error)) as caught:
            list(loader(shards, stages=[*TEXT, Fail(error)], num_workers=workers))
        assert str(caught.value) == str(error), "as it was, without a worker's stack trace"


def test_mistakes_are_one_sentence(make_shards):
    shards = make_shards([0, 0])
    with pytest.raises(UserError, match="2 shards hold no samples"):
        loader(shards)
    with pytest.raises(UserError, match="batch_size=0"):
        StreamLoader(shards, [1, 1], TEXT, batch_size=0)


@pytest.mark.slow
def test_workers_can_be_spawned(make_shards):
    """Slow: a spawned worker imports torch first."""
    shards = make_shards([30])
    expected = global_batches(shards)
    before = torch.multiprocessing.get_start_method()
    torch.multiprocessing.set_start_method("spawn", force=True)
    try:
        assert global_batches(shards, num_workers=2) == expected
    finally:
        torch.multiprocessing.set_start_method(before, force=True)


def test_what_a_spawned_worker_is_sent_can_be_pickled(make_shards):
    """After use too, and gives the same samples."""
    stream = loader(make_shards([30]), stages=[ReadSample(), ParseSample(), Views()])
    expected = [batch["identity"] for batch in stream]
    pipeline = pickle.loads(pickle.dumps(stream._parts(Place()).dataset))
    assert [part["identity"] for part in pipeline] == expected


def _rank(rank: int, ranks: int, folder: Path, shards) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    stream = StreamLoader(shards, sizes(shards), TEXT, batch_size=6, num_workers=2, shuffle=SHUFFLE)
    found = []
    for batch in stream:
        distributed.barrier()
        found.append(list(zip(batch["position"].tolist(), batch["identity"], strict=True)))
    (folder / f"rank{rank}.json").write_text(json.dumps(found))
    distributed.destroy_process_group()


def test_two_processes_find_their_place_and_see_the_same_global_batches(make_shards, tmp_path):
    """Real gloo ranks with two workers each; a barrier in every step would hang if their steps differed."""
    shards = make_shards([37, 4, 0, 20])
    context = torch.multiprocessing.get_context("fork")
    processes = [context.Process(target=_rank, args=(rank, 2, tmp_path, shards)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    together = [sorted(tuple(pair) for pair in a + b) for a, b in zip(*ranks, strict=True)]
    assert together == global_batches(shards)


def test_open_files_do_not_grow_with_shards_and_epochs(make_shards, tmp_path):
    stream = loader(make_shards([3] * 150))
    for epoch in range(3):
        stream.set_epoch(epoch)
        list(stream)
    held = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    assert 0 < sum(name.startswith(str(tmp_path)) for name in held) <= 100
