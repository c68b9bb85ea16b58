"""The processes of a run on several devices of one machine: how they are started, and what they tell the one that started them.

``mmcs.train`` calls this; where torchrun or srun starts the processes (``mmcs.started``) nothing of it is needed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmcs.errors import MmcsError, UserError, exit_code_of
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
    processes = len(devices) if isinstance(devices, list) else devices
    if isinstance(processes, str) and processes.isdecimal():
        processes = int(processes)
    if not isinstance(processes, int) or processes < 1:
        raise UserError(f"trainer.devices is a number of processes, or a list of GPU indices; got {devices!r}.")
    return processes


def launch_processes(config: dict[str, Any], folder: Path) -> Outcome:
    """Torch's elastic launcher on the resolved configuration. (Lightning's own repeats the command line: in a sweep that
    would start the sweep again in every rank.)
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from mmcs.assemble import check
    from mmcs.preempt import SIGNALS, Preempted

    check(config)  # here, once, rather than in every process
    processes = processes_per_node(config) or 1
    resolved, failure, outcome = folder / ".resolved.json", folder / FAILURE, folder / OUTCOME
    for of_a_killed_run in (failure, outcome):
        of_a_killed_run.unlink(missing_ok=True)
    resolved.write_text(json.dumps(config))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_SECONDS_TO_SAVE))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # what it says is told in a sentence
    passed_on = ["SIGINT", "SIGHUP", "SIGQUIT", *(number.name for number in SIGNALS)]
    os.environ.setdefault("TORCHELASTIC_SIGNALS_TO_HANDLE", ",".join(passed_on))
    tree = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=folder.name,
        max_restarts=0,
        monitor_interval=0.2,
    )
    try:
        elastic_launch(tree, sys.executable)("-m", "mmcs.train", RESOLVED, str(folder))
        return Outcome(**json.loads(outcome.read_text()))
    except (ChildFailedError, SignalException) as error:
        told = json.loads(failure.read_text()) if failure.exists() else None
        if isinstance(error, SignalException) and error.sigval not in SIGNALS:
            raise KeyboardInterrupt from None
        if told is None and isinstance(error, SignalException):
            raise Preempted("preempted before a step was taken; the same command begins again.") from None
        if told is None:
            code = error.get_first_failure()[1].exitcode  # type: ignore[union-attr]
            raise MmcsError(
                f"a training process was killed (exit code {code}); {folder} holds its checkpoints."
            ) from None
        if told["code"] == Preempted.exit_code:
            raise Preempted(told["sentence"], told["step"]) from None
        wrong = MmcsError(told["sentence"])
        wrong.exit_code = told["code"]
        vars(wrong)["step"] = told["step"]
        raise wrong from None
    finally:
        for told_file in (resolved, failure, outcome):
            told_file.unlink(missing_ok=True)


def child(folder: Path, run: Callable[[dict[str, Any], Path], Outcome]) -> int:
    """One of the processes: calls ``run``, tells the launching process what came of it, returns the exit code."""
    from mmcs.preempt import Preempted, listening

    end_with_parent()
    try:
        with listening(lambda: _failed(folder)):
            outcome = run(json.loads((folder / ".resolved.json").read_text()), folder)
        if os.environ["RANK"] == "0":
            (folder / OUTCOME).write_text(json.dumps(asdict(outcome)))
        return 0
    except Preempted as error:
        _tell(folder / FAILURE, {"sentence": error.sentence, "code": error.exit_code, "step": error.step})
        return error.exit_code
    except Exception as error:
        code = exit_code_of(error)
        sentence = str(error) if code is not None else _of_a_bug(folder)
        _tell(folder / FAILURE, {"sentence": sentence, "code": code or 1, "step": getattr(error, "step", 0)})
        if code is None:
            raise
        return code


def _failed(folder: Path) -> bool:
    """Whether a process of this run has failed: the others may wait for it in a collective for ever."""
    from mmcs.preempt import Preempted

    told = json.loads((folder / FAILURE).read_text()) if (folder / FAILURE).exists() else None
    return told is not None and told["code"] != Preempted.exit_code


def _of_a_bug(folder: Path) -> str:
    return f"a training process failed; its message stands above, {folder} holds its checkpoints."


def _tell(path: Path, told: dict[str, Any]) -> None:
    """Leaves word of a failure, unless another process has: the first knows why, the others fail because it did."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(told))
    with contextlib.suppress(FileExistsError):
        os.link(partial, path)
    partial.unlink()
