"""Phrases that no caption can hold are counted, by the rule that finds phrases in captions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lexicon_files import write

from mmcs.cli import main
from mmcs.codeswitch.lexicon import Lexicon, normalise
from mmcs.lexicons.reach import unreachable

FOUND = [
    "dog",
    "running shoe",
    "st. louis",
    "valentine's day",
    "new year's eve",
    "rock 'n' roll",
    "at&t",
    "u.s.",
    "t-shirt",
]
FOUND += ["café noir", "c++", "ac/dc", "washington, d.c.", "dog, hound", "35 mm camera"]
NEVER = {
    "no word in it": [":-)"],
    "punctuation before its first word": ["'s day", "-less", "@home"],
    "punctuation behind its last word": ["popsicle ®"],
    "an address, a name or a tag in it": ["dog #1"],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    every = [*FOUND, *(phrase for of in NEVER.values() for phrase in of)]
    return write(tmp_path / "x.lex", {"de": {normalise(phrase): [("Wort", 1.0)] for phrase in every}})


def test_phrases_that_never_match_are_counted_and_are_those_that_a_caption_does_not_find(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lexicon = Lexicon.open(path)
    never = unreachable(lexicon).as_dict()
    counted = [phrase for about in never.values() for phrase in about["examples"]]  # type: ignore[attr-defined]
    for phrase in lexicon.phrases():
        command = ["switch", f"The {phrase} here", "--lexicon", str(path), "--p", "1", "--languages", "de"]
        assert main([*command, "--no-content-words-only"]) == 0
        assert (capsys.readouterr().out == "The Wort here\n") is (phrase not in counted), phrase
    assert sorted(counted) == sorted(phrase for of in NEVER.values() for phrase in of)


def test_build_and_info_say_which(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = (
        "3 of 21 phrases can never match a caption: punctuation before its first word (e.g. 's day; -less; @home)"
    )
    assert main(["lexicon", "info", str(path)]) == 0
    assert sentence in capsys.readouterr().out
    assert main(["lexicon", "info", str(path), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)["unreachable"]
    assert about["punctuation before its first word"] == {"count": 3, "examples": ["'s day", "-less", "@home"]}
    table = path.with_name("t.tsv")
    table.write_text("en\tde\ndog\tHund\nwrite to @dog\tan @dog\n")
    assert main(["lexicon", "build", "tsv", str(table), "--out", str(path.with_name("t.lex"))]) == 0
    assert "1 of 2 phrases can never match a caption: an address, a name" in capsys.readouterr().err
