"""Features of a locked image tower over real shards: every image once, by one process or by ranks together, killed or not."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from stream_shards import jpeg, shard_of, write_shard
from tiny_models import write_own_model
from torch import distributed

from mmcs.evaluation.suites import Suite, fill_suite, suite_loader
from mmcs.model.build import build_towers
from mmcs.stream import locked
from mmcs.stream.decode import DecodeImage
from mmcs.stream.features import FeatureStore, digest, fill
from mmcs.stream.loader import StreamLoader
from mmcs.stream.locked import LockedFeatures
from mmcs.stream.read import ReadSample
from mmcs.stream.remote import Access
from mmcs.stream.shard_sizes import sizes
from mmcs.stream.sources import Shard, expand
from mmcs.stream.transforms import eval_transform

COUNTS = (31, 1, 12)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Shard]:
    """44 samples, some with equal pictures; and one whose picture is damaged."""
    folder = tmp_path_factory.mktemp("locked") / "set/train"
    for number, count in enumerate(COUNTS):
        write_shard(folder / f"{number:05d}.tar", [f"{key:04d}" for key in range(count)], with_images=True)
    shard_of(folder / "00003.tar", {"a.jpg": b"no picture", "a.txt": b"a"})
    return expand(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_own_model(tmp_path_factory.mktemp("model"))


def open_features(model: str, folder: Path) -> LockedFeatures:
    torch.set_num_threads(1)
    return LockedFeatures(build_towers(model, lock_image=True), folder)


def decoder() -> DecodeImage:
    return DecodeImage(eval_transform(32))


def check(features: LockedFeatures, shards: list[Shard]) -> None:
    """Every picture's row is what the tower gives for that picture alone."""
    read, decode = ReadSample(), decoder()
    seen = set()
    for shard, count in zip(shards, COUNTS, strict=False):
        for ordinal in range(count):
            sample = read({"epoch": 0, "pass": 0, "origin": shard, "ordinal": ordinal, "promised": count})
            one = digest(sample["files"]["jpg"])
            image = decode(sample)["image"]
            (row,) = features.images.lookup([one])
            np.testing.assert_allclose(row, features._encode_images([image])[0], rtol=1e-4, atol=1e-5)
            seen.add(one)
    assert len(features.images) == len(seen)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_image_has_its_features(shards, model, tmp_path, workers):
    features = open_features(model, tmp_path)
    features.fill_images(shards, sizes(shards), decoder(), num_workers=workers)
    check(features, shards)
    parts = sorted(features.images.path.iterdir())
    features.fill_images(shards, sizes(shards), decoder(), num_workers=workers)
    assert sorted(features.images.path.iterdir()) == parts, "nothing is computed twice"


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_hold_the_features_of_their_samples(shards, model, tmp_path, workers):
    """Of batches that two workers make, too, the last of which is empty: its one picture is damaged and is dropped with its cause."""
    features, counts = open_features(model, tmp_path), sizes(shards)
    features.fill_images(shards, counts, decoder())
    stages = [ReadSample(), KeepDigest(), features.image_stage(decoder())]
    loader = StreamLoader(
        shards, counts, stages, batch_stages=features.image_features(), batch_size=11, num_workers=workers
    )
    *full, empty = list(loader)
    assert sum(len(batch["identity"]) for batch in full) == sum(COUNTS)
    for batch in full:
        assert not {"image", "image_digest"} & batch.keys()
        expected = torch.from_numpy(features.images.lookup(batch["expected"]))
        torch.testing.assert_close(batch["image_features"], expected, rtol=0, atol=0)
    assert empty.keys() == full[0].keys()
    assert empty["image_features"].shape == (0, expected.shape[1])
    assert empty["image_features"].dtype == torch.float32
    assert [(drop.cause, drop.key) for drop in empty["dropped"]] == [("undecodable image", "a")]


class KeepDigest:
    """Sample stage: "expected", the digest under which the sample's features must be."""

    def __call__(self, sample: dict) -> dict:
        return {**sample, "expected": digest(sample["files"].get("jpg", b""))}


def test_a_suite_holds_the_features_of_its_samples(shards, model, tmp_path):
    features = open_features(model, tmp_path)
    suite = Suite("s", "test", shards, sizes(shards), ["en", "de"], Access())
    fill_suite(suite, features, decoder())
    batches = list(suite_loader(suite, features, decoder(), batch_size=16, num_workers=0))
    found = torch.cat([batch["image_features"] for batch in batches])
    expected = [row for count in COUNTS for row in range(count)]  # a shard's n-th picture is that of every shard
    one_shard = features.images.lookup([digest(jpeg(number)) for number in range(max(COUNTS))])
    torch.testing.assert_close(found, torch.from_numpy(one_shard[expected]), rtol=0, atol=0)
    assert [len(batch["texts"][0]) for batch in batches] == [2 * len(batch["identity"]) for batch in batches]


def test_a_picture_whose_features_were_not_computed_stops_the_run(shards, model, tmp_path):
    features = open_features(model, tmp_path)
    stages = [ReadSample(), features.image_stage(decoder())]
    loader = StreamLoader(shards, sizes(shards), stages, batch_stages=features.image_features(), batch_size=4)
    with pytest.raises(RuntimeError, match="set/train/00000/0000 were not computed"):
        next(iter(loader))


def _rank(rank: int, folder: Path, model: str, shards: list[Shard]) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    features = open_features(model, folder / "features")
    features.fill_images(shards, sizes(shards), decoder())
    features.texts = FeatureStore(folder / "features", "texts")
    features.fill_texts(f"caption {number}" for number in range(20))
    (folder / f"rank{rank}").write_text(f"{len(features.images)} {len(features.texts)}")
    distributed.destroy_process_group()


def test_two_ranks_fill_one_store_together(shards, model, tmp_path):
    """Real gloo ranks: everything is there as soon as either of them goes on, and each has done its share."""
    context = torch.multiprocessing.get_context("spawn")
    ranks = [context.Process(target=_rank, args=(rank, tmp_path, model, shards)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
        assert process.exitcode == 0
    features = open_features(model, tmp_path / "features")
    check(features, shards)
    assert {(tmp_path / f"rank{rank}").read_text() for rank in range(2)} == {f"{len(features.images)} 20"}
    assert len(list(features.images.path.glob("part-*"))) == 2


def _slowly(folder: Path, model: str, shards: list[Shard]) -> None:
    features = open_features(model, folder)
    encode = features._encode_images

    def slow(images: list[torch.Tensor]) -> np.ndarray:
        time.sleep(0.1)
        return encode(images)

    features._encode_images = slow
    locked.fill = lambda *given, **options: fill(*given, **{**options, "part_size": 8})
    features.fill_images(shards, sizes(shards), decoder(), num_workers=1)


@pytest.mark.slow
def test_a_killed_fill_goes_on_and_leaves_no_process(shards, model, tmp_path):
    """Killed with SIGKILL after its first part: what was written is not computed again, and its worker ends too."""
    process = torch.multiprocessing.get_context("spawn").Process(target=_slowly, args=(tmp_path, model, shards))
    process.start()
    while not list(tmp_path.glob("*/part-*")):
        assert process.is_alive()
        time.sleep(0.01)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid, signal.SIGKILL)
    process.join()

    features = open_features(model, tmp_path)
    kept, computed, encode = len(features.images), [], features._encode_images
    assert 8 <= kept < 31
    features._encode_images = lambda images: computed.extend(images) or encode(images)
    features.fill_images(shards, sizes(shards), decoder())
    features._encode_images = encode
    check(features, shards)
    assert len(computed) == len(features.images) - kept

    assert workers
    until = time.monotonic() + 60
    while any(_runs(pid) for pid in workers):
        assert time.monotonic() < until, "a worker outlived its process"
        time.sleep(0.1)


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
