"""Does many pieces of work, several at a time, each to its end and none twice: what is done stays done, what was broken off goes on.

A worker is a process that does one after the other, so that the libraries are loaded once. A training run (``Job``) is
``mmcs.train.launch``; one on several devices starts its own processes.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from mmcs.errors import MmcsError, UserError
from mmcs.files import atomic_file
from mmcs.run_folder import COMPLETED, CONFIG, read_config, read_status, without_launch

COST, LOG = "cost.json", "log.txt"
MOST_WORKERS = 4


class Work(Protocol):
    """A piece of work with a folder of its own; it goes to a worker by pickle."""

    @property
    def folder(self) -> Path: ...

    def done(self) -> bool: ...

    def do(self) -> None: ...


@dataclass(frozen=True)
class Job:
    """A training run to be had: its configuration and its folder."""

    config: dict[str, Any]
    folder: Path

    def done(self) -> bool:
        """Whether the folder holds this run, completed.

        Raises:
            UserError: it holds another one.
        """
        if not (self.folder / CONFIG).exists():
            return False
        if read_config(self.folder) != without_launch(self.config):
            raise UserError(
                f"{self.folder} holds a run of other settings; remove it, or name another folder with study.out=…"
            )
        status = read_status(self.folder)
        return status is not None and status["status"] == COMPLETED

    def do(self) -> None:
        """Trains and evaluates; what it cost stands in ``cost.json``."""
        from mmcs.train import launch

        used = time.process_time()
        launch({**self.config, "resume": "auto"}, self.folder)
        with atomic_file(self.folder / COST) as path:
            path.write_text(json.dumps({"cpu_seconds": time.process_time() - used}) + "\n", encoding="utf-8")


def workers_of(config: dict[str, Any], wanted: int | None) -> int:
    """How many runs at a time: on a CPU as many as it has cores, up to four; elsewhere one."""
    if wanted is not None:
        return max(1, wanted)
    trainer = config["trainer"]
    on_cpu = trainer["accelerator"] == "cpu" and trainer["devices"] == 1
    return min(MOST_WORKERS, len(os.sched_getaffinity(0))) if on_cpu else 1


def run_all(title: str, jobs: Iterable[Work], workers: int) -> None:
    """Does what is not done yet.

    Args:
        title: stands before the progress.
        workers: runs at a time.

    Raises:
        MmcsError: the first run that failed, with its sentence; the others of the moment end first.
    """
    jobs = list(jobs)
    waiting = [job for job in jobs if not job.done()]
    if not waiting:
        return
    workers = min(workers, len(waiting))  # a run that is left alone has every core
    print(f"» {title}: {len(waiting)} of {len(jobs)} to do, {workers} at a time", flush=True)
    spent, count = 0.0, len(waiting)
    threads = max(1, len(os.sched_getaffinity(0)) // workers)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(threads,)) as pool:
        running: dict[Future[float], Work] = {}
        try:
            for number in range(1, count + 1):
                while len(running) < workers and waiting:
                    job = waiting.pop(0)
                    running[pool.submit(_run, job)] = job
                done = next(iter(wait(running, return_when=FIRST_COMPLETED).done))
                job, seconds = running.pop(done), done.result()
                spent += seconds
                left = spent / number * (count - number) / workers
                print(f"  [{number}/{count}] {job.folder.parent.name}/{job.folder.name}: {seconds:.0f} s; about "
                      f"{left / 60:.0f} min left", flush=True)  # fmt: skip
        except BrokenProcessPool:
            named = ", ".join(str(job.folder) for job in running.values()) or "a run"
            raise MmcsError(
                f"a process of the study was killed, as a machine that runs out of memory does, while it ran {named}; the same "
                "command goes on there."
            ) from None


def cost(folders: Sequence[Path]) -> float:
    """Mean CPU seconds of the runs in ``folders``, evaluation included."""
    seconds = [json.loads((folder / COST).read_text())["cpu_seconds"] for folder in folders if (folder / COST).exists()]
    return sum(seconds) / len(seconds) if seconds else float("nan")


def _begin(threads: int) -> None:
    """A worker's first act; torch is not imported in the process that waits."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    from mmcs.orphans import end_with_parent

    end_with_parent()
    import torch

    torch.set_num_threads(threads)


def _run(job: Work) -> float:
    """One piece of work, its words in its folder; returns how many seconds it took."""
    began = time.monotonic()
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / LOG).open("ab") as log, _both_ends_in(log):
        job.do()
    return time.monotonic() - began


@contextlib.contextmanager
def _both_ends_in(log: BinaryIO) -> Iterator[None]:
    """What the process says goes to ``log``: the descriptors themselves, since loggers keep the stream that they first saw."""
    kept = [os.dup(number) for number in (1, 2)]
    try:
        for number in (1, 2):
            os.dup2(log.fileno(), number)
        yield
    finally:
        for number, before in zip((1, 2), kept, strict=True):
            (sys.stdout, sys.stderr)[number - 1].flush()
            os.dup2(before, number)
            os.close(before)
