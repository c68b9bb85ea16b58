"""The base class of sweepers (``grid``, ``study``), and the sweep that they run: jobs are composed, launched and recorded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from mmcs.errors import UserError
from mmcs.sweep.job import Job, compose_job
from mmcs.sweep.launcher import Launcher
from mmcs.sweep.outcome import Outcome, Record
from mmcs.sweep.process import Stop, earlier_outcome


@dataclass
class Sweep:
    """A sweep under way.

    Attributes:
        folder: of the sweep, absolute.
        typed: the ``hydra`` overrides of the command line.
        launcher: runs the jobs.
        stop: what came from outside.
        record: the outcomes so far.
    """

    folder: Path
    typed: list[str]
    launcher: Launcher
    stop: Stop
    record: Record

    def compose(
        self, number: int, total: int, shared: Sequence[str], point: Sequence[str], resume: bool = False
    ) -> Job:
        """A job of this sweep; see ``compose_job``."""
        return compose_job(number, total, shared, point, sweep=self.folder, typed=self.typed, resume=resume)

    def check(self, jobs: Sequence[Job]) -> None:
        """Checks that ``jobs`` would replace nothing in their folders.

        Raises:
            UserError: the folder of one holds another run, or one that is not to be continued.
        """
        for job in jobs:
            earlier_outcome(job)

    def launch(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Runs jobs and records their outcomes, which are returned in the order of the jobs."""
        self.launcher.launch(jobs, self.stop, self.record.add)
        return [self.record.outcomes[job.number] for job in jobs]


class Sweeper(ABC):
    """Decides which points are run."""

    @abstractmethod
    def run(self, sweep: Sweep, overrides: Sequence[Override], parser: OverridesParser) -> None:
        """Runs the whole sweep; ``overrides`` are those of the command line, ``parser`` reads further ones."""


def split(
    params: Mapping[str, object], overrides: Sequence[Override], parser: OverridesParser
) -> tuple[list[str], dict[str, Override]]:
    """The overrides that all jobs share, and by key those that differ between jobs.

    Args:
        params: further keys, which ``overrides`` replace.
    """
    further = parser.parse_overrides([f"{key}={value}" for key, value in params.items()])
    by_key = {override.get_key_element(): override for override in (*further, *overrides)}
    swept = {key: override for key, override in by_key.items() if override.is_sweep_override()}
    return [str(own.input_line) for key, own in by_key.items() if key not in swept], swept


def values_of(override: Override) -> list[str]:
    """The values that a discrete override lists, as the command line would write them.

    Raises:
        UserError: it is an interval, or lists nothing.
    """
    if not override.is_discrete_sweep():
        raise UserError(f"{override.input_line} has no list of values; hydra/sweeper=optuna draws from an interval.")
    values = list(override.sweep_string_iterator())
    if not values:
        raise UserError(f"{override.input_line} has no values.")
    return values
