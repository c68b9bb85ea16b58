"""Sweeps of real trainings: six jobs, two of which fail on purpose and two of which have two processes, under each launcher."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def command(world: Path, folder: Path, *overrides: str) -> list[str]:
    return [
        *(sys.executable, "-m", "mmcs.train", "-m"),
        "data=shards",
        f"data.train_shards={world}/train",
        "data.batch_size=8",
        "data.num_workers=0",
        "model=open_clip",
        f"model.name={world}/model.json",
        "model.lock_image=false",
        "eval=suites",
        f"eval.val={{shapes: {world}/test}}",
        f"eval.test={{shapes: {world}/test}}",
        f"codeswitch.lexicons=[{world}/words.lex]",
        "trainer.max_epochs=1",
        "trainer.check_val_every_n_epoch=1",
        f"hydra.sweep.dir={folder}",
        *overrides,
    ]


def environment(world: Path) -> dict[str, str]:
    return {**os.environ, "MMCS_CACHE": str(world / "cache"), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def jobs_of(folder: Path) -> list[dict]:
    return json.loads((folder / "sweep.json").read_text())["jobs"]


SIX = ["trainer=cpu,ddp", "trainer.accelerator=cpu", "codeswitch.p=0.3,0.6,2"]


@pytest.mark.parametrize(
    "launcher",
    [[], ["hydra/launcher=ray", "hydra.launcher.ray.init.num_cpus=2"], ["hydra/launcher=submitit_local"]],
    ids=["local", "ray", "submitit"],
)
def test_six_jobs(world, tmp_path, launcher):
    folder = tmp_path / "swept"
    finished = subprocess.run(
        command(world, folder, *SIX, *launcher),
        capture_output=True,
        text=True,
        env=environment(world),
        cwd=tmp_path,
        timeout=900,
        check=False,
    )
    assert finished.returncode == 2, finished.stdout[-3000:] + finished.stderr[-3000:]
    jobs = jobs_of(folder)
    assert [job["status"] for job in jobs] == ["completed", "completed", "failed"] * 2
    for number, job in enumerate(jobs):
        own = folder / str(number)
        if job["status"] == "completed":
            assert 0 < job["objective"] <= 1
            assert (own / "results.json").is_file() and (own / "checkpoints/last.ckpt").exists()
            assert f"[{number + 1}/6]" in finished.stdout
        else:
            assert job["sentence"] == "codeswitch.p is a probability between 0 and 1, got 2."
    assert "job 5 failed: codeswitch.p is a probability" in finished.stdout
    noise = [line for line in finished.stderr.splitlines() if "warn" in line.lower()]
    assert not noise, noise
    page = tmp_path / "report.html"
    compared = [sys.executable, "-m", "mmcs.cli", "compare", str(folder), "--out", str(page)]
    assert subprocess.run(compared, env=environment(world), check=False, timeout=120).returncode == 0
    assert "<svg" in page.read_text() and "codeswitch.p" in page.read_text()


def test_what_ray_can_never_give_is_refused_before_anything_is_launched(world, tmp_path):
    folder = tmp_path / "swept"
    launcher = ["hydra/launcher=ray", "hydra.launcher.ray.init.num_cpus=2", "hydra.launcher.ray.init.num_gpus=0"]
    overrides = [
        "trainer=cpu,gpu,ddp",
        "trainer.accelerator=cpu,gpu",
        "trainer.devices=3,1",
        "codeswitch.p=2",
        *launcher,
    ]
    finished = subprocess.run(
        command(world, folder, *overrides),
        capture_output=True,
        text=True,
        env=environment(world),
        cwd=tmp_path,
        timeout=600,
        check=False,
    )
    assert finished.returncode == 2
    told = {tuple(job["overrides"][-3:]): job["sentence"] for job in jobs_of(folder)}
    three = told["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=3"]
    assert three == "the job asks for 3 CPU, which no machine of the Ray cluster has (1 there: 2 CPU, 0 GPU)."
    one = told["trainer=gpu", "trainer.accelerator=gpu", "trainer.devices=1"]
    assert one == "the job asks for 1 CPU, 1 GPU, which no machine of the Ray cluster has (1 there: 2 CPU, 0 GPU)."
    assert told["trainer=cpu", "trainer.accelerator=cpu", "trainer.devices=1"].startswith("codeswitch.p is a")
    lines = finished.stdout.splitlines()
    refused = [place for place, line in enumerate(lines) if "no machine of the Ray cluster has" in line]
    ran = [place for place, line in enumerate(lines) if " → " in line]
    assert refused and ran and refused[0] < ran[0]


@pytest.mark.parametrize(
    "launcher", [[], ["hydra/launcher=ray", "hydra.launcher.ray.init.num_cpus=2"]], ids=["local", "ray"]
)
def test_a_stopped_sweep_goes_on(world, tmp_path, launcher):
    """SIGTERM while a job of two processes trains: it leaves a checkpoint, and the same command completes it."""
    folder = tmp_path / "swept"
    overrides = ["trainer=ddp", "trainer.accelerator=cpu", "seed=0,1", "trainer.max_epochs=40", "resume=auto"]
    typed = command(world, folder, *overrides, "trainer.check_val_every_n_epoch=20", *launcher)
    process = subprocess.Popen(
        typed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(world), cwd=tmp_path
    )
    until = time.monotonic() + 300
    while not (folder / "0/checkpoints/last.ckpt").exists():
        assert process.poll() is None and time.monotonic() < until, process.stdout and process.stdout.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    printed = process.communicate(timeout=200)[0]
    assert process.returncode == 143, printed[-3000:]
    assert [job["status"] for job in jobs_of(folder)] == ["preempted", "not started"], printed[-3000:]
    status = json.loads((folder / "0/status.json").read_text())
    assert status["status"] == "preempted" and status["step"] > 0
    done = subprocess.run(
        typed, capture_output=True, text=True, env=environment(world), cwd=tmp_path, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert [job["status"] for job in jobs_of(folder)] == ["completed", "completed"]
