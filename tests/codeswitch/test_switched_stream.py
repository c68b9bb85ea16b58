"""Switched captions in the stream: the same for any ranks, workers and batch sizes; new in each epoch."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import webdataset
from lexicon_table import WORDS

from mmcs.codeswitch.build import build_switch
from mmcs.codeswitch.stage import ChooseCaption, ForgetCaptions
from mmcs.lexicons.format import write_lexicon
from mmcs.stream.loader import StreamLoader
from mmcs.stream.order import Place, Shuffle
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import TEXT_EXTENSIONS, ReadSample
from mmcs.stream.shard_sizes import sizes
from mmcs.stream.sources import expand

SETTINGS = {
    "strategy": "multilingual",
    "p": [[0, 0.3], [1, 0.6]],
    "candidates": "uniform",
    "views": ["english", "switched"],
}


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Two shards of 30 samples with two English captions each, and a lexicon."""
    for number in range(2):
        with webdataset.TarWriter(str(tmp_path / f"{number:05d}.tar")) as tar:
            for key in range(30):
                more = {"captions": {"en": [f"hot dog and a cat {key}"]}}
                tar.write({"__key__": f"{key:04d}", "txt": f"A red dog, a ball {key}", "json": json.dumps(more)})
    entries = {
        language: {phrase: [(text, 0.5), (text + "x", 0.5)] for phrase, text in of.items()}
        for language, of in WORDS.items()
    }
    source = {"name": "by hand", "provenance": "this test", "licence": "CC0-1.0"}
    write_lexicon(tmp_path / "words.lex", entries, source_language="en", sources=[source])
    return tmp_path


def captions(
    world: Path, *, epoch: int, ranks: int = 1, skip: int = 0, batch: int = 12, **options
) -> dict[str, list[str]]:
    """identity -> texts of an epoch, over all ranks."""
    shards = expand(str(world))
    switch, _ = build_switch(SETTINGS | {"lexicons": [str(world / "words.lex")]}, seed=3)
    assert switch is not None
    stages = [ReadSample(extensions=TEXT_EXTENSIONS), ParseSample(), ChooseCaption(seed=3), switch, ForgetCaptions()]
    found = {}
    for rank in range(ranks):
        loader = StreamLoader(
            shards,
            sizes(shards),
            stages,
            batch_size=batch // ranks,
            place=Place(rank, ranks),
            shuffle=Shuffle(3),
            **options,
        )
        loader.set_epoch(epoch)
        for batch_read in loader:
            for identity, *texts in zip(batch_read["identity"], *batch_read["texts"], strict=True):
                found[identity] = texts
    return found


@pytest.mark.parametrize("epoch", [0, 1])
def test_the_same_captions_for_any_ranks_and_workers(world: Path, epoch: int) -> None:
    expected = captions(world, epoch=epoch)
    assert len(expected) == 60
    assert captions(world, epoch=epoch, ranks=2) == expected
    assert captions(world, epoch=epoch, ranks=3, num_workers=2) == expected
    assert captions(world, epoch=epoch, batch=5) == expected


def test_epochs_differ_and_a_curriculum_rises(world: Path) -> None:
    first, second = captions(world, epoch=0), captions(world, epoch=1)
    assert first == captions(world, epoch=0) and first != second
    switched = [sum(english != text for english, text in of.values()) for of in (first, second)]
    assert 0 < switched[0] < switched[1]


def test_a_spawned_worker_gets_a_path_and_switches_alike(world: Path) -> None:
    """What is pickled holds neither the lexicon nor what was remembered, also after use."""
    switch, _ = build_switch(SETTINGS | {"lexicons": [str(world / "words.lex")]}, seed=3)
    assert switch is not None
    sample = {
        "texts": ["a red dog " * 50],
        "captions": {},
        "identity": "x",
        "caption_index": 0,
        "epoch": 1,
        "version": 1,
    }
    before = switch(sample)["texts"]
    pickled = pickle.dumps(switch)
    assert b"Hund" not in pickled and len(pickled) < 2_000
    assert pickle.loads(pickled)(sample)["texts"] == before
