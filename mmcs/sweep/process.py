"""Runs one job in a process tree of its own: its folder, its log, its end. Every launcher calls ``run_job``, here or on
another machine; nothing of one job's environment reaches the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import mmcs
from mmcs.errors import DataError, UserError
from mmcs.files import atomic_file
from mmcs.run_folder import (
    COMPLETED,
    FAILED,
    INTERRUPTED,
    PREEMPTED,
    STATUS,
    holds_run,
    read_status,
    without_launch,
    write_status,
)
from mmcs.sweep.job import Job
from mmcs.sweep.outcome import WAITING, Outcome

JOB, LOG = "job.json", "log.txt"
STOPPED = "stopped by a signal; resume=auto continues it"
COMMAND = ("-m", "mmcs.train", "--job")  # and the folder
#: What a launcher of processes leaves in the environment: a job that saw it would take itself for a rank of another run.
_OF_A_TREE = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK", "MASTER_ADDR",
              "MASTER_PORT", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "PL_GLOBAL_SEED")  # fmt: skip
_PREFIXES = ("TORCHELASTIC_", "ROLE_", "GROUP_WORLD", "SLURM_STEP")
#: Settings that may change when a run is continued: they do not affect what has been learnt.
_MAY_DIFFER = ("trainer", "eval", "callbacks", "logger")
_SECONDS_FOR_A_CHECKPOINT = 600.0


class Stop:
    """Catches SIGTERM and SIGINT: passes the first on to the running job as SIGTERM, upon which it writes a checkpoint
    and ends; a second one kills its tree. ``signal`` is what came, None so far.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = False

    @contextlib.contextmanager
    def caught(self) -> Iterator[Stop]:
        """Catches the signals inside (in a thread that cannot, nothing is caught)."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def passed_to(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """While inside, what comes goes to ``process``."""
        self._process, self._asked = process, False
        try:
            if self.signal is not None:
                self.end()
            yield
        finally:
            self._process = None

    def end(self) -> None:
        """Asks the running job to end; the second time it is killed."""
        if self._process is None:
            return
        if self._asked:
            _kill_tree(self._process)
        else:
            self._asked = True
            self._process.send_signal(signal.SIGTERM)
            timer = threading.Timer(_SECONDS_FOR_A_CHECKPOINT, _kill_if_alive, (self._process,))
            timer.daemon = True
            timer.start()

    def end_and_wait(self) -> None:
        """Asks the running job to end, and waits until it has; for a handler of signals."""
        process = self._process
        self.end()
        while process is not None and not _has_ended(process):
            time.sleep(0.1)

    def _on_signal(self, number: int, _: object) -> None:
        self.signal = number
        self.end()


def run_job(job: Job, stop: Stop) -> Outcome:
    """Runs a job to its end; never raises for what the job does wrong.

    A job whose folder holds a completed run of the same configuration is not run again with ``resume=auto``: what it
    found then counts.
    """
    if job.config is None:
        return _outcome(job, FAILED, sentence=job.sentence, code=2)
    try:
        earlier = earlier_outcome(job)
    except UserError as error:
        return _outcome(job, FAILED, sentence=str(error), code=2)
    if earlier is not None:
        say(job, f"completed before, objective {earlier.objective}")
        return earlier
    if stop.signal is not None:
        return _outcome(job, WAITING, code=128 + stop.signal)
    job.folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(job.folder / JOB) as path:
        path.write_text(json.dumps({"overrides": job.overrides, "config": job.config}, indent=1), encoding="utf-8")
    (job.folder / STATUS).unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, *COMMAND, str(job.folder)],
        cwd=job.cwd,
        env=_environment(job),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    with stop.passed_to(process), (job.folder / LOG).open("ab") as log:
        reader = threading.Thread(target=_copy, args=(process.stdout, log, job.label), daemon=True)
        reader.start()
        code = _wait(process)
        _kill_tree(process)  # whatever it has left behind, so that the pipe ends
        reader.join(15)
    return _read_end(job, code, stop)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Without what ``Popen`` locks: the thread that a handler has interrupted may hold it."""
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _wait(process: subprocess.Popen[bytes]) -> int:
    while True:  # in short waits: Ray's cancellation sets a flag that no system call is interrupted for
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(1.0)


def _copy(source: IO[bytes], log: IO[bytes], label: str) -> None:
    for line in source:
        log.write(line)
        log.flush()
        with contextlib.suppress(OSError, ValueError):  # nobody reads the terminal any more: the log goes on
            sys.stdout.write(f"{label} {line.decode(errors='replace').rstrip()}\n")
            sys.stdout.flush()


def say(job: Job, text: str) -> None:
    """One line of a job's own on the terminal."""
    print(f"{job.label} {text}", flush=True)


def _environment(job: Job) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name not in _OF_A_TREE and not name.startswith(_PREFIXES)
    }
    path = [str(Path(mmcs.__file__).parents[1]), *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(path), **job.environment}


def earlier_outcome(job: Job) -> Outcome | None:
    """The outcome of the completed run of this job that its folder holds, with which ``resume=auto`` need not repeat it; else None.

    Raises:
        UserError: the folder holds another run, or one that is not to be continued.
    """
    if job.config is None or job.config["overwrite"] or not holds_run(job.folder):
        return None
    if job.config["resume"] != "auto":
        raise UserError(
            f"{job.folder} already holds a run: continue the sweep with resume=auto, name another hydra.sweep.dir, or replace "
            "its runs with overwrite=true."
        )
    held = read_job(job.folder)
    if held is None:
        raise UserError(f"{job.folder} holds a run that is not of a sweep; name another hydra.sweep.dir.")
    mine, earlier = without_launch(job.config), without_launch(held["config"])
    others = [key for key in mine if key not in _MAY_DIFFER and mine[key] != earlier.get(key)]
    if others:
        raise UserError(
            f"{job.folder} holds a run with other settings ({' '.join(held['overrides'])}; {', '.join(others)} differ); "
            "name another hydra.sweep.dir, or replace its runs with overwrite=true."
        )
    status = read_status(job.folder) if mine == earlier else None
    if status is None or status["status"] != COMPLETED:
        return None
    return _outcome(job, COMPLETED, objective=status["objective"])


def _read_end(job: Job, code: int, stop: Stop) -> Outcome:
    status = read_status(job.folder)
    if status is not None and status["status"] == COMPLETED and code == 0:
        return _outcome(job, COMPLETED, objective=status["objective"])
    if stop.signal is not None or (status is not None and status["status"] in (PREEMPTED, INTERRUPTED)):
        return _ended(job, PREEMPTED, STOPPED, 128 + signal.SIGTERM, status)
    log = job.folder / LOG
    if code < 0:
        hint = "; a machine that runs out of memory kills like this" if -code == signal.SIGKILL else ""
        return _ended(job, FAILED, f"killed by {signal.Signals(-code).name}{hint}; see {log}", 128 - code, status)
    if code in (UserError.exit_code, DataError.exit_code):  # told in a sentence
        return _ended(job, FAILED, _last_line(log), code, status)
    return _ended(job, FAILED, f"{_last_line(log)} (see {log})", code or 1, status)


def _ended(job: Job, status: str, sentence: str, code: int, written: dict[str, Any] | None) -> Outcome:
    """The outcome of a job that did not complete; where it could not say so itself, its status.json is written here."""
    if written is None:
        write_status(job.folder, status, sentence=sentence, code=code)
    return _outcome(job, status, sentence=sentence, code=code)


def _outcome(job: Job, status: str, **more: Any) -> Outcome:
    return Outcome(job.number, job.overrides, str(job.folder), status, **more)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.is_file() else []
    return next(
        (line.strip().removeprefix("mmcs: error: ") for line in reversed(lines) if line.strip()),
        "it exited without output",
    )


def read_job(folder: Path) -> dict[str, Any] | None:
    """What ``folder/job.json`` holds, the job's ``overrides`` and ``config``; None where there is none that can be read."""
    try:
        content = json.loads((folder / JOB).read_text(encoding="utf-8"))
        return content if isinstance(content, dict) and "config" in content and "overrides" in content else None
    except (OSError, ValueError):
        return None


def _kill_if_alive(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        _kill_tree(process)


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
