"""A run that is killed, then told to end, and resumed is the run that was left alone: samples, texts, pixels, metrics, weights.

The same with many kills, several processes and changing layouts: ``tests/slow/test_kill_and_resume.py``.
"""

from __future__ import annotations

import signal
from pathlib import Path

import killed_runs


def test_killed_and_resumed(world: Path, tmp_path: Path) -> None:
    killed_runs.attempt(world, tmp_path / "whole", tmp_path / "0", None, epochs=2)
    killed_runs.attempt(world, tmp_path / "killed", tmp_path / "1", 8, workers=2, epochs=2)
    killed_runs.attempt(world, tmp_path / "killed", tmp_path / "2", 5, signal.SIGTERM, workers=1, epochs=2)
    killed_runs.attempt(world, tmp_path / "killed", tmp_path / "3", None, epochs=2)

    expected = killed_runs.by_step(tmp_path / "0")
    assert list(expected) == list(range(20))
    seen = {}
    steps = {number: killed_runs.by_step(tmp_path / str(number)) for number in (1, 2, 3)}
    for own in steps.values():
        assert own == {step: expected[step] for step in own}
        seen |= own
    assert not steps[2].keys() & steps[3].keys(), "a run that was told to end has a checkpoint of its last step"
    assert seen == expected
    killed_runs.same_end(tmp_path / "whole", tmp_path / "killed")
