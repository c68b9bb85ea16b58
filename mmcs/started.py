"""Whether this process runs alone, or is one of several that torchrun or srun started for one run.

``mmcs.train`` asks before it starts processes itself.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from mmcs.errors import MmcsError, UserError

_TIMEOUT = timedelta(minutes=10)  # until the last node's process has come
_SECONDS_IN_SILENCE = 20
#: Steps of SLURM that run a shell or a batch script, by name and by number.
_SHELLS = ("batch", "interactive", "extern", "4294967290", "4294967291", "4294967292")


@dataclass(frozen=True)
class Started:
    """The place of a process among those that were started for one run.

    Attributes:
        by: who started them, for messages.
        rank: from 0, over all nodes.
        processes: of all nodes together.
        nodes: how many.
    """

    by: str
    rank: int
    processes: int
    nodes: int

    @staticmethod
    def here() -> Started | None:
        """None: this process runs alone, and ``mmcs.train`` starts others where they are needed."""
        environment = os.environ
        if "TORCHELASTIC_RUN_ID" in environment and "RANK" in environment:
            nodes = int(environment.get("GROUP_WORLD_SIZE", 1))
            return Started("torchrun", int(environment["RANK"]), int(environment["WORLD_SIZE"]), nodes)
        processes = _number("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")
        if processes == 1 or not _by_srun(environment):
            return None
        rank, nodes = _number("SLURM_PROCID", default=0), _number("SLURM_STEP_NUM_NODES", "SLURM_NNODES")
        return Started("srun", rank, processes, nodes)

    def check(self, trainer: dict[str, Any], per_node: int | None) -> None:
        """Compares what was started with what ``trainer`` names; ``per_node``: processes of a node, None: as many as there are.

        Raises:
            UserError: they differ.
        """
        nodes = int(trainer.get("num_nodes") or 1)
        if nodes != self.nodes or (per_node is not None and per_node * nodes != self.processes):
            devices, rest = divmod(self.processes, self.nodes)
            set_them = "start as many on each node" if rest else f"set trainer.devices={devices}"
            raise UserError(
                f"{self.by} has started {self.processes} processes on {self.nodes} nodes, but trainer.num_nodes={nodes} and "
                f"trainer.devices={trainer.get('devices')}: {set_them} trainer.num_nodes={self.nodes}."
            )

    def agree_on(self, folder: Path) -> Path:
        """The folder that rank 0 names, in every process. (The default has the time in it, which no two share.)

        Raises:
            MmcsError: not all processes have come in time.
        """
        import torch.distributed as dist

        if self.by == "srun":
            _set_torch_variables(self)
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        try:
            with _note_after(
                _SECONDS_IN_SILENCE, f"waiting for the {self.processes} processes of {self.by} at {where}."
            ):
                store, *_ = next(iter(dist.rendezvous("env://", self.rank, self.processes, timeout=_TIMEOUT)))
                key = f"mmcs/folder/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
                if self.rank == 0:
                    store.set(key, str(folder))
                _STORES.append(store)
                return Path(store.get(key).decode())
        except dist.DistError as error:
            raise MmcsError(
                f"the {self.processes} processes of {self.by} have not all met at {where} (rank {self.rank}: "
                f"{str(error).splitlines()[0]}); start as many as there are tasks, and set MASTER_PORT if the port is taken."
            ) from None


def check_srun() -> None:
    """Checks that an allocation of several tasks is not used by one process alone, which would wait for the others for ever or
    leave them idle. In an interactive shell a note says so.

    Raises:
        UserError: srun was not used, in a batch script.
    """
    tasks = _number("SLURM_NTASKS")
    if tasks == 1 or _by_srun(os.environ):
        return
    how = f"srun was not used: SLURM has allocated {tasks} tasks, and this is one process. Prepend srun to the command, or request"
    if os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        raise UserError(f"{how} --ntasks=1.")
    print(f"mmcs-train: note: {how} --ntasks=1. Training continues in this process.", file=sys.stderr)


def cluster_environment() -> list[Any]:
    """The plugin that keeps Lightning to what ``Started.here`` found. (Lightning takes any process in an allocation of SLURM for
    one of srun's, and accepts --ntasks-per-node alone.)
    """
    from lightning.fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment

    if Started.here() is not None:
        return [TorchElasticEnvironment()]
    return [LightningEnvironment()] if "SLURM_NTASKS" in os.environ else []


def _by_srun(environment: Mapping[str, str]) -> bool:
    """Whether srun started this very process, and not the shell or the batch script that it was typed in."""
    if environment.get("SLURM_PROCID", "0") != "0":
        return True  # a shell has task 0
    step = environment.get("SLURM_STEP_ID", environment.get("SLURM_STEPID"))
    return step is not None and step not in _SHELLS and "SLURM_PTY_PORT" not in environment


def _number(*names: str, default: int = 1) -> int:
    """The first of these variables that holds a number."""
    return next((int(os.environ[name]) for name in names if os.environ.get(name, "").isdecimal()), default)


def _set_torch_variables(started: Started) -> None:
    """Sets what torchrun sets, from the variables of srun."""
    from lightning.fabric.plugins.environments import SLURMEnvironment

    names = ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST")
    nodes = next((os.environ[name] for name in names if os.environ.get(name)), "127.0.0.1")
    job, step = (os.environ.get(name, "") for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    port = 15000 + (int(job[-4:] or 0) + int(step or 0)) % 10000 if (job + step).isdecimal() else 12910
    settings = {
        "RANK": started.rank,
        "WORLD_SIZE": started.processes,
        "LOCAL_RANK": os.environ.get("SLURM_LOCALID", started.rank),
        "GROUP_RANK": os.environ.get("SLURM_NODEID", 0),
    }
    os.environ.update({name: str(value) for name, value in settings.items()})
    os.environ.setdefault("MASTER_ADDR", SLURMEnvironment.resolve_root_node_address(nodes))
    os.environ.setdefault("MASTER_PORT", str(port))


@contextmanager
def _note_after(seconds: float, sentence: str) -> Iterator[None]:
    """Prints a note if what is inside takes longer."""
    timer = threading.Timer(seconds, print, [f"mmcs-train: note: {sentence}"], {"file": sys.stderr, "flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def is_first() -> bool:
    """Whether this process is the only one of its run or has rank 0, so that it alone prints what concerns the run."""
    started = Started.here()
    return os.environ.get("RANK", "0") == "0" if started is None else started.rank == 0


#: Rank 0 serves them to the other processes: they live as long as the process.
_STORES: list[Any] = []
