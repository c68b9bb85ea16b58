"""The documentation's commands that take minutes: sweeps of real trainings, pictures of all emoji."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "commands"))  # where the others are run

from documented_world import ROOT, SLOW, World, documented

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("page", sorted({page for page, _ in SLOW}))
def test_the_slow_commands_of_a_page_run(page: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    for command in documented(ROOT / "docs" / page):
        if command.slow:
            world.run(command)
