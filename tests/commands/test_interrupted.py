"""Ctrl-C: exit code 130, one sentence, and what is kept in ``status.json``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_run_folder import arguments

from mmcs.train import main

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("hook", "step"), [("setup", 0), ("on_train_batch_start", 1)])
def test_one_process(world, tmp_path, monkeypatch, capfd, hook, step):
    monkeypatch.setenv("MMCS_CACHE", str(world / "cache"))
    monkeypatch.setenv("INTERRUPTED_IN", hook)
    folder = tmp_path / "run"
    assert main(arguments(world, folder, "callbacks.preview._target_=interrupting.Interrupting")) == 130
    status = json.loads((folder / "status.json").read_text())
    assert (status["status"], status["step"], status["code"]) == ("interrupted", step, 130)
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("mmcs") and "random" not in line]
    assert told == [f"mmcs-train: {status['sentence']}"]
    assert (folder / "checkpoints/last.ckpt").exists() == bool(step)


@pytest.mark.slow
@pytest.mark.parametrize(("hook", "step"), [("setup", 0), ("on_train_batch_start", 1)])
def test_two_processes(world, tmp_path, hook, step):
    folder = tmp_path / "run"
    several = ["trainer=ddp", "trainer.accelerator=cpu", "data.batch_size=8", "trainer.max_epochs=1"]
    overrides = arguments(world, folder, *several, "callbacks.preview._target_=interrupting.Interrupting")
    environment = {"MMCS_CACHE": str(world / "cache"), "OMP_NUM_THREADS": "1", "INTERRUPTED_IN": hook}
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    ended = subprocess.run(
        [sys.executable, "-m", "mmcs.train", *overrides],
        env={**os.environ, **environment, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 130, ended.stderr[-3000:]
    status = json.loads((folder / "status.json").read_text())
    assert (status["status"], status["step"], status["code"]) == ("interrupted", step, 130)
    told = [line for line in ended.stderr.splitlines() if line.startswith("mmcs") and "random" not in line]
    assert "Received" not in ended.stderr
    assert told == [f"mmcs-train: {status['sentence']}"]
    assert (folder / "checkpoints/last.ckpt").exists() == bool(step)
