"""A run's folder: one run at a time in it, which one the same command goes on with, and ``status.json``, how it ended.

``mmcs.train`` uses it around a run; sweeps read the status. What lies in ``checkpoints/`` is ``mmcs.resume``'s.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmcs.common.file_lock import try_lock
from mmcs.errors import UserError
from mmcs.files import atomic_file

STATUS, CONFIG, LOCK = "status.json", "config.yaml", ".lock"
COMPLETED, FAILED, PREEMPTED = "completed", "failed", "preempted"
_WITHOUT_LOCKS = "two runs in one folder are not kept apart"
_PATIENCE = 5.0  # seconds: the processes of a killed run notice within one


def write_status(
    folder: Path,
    status: str,
    *,
    objective: float | None = None,
    step: int = 0,
    sentence: str | None = None,
    code: int = 0,
    samples_per_second: float | None = None,
) -> None:
    """Writes ``status.json``: how the run in ``folder`` ended.

    Args:
        status: "completed", "failed" or "preempted".
        objective: the best monitored validation figure. step: the last step that was taken.
        sentence: what went wrong. code: the exit code. samples_per_second: of all processes together.
    """
    told = {"status": status, "objective": objective, "step": step, "sentence": sentence, "code": code}
    with atomic_file(folder / STATUS) as path:
        path.write_text(json.dumps({**told, "samples_per_second": samples_per_second}) + "\n", encoding="utf-8")


def read_status(folder: Path) -> dict[str, Any] | None:
    """What ``write_status`` wrote; None where there is nothing that can be read."""
    try:
        content = json.loads((folder / STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "status" in content else None


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps ``folder`` for this run; the lock goes with the process, however that ends.

    Raises:
        UserError: another run has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / LOCK
    with lock.open("a+") as file:
        until = time.monotonic() + _PATIENCE
        while try_lock(file.fileno(), _WITHOUT_LOCKS) is False:
            if time.monotonic() > until:
                raise UserError(
                    f"another run is under way in {folder}; wait for its end, or name another hydra.run.dir."
                )
            time.sleep(0.1)
        try:
            yield
        finally:
            if not (folder / CONFIG).exists():
                lock.unlink(missing_ok=True)  # nothing has begun here, so nothing stays


def unfinished(runs: Path, config: dict[str, Any]) -> Path | None:
    """The newest folder in ``runs`` whose run has this configuration and has not completed."""
    wanted = json.loads(json.dumps({**config, "resume": None}))
    for written in sorted(runs.glob(f"*/{CONFIG}"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
        status = read_status(written.parent)
        if status is not None and status["status"] == COMPLETED:
            continue
        if read_config(written.parent) == wanted:
            return written.parent
    return None


def read_config(folder: Path) -> dict[str, Any] | None:
    """The resolved configuration of the run in ``folder``, as it is before it goes on from anywhere; None where it cannot be read."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        content = OmegaConf.to_container(OmegaConf.load(folder / CONFIG))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        return None
    return {**content, "resume": None} if isinstance(content, dict) else None  # type: ignore[dict-item]
