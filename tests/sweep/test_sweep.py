"""A sweep runs each job once, on its own; what fails fails alone and is listed; the same command goes on where it stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import stand_in_training
from stand_in_training import NO_OBJECTIVE, objective

import mmcs.sweep.process
from mmcs.train import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Jobs are the stand-in's; the working folder is a fresh one."""
    monkeypatch.setattr(mmcs.sweep.process, "COMMAND", (stand_in_training.__file__,))
    monkeypatch.setattr(sys, "argv", ["mmcs-train"])
    monkeypatch.chdir(tmp_path)


def told(folder: Path) -> dict:
    return json.loads((folder / "sweep.json").read_text())


def started(folder: Path) -> int:
    return len((folder / "ran.txt").read_text().splitlines()) if (folder / "ran.txt").exists() else 0


def start(tmp_path: Path, *overrides: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, stand_in_training.__file__, "-m", "hydra.sweep.dir=swept", *overrides],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until(condition, process) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < until
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_what_fails_fails_alone_and_is_listed(quick, tmp_path, capfd, monkeypatch):
    """A crash, a kill, a mistake and a point that cannot be composed among two that complete."""
    monkeypatch.setenv("RANK", "3")  # of whatever launched the sweep
    code = main(["-m", "hydra.sweep.dir=swept", "optim.lr=1e-2,0.5,0.25,0.125,1e-3", "seed=4"])
    printed = capfd.readouterr().out
    jobs = told(tmp_path / "swept")["jobs"]
    assert [job["status"] for job in jobs] == ["completed", "failed", "failed", "failed", "completed"]
    assert [job["code"] for job in jobs] == [0, 1, 137, 2, 0] and code == 137
    assert told(tmp_path / "swept")["best"] == 4 and jobs[4]["objective"] == pytest.approx(objective(1e-3))
    assert jobs[1]["sentence"].startswith("RuntimeError: the loss is not a number (see ")
    assert jobs[2]["sentence"].startswith("killed by SIGKILL; a machine that runs out of memory")
    assert jobs[3]["sentence"] == "optim.lr is wrong."
    for number, job in enumerate(jobs):
        folder = tmp_path / "swept" / str(number)
        assert job["folder"] == str(folder) and started(folder) == 1
        assert json.loads((folder / "status.json").read_text())["status"] == job["status"]
        assert "training 4 None None" in (folder / "log.txt").read_text()
        assert f"[{number + 1}/5] training 4 None None" in printed
    assert f"[2/5] optim.lr=0.5 → {tmp_path / 'swept' / '1'}" in printed
    assert "job 2 failed: killed by SIGKILL" in printed and "Best: job 4, 1.0000" in printed


def test_a_point_that_cannot_be_composed_fails_alone(quick, tmp_path, capfd):
    """Keys of one file are legal for the points that choose it."""
    arguments = ["-m", "hydra.sweep.dir=swept", "codeswitch=none,phrases,nosuch", "codeswitch.variants=0"]
    assert main(arguments) == 2
    jobs = told(tmp_path / "swept")["jobs"]
    assert [job["status"] for job in jobs] == ["completed", "completed", "failed"]
    assert jobs[2]["sentence"].startswith("there is no codeswitch=nosuch; known: bilingual")
    assert main(["-m", "hydra.sweep.dir=other", "codeswitch=none,phrases", "codeswitch.max_tokens=2"]) == 2
    jobs = told(tmp_path / "other")["jobs"]
    assert [job["status"] for job in jobs] == ["failed", "completed"] and "max_tokens" in jobs[0]["sentence"]
    capfd.readouterr()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["codeswitch.pp=0.5,0.6"], "unknown key 'codeswitch.pp'"),
        (["hydra/sweeper=nosuch", "seed=1,2"], "there is no hydra/sweeper=nosuch; known: "),
        (["hydra/launcher=nosuch", "seed=1,2"], "there is no hydra/launcher=nosuch; known: "),
        (["optim.lr=interval(1e-4,1e-2)"], "hydra/sweeper=optuna draws from an interval"),
        (["hydra.sweeper.max_batch_size=0", "seed=1,2"], "max_batch_size"),
        (["seed=[1"], "cannot read 'seed=[1'"),
        (["hydra/sweeper=optuna", "seed=1"], "nothing to draw"),
        (
            ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=0", "seed=1,2"],
            "n_trials must be a whole number >= 1, got 0",
        ),
        (["hydra/sweeper=optuna", "hydra.sweeper.storage=nosuch://x", "seed=1,2"], "hydra.sweeper.storage=nosuch://x"),
        (["hydra/sweeper=optuna", "codeswitch.pp=0.5,0.6"], "unknown key 'codeswitch.pp'"),
        (["hydra/sweeper=optuna", "eval=suites", "seed=1,2"], "a study needs an objective"),
        (["hydra/sweeper=optuna", "optim.lr=tag(log,interval(0,1))"], "a log scale needs bounds > 0, got 0"),
        (["hydra/sweeper=optuna", "optim.lr=tag(log,interval(-1,1))"], "a log scale needs bounds > 0, got -1"),
        (["hydra/sweeper=optuna", "optim.lr=tag(lgo,interval(0.1,1))"], "unknown tag lgo; known: log"),
        (["hydra/sweeper=optuna", "optim.lr=interval(1e-2,1e-4)"], "the first bound must be less than the second"),
        (["hydra/sweeper=optuna", "optim.lr=interval(0,inf)"], "the bounds must be finite"),
        (["hydra/sweeper=optuna", "seed=range(5,1)"], "seed=range(5,1) has no values"),
        (["hydra/sweeper=optuna", "experiment=null", "seed=1,2"], "experiment=null names no file"),
        (["seed=glob(*)"], "seed=glob(*) has no values"),
        (["seed=range(5,1)"], "seed=range(5,1) has no values"),
        (["experiment=null"], "experiment=null names no file"),
        (["optim.lr=interval(1)"], "cannot read 'optim.lr=interval(1)'"),
        (["-m", "--cfg=nosuch"], "invalid choice: 'nosuch'"),
    ],
)
def test_a_sweep_that_cannot_begin_is_one_sentence(quick, tmp_path, capfd, overrides, sentence):
    assert main(["-m", "hydra.sweep.dir=swept", *overrides]) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and sentence in errors, errors
    assert not list((tmp_path / "swept").glob("[0-9]*"))


@pytest.mark.parametrize("sweeper", [[], ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=2"]], ids=["grid", "optuna"])
def test_a_sweep_globs_experiments_of_ones_own(quick, tmp_path, capfd, sweeper):
    (tmp_path / "conf/experiment").mkdir(parents=True)
    for number in (1, 2):
        text = f"# @package _global_\ndefaults: [{{override /codeswitch: none}}]\nseed: {number}\n"
        (tmp_path / f"conf/experiment/mine{number}.yaml").write_text(text)
    folder = ["--config-dir", "conf", "hydra.sweep.dir=swept"]
    assert main(["-m", *folder, "experiment=glob(mine*)", *sweeper]) == 0
    jobs = told(tmp_path / "swept")["jobs"]
    assert {job["overrides"][0] for job in jobs} == {"experiment=mine1", "experiment=mine2"}
    logs = [(tmp_path / "swept" / str(number) / "log.txt").read_text().split()[:2] for number in range(2)]
    assert sorted(logs) == [["training", "1"], ["training", "2"]]
    capfd.readouterr()


@pytest.mark.parametrize("sweeper", [[], ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=5"]], ids=["grid", "optuna"])
def test_a_sweep_without_an_objective_fails(quick, tmp_path, capfd, sweeper):
    overrides = [f"optim.lr={NO_OBJECTIVE}", "seed=1,2,3", *sweeper]
    assert main(["-m", "hydra.sweep.dir=swept", *overrides]) == 1
    assert "No job completed with an objective." in capfd.readouterr().out
    jobs = told(tmp_path / "swept")["jobs"]
    assert [job["status"] for job in jobs] == ["completed"] * (1 if sweeper else 3)


def test_environments_are_a_jobs_own(quick, tmp_path, capfd, monkeypatch):
    assert main(["-m", "hydra.sweep.dir=swept", "seed=1,2", "+hydra.job.env_set.OWN=mine"]) == 0
    assert "OWN" not in os.environ
    assert "training 2 None mine" in (tmp_path / "swept/1/log.txt").read_text()
    capfd.readouterr()


def test_resume_auto_skips_what_completed_and_runs_the_rest(quick, tmp_path, capfd):
    arguments = ["-m", "hydra.sweep.dir=swept", "resume=auto", "optim.lr=1e-2,0.5,1e-3"]
    assert main(arguments) == 1
    assert main(arguments) == 1
    swept = tmp_path / "swept"
    assert [started(swept / str(number)) for number in range(3)] == [1, 2, 1]
    assert told(swept)["jobs"][0]["objective"] == pytest.approx(objective(1e-2))
    assert "[1/3] completed before, objective" in capfd.readouterr().out
    longer = [*arguments, "trainer.max_epochs=50"]
    assert main(longer) == 1 and started(swept / "0") == 2  # more of the same run
    before = (swept / "sweep.json").read_bytes()
    capfd.readouterr()
    moved = ["-m", "hydra.sweep.dir=swept", "resume=auto", "optim.lr=1e-3,1e-2"]
    assert main(moved) == 2  # other points than those whose folders these are
    assert "holds a run with other settings" in capfd.readouterr().err
    again = ["-m", "hydra.sweep.dir=swept", "optim.lr=1e-2,0.5,1e-3"]
    assert main(again) == 2
    errors = capfd.readouterr().err
    assert f"{swept / '0'} already holds a run: continue the sweep with resume=auto" in errors
    assert (swept / "sweep.json").read_bytes() == before and started(swept / "0") == 2
    assert main([*again, "overwrite=true"]) == 1 and started(swept / "0") == 3
    capfd.readouterr()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_running_job_and_ends_the_sweep(tmp_path, number):
    overrides = ["optim.warmup=0.05,7,0.06", "resume=auto"]
    process = start(tmp_path, *overrides)
    swept = tmp_path / "swept"
    wait_until((swept / "1" / "ready").exists, process)
    process.send_signal(number)
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number, printed
    assert [job["status"] for job in told(swept)["jobs"]] == ["completed", "preempted", "not started"]
    assert "job 1 preempted: stopped by a signal; resume=auto continues it" in printed
    process = start(tmp_path, *overrides)
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 0, printed
    assert [job["status"] for job in told(swept)["jobs"]] == ["completed"] * 3
    assert [started(swept / str(job)) for job in range(3)] == [1, 2, 1]


def test_a_killed_sweep_leaves_no_process(tmp_path):
    process = start(tmp_path, "optim.warmup=7,0.06")
    wait_until((tmp_path / "swept" / "0" / "ready").exists, process)
    job = int((tmp_path / "swept/0/ran.txt").read_text().split()[0])
    process.kill()
    process.communicate()
    until = time.monotonic() + 30
    while alive(job):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert [job["status"] for job in told(tmp_path / "swept")["jobs"]] == ["not started"] * 2
