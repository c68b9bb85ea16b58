"""``mmcs compare`` on the folder of a sweep: its points, seeds together, the best, what failed, the parallel plot."""

from __future__ import annotations

import json
import math
import re

import pytest
from test_compare import Page
from toy_runs import make_run

from mmcs.cli import main
from mmcs.errors import DataError, UserError
from mmcs.report.sweeps import load_sweep
from mmcs.sweep.outcome import Outcome, Record

LRS = ("1e-05", "0.001", "0.1")


def outcome(folder, number, lr, p, seed, objective, *, status="completed", sentence=None):
    overrides = ("data=shards", f"optim.lr={lr}", f"codeswitch.p={p}", f"seed={seed}")
    code = 0 if status == "completed" else 1
    return Outcome(number, overrides, str(folder / str(number)), status, objective, sentence, code)


@pytest.fixture
def swept(tmp_path):
    """Three rates, two p, two seeds; one point fails whole, one by half; two runs were tested."""
    folder = tmp_path / "sweep"
    outcomes = []
    for lr in LRS:
        for p in (0.25, 0.5):
            for seed in (0, 1):
                number = len(outcomes)
                bad = number in (8, 9, 11)
                objective = None if bad else 0.5 - 0.1 * abs(math.log10(float(lr)) + 3) / 2 + p / 10 + seed / 100
                failure = {"status": "failed", "sentence": "RuntimeError: <oops>"} if bad else {}
                outcomes.append(outcome(folder, number, lr, p, seed, objective, **failure))
    Record(folder).begin(outcomes)
    for number, seed in ((6, 0), (7, 1)):
        make_run(folder / str(number), "two_view", {"en": 1.7, "de": 2.5}, seed, n=40)
    return folder


def test_points_are_pooled_over_seeds_and_ranked(swept):
    loaded = load_sweep(swept)
    assert loaded.keys == ["optim.lr", "codeswitch.p"] and loaded.seeds
    assert len(loaded.points) == 6 and len(loaded.jobs) == 12
    first = loaded.points[0]
    assert first.settings == {"optim.lr": "0.001", "codeswitch.p": "0.5"}
    assert first.objective.mean == pytest.approx(0.555) and first.objective.low == pytest.approx(0.55)
    assert first.objective.high == pytest.approx(0.56) and loaded.best.number == 7
    rows = [json.loads((swept / str(number) / "results.json").read_text())["rows"] for number in (6, 7)]
    tested = [
        row["value"]
        for own in rows
        for row in own
        if (row["task"], row["query_language"], row["metric"]) == ("image_retrieval", "non_english", "recall@10")
    ]
    assert first.tested.mean == pytest.approx(sum(tested) / 2) and loaded.measured == "toy (test), non-English"
    assert loaded.points[-1].objective is None and len(loaded.points[-1].jobs) == 2


def test_the_command_prints_the_table_and_writes_the_page(swept, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "180")
    out = tmp_path / "report.html"
    assert main(["compare", str(swept), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "Best run: job 7, objective 56.0 %" in printed
    assert "Best point over its seeds: optim.lr=0.001, codeswitch.p=0.5, 55.5 (55.0 to 56.0) %" in printed
    assert "job 8 failed: RuntimeError: <oops>" in printed and "1 of 2 completed" in printed
    text = out.read_text(encoding="utf-8")
    assert not re.search(r"https?:|<script|<link|@import|\bsrc=", text)
    page = Page(text)
    words = " ".join(page.words)
    for expected in (
        "optim.lr",
        "codeswitch.p",
        "objective, %",
        "1e-05",
        "RuntimeError: <oops>",
        "55.5 (55.0 to 56.0)",
    ):
        assert expected in words, expected
    svg = text[text.index("<svg") : text.index("</svg>")]
    assert svg.count("#0072b2") + svg.count("#d55e00") == 5 and svg.count("#8a8a8a") == 1  # a line for each point
    assert all(attrs.get("scope") for tag, attrs in page.tags if tag == "th")


def test_a_moved_sweep_is_found_and_one_key_or_none_draws(tmp_path):
    folder = tmp_path / "sweep"
    Record(folder).begin([outcome(tmp_path / "gone", 0, "0.1", 0.5, 0, 0.4)])
    make_run(folder / "0", "two_view", {"en": 1.7, "de": 2.5}, n=40)
    loaded = load_sweep(folder)
    assert loaded.keys == [] and loaded.points[0].tested is not None
    assert main(["compare", str(folder), "--out", str(tmp_path / "one.html")]) == 0
    Record(folder).add(outcome(folder, 1, "0.2", 0.5, 0, 0.4))
    assert main(["compare", str(folder), "--out", str(tmp_path / "two.html")]) == 0
    assert "<svg" in (tmp_path / "two.html").read_text() and "<svg" not in (tmp_path / "one.html").read_text()


def test_what_cannot_be_compared_is_a_sentence(swept, tmp_path, capsys):
    none = tmp_path / "none"
    Record(none).begin([outcome(none, 0, "0.1", 0.5, 0, None, status="failed", sentence="killed by SIGKILL")])
    with pytest.raises(UserError, match=r"no job of the 1 in .* \(job 0 failed: killed by SIGKILL\)"):
        load_sweep(none)
    assert main(["compare", str(none)]) == 2
    assert main(["compare", str(swept), str(none)]) == 2
    assert main(["compare", str(swept), "--baseline", str(swept)]) == 2
    assert capsys.readouterr().err.count("\n") == 3
    (none / "sweep.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        load_sweep(none)
    (none / "sweep.json").write_text('{"schema": 9, "jobs": []}')
    with pytest.raises(DataError, match="update mmcs"):
        load_sweep(none)


def test_the_test_figure_is_plain_retrievals_under_all_captions(tmp_path):
    """Other protocols and settings of the same languages stand in the same results; what else was tested is not mixed in."""
    Record(tmp_path).begin([outcome(tmp_path, number, lr, 0.5, 0, 0.5 - number / 10) for number, lr in enumerate(LRS)])
    for number, protocols in enumerate([("first_caption", "all_captions")] * 2 + [("first_caption",)]):
        run = make_run(
            tmp_path / str(number), "two_view", {"en": 1.7, "de": 2.5}, n=40, captions=2, protocols=protocols
        )
        results = json.loads((run / "results.json").read_text())
        plain = [row for row in results["rows"] if row["query_language"] == "non_english"]
        translated = [{**row, "query_transform": "translate_test:x", "value": 0.99} for row in plain]
        results["rows"] = [*translated, *results["rows"], *translated]
        (run / "results.json").write_text(json.dumps(results))
        wanted = {"protocol": "all_captions", "task": "image_retrieval", "metric": "recall@10"}
        values = [row["value"] for row in plain if all(row[key] == own for key, own in wanted.items())]
        point = next(own for own in load_sweep(tmp_path).points if own.jobs[0].number == number)
        assert [point.tested.mean] == values if values else point.tested is None
    assert load_sweep(tmp_path).measured == "toy (test), non-English"
