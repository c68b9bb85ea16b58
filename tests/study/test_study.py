"""The study as a user runs it, on a small world of shapes: real runs, every table, figures that can be had from the files again."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from small_world import COLOURS, SHAPES

from mmcs.cli import main
from mmcs.lexicons.format import write_lexicon
from mmcs.study.plan import Plan, Stage


def german(path: Path) -> Path:
    """A lexicon of German alone, so that Finnish is a language without one."""
    entries = {"de": {english: [(de, 1.0)] for english, (de, *_) in {**COLOURS, **SHAPES}.items()}}
    source = {"name": "test", "provenance": "made here", "licence": "CC0"}
    return write_lexicon(path, entries, source_language="en", sources=[source])


def arguments(world: Path, out: Path, *more: str) -> list[str]:
    own = {
        "data": "shards",
        "data.train_shards": f"{world}/train",
        "data.batch_size": "16",
        "data.num_workers": "0",
        "model": "open_clip",
        "model.name": f"{world}/model.json",
        "model.lock_image": "false",
        "eval": "suites",
        "eval.val": f"{{shapes:{world}/test}}",
        "eval.test": f"{{shapes:{world}/test}}",
        "trainer.max_steps": "3",
        "trainer.val_check_interval": "2",
        "study.out": str(out),
        "study.page": str(out.parent / "page" / "study.md"),
        "study.lexicons.tested_on": f"[{german(world / 'german.lex')}]",
        "study.systems": "[zero_shot,two_view,two_view_translate,shuffled_lexicon,bl_cs]",
        "study.seeds": "[0,1]",
        "study.ablation_seeds": "[0]",
        "study.learning_rates": "[1e-3]",
        "study.ablations": "{candidates:{of:two_view,arms:{drawn by weight:['codeswitch.candidates=weighted']}}}",
        "study.text_tower": "{overrides:['trainer.max_steps=2'],systems:[zero_shot,two_view],seeds:[0],learning_rates:[1e-3]}",
        "study.translators": "{de: 'no-such-program -x'}",
        "study.workers": "1",
    }
    own |= dict(text.split("=", 1) for text in more)
    return ["study", *(f"{key}={value}" for key, value in own.items())]


@pytest.fixture(scope="module")
def done(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("studied") / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMCS_CACHE", str(world / "cache"))
        assert main(arguments(world, out)) == 0
    return out


def test_the_page_answers_and_shows_every_table(done):
    page = (done.parent / "page" / "study.md").read_text("utf-8")
    for heading in (
        "The answer",
        "Every system",
        "Beside the controls",
        "Per language",
        "Ablations",
        "What to keep in mind",
    ):
        assert f"# {heading}" in page, heading
    for row in (
        "`zero_shot`",
        "`two_view`",
        "`two_view_translate`",
        "`bl_cs`",
        "centred",
        "drawn by weight",
        "Translate-Test",
    ):
        assert row in page, row
    assert "**two views, the text tower trained, too**: " in page
    assert "Without one: Finnish" in page
    assert "no-such-program" in page, "what could not be run is named"
    assert "the learning rate that was given; nothing was chosen" in page
    assert "make study data=shards " in page and "'study.seeds=[0,1]'" in page, "the command that wrote it"
    assert "**two views**: " in page and "+nan" not in page and "nan %" not in page
    drawings = sorted((done.parent / "page").glob("study-*.svg"))
    assert drawings and all(f"]({own.name})" in page and 'xmlns="http' in own.read_text("utf-8") for own in drawings)
    assert (done / "report.html").is_file() and (done / "further.html").is_file()


def test_rows_can_be_had_again_from_the_trec_files(done):
    """Recall@10 of a row, counted by hand in the runs and qrels of its seeds."""
    numbers = json.loads((done / "study.json").read_text())
    (row,) = (own for own in numbers["systems"] if own["system"] == "two_view")
    for of, languages in numbers["sets"].items():
        counted = [
            recall(run / "retrieval", language)
            for run in sorted((done / "systems" / "two_view").glob("seed_*"))
            for language in languages
        ]
        assert row["figures"][of]["recall@10"][0] == pytest.approx(sum(counted) / len(counted)), of


def recall(folder: Path, language: str) -> float:
    stem = folder / f"shapes.test.all_captions.image_retrieval.{language}.image"
    relevant: dict[str, set[str]] = {}
    for line in Path(f"{stem}.qrels").read_text().splitlines():
        query, _, item, _ = line.split()
        relevant.setdefault(query, set()).add(item)
    found = set()
    with gzip.open(f"{stem}.run.gz", "rt") as lines:
        for line in lines:
            query, _, item, place, *_ = line.split()
            if int(place) <= 10 and item in relevant[query]:
                found.add(query)
    return len(found) / len(relevant)


def test_what_is_done_is_not_done_again_and_what_lacks_is(done, world, monkeypatch, capsys):
    monkeypatch.setenv("MMCS_CACHE", str(world / "cache"))
    lost = done / "systems" / "two_view" / "seed_1"
    before = {path: path.stat().st_mtime_ns for path in done.glob("systems/*/seed_*/results.json")}
    shutil.rmtree(lost)
    assert main(arguments(world, done)) == 0
    told = capsys.readouterr().out
    assert "training: 1 of 13 to do" in told and "further settings" not in told
    after = {path: path.stat().st_mtime_ns for path in before}
    assert [path.parent for path in before if before[path] != after[path]] == [lost]


def test_a_part_that_is_left_out_is_not_on_the_page(done, world, tmp_path, monkeypatch):
    monkeypatch.setenv("MMCS_CACHE", str(world / "cache"))
    page = tmp_path / "page.md"
    assert main(arguments(world, done, "study.ablations=null", "study.text_tower=null", f"study.page={page}")) == 0
    text = page.read_text("utf-8")
    assert "## Every system" in text and "## Ablations" not in text and "text tower trained, too" not in text.casefold()


def test_runs_of_other_settings_are_not_taken_for_done(done, world, monkeypatch, capsys):
    monkeypatch.setenv("MMCS_CACHE", str(world / "cache"))
    assert main(arguments(world, done, "optim.weight_decay=0.1")) == 2
    assert "holds a run of other settings" in capsys.readouterr().err


def test_every_run_of_a_system_differs_from_english_only_by_its_method_and_rate(done):
    def settings(name: str) -> dict:
        return OmegaConf.to_container(OmegaConf.load(done / "systems" / name / "seed_0" / "config.yaml"))

    base, own = settings("zero_shot"), settings("two_view")
    assert {key for key in base if base[key] != own[key]} == {"codeswitch", "experiment"}
    assert base["eval"]["test"] and not base["eval"]["val"], "nothing is chosen where it is compared"


def test_what_is_set_to_null_is_left_out():
    plan = Plan.read(["study.text_tower=null", "study.further=null", "study.ablations=null"])
    assert plan.systems() and not plan.text_tower() and not plan.settings["further"]["systems"]
    assert plan.ablations(Stage([], {}, ("de",), (), (), choosing=False), {}) == {}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["study.sedes=[1]"], "unknown key study.sedes"),
        (["study.seeds=[]"], "study.seeds"),
        (["study.seeds=[0]", "study.ablation_seeds=[1]"], "study.ablation_seeds"),
        (["study.learning_rates=[0]"], "study.learning_rates"),
        (["study.systems=[two_view]"], "zero_shot"),
        (["study.systems=[zero_shot,no_such]"], "no_such"),
        (["study.text_tower={systems:[]}"], "study.text_tower lacks overrides, seeds, learning_rates"),
        (["study.text_tower.seeds=[]"], "study.text_tower.seeds"),
        (["study.further.settings=[centered]"], "centered"),
        (["study.further.systems=[two_view]"], "study.further.systems"),
        (["optim.lrr=1"], "optim.lrr"),
        (["study.lexicons.tested_on=null"], "study.lexicons.tested_on"),
        (["eval.test=null"], "eval.test"),
    ],
)
def test_a_mistake_is_answered_in_a_sentence_before_anything_runs(world, tmp_path, capsys, more, sentence):
    assert main(arguments(world, tmp_path / "out", *more)) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not list(tmp_path.glob("out/*/*/*/config.yaml"))
