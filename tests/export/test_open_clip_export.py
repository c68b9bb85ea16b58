"""Exports load in plain open_clip, from anywhere, offline, with the lines that their card shows, and agree."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmcs.errors import DataError, UserError
from mmcs.export.card import model_card
from mmcs.export.command import register
from mmcs.export.open_clip import check_folder, export_open_clip, is_hub_name, write_folder
from mmcs.model.build import build_towers
from mmcs.model.checkpoint import checkpoint_extras, load_model, trainable_state
from mmcs.model.towers import Towers

TEXTS = ["a black cat in the snow", "кошка", "a house"]
USE = """
import sys, numpy, torch
from PIL import Image
assert "mmcs" not in sys.modules and "peft" not in sys.modules
image = Image.fromarray(numpy.arange(32 * 32 * 3, dtype=numpy.uint8).reshape(32, 32, 3))
with torch.inference_mode():
    model.eval()
    texts = model.encode_text(tokenizer(["a black cat in the snow", "кошка", "a house"]), normalize=True)
    images = model.encode_image(preprocess(image)[None], normalize=True)
numpy.save(sys.argv[1], torch.cat((texts, images)).numpy())
"""


LORA = {"r": 2, "alpha": 4, "dropout": 0.1, "image": True, "text": True}


def trained(model: str, **options: Any) -> Towers:
    towers = build_towers(model, lock_image=True, **options)
    with torch.no_grad():
        for parameter in towers.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.linspace(-0.1, 0.1, parameter.numel()).view_as(parameter))
    return towers


def embeddings(towers: Towers) -> np.ndarray:
    image = torch.arange(32 * 32 * 3).to(torch.uint8).view(1, 32, 32, 3).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return torch.cat((towers.embed_texts(towers.tokenise.encode(TEXTS)), towers.embed_images(image))).numpy()


@pytest.mark.parametrize(
    ("model", "options"),
    [("own_model", {}), ("hf_model", {}), ("own_model", {"lora": LORA})],
    ids=["own", "hf", "own with adapters"],
)
def test_a_moved_export_gives_the_same_embeddings_in_plain_open_clip(
    model: str, options: dict[str, Any], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Run from elsewhere, with only the folder's path in the card's lines changed; and loaded by mmcs as well. Adapters are
    merged: peft is not needed.
    """
    towers = trained(request.getfixturevalue(model), **options)
    (tmp_path / "first").mkdir()
    write_folder(towers, tmp_path / "first", model_card(towers, "tiny"))  # what the command's test checks at export
    moved = tmp_path / "else where" / "moved"
    moved.parent.mkdir()
    (tmp_path / "first").rename(moved)
    for path in (*moved.glob("*.json"), moved / "README.md"):
        assert str(tmp_path) not in path.read_text(encoding="utf-8") and "/tmp" not in path.read_text(encoding="utf-8")
    block = re.search(r"```python\n(.*?)```", (moved / "README.md").read_text(), re.DOTALL)
    assert block
    lines = block[1].replace('folder = "."', f"folder = {str(moved)!r}")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-P", "-c", lines + USE, str(tmp_path / "found.npy")]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), embeddings(towers), atol=1e-5)
    again = load_model(moved)
    assert again.config is None and again.name == "moved"
    np.testing.assert_allclose(embeddings(again.towers), embeddings(towers), atol=1e-6)


def test_a_folder_whose_embeddings_differ_is_not_kept(own_model: str, tmp_path: Path) -> None:
    """The check compares what the folder gives with what the model gives, and sees a model that moved on since."""
    towers = trained(own_model)
    write_folder(towers, tmp_path, model_card(towers, "tiny"))
    with torch.no_grad():
        towers.clip.text_projection.add_(torch.linspace(0, 1, towers.embed_dim))
    with pytest.raises(DataError, match="embeddings differ"):
        check_folder(towers, tmp_path)


def test_lines_that_do_not_load_keep_nothing(own_model: str, tmp_path: Path) -> None:
    towers = trained(own_model)
    with pytest.raises(DataError, match=r"cannot load it as its card says \(ZeroDivisionError"):
        export_open_clip(towers, tmp_path / "out", card="```python\n1 / 0\n```\n")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(UserError, match="exists already"):
        export_open_clip(towers, tmp_path / "out", card=model_card(towers, "tiny"))


def test_hub_names_stay_and_places_do_not(tmp_path: Path) -> None:
    assert is_hub_name("xlm-roberta-base") and is_hub_name("intfloat/multilingual-e5-small")
    assert not any(map(is_hub_name, (".", "/home/me/bert", "./bert", "a/b/c", str(tmp_path))))


def run_folder(folder: Path, model: str) -> Path:
    """A run as training leaves it: configuration, checkpoint, results; shards with a manifest."""
    towers = trained(model)
    shards = folder / "set" / "train"
    shards.mkdir(parents=True)
    (shards / "00000.tar").write_bytes(bytes(1024))
    manifest = {"name": "stamps", "source": "Debian", "licence": "GPL-2", "split": "train", "samples": 7}
    (shards / "manifest.json").write_text(json.dumps(manifest))
    config = {
        "model": {"name": model, "pretrained": None, "lock_image": True},
        "data": {"train_shards": [str(shards)], "batch_size": 8},
        "codeswitch": {"strategy": "multilingual", "p": 0.5, "lexicons": [str(folder / "gone.lex")]},
        "experiment": "two_view",
        "seed": 3,
    }
    run = folder / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("")
    state = {f"towers.{name}": value for name, value in trainable_state(towers).items()}
    extras = checkpoint_extras(towers, config)
    torch.save({"state_dict": state, "mmcs": extras}, run / "checkpoints" / "last.ckpt")
    common = {"suite": "stamps", "split": "test", "protocol": "all_captions", "setting": "CLIR", "n_queries": 9}
    common |= {"query_transform": None, "n_gallery": 5, "ci95": [0.2, 0.4]}
    rows = [
        {
            **common,
            "task": "image_retrieval",
            "query_language": "de",
            "gallery_language": "image",
            "metric": "recall@10",
        },
        {**common, "task": "text_retrieval", "query_language": "image", "gallery_language": "de", "metric": "recall@1"},
    ]
    rows = [{**row, "value": value} for row, value in zip(rows, (0.3, 0.25), strict=True)]
    results = {"schema": 1, "model": "m", "experiment": "two_view", "seed": 3, "config": {}, "languages": ["de"]}
    (run / "results.json").write_text(json.dumps({**results, "rows": rows}))
    return run


def test_the_command_exports_a_run_with_its_card(hf_model: str, tmp_path: Path) -> None:
    """The check at export included: fresh process, plain open_clip, the card's lines as they stand."""
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    run = run_folder(tmp_path, hf_model)
    args = parser.parse_args(
        ["export", str(run), "--to", "open_clip", "--out", str(tmp_path / "out"), "--name", "My model"]
    )
    args.run(args)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for fact in (
        "# My model",
        "two_view",
        "| stamps / train | 7 | Debian | GPL-2 |",
        "| gone.lex | no longer there |",
        "### stamps, test split, protocol `all_captions`",
        "| de | – | 30.0 [20.0, 40.0] | 25.0 [20.0, 40.0] | – | 9 | 5 |",
        "its projection was not: images must be embedded with this model",
        '- "de"',
        "`hf-tiny.json`",
    ):
        assert fact in card, fact
    assert str(tmp_path) not in card
    with pytest.raises(UserError, match="exists already"):
        args.run(args)


def test_the_card_promises_an_unchanged_index_only_where_it_is_so(own_model: str, hf_model: str) -> None:
    """open_clip's own image tower locks with its projection; timm's does not."""
    promise = "an existing image index stays valid"
    assert promise in model_card(build_towers(own_model, lock_image=True), "x")
    assert promise not in model_card(build_towers(own_model), "x")
    assert promise not in model_card(build_towers(hf_model, lock_image=True), "x")
