"""A model without pretrained weights is called so wherever its figures are shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mmcs.cli import main
from mmcs.evaluation.results import read_results, write_results
from mmcs.export.card import model_card
from mmcs.model.build import build_towers
from mmcs.model.random_weights import random_note, random_towers
from mmcs.model.source import find_source
from mmcs.report.runs import load_runs, pool


def test_only_a_model_without_weights_has_random_ones(own_model: str, tmp_path: Path) -> None:
    towers = build_towers(own_model)
    assert random_towers(towers) == list(find_source("ViT-B-32", None, tmp_path).random) == ["image", "text"]
    torch.save(towers.clip.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    assert random_towers(build_towers(own_model, str(tmp_path / "open_clip_pytorch_model.bin"))) == []
    model = {"model_cfg": json.loads(Path(own_model).read_text())}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(model))
    assert random_towers(build_towers(str(tmp_path))) == []


def test_a_pretrained_text_tower_leaves_the_image_tower_random(hf_model: str, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(Path(hf_model).parent, tmp_path / "copy")
    path = tmp_path / "copy" / Path(hf_model).name
    build_towers(str(path)).clip.text.transformer.save_pretrained(str(path.parent / "bert"))
    config = json.loads(path.read_text())
    config["model_cfg"]["text_cfg"]["hf_model_pretrained"] = True
    path.write_text(json.dumps(config))
    assert random_towers(build_towers(str(path))) == ["image"]


def test_lite0_e5_has_no_random_tower(lite0_e5: Path) -> None:
    assert find_source("lite0_e5", None, lite0_e5).random == ()


def test_figures_of_random_weights_say_so(world: Path, tmp_path: Path, capsys: Any) -> None:
    """In the terminal, in results.json, and by the label in every table of a report."""
    out = tmp_path / "out"
    command = [
        "evaluate",
        str(world / "model.json"),
        "--suite",
        f"toy={world / 'test'}",
        "--no-cache",
        "--out",
        str(out),
    ]
    assert main(command) == 0
    printed = capsys.readouterr()
    note = "The model has random weights: no pretrained ones were loaded, and nothing was trained."
    assert f"toy: {note}" in printed.out
    assert (
        printed.err.splitlines()[-1] == "mmcs: note: the model begins with random weights; --pretrained loads others."
    )
    results = read_results(out)
    assert results["random_weights"] == ["image", "text"]
    assert all(row["notes"] == [note] for row in results["rows"])
    trained = tmp_path / "trained"
    extra = {key: results[key] for key in ("random_weights", "rankings", "suites", "languages", "seen_languages")}
    write_results(trained, "m", "two_view", 0, {}, results["rows"], extra)
    (trained / "retrieval").symlink_to(out / "retrieval")
    labels = [system.label for system in pool(load_runs([trained, out]))]
    assert labels == ["two views, from random weights", "untouched (no fine-tuning), random weights"]


def test_the_card_of_a_run_says_what_it_began_with(own_model: str, tmp_path: Path) -> None:
    towers = build_towers(own_model)
    told = "with random weights, no pretrained ones, and was fine-tuned"
    assert told in model_card(towers, "x", {"model": {"name": own_model}})
    torch.save(towers.clip.state_dict(), tmp_path / "w.pt")
    config = {"model": {"name": own_model, "pretrained": str(tmp_path / "w.pt")}}
    assert "random weights" not in model_card(build_towers(**config["model"]), "x", config)


@pytest.mark.parametrize(
    ("random", "trained", "note"),
    [
        ([], True, None),
        (["image", "text"], True, "The model was trained from random weights; no pretrained ones were loaded."),
        (["text"], False, "The model has random weights in the text tower: no pretrained ones were loaded, and nothing was trained."),
    ],
)  # fmt: skip
def test_the_note_names_what_is_random(random: list[str], trained: bool, note: str | None) -> None:
    assert random_note(random, trained=trained) == note
