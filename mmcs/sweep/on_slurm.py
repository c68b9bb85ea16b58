"""``hydra/launcher=submitit_slurm`` and ``submitit_local``: jobs as SLURM jobs, one array for all that ask for the same."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import submitit

from mmcs.errors import UserError
from mmcs.run_folder import FAILED
from mmcs.sweep.job import Job, on_gpus, processes_of, resumed
from mmcs.sweep.launcher import Launcher, Report, announce, tell
from mmcs.sweep.outcome import Outcome
from mmcs.sweep.process import Stop, run_job, say

_SECONDS_BETWEEN_LOOKS = 1.0
_SHARED = ("timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb", "name")  # submitit's, whatever the cluster


class OnSlurm(Launcher):
    """Runs jobs through submitit. A job that is preempted or out of time is queued again and goes on from its checkpoint.

    Args:
        executor: "slurm", or "local" to try things out.
        submitit_folder: for batch scripts and their output.
        max_num_timeout: how often a job that is out of time is queued again.
        settings: what sbatch is told, under submitit's names; None is left out.
    """

    def __init__(self, executor: str, submitit_folder: str, max_num_timeout: int = 0, **settings: Any) -> None:
        self.executor, self.folder, self.max_num_timeout = executor, Path(submitit_folder).absolute(), max_num_timeout
        self.settings = {key: value for key, value in settings.items() if value is not None}
        self._executor(1, 0)  # so that what it refuses is refused at once

    def launch(self, jobs: Sequence[Job], stop: Stop, report: Report) -> None:
        alike: dict[tuple[int, int], list[Job]] = defaultdict(list)
        for job in jobs:
            if job.config is None:
                outcome = run_job(job, stop)
                tell(job, outcome)
                report(outcome)
            else:
                alike[_needs(job.config)].append(job)
        running: dict[submitit.Job, Job] = {}
        for needs, own in alike.items():
            for handle, job in zip(self._executor(*needs).map_array(InJob(), own), own, strict=True):
                running[handle] = job
                say(job, f"queued as {handle.job_id}: {job.point}".rstrip(": "))
        cancelled = False
        while running:
            if stop.signal is not None and not cancelled:
                cancelled = True
                for handle in running:
                    handle.cancel(check=False)
            for handle in [handle for handle in running if handle.done()]:
                job = running.pop(handle)
                outcome = _outcome(handle, job)
                tell(job, outcome)
                report(outcome)
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _executor(self, processes: int, gpus: int) -> submitit.AutoExecutor:
        """The executor for jobs of so many processes and GPUs."""
        asked: dict[str, Any] = {"gpus_per_node": gpus, **self.settings, "nodes": 1, "tasks_per_node": 1}
        if self.executor == "slurm":
            asked.setdefault("cpus_per_task", processes)
        own = {
            key if key in (*_SHARED, "nodes", "tasks_per_node") else f"{self.executor}_{key}": asked[key]
            for key in asked
        }
        timeouts = {"slurm_max_num_timeout": self.max_num_timeout} if self.executor == "slurm" else {}
        try:
            executor = submitit.AutoExecutor(self.folder, cluster=self.executor, **timeouts)
            executor.update_parameters(**own)
        except (RuntimeError, NameError, TypeError, ValueError) as error:
            raise UserError(f"submitit refuses hydra.launcher: {' '.join(str(error).split())}") from None
        return executor


class InJob:
    """What submitit calls in the SLURM job, and asks for what is to be queued when the job has to go."""

    def __init__(self) -> None:
        self.stop = Stop()

    def __call__(self, job: Job) -> Outcome:
        announce(job)
        with self.stop.caught():  # what scancel sends, too
            return run_job(job, self.stop)

    def checkpoint(self, job: Job) -> submitit.helpers.DelayedSubmission:
        """Called within the signal's handler: has the run write its checkpoint and end, and queues the job again."""
        self.stop.end_and_wait()
        return submitit.helpers.DelayedSubmission(InJob(), resumed(job))


def _needs(config: dict[str, Any]) -> tuple[int, int]:
    """(CPUs, GPUs) that a job asks for."""
    processes = processes_of(config)
    return processes * (1 + (config["data"].get("num_workers") or 0)), processes if on_gpus(config, False) else 0


def _outcome(handle: submitit.Job, job: Job) -> Outcome:
    try:
        return handle.result()
    except Exception as error:  # the job is gone: cancelled, out of memory, out of time too often, its machine broken
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        sentence = f"{handle.state}: {(lines or [repr(error)])[0]} (see {handle.paths.stderr})"
        return Outcome(job.number, job.overrides, str(job.folder), FAILED, sentence=sentence, code=1)
