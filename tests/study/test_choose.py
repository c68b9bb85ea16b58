"""Learning rates are chosen by the last validation, and beyond an end of the list where the best stands there."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from mmcs.evaluation.validation import ValidationRanks, write_validation
from mmcs.files import atomic_file
from mmcs.run_folder import COMPLETED, write_status
from mmcs.study import choose as module
from mmcs.study.choose import choose, course
from mmcs.study.jobs import Job


def ranks(hits: int, first: int = 0, of: int = 10) -> ValidationRanks:
    """So many of ten queries, each of its own group, from ``first`` on, found their image."""
    own = np.where((np.arange(of) - first) % of < hits, 1, 50).astype(np.int32)
    return ValidationRanks(np.arange(of), np.arange(of), own)


def write_run(folder, others: list[int], first: int = 0) -> None:
    """A finished run whose captions in de and fi found so many of ten at each validation."""
    folder.mkdir(parents=True)
    for step, hits in enumerate(others, 1):
        parts = {("s", language, "image_retrieval"): ranks(hits, first) for language in ("de", "fi")}
        parts |= {("s", "en", "image_retrieval"): ranks(9), ("s", "de", "text_retrieval"): ranks(0)}
        write_validation(folder, step * 10, parts, ["de"])
    with atomic_file(folder / "config.yaml") as path:
        path.write_text("seed: 0\n")
    write_status(folder, COMPLETED)


def test_course_is_the_mean_over_languages_other_than_english(tmp_path):
    write_run(tmp_path / "run", [2, 4])
    found = course(tmp_path / "run")
    assert (found.steps, found.english, found.others) == ([10, 20], [0.9, 0.9], [0.2, 0.4])


@pytest.mark.parametrize(
    ("last", "chosen", "tried"),
    [
        ({0.001: 5, 0.01: 7, 0.1: 6}, 0.01, [0.001, 0.01, 0.1]),
        ({0.001: 7, 0.01: 5, 0.1: 3, 0.0001: 4}, 0.001, [0.0001, 0.001, 0.01, 0.1]),
        ({0.001: 1, 0.01: 2, 0.1: 3, 1.0: 4, 10.0: 5}, 10.0, [0.001, 0.01, 0.1, 1.0, 10.0]),
        ({0.001: 6, 0.01: 6, 0.1: 6, 0.0001: 1}, 0.001, [0.0001, 0.001, 0.01, 0.1]),
    ],
    ids=["within", "one beyond", "two beyond, no more", "the smallest of equals"],
)
def test_the_best_last_validation_counts(tmp_path, last, chosen, tried):
    def job(rate: float) -> Job:
        folder = tmp_path / f"lr_{rate:g}"
        if not folder.exists():
            write_run(folder, [9, last[rate]])
        return Job({"seed": 0, "resume": None}, folder)

    found = choose({"arm": job}, "arm", [0.001, 0.01, 0.1], tmp_path, 1)["arm"]
    assert found.rate == chosen and list(found.courses) == tried
    assert found.last_gain == pytest.approx((last[chosen] - 9) / 10)
    written = json.loads((tmp_path / module.FILE).read_text())
    assert written["arm"]["rate"] == chosen


@pytest.mark.parametrize(
    ("hits", "first", "chosen"),
    [(7, 0, 0.01), (6, 5, 0.001), (5, 5, 0.001), (4, 0, 0.001)],
    ids=["better", "better by less than chance", "as good", "worse"],
)
def test_the_baselines_rate_is_left_only_for_a_better_one(tmp_path, hits, first, chosen):
    """At the baseline's rate an arm finds concepts 0 to 4; at another the same and two more, or nearly all the others."""

    def job(name: str, rate: float) -> Job:
        folder = tmp_path / name / f"lr_{rate:g}"
        if not folder.exists():
            if name == "arm" and rate == 0.01:
                write_run(folder, [hits], first)
            else:
                write_run(folder, [5 if rate == 0.001 else 3])
        return Job({"seed": 0, "resume": None}, folder)

    def arms(*names: str) -> dict[str, partial[Job]]:
        return {name: partial(job, name) for name in names}

    rates = [0.0001, 0.001, 0.01, 0.1]
    found = choose(arms("english", "arm"), "english", rates, tmp_path, 1)
    assert found["english"].rate == 0.001 and found["arm"].rate == chosen
    best = found["arm"].best
    if (hits, first) == (6, 5):
        assert best is not None and best.rate == 0.01 and best.lead == pytest.approx(0.1)
        assert best.se == pytest.approx(np.std([1] * 5 + [-1] * 4 + [0], ddof=1) / 10**0.5)
    else:
        assert best is None
    alone = choose(arms("arm"), "english", rates, tmp_path, 1)["arm"]
    assert alone.rate == (0.01 if hits > 5 else 0.001), "without the baseline each takes its best"
