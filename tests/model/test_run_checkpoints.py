"""One answer to which checkpoint of a run is its best: from what the checkpoints say, wherever their folder is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mmcs.model.checkpoint_file import write_checkpoint
from mmcs.model.run_checkpoints import best_checkpoint


def write(run: Path, name: str, step: int, scores: dict[str, float] | None, **more: Any) -> Path:
    path = run / "checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {} if scores is None else {"KeepBest": {"monitor": "r", "scores": scores}}
    extras = {"format": 1, "config": {"model": {}}}
    write_checkpoint({"mmcs": extras, "state_dict": {}, "global_step": step, "callbacks": state, **more}, path)
    return path


def lightning(folder: str, scores: dict[str, float]) -> dict[str, Any]:
    """The state that Lightning's own callback keeps, with absolute paths."""
    paths = {f"{folder}/checkpoints/{name}": torch.tensor(score) for name, score in scores.items()}
    best = max(paths, key=lambda path: float(paths[path]))
    state = {"monitor": "r", "best_model_path": best, "best_k_models": paths}
    return {"ModelCheckpoint{'monitor': 'r', 'mode': 'max'}": state}


SCORES = {"best-step=5.ckpt": 0.325, "best-step=10.ckpt": 0.275}


@pytest.mark.parametrize("written_by", ["this mmcs", "an older one"])
def test_the_best_of_several_is_the_one_with_the_best_figure(tmp_path, written_by):
    own = {} if written_by == "this mmcs" else {"callbacks": lightning("/elsewhere/run", SCORES)}
    write(tmp_path, "best-step=5.ckpt", 5, {"best-step=5.ckpt": 0.325}, **own)
    write(tmp_path, "best-step=10.ckpt", 10, SCORES, **own)
    write(tmp_path, "last.ckpt", 15, SCORES, **own)
    best = tmp_path / "checkpoints/best-step=5.ckpt"
    assert best_checkpoint(tmp_path) == best
    for path in (tmp_path / "checkpoints").iterdir():  # times say nothing: a copy may have any
        os.utime(path, (3e9 - path.stat().st_size, 1e9))
    assert best_checkpoint(tmp_path) == best
    (tmp_path / "checkpoints/last.ckpt").write_bytes(b"")
    assert best_checkpoint(tmp_path) == best, "the newest readable one has the scores, too"
    best.unlink()
    assert best_checkpoint(tmp_path) == tmp_path / "checkpoints/best-step=10.ckpt"


def test_a_copied_run_has_its_own_best(tmp_path):
    run = tmp_path / "run"
    write(run, "best-step=5.ckpt", 5, None, callbacks=lightning(str(run), {"best-step=5.ckpt": 0.3}))
    write(run, "last.ckpt", 6, None, callbacks=lightning(str(run), {"best-step=5.ckpt": 0.3}))
    shutil.copytree(run, tmp_path / "copy")
    assert best_checkpoint(tmp_path / "copy") == tmp_path / "copy/checkpoints/best-step=5.ckpt"


def test_a_later_best_counts_though_a_kill_came_before_the_last_was_written(tmp_path):
    write(tmp_path, "best-step=5.ckpt", 5, {"best-step=5.ckpt": 0.3})
    write(tmp_path, "last.ckpt", 5, {"best-step=5.ckpt": 0.3})
    later = write(tmp_path, "best-step=10.ckpt", 10, {"best-step=5.ckpt": 0.3, "best-step=10.ckpt": 0.4})
    assert best_checkpoint(tmp_path) == later


def test_without_a_monitored_one_it_is_the_last_and_what_wise_ft_chose_comes_first(tmp_path):
    assert best_checkpoint(tmp_path) is None
    last = write(tmp_path, "last.ckpt", 15, {})
    assert best_checkpoint(tmp_path) == last
    chosen = write(tmp_path, "best-wise_ft.ckpt", 15, None)
    assert best_checkpoint(tmp_path) == chosen


def test_of_equal_figures_the_first_is_the_best(tmp_path):
    scores = {"best-step=5.ckpt": 0.3, "best-step=10.ckpt": 0.3}
    for step, name in enumerate(scores):
        write(tmp_path, name, step, scores)
    assert best_checkpoint(tmp_path) == tmp_path / "checkpoints/best-step=5.ckpt"
