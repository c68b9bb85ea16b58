"""Runs under way, compared by their validations at a step that all have reached."""

from __future__ import annotations

import io

import numpy as np
import pytest
import yaml
from rich.console import Console
from toy_runs import CONFIG, make_run

from mmcs.cli import main
from mmcs.errors import DataError, UserError
from mmcs.evaluation.validation import ValidationRanks, write_validation
from mmcs.report.compare import any_unfinished, compare_unfinished
from mmcs.report.terminal import show

N = 80


def ranks(quality, seed=0, n=N):
    """(n,) ranks: the share ``quality`` of the queries is answered, the same ones for a higher quality and more."""
    sure = np.random.default_rng(5).random(n) + 0.05 * np.random.default_rng(seed).random(n)
    found = np.where(sure < quality, 1, 50).astype(np.int32)
    return ValidationRanks(np.arange(n, dtype=np.int64) * 7 - 100, np.arange(n, dtype=np.int64) // 2, found)


def under_way(folder, experiment, steps, quality, seed=0, n=N, languages=("en", "de", "he")):
    """A run's folder with a validation at each of ``steps``; ``quality``: language → share of answered queries."""
    folder.mkdir(parents=True)
    config = {
        **CONFIG,
        "seed": seed,
        "experiment": experiment,
        "model": {"name": "toy"},
        "codeswitch": {"p": experiment},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for step in steps:
        found = {
            ("toy", language, task): ranks(quality[language], seed, n)
            for language in languages
            for task in ("image_retrieval", "text_retrieval")
        }
        write_validation(folder, step, found, seen=["de"] if experiment != "zero_shot" else [])
    return folder


BASE, BETTER = {"en": 0.6, "de": 0.3, "he": 0.3}, {"en": 0.6, "de": 0.7, "he": 0.36}


def test_runs_are_compared_at_the_last_step_that_all_have(tmp_path):
    a = under_way(tmp_path / "a", "zero_shot", [10, 20, 30], BASE)
    b = under_way(tmp_path / "b", "two_view", [10, 20], BETTER)
    assert any_unfinished([a, b])
    comparison = compare_unfinished([a, b])
    assert comparison.step == 20 and comparison.unfinished == [str(a), str(b)]
    (part,) = comparison.suites
    assert (part.suite, part.split, part.n_groups) == ("toy", "validation, step 20", N // 2)
    assert part.sets == {"en": ["en"], "seen": ["de"], "unseen": ["he"]}
    ours, theirs = ((ranks(own["de"]).ranks <= 10).astype(float) for own in (BETTER, BASE))
    verdicts = part.verdicts["two views"]
    assert verdicts["de"].verdict == "helps" and verdicts["de"].needed is None
    assert verdicts["de"].difference.value == pytest.approx((ours - theirs).mean())
    assert part.cells["image_retrieval"]["two views"]["de"].figures["recall@10"][0] == pytest.approx(ours.mean())
    assert "ndcg@10" not in part.cells["image_retrieval"]["two views"]["de"].figures
    assert verdicts["he"].verdict == "cannot tell yet" and verdicts["he"].needed > N
    assert compare_unfinished([a, b], at_step=10).step == 10


def test_the_terminal_says_that_it_is_validation_and_how_many_queries_it_would_take(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    a = under_way(tmp_path / "a", "zero_shot", [20], BASE)
    b = under_way(tmp_path / "b", "two_view", [20], BETTER)
    assert main(["compare", str(a), str(b)]) == 0
    printed = capsys.readouterr().out
    for expected in ("validation, step 20", "cannot tell yet", "helps", "about ", "Unfinished runs: 2 of 2"):
        assert expected in " ".join(printed.split())
    assert "Report:" not in printed and not (tmp_path / "report.html").exists()
    assert max(map(len, printed.splitlines())) <= 80
    assert main(["compare", str(a), str(b), "--terms", "t.txt"]) == 2
    assert main(["compare", str(a), str(b), "--at-step", "7"]) == 2
    assert "not all validated at step 7" in capsys.readouterr().err


def test_finished_runs_are_compared_with_unfinished_ones_by_their_validations(tmp_path):
    a = under_way(tmp_path / "a", "zero_shot", [10, 20], BASE)
    b = under_way(tmp_path / "b", "two_view", [10], BETTER)
    make_run(a, "zero_shot", {"en": 1.5, "de": 2.6}, n=20)
    comparison = compare_unfinished([a, b])
    assert comparison.step == 10 and comparison.unfinished == [str(b)]
    make_run(b, "two_view", {"en": 1.5, "de": 2.6}, n=20)
    assert not any_unfinished([a, b])
    assert compare_unfinished([a, b], at_step=10).unfinished == []


def test_seeds_of_unfinished_runs_are_pooled(tmp_path):
    folders = [under_way(tmp_path / f"a{seed}", "zero_shot", [10], BASE, seed) for seed in range(2)]
    folders += [under_way(tmp_path / f"b{seed}", "two_view", [10], BETTER, seed) for seed in range(2)]
    comparison = compare_unfinished(folders)
    assert [len(system.runs) for system in comparison.systems] == [2, 2]
    values = [(ranks(BETTER["de"], seed).ranks <= 10).mean() for seed in range(2)]
    cell = comparison.suites[0].cells["image_retrieval"]["two views"]["de"]
    assert cell.figures["recall@10"][0] == pytest.approx(np.mean(values))
    show(comparison, Console(file=io.StringIO(), markup=False))


def test_runs_that_cannot_be_compared_are_refused_in_a_sentence(tmp_path):
    a = under_way(tmp_path / "a", "zero_shot", [10, 20], BASE)
    b = under_way(tmp_path / "b", "two_view", [15, 25], BETTER)
    with pytest.raises(UserError, match=r"no validation at a common step \(.*a: 10, 20; .*b: 15, 25\)"):
        compare_unfinished([a, b])
    c = under_way(tmp_path / "c", "two_view", [10], BETTER, n=40)
    with pytest.raises(UserError, match=r"queries of toy \(validation, step 10\), en, .* \(80 and 40\); validate both"):
        compare_unfinished([a, c])
    d = under_way(tmp_path / "d", "two_view", [10], BETTER, languages=("en", "de"))
    with pytest.raises(UserError, match=r"only .*a has figures of toy \(validation, step 10\), he"):
        compare_unfinished([a, d])
    evaluated = make_run(tmp_path / "e", "ml_cs", {"en": 1.5}, n=20)
    with pytest.raises(UserError, match="e is evaluated but keeps no validations"):
        compare_unfinished([a, evaluated])
    (tmp_path / "begun").mkdir()
    with pytest.raises(UserError, match="begun has no results and no validation yet"):
        compare_unfinished([a, tmp_path / "begun"])
    assert not any_unfinished([tmp_path / "begun", tmp_path / "nowhere", evaluated])
    with pytest.raises(UserError, match="is none of the runs"):
        compare_unfinished([a], baseline=b)
    (a / "config.yaml").write_text("{")
    with pytest.raises(DataError, match=r"config\.yaml is damaged"):
        compare_unfinished([a])
    (a / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"has validations but no config\.yaml"):
        compare_unfinished([a])
