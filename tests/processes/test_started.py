"""Processes that torchrun or srun started, and allocations of SLURM in which srun was not used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from killed_runs import arguments, environment

from mmcs.errors import UserError
from mmcs.started import Started, check_srun, cluster_environment
from mmcs.train import main

BATCH = {
    "SLURM_JOB_ID": "4711",
    "SLURM_PROCID": "0",
    "SLURM_NTASKS": "4",
    "SLURM_NNODES": "1",
    "SLURM_JOB_NAME": "train",
}
STEP = {**BATCH, "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "TORCHELASTIC_", "MASTER_")) or name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
            monkeypatch.delenv(name)


def within(monkeypatch, variables: dict[str, str]) -> Started | None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Started.here()


@pytest.mark.parametrize(
    ("variables", "trainer", "sentence"),
    [
        ({"TORCHELASTIC_RUN_ID": "a", "RANK": "1", "WORLD_SIZE": "4", "GROUP_WORLD_SIZE": "2"}, {"devices": 2}, "devices=2 trainer.num_nodes=2"),
        ({**STEP, "SLURM_STEP_NUM_TASKS": "16", "SLURM_STEP_NUM_NODES": "2"}, {"devices": 8, "num_nodes": 1}, "srun has started 16"),
    ],
)  # fmt: skip
def test_what_was_started_must_be_what_is_configured(monkeypatch, variables, trainer, sentence):
    started = within(monkeypatch, variables)
    assert started is not None
    with pytest.raises(UserError, match=sentence):
        started.check(trainer, trainer["devices"])
    started.check({"devices": trainer["devices"], "num_nodes": 2}, trainer["devices"])


@pytest.mark.parametrize(
    ("more", "rank"),
    [
        ({}, 0),
        ({"SLURM_PROCID": "3", "SLURM_LOCALID": "3"}, 3),
        ({"SLURM_JOB_NAME": "interactive"}, 0),  # srun in a shell of salloc
        ({"SLURM_NTASKS": "8"}, 0),  # a step of fewer tasks than the allocation
        ({"SLURM_STEP_ID": "12", "SLURM_NTASKS_PER_NODE": "2"}, 0),
    ],
)
def test_srun_starts_this_process(monkeypatch, more, rank):
    started = within(monkeypatch, {**STEP, **more})
    assert started == Started("srun", rank, 4, 1)
    check_srun()
    assert [type(plugin).__name__ for plugin in cluster_environment()] == ["TorchElasticEnvironment"]


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (BATCH, "srun was not used: SLURM has allocated 4 tasks, and this is one process. Prepend srun to the command"),
        ({**BATCH, "SLURM_NTASKS_PER_NODE": "2"}, "srun was not used"),
        ({**STEP, "SLURM_STEP_ID": "4294967291"}, "srun was not used"),  # the batch script
        ({"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "zsh"}, "srun was not used"),  # a shell of salloc
        ({**STEP, "SLURM_JOB_NAME": "zsh", "SLURM_PTY_PORT": "4000"}, "srun was not used"),  # srun --pty zsh
    ],
)
def test_without_srun_a_batch_job_is_refused(tmp_path, monkeypatch, capfd, variables, sentence):
    assert within(monkeypatch, variables) is None
    monkeypatch.chdir(tmp_path)
    for more in ([], ["trainer=ddp", "trainer.devices=4"]):
        assert main(["hydra.run.dir=run", "data=shards", "data.train_shards=x", "eval=suites", *more]) == 2
        errors = capfd.readouterr().err
        assert errors.count("\n") == 1 and sentence in errors and errors.endswith("--ntasks=1.\n"), errors
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "variables",
    [
        {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "interactive"},
        {**BATCH, "SLURM_JOB_NAME": "bash"},
        {**STEP, "SLURM_JOB_NAME": "interactive", "SLURM_STEP_ID": "4294967290"},
    ],
)
def test_an_interactive_shell_trains_in_one_process(monkeypatch, capfd, variables):
    assert within(monkeypatch, variables) is None
    check_srun()
    assert "note: srun was not used" in capfd.readouterr().err
    assert [type(plugin).__name__ for plugin in cluster_environment()] == ["LightningEnvironment"]


@pytest.mark.parametrize("variables", [{}, {**BATCH, "SLURM_NTASKS": "1"}, {**STEP, "SLURM_STEP_NUM_TASKS": "1"}])
def test_one_task_needs_no_srun(monkeypatch, capfd, variables):
    assert within(monkeypatch, variables) is None
    check_srun()
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_two_tasks_of_srun_train_together(world, tmp_path):
    """As ``srun -n 2`` starts them, which sets no SLURM_NTASKS_PER_NODE."""
    common = {**os.environ, **environment(world, tmp_path / "records"), **STEP}
    common |= {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "127.0.0.1"}
    common |= {"MASTER_PORT": str(20000 + os.getpid() % 10000)}
    command = [sys.executable, "-m", "mmcs.train", *arguments(world, tmp_path / "run", ranks=2, epochs=1)]
    with (tmp_path / "log").open("w") as log:
        tasks = [
            subprocess.Popen(
                command, stdout=log, stderr=log, env={**common, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
            )
            for rank in range(2)
        ]
        codes = [task.wait(300) for task in tasks]
    assert codes == [0, 0], (tmp_path / "log").read_text()[-3000:]
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert (status["status"], status["step"]) == ("completed", 10)


def test_a_note_says_what_is_waited_for(capfd):
    from mmcs.started import _note_after

    with _note_after(0.0, "waiting."):
        time.sleep(0.2)
    assert capfd.readouterr().err == "mmcs-train: note: waiting.\n"
