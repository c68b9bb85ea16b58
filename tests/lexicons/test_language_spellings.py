"""One language has one tag, however it is spelled where a lexicon is built, opened, worked on or used."""

from __future__ import annotations

from pathlib import Path

import pytest
from lexicon_files import SOURCE

from mmcs.cli import main
from mmcs.codeswitch.build import build_strategy
from mmcs.codeswitch.lexicon import Lexicon
from mmcs.lexicons.format import write_lexicon


@pytest.fixture
def old(tmp_path: Path) -> str:
    """A file of an older version: tags as they were typed."""
    entries = {"de-DE": {"dog": [("Hund", 1.0)]}, "zh_CN": {"dog": [("狗", 1.0)]}}
    return str(write_lexicon(tmp_path / "old.lex", entries, source_language="en-US", sources=[SOURCE]))


@pytest.fixture
def new(tmp_path: Path) -> str:
    entries = {"de": {"dog": [("Köter", 1.0)], "cat": [("Katze", 1.0)]}}
    return str(write_lexicon(tmp_path / "new.lex", entries, source_language="en", sources=[SOURCE]))


@pytest.mark.parametrize("spelling", ["de", "DE", "de-DE", "de_DE", "deu", "de-AT"])
def test_commands_take_any_spelling(
    old: str, spelling: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["switch", "a dog", "--lexicon", old, "--p", "1", "--languages", spelling]) == 0
    assert capsys.readouterr().out == "a Hund\n"
    arguments = ["--languages", spelling, "--language-weights", f"{spelling}=2"]
    assert main(["switch", "a dog", "--lexicon", old, "--p", "1", *arguments]) == 0
    out = str(tmp_path / "out.lex")
    assert main(["lexicon", "filter", old, "--languages", spelling, "--out", out]) == 0
    assert Lexicon.open(out).languages == ("de",)
    assert main(["lexicon", "invert", old, "--language", spelling, "--out", out]) == 0
    assert Lexicon.open(out).source_language == "de"
    assert main(["lexicon", "info", old]) == 0
    assert "in en" in capsys.readouterr().out


def test_an_older_file_wins_and_is_merged_as_the_same_language(old: str, new: str, tmp_path: Path) -> None:
    out = str(tmp_path / "all.lex")
    assert main(["lexicon", "merge", old, new, "--out", out]) == 0
    merged = Lexicon.open(out)
    assert merged.languages == ("de", "zh-Hans") and merged.source_language == "en"
    assert [one.text for one in merged.candidates("dog", "de")] == ["Hund", "Köter"]


def test_configurations_take_any_spelling(old: str, new: str) -> None:
    settings = {
        "strategy": "multilingual",
        "lexicons": [old, new],
        "languages": ["de-DE", "zh"],
        "language_weights": {"DE": 1, "zh_CN": 0},
        "source_language": "en-GB",
    }
    assert build_strategy(settings).languages == ("de", "zh-Hans")
    assert build_strategy({"strategy": "translate", "languages": ["DE", "iw"]}).languages == ("de", "he")
