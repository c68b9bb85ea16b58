"""Each system's learning rate, chosen where nothing is compared: other languages, other concepts (``Stage.choosing``).

What counts is the last validation, as the compared runs take their last weights; the whole course is kept, to see whether a
system would still gain from more updates.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmcs.evaluation.validation import read_validation
from mmcs.files import atomic_file
from mmcs.retrieval.languages import ENGLISH
from mmcs.study.jobs import Job, run_all

FILE = "chosen.json"
MOST_STEPS_BEYOND = 2  # tries beyond an end of the list
K = 10


@dataclass(frozen=True)
class Course:
    """The validations of one run.

    Attributes:
        steps: when.
        english, others: recall@10 of captions that ask for images, in English and as the mean over the other languages; 0…1.
    """

    steps: list[int]
    english: list[float]
    others: list[float]


@dataclass(frozen=True)
class Choice:
    """The learning rate of one system, and the course of each that was tried; none where it was given."""

    rate: float
    courses: dict[float, Course]

    @property
    def last_gain(self) -> float:
        """What the last validation adds to the one before, in the languages other than English; NaN where there are not two."""
        others = self.courses[self.rate].others if self.courses else []
        return others[-1] - others[-2] if len(others) > 1 else float("nan")


def choose(
    arms: Mapping[str, Callable[[float], Job]], rates: Sequence[float], folder: Path, workers: int
) -> dict[str, Choice]:
    """The best rate of each arm; where that is the least or the greatest tried, the next one beyond is tried, too.

    Args:
        arms: name → the run with a rate.
        rates: one is taken as it is; beyond several goes the factor between the two at that end.
        folder: where what was chosen is written.
        workers: runs at a time.
    """
    if len(rates) == 1:  # nothing to choose
        return {name: Choice(float(rates[0]), {}) for name in arms}
    tried: dict[str, list[float]] = {name: sorted(map(float, rates)) for name in arms}
    courses: dict[str, dict[float, Course]] = {name: {} for name in arms}
    for beyond in range(MOST_STEPS_BEYOND + 1):
        new = [(name, rate) for name in arms for rate in tried[name] if rate not in courses[name]]
        jobs = {(name, rate): arms[name](rate) for name, rate in new}
        run_all("choosing learning rates", jobs.values(), workers)
        for (name, rate), job in jobs.items():
            courses[name][rate] = course(job.folder)
        if beyond == MOST_STEPS_BEYOND:
            break
        for name, own in tried.items():
            best = _best(courses[name])
            if best in (own[0], own[-1]):
                next_rate = own[0] ** 2 / own[1] if best == own[0] else own[-1] ** 2 / own[-2]
                own.append(float(f"{next_rate:.2g}"))
                own.sort()
    chosen = {name: Choice(_best(own), dict(sorted(own.items()))) for name, own in courses.items()}
    with atomic_file(folder / FILE) as path:
        path.write_text(json.dumps({name: _as_json(own) for name, own in chosen.items()}, indent=1) + "\n")
    return chosen


def course(run: Path) -> Course:
    """Reads a run's validations."""
    found = Course([], [], [])
    for step, parts in read_validation(run).items():
        hits: dict[str, float] = {}
        for (_, language, task), own in parts.items():
            if task == "image_retrieval" and len(own.ranks):
                hits[language] = float((own.ranks <= K).mean())
        found.steps.append(step)
        found.english.append(hits.pop(ENGLISH, float("nan")))
        found.others.append(float(np.mean(list(hits.values()))))
    return found


def _best(courses: Mapping[float, Course]) -> float:
    """The smallest of equally good ones."""
    return max(sorted(courses), key=lambda rate: courses[rate].others[-1])


def _as_json(choice: Choice) -> dict[str, Any]:
    return {"rate": choice.rate, "courses": {str(rate): asdict(own) for rate, own in choice.courses.items()}}
