"""What several rooms' tests share: a small but real world of pictures, captions in three languages, a lexicon, a model."""

from __future__ import annotations

import json
import os
from pathlib import Path

import hypothesis
import pytest
from needs import missing
from small_world import COLOURS, SHAPES, write_shard


def pytest_configure() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"  # a test that reaches for a hub is wrong
    # The same examples in every run, and no time limit that a busy machine breaks; `--hypothesis-profile=search` looks for more.
    hypothesis.settings.register_profile("search", deadline=None, max_examples=2000)
    hypothesis.settings.register_profile("mmcs", deadline=None, derandomize=True)
    hypothesis.settings.load_profile("mmcs")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for need in mark.args:
            if reason := missing(need):
                pytest.skip(reason)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``train/`` (80 samples in two shards), ``test/`` (20), ``words.lex`` and ``model.json``."""
    from mmcs.lexicons.format import write_lexicon

    root = tmp_path_factory.mktemp("world")
    write_shard(root / "train" / "00000.tar", [12, 20])
    write_shard(root / "train" / "00001.tar", [26, 32])
    write_shard(root / "test" / "00000.tar", [16])
    entries: dict[str, dict[str, list[tuple[str, float]]]] = {"de": {}, "fi": {}}
    for english, (de, fi, *_) in {**COLOURS, **SHAPES}.items():
        entries["de"][english] = [(de, 1.0)]
        entries["fi"][english] = [(fi, 1.0)]
    write_lexicon(
        root / "words.lex",
        entries,
        source_language="en",
        sources=[{"name": "test", "provenance": "made here", "licence": "CC0"}],
    )
    model = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    (root / "model.json").write_text(json.dumps(model))
    return root
