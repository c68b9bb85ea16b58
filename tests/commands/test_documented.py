"""Every command that the README and the pages under docs/ show is one that mmcs understands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mmcs.cli import build_parser
from mmcs.command_line import read_command_line
from mmcs.config import compose_config
from mmcs.sweep.main import _composed, _parsed, _parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(page: Path) -> list[list[str]]:
    """The lines of a page's code blocks, continued ones joined, comments and placeholders for more left out."""
    found = []
    for block in re.findall(r"^```\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.replace("…", ""), comments=True)
            if words and words[0] in ("mmcs", "mmcs-train"):
                found.append(words)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_commands_parse(page: Path) -> None:
    for name, *arguments in commands(page):
        if name == "mmcs":
            build_parser().parse_args(arguments)
        elif "-m" in arguments:
            overrides = _parsed(_parser([]), read_command_line(arguments).overrides)
            hydra = [str(override.input_line) for override in overrides if override.is_hydra_override()]
            _composed(hydra, [override for override in overrides if not override.is_hydra_override()])
        else:
            compose_config(read_command_line(arguments).overrides)


def test_there_are_commands_to_check() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 20
