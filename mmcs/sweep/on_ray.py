"""``hydra/launcher=ray``: jobs side by side on Ray, each with the processors and GPUs that it asks for."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from mmcs.errors import UserError
from mmcs.run_folder import FAILED, PREEMPTED, read_status
from mmcs.sweep.job import Job, on_gpus, processes_of
from mmcs.sweep.launcher import Launcher, Report, announce, tell
from mmcs.sweep.outcome import WAITING, Outcome
from mmcs.sweep.process import STOPPED, Stop, run_job

_SECONDS_BETWEEN_LOOKS = 1.0
_LEAST_STORE = 80 * 2**20  # bytes of Ray's store: nothing but outcomes passes through it
#: What Ray says unasked: that lines repeat, that a future version will not hide GPUs, how its own usage is counted.
_QUIET = {"RAY_DEDUP_LOGS": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0"}


class OnRay(Launcher):
    """Runs jobs on Ray.

    Args:
        ray: ``init``, arguments of ``ray.init``, and ``remote``, what each job takes (None: what its configuration asks
            for).
    """

    def __init__(self, ray: dict[str, dict[str, Any]]) -> None:
        self.init = {key: value for key, value in ray["init"].items() if value is not None}
        self.remote = {key: value for key, value in ray["remote"].items() if value is not None}
        self._begun = False

    def launch(self, jobs: Sequence[Job], stop: Stop, report: Report) -> None:
        self._begin()
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        running: dict[ray.ObjectRef, Job] = {}
        asked = {job.number: self._asked(job, nodes) for job in jobs}
        for job in jobs:  # before anything is launched
            sentence = job.sentence or _refusal(asked[job.number], nodes)
            if sentence is not None:
                outcome = Outcome(job.number, job.overrides, str(job.folder), FAILED, sentence=sentence, code=2)
                tell(job, outcome)
                report(outcome)
            else:
                running[_submit(job, asked[job.number])] = job
        with stop.caught():  # once more: Ray has a handler of its own
            self._wait(running, stop, report)

    def _wait(self, running: dict[ray.ObjectRef, Job], stop: Stop, report: Report) -> None:
        cancelled = False
        while running:
            if stop.signal is not None and not cancelled:
                cancelled = True
                for reference in running:
                    ray.cancel(reference)
            done, _ = ray.wait(list(running), timeout=_SECONDS_BETWEEN_LOOKS)
            for reference in done:
                job = running.pop(reference)
                outcome = _outcome(reference, job, stop)
                tell(job, outcome)
                report(outcome)

    def close(self) -> None:
        if self._begun:
            ray.shutdown()

    def _begin(self) -> None:
        if ray.is_initialized():
            return
        os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
        quiet: dict[str, Any] = {"include_dashboard": False, "logging_level": logging.ERROR}
        if "address" not in self.init:
            quiet |= {"address": "local", "object_store_memory": _LEAST_STORE}
        try:
            ray.init(**{**quiet, **self.init})
        except (ConnectionError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(f"Ray cannot be reached or started: {' '.join(str(error).split())}") from None
        self._begun = True

    def _asked(self, job: Job, nodes: Sequence[Mapping[str, float]]) -> dict[str, Any]:
        if job.config is None:
            return {}
        processes = processes_of(job.config)
        gpus = processes if on_gpus(job.config, any(node.get("GPU") for node in nodes)) else 0
        return {"num_cpus": processes, "num_gpus": gpus, **self.remote}


def _submit(job: Job, asked: Mapping[str, Any]) -> ray.ObjectRef:
    # The task is a process's main thread, where alone a cancellation can be passed on to the job. No retry: a job runs once.
    remote = ray.remote(max_retries=0, **asked)(_run)
    return remote.options(name=f"job {job.number}").remote(job)


def _run(job: Job) -> Outcome:
    """On whatever machine Ray has chosen."""
    if isinstance(job.config, dict) and isinstance(job.config["trainer"].get("devices"), list):
        job.config["trainer"]["devices"] = processes_of(job.config)  # Ray has chosen the GPUs: they are 0, 1, … here
    announce(job)
    with Stop().caught() as stop:
        return run_job(job, stop)


def _refusal(asked: Mapping[str, Any], nodes: Sequence[Mapping[str, float]]) -> str | None:
    """Why a job can never run here: no machine has what it asks for."""
    needs = {"CPU": asked["num_cpus"], "GPU": asked["num_gpus"], **asked.get("resources", {})}
    if any(all(node.get(name, 0) >= amount for name, amount in needs.items()) for node in nodes):
        return None
    wanted = ", ".join(f"{amount:g} {name}" for name, amount in needs.items() if amount)
    there = "; ".join(
        ", ".join(f"{node.get(name, 0):g} {name}" for name in needs) for node in sorted(nodes, key=str)[:4]
    )
    return f"the job asks for {wanted}, which no machine of the Ray cluster has ({len(nodes)} there: {there}{'; …' if len(nodes) > 4 else ''})."


def _outcome(reference: ray.ObjectRef, job: Job, stop: Stop) -> Outcome:
    try:
        return ray.get(reference)
    except Exception as error:  # the machine is gone, the task was cancelled before it began
        about = (job.number, job.overrides, str(job.folder))
        if stop.signal is not None:
            written = read_status(job.folder)  # Ray may forget what a cancelled task has returned
            ended = PREEMPTED if written is not None and written["status"] == PREEMPTED else WAITING
            return Outcome(*about, ended, sentence=STOPPED if ended == PREEMPTED else None, code=128 + stop.signal)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return Outcome(*about, FAILED, sentence=f"Ray could not run the job: {(lines or [repr(error)])[-1]}", code=1)
