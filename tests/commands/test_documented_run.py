"""Every command that the README and the pages under docs/ show is run, in its page's order, or its page says why it is not."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from documented_world import ROOT, RUN_ELSEWHERE, SLOW, SUBSTITUTIONS, Command, Runs, World, documented
from test_documented import PAGES, commands

ALL = [command for page in PAGES for command in documented(page)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Runs of the small model, for which one thread is faster than two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Runs(tmp_path_factory.mktemp("runs"))
    torch.set_num_threads(threads)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in RUN_ELSEWHERE], ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page: Path, runs: Runs, tmp_path: Path) -> None:
    """In a world of the page's own. ``data/mine`` and runs that the page does not make lie there; the README makes its data."""
    world = World(tmp_path, runs)
    if page.name != "README.md":
        (tmp_path / "data" / "mine").symlink_to(runs.world.folder / "data" / "mine")
    for command in documented(page):
        if command.excuse is None and not command.slow:
            world.run(command)


def test_a_command_that_is_neither_run_nor_excused_is_a_failure(tmp_path: Path, runs: Runs) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "It says.\n\n```\nmmcs \\\n  nonsense   # 1\ndocker run x   # not run by the tests\n```\n\nSee `srun x y`.\n"
    )
    ours, excused, _ = documented(page)
    assert ours == Command(page, "mmcs nonsense", None)
    assert excused.excuse == "not run by the tests"
    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world", runs)
    with pytest.raises(SystemExit):
        world.run(ours)
    with pytest.raises(pytest.fail.Exception, match="neither run nor said why not"):
        world.run(Command(page, "docker run x", None))


def test_what_is_run_is_what_is_documented() -> None:
    """All commands that are parsed are run or excused, and neither this module's tables nor the pages' excuses are stale."""
    for page in PAGES:
        ours = [command.words for command in documented(page) if command.line.startswith("mmcs")]
        assert ours == commands(page), page.name
    for page, beginning in SLOW:
        assert [c.page.name for c in ALL if c.line.startswith(beginning) and c.slow and c.excuse is None] == [page]
    for pattern, _, _ in SUBSTITUTIONS:
        assert any(re.search(pattern, command.line) for command in ALL if command.excuse is None), pattern
    for name, test in RUN_ELSEWHERE.items():
        assert "COMMANDS" in (ROOT / test).read_text("utf-8") and name in (ROOT / test).read_text("utf-8")


def test_what_is_not_run_is_there_to_be_run() -> None:
    """Targets of make and extras of pip: what no test runs can at least be named rightly."""
    targets = {command.line.split()[1] for command in ALL if command.line.startswith("make ")}
    known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert targets and targets <= set(known)
    extras = {extra for command in ALL for extra in re.findall(r"^pip install .*mmcs\[(\w+)\]", command.line)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert extras and extras <= set(project["optional-dependencies"])
