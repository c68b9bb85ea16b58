"""What a launcher is, and the one that runs jobs one after the other on this machine (``hydra/launcher=basic``).

``mmcs.sweep.main`` builds the launcher that the configuration names; sweepers hand it jobs. The others: ``on_ray``,
``on_slurm``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from mmcs.run_folder import FAILED, PREEMPTED
from mmcs.sweep.job import Job
from mmcs.sweep.outcome import Outcome
from mmcs.sweep.process import Stop, run_job, say

Report = Callable[[Outcome], None]


class Launcher(ABC):
    """Runs jobs, each exactly once and in a process tree of its own."""

    @abstractmethod
    def launch(self, jobs: Sequence[Job], stop: Stop, report: Report) -> None:
        """Runs ``jobs`` to their ends and calls ``report`` with the outcome of each as it comes in, also of those that a
        signal (``stop``) kept from starting.
        """

    def close(self) -> None:  # noqa: B027 (not every launcher holds something)
        """Gives back what the launcher has started for the sweep."""


class Local(Launcher):
    """One job after the other, on this machine."""

    def launch(self, jobs: Sequence[Job], stop: Stop, report: Report) -> None:
        for job in jobs:
            if stop.signal is None:
                announce(job)
            outcome = run_job(job, stop)
            tell(job, outcome)
            report(outcome)


def announce(job: Job) -> None:
    """Says that a job begins, and with what."""
    say(job, f"{job.point} → {job.folder}".lstrip())


def tell(job: Job, outcome: Outcome) -> None:
    """Says why a job did not complete."""
    if outcome.status in (FAILED, PREEMPTED):
        say(job, f"{outcome.status}: {outcome.sentence}")
