"""Twenty kills with SIGKILL at random steps, on changing numbers of ranks and workers: the run is the one never killed.

Slow: two dozen starts of ``mmcs-train``. One kill stands in ``tests/commands/test_killed.py``.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import killed_runs
import pytest

pytestmark = pytest.mark.slow
KILLS, STEPS = 10, 60


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    """The run that nobody kills: one process, no workers. Its folder and what it was trained on."""
    folder = tmp_path_factory.mktemp("whole")
    killed_runs.attempt(world, folder / "run", folder / "records", None)
    expected = killed_runs.by_step(folder / "records")
    assert list(expected) == list(range(STEPS))
    assert [len(samples) for samples in expected.values()] == [killed_runs.GLOBAL_BATCH] * STEPS
    return folder / "run", expected


def killed_again_and_again(world: Path, folder: Path, layouts: list[dict[str, int]], expected: dict, seed: int) -> None:
    """``KILLS`` kills at steps drawn from ``seed``, then an attempt that is left alone; compares all that was trained on."""
    draw = random.Random(seed)
    seen: dict[int, list] = {}
    for number in range(KILLS + 1):
        layout = layouts[number % len(layouts)]
        kill_after = draw.randint(4, 8) if number < KILLS else None
        records = folder / "records" / str(number)
        killed_runs.attempt(world, folder / "run", records, kill_after, **layout)
        steps = killed_runs.by_step(records)
        for step, samples in steps.items():
            whole_step = len(samples) == len(expected[step])
            # Where the kill came between two ranks, one of them has read its part of the step.
            assert samples == expected[step] if whole_step else all(s in expected[step] for s in samples), (
                number,
                step,
            )
        assert list(steps) == list(range(min(steps), max(steps) + 1))
        seen |= steps
    assert seen == expected
    assert number == KILLS


def test_on_one_process_with_any_number_of_workers(world, whole, tmp_path):
    """Also the weights, the optimiser and the metrics are equal, bitwise."""
    folder, expected = whole
    layouts = [{"workers": workers} for workers in (0, 1, 2, 4)]
    killed_again_and_again(world, tmp_path, layouts, expected, seed=1)
    killed_runs.same_end(folder, tmp_path / "run")


def test_on_changing_ranks_and_workers(world, whole, tmp_path):
    """The same global batches, whoever reads them."""
    _, expected = whole
    layouts = [(1, 0), (2, 1), (2, 0), (1, 2), (2, 2), (1, 4), (2, 4), (1, 1)]
    layouts = [{"ranks": ranks, "workers": workers} for ranks, workers in layouts]
    killed_again_and_again(world, tmp_path, layouts, expected, seed=2)


def test_a_killed_rank_ends_the_run(world, tmp_path):
    """SIGKILL of one of two ranks: the other does not wait for ever, and the command says so."""
    records, output = tmp_path / "records", tmp_path / "out.txt"
    command = [sys.executable, "-m", "mmcs.train", *killed_runs.arguments(world, tmp_path / "run", ranks=2, workers=1)]
    environment = {**os.environ, **killed_runs.environment(world, records)}
    with output.open("w") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, cwd=world)
    killed_runs.wait_for(records, 4, lambda: process.poll() is None)
    second = next(path for path in records.iterdir() if path.read_text().startswith("[1,"))
    os.kill(int(second.name), signal.SIGKILL)
    assert process.wait(120) == 1
    assert "a training process failed" in output.read_text()
    assert not killed_runs.processes_of(records)
