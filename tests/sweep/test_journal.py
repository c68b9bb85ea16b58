"""A study draws, is killed and goes on: no point twice, no folder twice, the points those of an unbroken study."""

from __future__ import annotations

import sys
from pathlib import Path

import optuna
import pytest
import stand_in_training
from test_sweep import start, started, told, wait_until

import mmcs.sweep.process
from mmcs.train import main

STUDY = ["hydra/sweeper=optuna", "hydra.sweep.dir=swept"]
SPACE = "optim.lr=tag(log,interval(1e-5,1e-1))"


@pytest.fixture
def quick(monkeypatch, tmp_path):
    monkeypatch.setattr(mmcs.sweep.process, "COMMAND", (stand_in_training.__file__,))
    monkeypatch.setattr(sys, "argv", ["mmcs-train"])
    monkeypatch.chdir(tmp_path)


def points(folder: Path) -> list[str]:
    return [job["overrides"][-1] for job in told(folder)["jobs"]]


def trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="mmcs", storage=f"sqlite:///{folder}/study.db").trials


def test_a_study_goes_on_with_what_it_would_have_drawn(quick, tmp_path, capfd):
    """Three trials and three more are the six of one call; none is repeated, though the sampler's seed is fixed."""
    assert main(["-m", *STUDY, SPACE, "hydra.sweeper.n_trials=3", "hydra.sweeper.sampler.n_startup_trials=2"]) == 0
    assert main(["-m", *STUDY, SPACE, "hydra.sweeper.n_trials=6", "hydra.sweeper.sampler.n_startup_trials=2"]) == 0
    whole = ["hydra/sweeper=optuna", "hydra.sweep.dir=whole", SPACE, "hydra.sweeper.n_trials=6"]
    assert main(["-m", *whole, "hydra.sweeper.sampler.n_startup_trials=2"]) == 0
    swept = tmp_path / "swept"
    assert points(swept) == points(tmp_path / "whole") and len(set(points(swept))) == 6
    assert [started(swept / str(number)) for number in range(6)] == [1] * 6
    values = [trial.value for trial in trials(swept)]
    assert told(swept)["best"] == values.index(max(values))
    assert "[6/6] optim.lr=" in capfd.readouterr().out
    assert main(["-m", *STUDY, SPACE, "hydra.sweeper.n_trials=6"]) == 0
    assert len(trials(swept)) == 6


def test_failed_jobs_are_failed_trials_and_no_point_is_drawn_twice(quick, tmp_path, capfd):
    """Of four points in all, ten trials run four."""
    assert main(["-m", *STUDY, "optim.lr=0.5,0.125,1e-3,1e-2", "hydra.sweeper.n_trials=10"]) == 2
    assert sorted(points(tmp_path / "swept")) == [f"optim.lr={lr}" for lr in ("0.001", "0.01", "0.125", "0.5")]
    states = sorted(job["status"] for job in told(tmp_path / "swept")["jobs"])
    assert states == ["completed", "completed", "failed", "failed"]
    assert "every point of the study is done" in capfd.readouterr().out
    assert main(["-m", *STUDY, "optim.weight_decay=0.1,0.2"]) == 2
    assert "draws optim.lr, not optim.weight_decay" in capfd.readouterr().err


def test_a_study_in_which_all_fail_says_so(quick, tmp_path, capfd):
    assert main(["-m", *STUDY, "optim.lr=0.5,0.125", "hydra.sweeper.n_trials=2"]) == 2
    assert "No job completed with an objective." in capfd.readouterr().out and told(tmp_path / "swept")["best"] is None


def test_a_killed_study_runs_again_what_was_running(tmp_path):
    """Two are drawn at a time: both are found again, in their own folders."""
    overrides = [*STUDY, "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2", "optim.warmup=7,0.05"]
    process = start(tmp_path, *overrides)
    swept = tmp_path / "swept"
    wait_until((swept / "0" / "ready").exists, process)
    process.kill()
    process.communicate()
    before = [trial.params for trial in trials(swept)]
    assert len(before) == 2 and all(trial.state == optuna.trial.TrialState.RUNNING for trial in trials(swept))
    stand_in_training.checkpoint(swept / "0")  # so that it completes now
    process = start(tmp_path, *overrides)
    printed = process.communicate(timeout=120)[0]
    assert process.returncode == 0, printed
    assert [trial.params for trial in trials(swept)][:2] == before and len(trials(swept)) == 2
    assert all(trial.state == optuna.trial.TrialState.COMPLETE for trial in trials(swept))
    assert [started(swept / str(number)) for number in range(2)] == [2, 1]
