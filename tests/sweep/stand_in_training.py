"""A stand-in for a job's training that takes no time: its fate is written in the configuration. Run as a sweep
(``stand_in_training.py -m …``) it drives ``mmcs-train`` with itself as the jobs' process.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from pathlib import Path

from mmcs.orphans import end_with_parent
from mmcs.run_folder import COMPLETED, PREEMPTED, write_status

CRASH, KILLED, MISTAKE, STAYS = 0.5, 0.25, 0.125, 7.0  # values of optim.lr, and of optim.warmup: waits for SIGTERM
NO_OBJECTIVE = 0.0625


def objective(lr: float) -> float:
    """Highest, 1, at 1e-3."""
    return 1 - abs(math.log10(lr) + 3) / 10


def train(folder: Path) -> int:
    end_with_parent()
    config = json.loads((folder / "job.json").read_text())["config"]
    lr = config["optim"]["lr"]
    with (folder / "ran.txt").open("a") as file:
        file.write(f"{os.getpid()} {config['resume']}\n")
    print("training", config["seed"], os.environ.get("RANK"), os.environ.get("OWN"))
    if lr == CRASH:
        raise RuntimeError("the loss is not a number")
    if lr == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if lr == MISTAKE:
        print("mmcs: error: optim.lr is wrong.", file=sys.stderr)
        return 2
    if config["optim"]["warmup"] == STAYS:
        return stay(folder)
    checkpoint(folder)
    write_status(folder, COMPLETED, objective=None if lr == NO_OBJECTIVE else objective(lr), step=5)
    return 0


def stay(folder: Path) -> int:
    """Until SIGTERM; then a checkpoint and the word that it was preempted. The next time there is one, and it completes."""
    if (folder / "checkpoints").exists():
        write_status(folder, COMPLETED, objective=0.9, step=5)
        return 0
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    (folder / "ready").touch()
    while not asked:
        time.sleep(0.02)
    checkpoint(folder)
    write_status(folder, PREEMPTED, step=3, sentence="preempted", code=143)
    return 143


def checkpoint(folder: Path) -> None:
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / "checkpoints" / "last.ckpt").touch()


if __name__ == "__main__":
    if sys.argv[1] == "-m":
        import mmcs.sweep.process
        import mmcs.train

        mmcs.sweep.process.COMMAND = (__file__,)
        sys.exit(mmcs.train.main(sys.argv[1:]))
    sys.exit(train(Path(sys.argv[1])))
