"""How this process came to be: by itself, or as one of several that torchrun or srun started for one run.

``mmcs.train`` asks before it starts processes itself. What the processes then say to each other is Lightning's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from mmcs.errors import UserError

_TIMEOUT = timedelta(minutes=10)  # until the last node's process has come


@dataclass(frozen=True)
class Started:
    """A process's place among those that were started for one run.

    Attributes:
        by: who started them, for sentences.
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
        """None: nobody has started several; ``mmcs.train`` does what it takes."""
        environment = os.environ
        if "TORCHELASTIC_RUN_ID" in environment and "RANK" in environment:
            nodes = int(environment.get("GROUP_WORLD_SIZE", 1))
            return Started("torchrun", int(environment["RANK"]), int(environment["WORLD_SIZE"]), nodes)
        # As Lightning tells: an interactive allocation names tasks that were not started.
        interactive = environment.get("SLURM_JOB_NAME") in ("bash", "interactive")
        processes = int(environment.get("SLURM_NTASKS", 1))
        if "SLURM_PROCID" in environment and processes > 1 and not interactive:
            return Started("srun", int(environment["SLURM_PROCID"]), processes, int(environment.get("SLURM_NNODES", 1)))
        return None

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
        """The folder that rank 0 names, in every process. (The default has the time in it, which no two share.)"""
        import torch.distributed as dist

        if self.by == "srun":  # torchrun has set these; Lightning will find them as they are set here
            from lightning.fabric.plugins.environments import SLURMEnvironment

            os.environ["MASTER_ADDR"] = _slurm_address()
            os.environ["MASTER_PORT"] = str(SLURMEnvironment().main_port)
        store, *_ = next(iter(dist.rendezvous("env://", self.rank, self.processes, timeout=_TIMEOUT)))
        key = f"mmcs/folder/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
        if self.rank == 0:
            store.set(key, str(folder))
        _STORES.append(store)
        return Path(store.get(key).decode())


def is_first() -> bool:
    """Whether this process is the only one of its run or has rank 0, so that it alone prints what concerns the run."""
    started = Started.here()
    return os.environ.get("RANK", "0") == "0" if started is None else started.rank == 0


#: Rank 0 serves them to the other processes: they live as long as the process.
_STORES: list[Any] = []


def _slurm_address() -> str:
    from lightning.fabric.plugins.environments import SLURMEnvironment

    nodes = os.environ.get("SLURM_NODELIST") or os.environ.get("SLURM_JOB_NODELIST") or "127.0.0.1"
    return os.environ.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(nodes)
