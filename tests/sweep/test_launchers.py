"""What launchers ask their clusters for, without a cluster; and what a missing extra says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import stand_in_training

import mmcs.sweep.process
from mmcs.config import compose_config
from mmcs.run_folder import PREEMPTED
from mmcs.sweep.job import compose_job
from mmcs.train import main


def job(folder: Path, *overrides: str, number: int = 0):
    return compose_job(number, 1, overrides, (), sweep=folder, typed=())


def test_slurm_is_asked_for_what_jobs_need(tmp_path, monkeypatch):
    """The batch script that submitit writes: an array for each kind of job, the keys of the configuration in it."""
    from mmcs.sweep.on_slurm import OnSlurm, _needs

    (tmp_path / "bin").mkdir()
    for name in ("srun", "sbatch"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    typed = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu", "hydra.launcher.timeout_min=240"]
    settings = compose_config(
        [*typed, "hydra.launcher.additional_parameters={mail-user: me}"], hydra=True
    ).hydra.launcher
    assert _needs(job(tmp_path, "trainer=ddp", "trainer.accelerator=gpu", "data.num_workers=3").config) == (8, 2)
    assert _needs(job(tmp_path, "trainer.devices=2").config) == (2, 0)
    arguments = {key: value for key, value in settings.items() if key not in ("_target_", "submitit_folder")}
    launcher = OnSlurm(submitit_folder=str(tmp_path / "jobs"), **arguments)
    script = launcher._executor(8, 2)._executor._make_submission_file_text("run", "uid")
    for line in (
        "partition=gpu",
        "time=240",
        "gpus-per-node=2",
        "cpus-per-task=8",
        "nodes=1",
        "mail-user=me",
        "ntasks-per-node=1",
    ):
        assert f"#SBATCH --{line}\n" in script, line
    assert "signal=USR2@120" in script
    chosen = OnSlurm(submitit_folder=str(tmp_path / "jobs"), **{**arguments, "gpus_per_node": 4, "cpus_per_task": 6})
    script = chosen._executor(8, 2)._executor._make_submission_file_text("run", "uid")
    assert "gpus-per-node=4\n" in script and "cpus-per-task=6\n" in script


def test_without_slurm_a_sentence(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["-m", "hydra/launcher=submitit_slurm", "hydra.sweep.dir=swept", "seed=0,1"]) == 2
    assert "srun" in capfd.readouterr().err and not (tmp_path / "swept").exists()


@pytest.mark.parametrize(
    ("module", "choice"),
    [("optuna", "hydra/sweeper=optuna"), ("ray", "hydra/launcher=ray"), ("submitit", "hydra/launcher=submitit_local")],
)
def test_a_missing_extra_is_named(tmp_path, module, choice):
    without = f"import sys; sys.modules[{module!r}] = None; from mmcs.train import main; sys.exit(main(sys.argv[1:]))"
    finished = subprocess.run(
        [sys.executable, "-c", without, "-m", choice, "hydra.sweep.dir=swept", "seed=0,1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(mmcs.__file__).parents[1])},
        timeout=120,
        check=False,
    )
    told = [line for line in finished.stderr.splitlines() if "plugin" not in line.lower()]
    assert finished.returncode == 2, finished.stderr
    assert told == [f"mmcs: error: {choice} needs {module}: pip install 'mmcs[sweep]'."], finished.stderr


def test_a_job_that_slurm_preempts_is_queued_again_to_go_on(tmp_path, monkeypatch):
    """submitit calls ``checkpoint`` in a signal's handler while the job runs."""
    from mmcs.sweep.on_slurm import InJob

    monkeypatch.setattr(mmcs.sweep.process, "COMMAND", (stand_in_training.__file__,))
    own = replace(job(tmp_path, "optim.warmup=7"), cwd=tmp_path)
    inside, queued = InJob(), []
    before = signal.signal(signal.SIGUSR2, lambda *_: queued.append(inside.checkpoint(own)))

    def preempt():
        while not (own.folder / "ready").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGUSR2)

    threading.Thread(target=preempt, daemon=True).start()
    try:
        outcome = inside(own)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert outcome.status == PREEMPTED and (own.folder / "checkpoints/last.ckpt").exists()
    (again,) = queued[0].args
    assert again.config["resume"] == "auto" and own.config["resume"] is None
    assert queued[0].function(again).status == "completed"


def test_ray_is_asked_for_what_a_job_needs(tmp_path):
    from mmcs.sweep.on_ray import OnRay, _refusal

    plain = OnRay({"init": {"address": None}, "remote": {"num_cpus": None, "num_gpus": None, "resources": None}})
    nodes = [{"CPU": 8.0, "GPU": 4.0}, {"CPU": 64.0}]
    two = job(tmp_path, "trainer=ddp")
    assert plain._asked(two, nodes) == {"num_cpus": 2, "num_gpus": 2}  # accelerator: auto
    assert plain._asked(two, nodes[1:]) == {"num_cpus": 2, "num_gpus": 0}
    assert plain._asked(job(tmp_path, "trainer=gpu", "trainer.devices=[0,3]"), nodes) == {"num_cpus": 2, "num_gpus": 2}
    assert plain._asked(job(tmp_path), nodes) == {"num_cpus": 1, "num_gpus": 0}
    half = OnRay({"init": {}, "remote": {"num_gpus": 0.5, "resources": {"fast": 1}}})
    asked = half._asked(job(tmp_path), nodes)
    assert asked == {"num_cpus": 1, "num_gpus": 0.5, "resources": {"fast": 1}}
    assert "0.5 GPU, 1 fast" in (_refusal(asked, nodes) or "")
    assert _refusal({"num_cpus": 8, "num_gpus": 4}, nodes) is None
    assert _refusal({"num_cpus": 16, "num_gpus": 1}, nodes) is not None  # not on one machine


def test_several_machines_are_refused(tmp_path):
    assert "runs on one machine" in (job(tmp_path, "trainer.num_nodes=2").sentence or "")
