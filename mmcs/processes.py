"""The processes of a run on several devices of one machine: how they are started, and what they tell the one that started them.

``mmcs.train`` calls this; where torchrun or srun starts the processes (``mmcs.started``) nothing of it is needed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmcs.errors import MmcsError, Stopped, exit_code_of, sentence_of
from mmcs.files import disk_errors
from mmcs.orphans import end_with_parent

RESOLVED = "--resolved"  # how a process of a multi-device run is told its configuration
FAILURE = ".failure.json"  # how it tells the launching process what went wrong
OUTCOME = ".outcome.json"  # and what came of it
_SECONDS_TO_SAVE = 3600  # that a preempted run's processes have for a checkpoint, however large


@dataclass(frozen=True)
class Outcome:
    """What came of a run: the best monitored validation figure (None without one), the last step, and its speed."""

    objective: float | None
    step: int
    samples_per_second: float | None = None


def processes_per_node(config: dict[str, Any]) -> int | None:
    """How many processes a run has on one node; None: as many as there are devices."""
    devices = config["trainer"].get("devices", 1)
    if devices in ("auto", -1, "-1"):
        return None
    return len(devices) if isinstance(devices, list) else int(devices)


def launch_processes(config: dict[str, Any], folder: Path) -> Outcome:
    """Torch's elastic launcher on the resolved configuration. (Lightning's own repeats the command line: in a sweep that
    would start the sweep again in every rank.)
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from mmcs.assemble import check
    from mmcs.preempt import BEFORE_TRAINING, PREEMPTING, STOPPED, stopped

    check(config)  # here, once, rather than in every process
    processes = processes_per_node(config) or 1
    resolved, failure, outcome = folder / ".resolved.json", folder / FAILURE, folder / OUTCOME
    for of_a_killed_run in (failure, outcome):
        of_a_killed_run.unlink(missing_ok=True)
    with disk_errors(resolved):
        resolved.write_text(json.dumps(config))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_SECONDS_TO_SAVE))
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what it says is told in a sentence
    tree = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=folder.name,
        max_restarts=0,
        monitor_interval=0.2,
        signals_to_handle=",".join(["SIGHUP", "SIGQUIT", *(number.name for number in PREEMPTING)]),
    )
    try:
        with _interrupts_passed_on():
            elastic_launch(tree, sys.executable)("-m", "mmcs.train", RESOLVED, str(folder))
        return Outcome(**json.loads(outcome.read_text()))
    except (ChildFailedError, SignalException) as error:
        told = json.loads(failure.read_text()) if failure.exists() else None
        if told is None and isinstance(error, SignalException):
            raise stopped(BEFORE_TRAINING, number=error.sigval) from None
        if told is None:
            code = error.get_first_failure()[1].exitcode  # type: ignore[union-attr]
            raise MmcsError(
                f"a training process was killed (exit code {code}); {folder} holds its checkpoints."
            ) from None
        if told["code"] in STOPPED:
            raise Stopped(told["code"], told["sentence"], told["step"]) from None
        wrong = MmcsError(told["sentence"])
        wrong.exit_code = told["code"]
        vars(wrong)["step"] = told["step"]
        raise wrong from None
    finally:
        for told_file in (resolved, failure, outcome):
            told_file.unlink(missing_ok=True)


@contextlib.contextmanager
def _interrupts_passed_on() -> Iterator[None]:
    """Inside, a first Ctrl-C goes on to the processes, a second one kills them. (Torch's launcher would wait for them again.)"""
    from torch.distributed.elastic.multiprocessing.api import SignalException

    from mmcs.preempt import kill_now

    came: list[int] = []

    def receive(number: int, _: object) -> None:
        if came:
            kill_now()
        came.append(number)
        raise SignalException("Ctrl-C", sigval=signal.SIGINT)

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(signal.SIGINT, receive)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def child(folder: Path, run: Callable[[dict[str, Any], Path], Outcome]) -> int:
    """One of the processes: calls ``run``, tells the launching process what came of it, returns the exit code."""
    from mmcs.preempt import listening

    end_with_parent()
    try:
        with listening(lambda: _failed(folder)):
            outcome = run(json.loads((folder / ".resolved.json").read_text()), folder)
        if os.environ["RANK"] == "0":
            (folder / OUTCOME).write_text(json.dumps(asdict(outcome)))
        return 0
    except Stopped as error:
        _tell(folder / FAILURE, {"sentence": error.sentence, "code": error.exit_code, "step": error.step})
        return error.exit_code
    except Exception as error:
        code = exit_code_of(error)
        sentence = sentence_of(error) if code is not None else _of_a_bug(folder)
        told = {"sentence": sentence, "code": code or 1, "step": getattr(error, "step", 0)}
        try:
            is_first = _tell(folder / FAILURE, told)
        except OSError:  # the disk may be full, which ``error`` is about
            is_first = True
            print(f"mmcs-train: {sentence}", file=sys.stderr)
        if code is None and is_first:
            raise
        return code or 1


def _failed(folder: Path) -> bool:
    """Whether a process of this run has failed: the others may wait for it in a collective for ever."""
    from mmcs.preempt import STOPPED

    told = json.loads((folder / FAILURE).read_text()) if (folder / FAILURE).exists() else None
    return told is not None and told["code"] not in STOPPED


def _of_a_bug(folder: Path) -> str:
    return f"a training process failed; its message stands above, {folder} holds its checkpoints."


def _tell(path: Path, told: dict[str, Any]) -> bool:
    """Writes a failure to ``path`` unless another process has: the first one is the cause, the others follow from it.

    Returns whether this process is the first.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        partial.write_text(json.dumps(told))
        try:
            os.link(partial, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            if path.exists():
                return False
            partial.rename(path)
        return True
    finally:
        partial.unlink(missing_ok=True)
