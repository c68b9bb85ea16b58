"""A run that is killed and resumed is the run that never was killed: samples, texts, pixels, metrics and weights.

The same with many kills, several processes and changing layouts: ``tests/slow/test_kill_and_resume.py``.
"""

from __future__ import annotations

from pathlib import Path

import killed_runs


def test_killed_and_resumed(world: Path, tmp_path: Path) -> None:
    killed_runs.attempt(world, tmp_path / "whole", tmp_path / "0", None, epochs=2)
    killed_runs.attempt(world, tmp_path / "killed", tmp_path / "1", 8, workers=2, epochs=2)
    killed_runs.attempt(world, tmp_path / "killed", tmp_path / "2", None, workers=1, epochs=2)

    expected = killed_runs.by_step(tmp_path / "0")
    assert list(expected) == list(range(20))
    seen = {}
    for number in (1, 2):
        steps = killed_runs.by_step(tmp_path / str(number))
        assert steps == {step: expected[step] for step in steps}
        seen |= steps
    assert seen == expected
    killed_runs.same_end(tmp_path / "whole", tmp_path / "killed")
