"""Training, results, evaluation, export and WiSE-FT agree on a run's best checkpoint, also of a run that was moved or resumed, or
whose disk was full.
"""

from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from test_train import arguments

from mmcs.model.checkpoint import load_model
from mmcs.model.run_checkpoints import best_checkpoint
from mmcs.train import main


def train(world: Path, folder: Path, *overrides: str) -> int:
    few = ["callbacks.recall.queries_shown=0", "logger.tensorboard=false", "eval.untouched=false"]
    return main([*arguments(world, folder, "experiment=two_view"), *few, *overrides])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, world: Path) -> None:
    monkeypatch.setenv("MMCS_CACHE", str(world / "cache"))
    monkeypatch.setattr("sys.argv", ["mmcs-train"])


def told(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return tuple(json.loads((folder / name).read_text()) for name in ("status.json", "results.json"))  # type: ignore[return-value]


def scores(folder: Path, name: str = "last.ckpt") -> dict[str, float]:
    content = torch.load(folder / "checkpoints" / name, weights_only=True)
    return content["callbacks"]["KeepBest"]["scores"]


def test_a_run_that_is_moved_and_copied_keeps_its_best(world, tmp_path, quick, capfd):
    """Several checkpoints are kept; the run is moved, continued there at another rate, and its copy uses its own files."""
    assert train(world, tmp_path / "a", "callbacks.checkpoint.save_top_k=2", "optim.lr=3e-3") == 0
    found = scores(tmp_path / "a")
    best = max(found, key=lambda name: found[name])
    assert len(found) == 2 and set(found) == {path.name for path in (tmp_path / "a/checkpoints").glob("best*")}
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    (tmp_path / "a").rename(tmp_path / "moved")
    for folder in (tmp_path / "copy", tmp_path / "moved"):
        status, results = told(folder)
        assert status["objective"] == found[best]
        assert results["checkpoint"] == {"file": best, "step": int(best.removesuffix(".ckpt").partition("=")[2])}
        assert best_checkpoint(folder) == folder / "checkpoints" / best
        assert load_model(folder).evaluated

    assert train(world, tmp_path / "moved", "resume=auto", "callbacks.checkpoint.save_top_k=2", "optim.lr=3e-3") == 0
    assert told(tmp_path / "moved")[0]["objective"] == found[best], "completed: nothing is trained or lost"
    for path in (tmp_path / "moved/checkpoints").iterdir():
        path.write_bytes(b"no longer the copy's")
    longer = ["resume=auto", "callbacks.checkpoint.save_top_k=-1", "trainer.max_epochs=3", "optim.lr=1e-9"]
    assert train(world, tmp_path / "copy", *longer) == 0, capfd.readouterr().err[-2000:]
    after = scores(tmp_path / "copy")
    assert {name: after[name] for name in found} == found and "best-step=15.ckpt" in after
    assert told(tmp_path / "copy")[0]["objective"] == max(after.values())
    last = torch.load(tmp_path / "copy/checkpoints/last.ckpt", weights_only=True)
    assert last["lr_schedulers"][0]["base_lrs"] == [1e-9, 1e-9]


def test_a_run_shorter_than_the_interval_of_validations_is_validated_and_wise_ft_starts_from_its_last(
    world, tmp_path, quick
):
    rarely = ["trainer.max_epochs=1", "trainer.check_val_every_n_epoch=10", "eval.wise_ft=[0,1]"]
    assert train(world, tmp_path / "a", *rarely, "callbacks.checkpoint.save_top_k=0") == 0
    names = {path.name for path in (tmp_path / "a/checkpoints").iterdir()}
    assert names == {"last.ckpt", "best-wise_ft.ckpt"}
    status, results = told(tmp_path / "a")
    points = json.loads((tmp_path / "a/wise_ft.json").read_text())
    assert status["objective"] == max(point[points["monitor"]] for point in points["points"])
    assert results["checkpoint"] == {"file": "best-wise_ft.ckpt", "step": 5}
    last = torch.load(tmp_path / "a/checkpoints/last.ckpt", weights_only=True)["callbacks"]["KeepBest"]
    assert last["validated"] == 5 and last["last_score"] == pytest.approx(points["points"][1][points["monitor"]])


def test_a_run_whose_disk_is_full_ends_in_a_sentence_and_can_be_resumed(world, tmp_path, quick, capfd):
    """No file can be longer than a megabyte, as a checkpoint is: to a writer the same as a full disk."""
    folder = tmp_path / "a"
    assert train(world, folder, "trainer.max_epochs=1") == 0
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, before[1]))
    try:
        assert train(world, folder, "resume=auto") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    error = [line for line in capfd.readouterr().err.splitlines() if line.startswith("mmcs: error")]
    assert (
        len(error) == 1 and f"{folder}/checkpoints/" in error[0] and ".ckpt" in error[0] and ".partial" not in error[0]
    )
    assert not list(folder.rglob("*.partial"))
    assert json.loads((folder / "status.json").read_text())["status"] == "failed"
    assert train(world, folder, "resume=auto") == 0
    assert told(folder)[0]["step"] == 10
