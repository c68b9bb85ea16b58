"""What became of a job, and the sweep's record of all of them (``sweep.json``).

Launchers make outcomes, sweepers read them, ``mmcs.report.sweeps`` reads the file. How a job is run is ``process``'s.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmcs.errors import DataError, UserError
from mmcs.files import atomic_file
from mmcs.run_folder import COMPLETED, FAILED, PREEMPTED

SCHEMA = 1
NAME = "sweep.json"
WAITING = "not started"


@dataclass(frozen=True)
class Outcome:
    """The end of one job.

    Attributes:
        number: of the job; its folder's name by default.
        overrides: as typed, one point of the sweep.
        folder: of the run.
        status: completed, failed, preempted (stopped from outside, goes on with resume=auto) or not started.
        objective: the best monitored validation figure; None without one.
        sentence: what went wrong.
        code: exit code of the job; 0 where it completed.
    """

    number: int
    overrides: tuple[str, ...]
    folder: str
    status: str
    objective: float | None = None
    sentence: str | None = None
    code: int = 0


class Record:
    """The outcomes of a sweep by job number; every one that comes in is on disk at once, so that a kill loses none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outcomes: dict[int, Outcome] = {}
        if (folder / NAME).is_file():
            self.outcomes = {outcome.number: outcome for outcome in read_sweep(folder)}

    def begin(self, outcomes: Sequence[Outcome]) -> None:
        """Starts anew, with what is to be run."""
        self.outcomes = {}
        self.add(*outcomes)

    def add(self, *outcomes: Outcome) -> None:
        """Takes outcomes in (a later one of the same number stands) and writes the file."""
        self.outcomes |= {outcome.number: outcome for outcome in outcomes}
        best = self.best
        jobs = [asdict(self.outcomes[number]) for number in sorted(self.outcomes)]
        content = {"schema": SCHEMA, "best": None if best is None else best.number, "jobs": jobs}
        with atomic_file(self.folder / NAME) as path:
            path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @property
    def best(self) -> Outcome | None:
        """The completed job with the highest objective; of equals the first."""
        return best_of([self.outcomes[number] for number in sorted(self.outcomes)])

    @property
    def code(self) -> int:
        """The highest exit code of the jobs; 1 if all completed and none has an objective, since nothing can be compared then."""
        code = max((outcome.code for outcome in self.outcomes.values()), default=0)
        return 1 if self.outcomes and not code and self.best is None else code


def best_of(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The completed job with the highest objective; of equals the first."""
    measured = [own for own in outcomes if own.status == COMPLETED and own.objective is not None]
    return max(measured, key=lambda own: own.objective or 0.0, default=None)


def read_sweep(folder: Path) -> list[Outcome]:
    """The outcomes that ``folder/sweep.json`` holds, by number.

    Raises:
        UserError: there is no such file. DataError: it is damaged, or a newer mmcs wrote it.
    """
    source = folder / NAME
    if not source.is_file():
        raise UserError(f"{folder} holds no {NAME}: it is no folder of a sweep.")
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
        if content["schema"] > SCHEMA:
            raise DataError(f"{source} has schema {content['schema']}, this mmcs reads up to {SCHEMA}: update mmcs.")
        return [_outcome(job) for job in content["jobs"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{source} is damaged ({' '.join(str(error).split())}); run the sweep again.") from None


def _outcome(job: dict[str, Any]) -> Outcome:
    outcome = Outcome(**{**job, "overrides": tuple(job["overrides"])})
    if outcome.status not in (COMPLETED, FAILED, PREEMPTED, WAITING):
        raise ValueError(f"status {outcome.status!r}")
    if outcome.objective is not None and not math.isfinite(outcome.objective):
        raise ValueError(f"objective {outcome.objective}")
    return outcome
