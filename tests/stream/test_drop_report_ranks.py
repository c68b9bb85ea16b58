"""Two real training processes: they count together, stop together, and neither waits for ever for the other."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_world import add
from small_world import write_shard as write_shapes


def arguments(world: Path, shards: Path, folder: Path, *overrides: str) -> list[str]:
    return [
        *(sys.executable, "-m", "mmcs.train", "data=shards", f"data.train_shards={shards}", "data.batch_size=8"),
        *("model=open_clip", f"model.name={world}/model.json", "model.lock_image=false", "data.num_workers=0"),
        *("eval=suites", "eval.allow_unmeasured=true", f"codeswitch.lexicons=[{world}/words.lex]"),
        *("trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=1", "trainer.log_every_n_steps=2"),
        *(f"hydra.run.dir={folder}", *overrides),
    ]


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "MMCS_CACHE": str(folder.parent / "cache")}


def train(world: Path, shards: Path, folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    command = arguments(world, shards, folder, *overrides)
    return subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment(folder), check=False)


@pytest.fixture
def shards(tmp_path):
    """40 shapes, and a shard of 10 samples without a picture."""
    import tarfile

    folder = tmp_path / "shapes/train"
    write_shapes(folder / "00000.tar", [12, 20])
    with tarfile.open(folder / "00001.tar", "w") as tar:
        for number in range(10):
            add(tar, f"{number}.txt", b"A red circle.")
    return folder


@pytest.mark.slow
def test_counts_are_summed_over_ranks(world, shards, tmp_path):
    finished = train(world, shards, tmp_path / "run", "data.max_bad_share=0.5")
    assert finished.returncode == 0, finished.stderr[-3000:]
    with (tmp_path / "run/metrics.csv").open() as lines:
        told = [float(row["data/dropped/no image"]) for row in csv.DictReader(lines) if row["data/dropped/no image"]]
    assert told[-1] == 10.0 and told == sorted(told)
    report = json.loads((tmp_path / "run/drops.json").read_text())
    assert (report["seen"], report["dropped"], report["shards"]["shapes/train/00001"]["seen"]) == (50, 10, 10)
    assert finished.stdout.count("dropped shapes/train/00001/") == 1
    assert "10 of 50 samples dropped (20.0%)" in finished.stdout


@pytest.mark.slow
def test_all_ranks_stop_with_one_sentence(world, shards, tmp_path):
    finished = train(world, shards, tmp_path / "run", "data.max_bad_share=0.1")
    assert finished.returncode == 3
    assert "10 of 50 samples dropped (20.0%)" in finished.stderr
    assert "the worst shard is shapes/train/00001 (10 of 10 dropped, such as shapes/train/00001/" in finished.stderr
    assert json.loads((tmp_path / "run/drops.json").read_text())["dropped"] == 10


@pytest.mark.slow
def test_a_worker_that_dies_in_one_rank_ends_the_run(world, shards, tmp_path):
    """The other rank waits for it in a collective; the launcher ends it, and the sentence comes from the one that knows."""
    folder = tmp_path / "run"
    command = arguments(
        world, shards, folder, "data.num_workers=1", "trainer.max_epochs=100000", "data.max_bad_share=0.5"
    )
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(folder)
    )
    try:
        worker = _wait_for_worker(process.pid)
        os.kill(worker, signal.SIGKILL)
        _, told = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 1
    assert f"A loading worker (process {worker}) was killed by signal: Killed" in told


def _wait_for_worker(launcher: int) -> int:
    """The process id of a loading worker of the first rank, once that trains."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        for rank in _children(launcher):
            log = _children(rank)
            workers = [pid for pid in log if b"mmcs.train" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            if workers:
                time.sleep(3)
                return workers[0]
        time.sleep(0.2)
    raise AssertionError("no worker was started")


def _children(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
