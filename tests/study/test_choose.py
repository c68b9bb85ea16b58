"""Learning rates are chosen by the last validation, and beyond an end of the list where the best stands there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmcs.evaluation.validation import ValidationRanks, write_validation
from mmcs.files import atomic_file
from mmcs.run_folder import COMPLETED, write_status
from mmcs.study import choose as module
from mmcs.study.choose import choose, course
from mmcs.study.jobs import Job


def ranks(hits: int, of: int = 10) -> ValidationRanks:
    own = np.array([1] * hits + [50] * (of - hits), np.int32)
    return ValidationRanks(np.arange(of), np.arange(of), own)


def write_run(folder, others: list[int]) -> None:
    """A finished run whose captions in de and fi found so many of ten at each validation."""
    folder.mkdir(parents=True)
    for step, hits in enumerate(others, 1):
        parts = {("s", language, "image_retrieval"): ranks(hits) for language in ("de", "fi")}
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

    found = choose({"arm": job}, [0.001, 0.01, 0.1], tmp_path, 1)["arm"]
    assert found.rate == chosen and list(found.courses) == tried
    assert found.last_gain == pytest.approx((last[chosen] - 9) / 10)
    written = json.loads((tmp_path / module.FILE).read_text())
    assert written["arm"]["rate"] == chosen
