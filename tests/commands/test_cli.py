"""The command line: help for everything, one sentence for mistakes, nothing heavy imported on the way."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mmcs.cli import build_parser, main

COMMANDS = [
    ["data"],
    ["data", "prepare"],
    ["data", "prepare", "stamps"],
    ["data", "prepare", "emoji"],
    ["data", "prepare", "table"],
    ["data", "inspect"],
    ["data", "overlap"],
    ["data", "prepare", "xm3600"],
    ["lexicon"],
    ["lexicon", "build", "freedict"],
    ["lexicon", "info"],
    ["lexicon", "coverage"],
    ["lexicon", "shuffle"],
    ["switch"],
    ["data", "prepare", "beir-format"],
    ["evaluate"],
    ["embed"],
    ["compare"],
    ["export"],
    ["demo"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([*command, "--help"])
    assert ended.value.code == 0 and "usage: mmcs" in capsys.readouterr().out


def test_help_imports_nothing_heavy():
    """A second for --help: neither torch nor what stands on it is imported by the parsers."""
    code = "import sys; from mmcs.cli import build_parser; build_parser(); print([m for m in sys.modules if m in %r])"
    heavy = ("torch", "numpy", "lightning", "hydra", "webdataset", "rich", "PIL", "scipy", "matplotlib")
    told = subprocess.run([sys.executable, "-c", code % (heavy,)], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["switch", "a dog", "--lexicon", "none.lex"], 2, "there is no lexicon"),
        (["evaluate", "no/such/run", "--suite", "x=nowhere", "--out", "o"], 2, "nowhere"),
        (["compare", "nowhere", "nothing"], 2, "nowhere"),
        (["export", "./nowhere", "--out", "x"], 2, "nowhere"),
        (["data", "inspect", "nowhere.tar"], 2, "nowhere.tar"),
        (["lexicon", "info", "none.lex"], 2, "none.lex"),
        (["export", "ViT-B-32", "--out", "/dev/null/x"], 2, "/dev/null is not a folder"),
        (["evaluate", "ViT-B-32", "--suite", "x=y", "--out", "/dev/null/x/y"], 2, "/dev/null is not a folder"),
        (["lexicon", "build", "tsv", "none.tsv", "--out", "/dev/null/x.lex"], 2, "/dev/null is not a folder"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, code, sentence, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    told = capfd.readouterr().err
    assert told.count("\n") == 1 and sentence in told
    assert not list(tmp_path.iterdir())


def test_an_unknown_option_is_one_sentence(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["switch", "--lexikon", "x.lex"])
    assert ended.value.code == 2 and capsys.readouterr().err.count("\n") == 1


def test_switch_prints_plain_text_into_a_pipe(world, capsys):
    arguments = ["switch", "A red circle.", "--lexicon", str(world / "words.lex"), "--languages", "de", "--p", "1"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == "A rot Kreis.\n"
