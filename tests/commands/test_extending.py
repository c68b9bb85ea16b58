"""What docs/extending.md shows, as a reader has it: its files are written, its commands run, and each did what it says."""

from __future__ import annotations

import csv
import importlib
import json
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_world import COLOURS, SHAPES, picture

from mmcs.cli import main as mmcs
from mmcs.losses.embedded import Embedded
from mmcs.train import main as mmcs_train

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text("utf-8")
FILES = dict(re.findall(r"^~~~python\n# (\w+\.py)\n(.*?)^~~~", PAGE, re.DOTALL | re.MULTILINE))
COMMANDS = [
    line for block in re.findall(r"^```\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE) for line in block.splitlines()
]


@pytest.fixture(scope="module")
def place(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that the page speaks of, as working directory, with its files and data in it, where Python looks."""
    folder = tmp_path_factory.mktemp("extending")
    for name, content in FILES.items():
        (folder / name).write_text(content, "utf-8")
    (folder / "words.lex").symlink_to(world / "words.lex")
    (folder / "data").mkdir()
    (folder / "data" / "mine").symlink_to(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.setenv("MMCS_CACHE", str(folder / "cache"))
        yield folder
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


def run(place: Path, beginning: str) -> None:
    """The page's one command that begins so; "RUN" and "…" become what a reader puts there."""
    (line,) = [line for line in COMMANDS if line.startswith(beginning)]
    rest = (
        f"data=shards data.train_shards=data/mine/test data.batch_size=10 data.num_workers=0 eval=suites model=open_clip "
        f"model.name=data/mine/model.json model.lock_image=false trainer.max_epochs=1 trainer.log_every_n_steps=1 "
        f"hydra.run.dir={place}/run"
    )
    command, *arguments = shlex.split(line.replace("…", rest).replace(" RUN ", " run "))
    if command == "python":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", arguments)
            runpy.run_path(arguments[0], run_name="__main__")
    else:
        assert {"mmcs": mmcs, "mmcs-train": mmcs_train}[command](arguments) == 0


def logged(folder: Path, name: str) -> list[dict[str, float]]:
    """The rows of metrics.csv in which ``name`` stands."""
    with (folder / "metrics.csv").open() as lines:
        rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(lines)]
    return [row for row in rows if name in row]


def results(folder: Path) -> list[dict]:
    return json.loads((folder / "results.json").read_text("utf-8"))["rows"]


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    """The run of the page's loss."""
    run(place, "mmcs-train experiment=two_view 'loss.own=")
    return (place / "run").rename(place / "run_of_loss")


def test_every_file_and_command_of_the_page_is_run_here() -> None:
    assert FILES.keys() == {"last_word.py", "close_views.py", "birds.py", "first_words.py"}
    assert PAGE.count("~~~python") == len(FILES)
    assert len(COMMANDS) == 8 and COMMANDS[0] == "export PYTHONPATH=$PWD"


def test_the_strategy_switches_the_last_word_alone(place, capsys):
    run(place, "mmcs switch")
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 3 and {"A red line, a green Quadrat.", "A red line, a green neliö."} >= set(shown)


def test_training_reads_captions_by_the_strategy(place):
    """Captions have three words ("A red circle."), of which two are known: a third is switched, in every caption."""
    run(place, "mmcs-train experiment=ml_cs codeswitch=own")
    (epoch,) = logged((place / "run").rename(place / "run_of_strategy"), "train/switch_rate/all")
    assert epoch["train/switch_rate/all"] == pytest.approx(1 / 3) and epoch["train/unchanged_captions"] == 0


def test_the_term_is_weighed_into_the_loss(trained):
    rows = logged(trained, "train/loss")
    assert len(rows) == 2
    for row in rows:
        assert 0 < row["train/close_views"] <= 4
        assert row["train/loss"] == pytest.approx(row["train/image_text"] + 0.1 * row["train/close_views"], rel=1e-5)


@pytest.mark.parametrize("name", ["image_text", "loss"])
def test_a_terms_name_is_its_own(place, capsys, name):
    arguments = ["data=shards", "data.train_shards=data/mine/test", "codeswitch.lexicons=[words.lex]"]
    term = f"loss.own={{{name}: {{_target_: close_views.CloseViews, weight: 0.1}}}}"
    assert mmcs_train([*arguments, term]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f"loss.own.{name}: there is a {name} already" in told


def test_the_term_is_zero_where_there_is_one_view(place):
    views = [torch.eye(3)]
    one = Embedded(torch.eye(3), views, torch.arange(3), torch.arange(3), [torch.arange(3)], torch.tensor(1.0))
    term = importlib.import_module("close_views").CloseViews(0.1)
    assert term(one) == 0 and term(replace(one, views=[*views, -views[0]])) == 4


def test_own_shards_and_a_set_read_by_ones_own_file_are_suites(place, trained):
    (place / "run").symlink_to(trained)
    folder = place / "birds"
    (folder / "images").mkdir(parents=True)
    lines = []
    for colour, (de, _, rgb) in COLOURS.items():
        for shape, (shape_de, _) in SHAPES.items():
            (folder / "images" / f"{colour}_{shape}.jpg").write_bytes(picture(rgb, shape, 16))
            named = {"file": f"{colour}_{shape}.jpg", "en": [f"A {colour} {shape}."], "de": [f"{de} {shape_de}"]}
            lines.append(json.dumps(named))
    (folder / "birds.jsonl").write_text("\n".join(lines), "utf-8")
    run(place, "python birds.py")
    run(place, "mmcs evaluate RUN --suite birds=")
    run(place, "mmcs evaluate RUN --suite mine=")
    birds, mine = results(place / "outputs" / "birds"), results(place / "outputs" / "mine")
    assert {row["query_language"] for row in birds} >= {"en", "de"} and {row["suite"] for row in birds} == {"birds"}
    assert birds[0]["notes"][0] == "All birds were photographed in one garden." and birds[0]["n_queries"] == 20
    assert {row["query_language"] for row in mine} >= {"en", "de", "fi"} and {row["suite"] for row in mine} == {"mine"}
    (place / "run").unlink()


def test_the_setting_asks_with_the_first_words(place, trained):
    """All English captions begin with "A": one query for all, whose first picture is the right one of one in twenty."""
    (place / "run").symlink_to(trained)
    run(place, "python first_words.py")
    rows = results(place / "outputs" / "first_words")
    assert {row["query_transform"] for row in rows} == {None, "first_words:1", "first_words:2"}
    (first,) = [
        row
        for row in rows
        if (row["query_transform"], row["query_language"], row["metric"]) == ("first_words:1", "en", "recall@1")
    ]
    assert first["value"] == pytest.approx(1 / 20) and first["n_queries"] == 20
    two = (
        place
        / "outputs/first_words/retrieval/mine.test.all_captions.image_retrieval.en.image.first_words-2.queries.tsv"
    )
    assert "A red\n" in two.read_text("utf-8")
    (place / "run").unlink()
