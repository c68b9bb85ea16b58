"""SIGTERM to a run of two sharded processes: it ends at a step with a checkpoint, and one process goes on as if nothing had been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from killed_runs import arguments, by_step, environment, processes_of, wait_for

from mmcs.errors import UserError
from mmcs.model.checkpoint import load_model
from mmcs.run_folder import held, read_status, unfinished, write_status


def run(world: Path, folder: Path, records: Path, *more: str, ranks: int = 1) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mmcs.train", *arguments(world, folder, ranks=ranks, epochs=1), *more]
    with Path(f"{records}.txt").open("w") as output:
        variables = {**os.environ, **environment(world, records)}
        return subprocess.Popen(command, env=variables, stdout=output, stderr=output, cwd=world)


@pytest.mark.slow
def test_two_sharded_processes_are_preempted_and_one_goes_on(world, tmp_path):
    folder, first, second = tmp_path / "run", tmp_path / "first", tmp_path / "second"
    sharded = ["trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=1"]
    process = run(world, folder, first, *sharded, "trainer.log_every_n_steps=1", ranks=2)
    wait_for(first, 5, lambda: process.poll() is None)
    process.send_signal(signal.SIGTERM)
    told = Path(f"{first}.txt")
    assert process.wait(120) == 143, told.read_text()[-3000:]
    assert not processes_of(first)
    status = read_status(folder)
    assert status is not None and status["status"] == "preempted" and status["code"] == 143
    assert told.read_text().splitlines()[-1] == f"mmcs-train: {status['sentence']}"
    last = folder / "checkpoints/last.ckpt"
    assert last.is_dir()
    assert sum(value.numel() for value in load_model(last).towers.state_dict().values())

    process = run(world, folder, second, "trainer.max_epochs=1")
    assert process.wait(240) == 0, Path(f"{second}.txt").read_text()[-3000:]
    assert min(by_step(second)) == status["step"] == max(by_step(first)) + 1
    status = read_status(folder)
    assert status is not None and status["status"] == "completed" and status["step"] == 10
    assert last.is_file()


def test_a_folder_is_one_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("mmcs.run_folder._PATIENCE", 0.1)
    refused = pytest.raises(UserError, match="another run is under way in")
    with held(tmp_path / "run"), refused, held(tmp_path / "run"):
        pass
    with held(tmp_path / "run"):
        pass
    assert not (tmp_path / "run").exists()


def test_the_newest_run_of_this_configuration_that_has_not_completed(tmp_path):
    config = {"seed": 0, "resume": "auto"}
    for number, (seed, status) in enumerate([(0, "failed"), (0, "preempted"), (1, None), (0, "completed")]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "config.yaml").write_text(f"seed: {seed}\nresume: null\n")
        os.utime(folder / "config.yaml", (number, number))
        if status:
            write_status(folder, status)
    assert unfinished(tmp_path, config) == tmp_path / "1"
    assert unfinished(tmp_path, {**config, "seed": 2}) is None
    assert json.loads((tmp_path / "0/status.json").read_text())["code"] == 0
