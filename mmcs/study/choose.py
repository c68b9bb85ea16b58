"""Each system's learning rate, chosen where nothing is compared: other languages, other concepts (``Stage.choosing``).

What counts is the last validation, as the compared runs take their last weights; the whole course is kept, to see whether a
system would still gain from more updates. One seed's validation does not tell neighbouring rates apart, and the best of several
may stand at the edge of what trains: a system leaves the baseline's rate only for one that is better by more than a standard
error (the rule of Breiman et al. 1984, Classification and Regression Trees, 3.4.3; what is simplest here is that two systems
differ in nothing but what is compared).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mmcs.evaluation.paired_tests import paired_tests
from mmcs.evaluation.ranking import TASKS
from mmcs.evaluation.validation import Key, ValidationRanks, read_validation
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
class Best:
    """The rate with the best last validation, where the baseline's was taken in its place.

    Attributes:
        rate: of it.
        lead: of its last validation over that at the baseline's rate; 0…1.
        se: standard error of ``lead`` over concepts.
    """

    rate: float
    lead: float
    se: float


@dataclass(frozen=True)
class Choice:
    """The learning rate of one system.

    Attributes:
        rate: that it is compared with.
        courses: of each that was tried; none where it was given.
        best: where that is another one, yet not told from ``rate``.
    """

    rate: float
    courses: dict[float, Course]
    best: Best | None = None

    @property
    def last_gain(self) -> float:
        """What the last validation adds to the one before, in the languages other than English; NaN where there are not two."""
        others = self.courses[self.rate].others if self.courses else []
        return others[-1] - others[-2] if len(others) > 1 else float("nan")


def choose(
    arms: Mapping[str, Callable[[float], Job]], baseline: str, rates: Sequence[float], folder: Path, workers: int
) -> dict[str, Choice]:
    """The best rate of each arm, but the baseline's where the best is not told from it.

    Where the best is the least or the greatest tried, the next one beyond is tried, too.

    Args:
        arms: name → the run with a rate.
        baseline: the arm that the others are compared with; where it is none of them, each takes its best.
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
    shared = _best(courses[baseline]) if baseline in arms else None
    chosen = {}
    for name, of_rate in courses.items():
        best, ordered = _best(of_rate), dict(sorted(of_rate.items()))
        chosen[name] = Choice(best, ordered)
        if shared is not None and shared in of_rate and best != shared:
            lead, se = _lead(arms[name](best).folder, arms[name](shared).folder)
            if lead <= se:
                chosen[name] = Choice(shared, ordered, Best(best, lead, se))
    with atomic_file(folder / FILE) as path:
        path.write_text(json.dumps({name: asdict(own) for name, own in chosen.items()}, indent=1) + "\n")
    return chosen


def course(run: Path) -> Course:
    """Reads a run's validations."""
    found = Course([], [], [])
    for step, parts in read_validation(run).items():
        hits = {key: float((own.ranks <= K).mean()) for key, own in _asked(parts).items()}
        found.steps.append(step)
        found.english.append(_mean(value for (_, language), value in hits.items() if language == ENGLISH))
        found.others.append(_mean(value for (_, language), value in hits.items() if language != ENGLISH))
    return found


def _best(courses: Mapping[float, Course]) -> float:
    """The smallest of equally good ones."""
    return max(sorted(courses), key=lambda rate: courses[rate].others[-1])


def _lead(first: Path, second: Path) -> tuple[float, float]:
    """Of two runs' last validations, the mean over the languages other than English; with its standard error."""
    ours, theirs = (_asked(list(read_validation(run).values())[-1]) for run in (first, second))
    keys = {f"{suite}/{language}": (suite, language) for suite, language in ours if language != ENGLISH}
    hits = {name: (ours[key].ranks <= K) * 1.0 - (theirs[key].ranks <= K) for name, key in keys.items()}
    groups = {name: [str(group) for group in ours[key].groups] for name, key in keys.items()}
    test = paired_tests(hits, groups, {"others": list(keys)})["others"]
    return test.value, test.se


def _asked(parts: Mapping[Key, ValidationRanks]) -> dict[tuple[str, str], ValidationRanks]:
    """The captions that ask for images, by suite and language."""
    return {
        (suite, language): own for (suite, language, task), own in parts.items() if task == TASKS[0] and len(own.ranks)
    }


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else float("nan")
