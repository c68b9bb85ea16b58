"""Going on with a run: which checkpoint, one that is whole whatever happens while it is written, and the metrics so far."""

from __future__ import annotations

import csv
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch

from mmcs.errors import DataError, UserError
from mmcs.metrics_file import MetricsFile
from mmcs.resume import WholeCheckpoints, checkpoint_of, first_step


def content(step: int = 6, ready: int = 6, **more: object) -> dict:
    progress = {"current": {"ready": ready}, "is_last_batch": False}
    extras = {"format": 1, "config": {"model": {}}}
    loops = {"fit_loop": {"epoch_loop.batch_progress": progress}}
    return {"global_step": step, "loops": loops, "optimizer_states": [], "mmcs": extras, **more}


def test_what_a_run_goes_on_from(tmp_path):
    last = tmp_path / "run/checkpoints/last.ckpt"
    assert checkpoint_of(None, tmp_path / "run") is None
    assert checkpoint_of("auto", tmp_path / "run") is None
    with pytest.raises(UserError, match=r"has no checkpoints/last\.ckpt yet"):
        checkpoint_of(str(tmp_path), tmp_path / "run")
    with pytest.raises(UserError, match=r"nowhere\.ckpt does not exist"):
        checkpoint_of("nowhere.ckpt", tmp_path / "run")
    last.parent.mkdir(parents=True)
    last.touch()
    for resume in ("auto", str(tmp_path / "run"), str(last)):
        assert checkpoint_of(resume, tmp_path / "run") == last


def test_the_step_of_a_checkpoint_that_can_be_resumed(tmp_path):
    path = tmp_path / "a.ckpt"
    assert first_step(None, 1) == 0
    WholeCheckpoints().save_checkpoint(content(), path)
    assert first_step(path, 1) == first_step(path, 2) == 6
    with pytest.raises(UserError, match="between the batches of one accumulated step"):
        first_step(path, 4)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="damaged"):
        first_step(path, 1)
    weights = {key: value for key, value in content().items() if key != "optimizer_states"}
    WholeCheckpoints().save_checkpoint(weights, path)
    with pytest.raises(UserError, match="weights only"):
        first_step(path, 1)


def _killed_while_saving(path: Path) -> None:
    class Deadly:
        def __reduce__(self):
            os.kill(os.getpid(), signal.SIGKILL)

    WholeCheckpoints().save_checkpoint(content(7, weights=torch.zeros(10**6), last=Deadly()), path)


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path):
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint(content(), path)
    process = multiprocessing.get_context("spawn").Process(target=_killed_while_saving, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert first_step(path, 1) == 6 and len(list(tmp_path.iterdir())) == 2
    WholeCheckpoints().save_checkpoint(content(8), path)
    assert first_step(path, 1) == 8 and list(tmp_path.iterdir()) == [path], "what the killed one left is gone"


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def test_metrics_go_on_where_the_checkpoint_was_taken(tmp_path):
    first = MetricsFile(tmp_path)
    for step in range(4):
        first.log_metrics({"loss": 4.0 - step}, step)
        first.save()
    first.log_metrics({"recall": 0.5}, 3)
    first.save()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("1.2")  # a line that a kill cut off
    again = MetricsFile(tmp_path, first_step=3)
    again.log_metrics({"loss": 1.0, "other": 7}, 3)
    again.save()
    assert rows(tmp_path) == [
        {"loss": "4.0", "step": "0"},
        {"loss": "3.0", "step": "1"},
        {"loss": "2.0", "step": "2"},
        {"loss": "1.0", "other": "7", "step": "3"},
    ]
    anew = MetricsFile(tmp_path)
    assert len(rows(tmp_path)) == 4, "nothing is lost before there is something new"
    anew.log_metrics({"loss": 9.0}, 0)
    anew.save()
    assert rows(tmp_path) == [{"loss": "9.0", "step": "0"}]
