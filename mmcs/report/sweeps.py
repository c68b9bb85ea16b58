"""A whole sweep as the report reads it: its points, several seeds of a point together, their figures. Drawing and the page are
``sweep_plot``'s and ``sweep_page``'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from mmcs.errors import UserError
from mmcs.evaluation.direct import is_direct
from mmcs.evaluation.protocols import ALL_CAPTIONS
from mmcs.evaluation.ranking import TASKS
from mmcs.evaluation.results import NAME, read_results
from mmcs.run_folder import COMPLETED
from mmcs.sweep.outcome import Outcome, best_of, read_sweep

SEED = "seed"


@dataclass(frozen=True)
class Figure:
    """A figure of a point: the mean over its completed seeds, the lowest and the highest; all in 0 to 1."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """The jobs of a sweep that differ in their seed alone.

    Attributes:
        settings: key → value of the overrides that differ within the sweep, the seed's left out.
        jobs: one per seed.
        objective: best monitored validation figure; None where no job has one.
        tested: the test figure; None where no job has one.
    """

    settings: dict[str, str]
    jobs: list[Outcome]
    objective: Figure | None
    tested: Figure | None

    @property
    def completed(self) -> list[Outcome]:
        return [job for job in self.jobs if job.status == COMPLETED]


@dataclass(frozen=True)
class Swept:
    """A sweep.

    Attributes:
        folder: of the sweep.
        keys: what differs between its points.
        points: the best objective first, those without one last.
        best: the best run.
        measured: what the test figure is, in words; None where no run was tested.
        seeds: whether the sweep has several seeds of a point.
    """

    folder: Path
    keys: list[str]
    points: list[Point]
    best: Outcome
    measured: str | None
    seeds: bool

    @property
    def jobs(self) -> list[Outcome]:
        return sorted((job for point in self.points for job in point.jobs), key=lambda job: job.number)


def load_sweep(folder: Path) -> Swept:
    """Reads a sweep's folder.

    Raises:
        UserError: no job of it completed. DataError: its record or a run's results are damaged.
    """
    outcomes = read_sweep(folder)
    best = best_of(outcomes)
    if best is None:
        reasons = [f"job {own.number} {own.status}: {own.sentence}" for own in outcomes if own.sentence]
        why = f" ({reasons[0]})" if reasons else ""
        raise UserError(f"no job of the {len(outcomes)} in {folder} has completed with a figure to compare{why}.")
    settings = [_settings(own.overrides) for own in outcomes]
    every = {key for own in settings for key in own}
    keys = [key for key in _in_order(settings) if key in every and len({own.get(key) for own in settings}) > 1]
    tested = {own.number: _tested(_moved(folder, own)) for own in outcomes if own.status == COMPLETED}
    alike: dict[tuple[str | None, ...], list[Outcome]] = {}
    for own, values in zip(outcomes, settings, strict=True):
        alike.setdefault(tuple(values.get(key) for key in keys if key != SEED), []).append(own)
    measured = next((found[0] for found in tested.values() if found is not None), None)
    names = [key for key in keys if key != SEED]
    points = [
        Point(
            {key: "–" if value is None else value for key, value in zip(names, values, strict=True)},
            jobs,
            _figure([own.objective for own in jobs if own.status == COMPLETED]),
            _figure([found[1] for own in jobs if (found := tested.get(own.number)) and found[0] == measured]),
        )
        for values, jobs in alike.items()
    ]
    points.sort(key=lambda point: -point.objective.mean if point.objective else 1.0)
    return Swept(folder, names, points, best, measured, any(len(point.jobs) > 1 for point in points))


def _settings(overrides: Sequence[str]) -> dict[str, str]:
    return {key: value for key, _, value in (override.partition("=") for override in overrides)}


def _in_order(settings: Sequence[dict[str, str]]) -> list[str]:
    return list(dict.fromkeys(key for own in settings for key in own))


def _moved(folder: Path, own: Outcome) -> Path:
    """Where a job's run lies: beside the record, also when the sweep's folder has been moved."""
    here = folder / Path(own.folder).name
    return here if here.is_dir() else Path(own.folder)


def _tested(run: Path) -> tuple[str, float] | None:
    """(what it is, the figure) of a run's test: mean recall@10 of image retrieval on its first suite."""
    if not (run / NAME).is_file():
        return None
    rows = [
        row
        for row in read_results(run)["rows"]
        if row["split"] == "test" and row["task"] == TASKS[0] and row["metric"] == "recall@10" and is_direct(row)
    ]
    if not rows:
        return None
    suite = rows[0]["suite"]
    protocols = [row["protocol"] for row in rows if row["suite"] == suite]
    protocol = ALL_CAPTIONS if ALL_CAPTIONS in protocols else protocols[0]
    by_language = {row["query_language"]: row for row in rows if (row["suite"], row["protocol"]) == (suite, protocol)}
    named = "test" if protocol == ALL_CAPTIONS else f"test, {protocol.replace('_', ' ')}"
    for language, spoken in (("non_english", "non-English"), ("all", "all languages"), ("en", "English")):
        if language in by_language:
            return f"{suite} ({named}), {spoken}", by_language[language]["value"]
    return None


def _figure(values: Sequence[float | None]) -> Figure | None:
    known = [value for value in values if value is not None]
    return Figure(fmean(known), min(known), max(known)) if known else None
