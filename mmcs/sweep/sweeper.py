"""What a sweeper is, and the sweep that it drives: jobs composed in the sweep's folder, launched, recorded.

``grid`` and ``study`` are the sweepers; ``mmcs.sweep.main`` builds the one that the configuration names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from mmcs.sweep.job import Job, compose_job
from mmcs.sweep.launcher import Launcher
from mmcs.sweep.outcome import Outcome, Record
from mmcs.sweep.process import Stop


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

    def launch(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Runs jobs and records their outcomes, which are returned in the order of the jobs."""
        self.launcher.launch(jobs, self.stop, self.record.add)
        return [self.record.outcomes[job.number] for job in jobs]


class Sweeper(ABC):
    """Decides which points are run."""

    @abstractmethod
    def run(self, sweep: Sweep, overrides: Sequence[Override], parser: OverridesParser) -> None:
        """Runs the whole sweep; ``overrides`` are those of the command line, ``parser`` reads further ones."""
