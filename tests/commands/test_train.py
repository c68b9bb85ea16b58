"""``mmcs-train`` as a user runs it: real processes, real shards, a small model with random weights."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmcs.train import main

ROOT = Path(__file__).parents[2]


def arguments(world: Path, folder: Path, *overrides: str) -> list[str]:
    return [
        "data=shards",
        f"data.train_shards={world}/train",
        "data.batch_size=16",
        "data.num_workers=0",
        "model=open_clip",
        f"model.name={world}/model.json",
        "model.lock_image=false",
        "eval=suites",
        f"eval.val={{shapes: {world}/test}}",
        f"eval.test={{shapes: {world}/test}}",
        f"codeswitch.lexicons=[{world}/words.lex]",
        "trainer.max_epochs=2",
        "trainer.check_val_every_n_epoch=1",
        "trainer.log_every_n_steps=1",
        f"hydra.run.dir={folder}",
        *overrides,
    ]


def train(world: Path, folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mmcs.train", *arguments(world, folder, *overrides)]
    environment = {**os.environ, "MMCS_CACHE": str(world / "cache"), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=world, timeout=400, check=False)


def losses(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open() as lines:
        return [float(row["train/loss"]) for row in csv.DictReader(lines) if row.get("train/loss")]


@pytest.fixture(scope="module")
def one_process(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    finished = train(world, folder, "experiment=two_view", "eval.matrix=true")
    assert finished.returncode == 0, finished.stderr[-3000:]
    return folder


def test_a_run_leaves_what_the_contract_names(one_process):
    for name in ("config.yaml", "metrics.csv", "results.json", "checkpoints/last.ckpt", "report.html"):
        assert (one_process / name).is_file(), name
    assert list((one_process / "checkpoints").glob("best*.ckpt"))
    results = json.loads((one_process / "results.json").read_text())
    assert results["experiment"] == "two_view" and results["seen_languages"] == ["de", "fi"]
    languages = {row["query_language"] for row in results["rows"] if row["task"] == "image_retrieval"}
    assert {"en", "de", "fi", "seen", "non_english"} <= languages
    assert list((one_process / "retrieval").glob("shapes.test.all_captions.image_retrieval.de.image.run.gz"))
    pairs = {
        (row["query_language"], row["gallery_language"]) for row in results["rows"] if row["task"] == "text_to_text"
    }
    assert {("de", "fi"), ("fi", "en"), ("all_pairs", "all_pairs")} <= pairs
    assert "validation" in {path.name for path in one_process.iterdir()}
    with (one_process / "metrics.csv").open() as lines:
        names = next(csv.reader(lines))
    for name in (
        "val/shapes/de/image_retrieval_recall@10",
        "val/shapes/seen/text_retrieval_recall@1",
        "train/switch_rate/fi",
        "data/dropped/all",
    ):
        assert name in names


def test_two_gloo_processes_train_as_one(world, one_process, tmp_path):
    """The same global batches: the loss of every step equals that of one process with the whole batch. The end is validated."""
    finished = train(
        world,
        tmp_path / "two",
        "experiment=two_view",
        "trainer=ddp",
        "trainer.accelerator=cpu",
        "trainer.max_epochs=2",
        "trainer.check_val_every_n_epoch=10",
        "trainer.log_every_n_steps=1",
        "data.batch_size=8",
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert losses(tmp_path / "two") == pytest.approx(losses(one_process), rel=2e-3)
    assert len(losses(one_process)) == 10
    status, (best,) = (
        json.loads((tmp_path / "two/status.json").read_text()),
        (tmp_path / "two/checkpoints").glob("best*"),
    )
    assert best.name == "best-step=10.ckpt" and 0 < status["objective"] <= 1
    one, two = (json.loads((folder / "results.json").read_text()) for folder in (one_process, tmp_path / "two"))
    plain = [[row["n_queries"] for row in own["rows"] if row["task"] != "text_to_text"] for own in (one, two)]
    assert plain[0] == plain[1]


def test_two_views_wrap_phrases_and_a_curriculum_rises(world, tmp_path):
    """Another strategy by one word on the command line; its realised rate is logged, and follows p over the epochs."""
    finished = train(
        world,
        tmp_path / "run",
        "experiment=two_view",
        "codeswitch=phrases",
        "codeswitch.whole_captions=0",
        "codeswitch.p=[[0,0.0],[1,1.0]]",
        "trainer.max_epochs=2",
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    with (tmp_path / "run" / "metrics.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    rates = [float(row["train/switch_rate/all"]) for row in rows if row.get("train/switch_rate/all")]
    unchanged = [float(row["train/unchanged_captions"]) for row in rows if row.get("train/unchanged_captions")]
    assert rates[0] == 0.0 and unchanged[0] == 1.0
    assert rates[1] > 0.5 and unchanged[1] == 0.0


@pytest.mark.parametrize(
    ("overrides", "code", "sentence"),
    [
        (["experiment=nothing"], 2, "there is no experiment=nothing; known: bl_cs"),
        (["codeswitch.pp=0.5"], 2, "unknown key 'codeswitch.pp'; known keys of codeswitch: strategy"),
        (["codeswitch.p=1.5"], 2, "codeswitch.p is a probability between 0 and 1, got 1.5"),
        (["data.train_shards=nowhere/00000.tar"], 2, "nowhere/00000.tar"),
        (["codeswitch.languages=[sw]"], 2, "sw, which no lexicon holds (they hold de, fi)"),
        (["codeswitch.lexicons=[model.json]"], 3, "model.json"),
        (["codeswitch.lexicons=[missing.lex]"], 2, "missing.lex"),
        (["data.batch_size=0"], 2, "data.batch_size"),
        (["model.name=ViT-B-33"], 2, "ViT-B-33"),
        (["trainer.max_epoch=3"], 2, "max_epoch"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(world, tmp_path, capfd, monkeypatch, overrides, code, sentence):
    monkeypatch.chdir(world)
    assert main(arguments(world, tmp_path / "out" / "run", *overrides)) == code
    told = capfd.readouterr().err
    assert told.count("\n") == 1 and sentence in told, told
    assert not (tmp_path / "out").exists()
