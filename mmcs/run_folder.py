"""The folder of a run: its lock, what may be replaced in it, the run that ``resume=auto`` continues, and ``status.json``.

``mmcs.resume`` finds the checkpoint to continue from.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from mmcs.common.file_lock import try_lock
from mmcs.errors import UserError
from mmcs.files import atomic_file, check_writable

STATUS, CONFIG, LOCK = "status.json", "config.yaml", ".lock"
COMPLETED, FAILED, PREEMPTED, INTERRUPTED = "completed", "failed", "preempted", "interrupted"
_WITHOUT_LOCKS = "two runs in one folder are not kept apart"
#: What a run writes; ``clear`` removes it.
_OF_A_RUN = (
    *("status.json", "config.yaml", "metrics.csv", "drops.json", "results.json", "report.html"),
    *("wise_ft.json", "wise_ft.png", "checkpoints/*.ckpt*", "checkpoints/.*.ckpt*", "validation/step_*.npz"),
    *("tensorboard/events.out.tfevents.*", "tensorboard/hparams.yaml", "untouched/results.json"),
    *(f"{part}retrieval/*.{kind}" for part in ("", "untouched/") for kind in ("run.gz", "qrels", "queries.tsv")),
)
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
        status: "completed", "failed", "preempted" (by SIGTERM and the like) or "interrupted" (by Ctrl-C).
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
    """Locks ``folder`` for one run or sweep. Where nothing begins inside, the lock and the folders that were made for it are
    removed again.

    Raises:
        UserError: another run holds the lock, or the folder cannot be written.
    """
    check_writable(folder)
    lock, had_config = folder / LOCK, (folder / CONFIG).exists()
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    had_lock = lock.exists()
    try:
        file = _opened(lock)
        with file:
            _wait_for(file)
            yield
    finally:
        if not had_lock and (had_config or not (folder / CONFIG).exists()):
            with contextlib.suppress(OSError):
                lock.unlink(missing_ok=True)
        for one in made:
            with contextlib.suppress(OSError):
                one.rmdir()


def _opened(lock: Path) -> TextIO:
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        return lock.open("a+")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise  # the fault of the machine
        raise UserError(f"the folder {lock.parent} cannot be written ({error.strerror}); name another one.") from None


def _wait_for(file: TextIO) -> None:
    until = time.monotonic() + _PATIENCE
    while try_lock(file.fileno(), _WITHOUT_LOCKS) is False:
        if time.monotonic() > until:
            raise UserError(
                f"another run is under way in {Path(file.name).parent}; wait for its end, or name another hydra.run.dir."
            )
        time.sleep(0.1)


def check_free(folder: Path) -> None:
    """Checks that a new run in ``folder`` would replace nothing.

    Raises:
        UserError: the folder holds a run's checkpoints or results, or a ``config.yaml`` that is not a run's.
    """
    if holds_run(folder):
        status = (read_status(folder) or {"status": "unfinished"})["status"]
        raise UserError(
            f"{folder} already holds a run ({status}): continue it with resume=auto, name another folder with hydra.run.dir, or replace it with overwrite=true."
        )
    if (folder / CONFIG).exists() and "trainer" not in (read_config(folder) or {}):
        raise UserError(f"{folder / CONFIG} is not the configuration of a run; name another folder with hydra.run.dir.")


def holds_run(folder: Path) -> bool:
    """Whether ``folder`` holds checkpoints or results of a run."""
    return (folder / "results.json").exists() or any((folder / "checkpoints").glob("*.ckpt"))


def clear(folder: Path) -> None:
    """Removes the files of the run in ``folder``, and no others."""
    for pattern in _OF_A_RUN:
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def unfinished(runs: Path, config: dict[str, Any]) -> Path | None:
    """The newest folder in ``runs`` whose run has this configuration and has not completed."""
    for written in sorted(runs.glob(f"*/{CONFIG}"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
        status = read_status(written.parent)
        if status is not None and status["status"] == COMPLETED:
            continue
        if read_config(written.parent) == without_launch(config):
            return written.parent
    return None


def completed(folder: Path, config: dict[str, Any]) -> dict[str, Any] | None:
    """The status of the run in ``folder`` if it has this configuration and completed, else None."""
    status = read_status(folder)
    if status is None or status["status"] != COMPLETED or read_config(folder) != without_launch(config):
        return None
    return status


def without_launch(config: dict[str, Any]) -> dict[str, Any]:
    """``config`` as ``read_config`` returns it: without the keys that say how the run is started."""
    kept = {key: value for key, value in config.items() if key != "overwrite"}
    return json.loads(json.dumps({**kept, "resume": None}))


def read_config(folder: Path) -> dict[str, Any] | None:
    """The resolved configuration of the run in ``folder``, as before any resume; None if it cannot be read."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        content = OmegaConf.to_container(OmegaConf.load(folder / CONFIG))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        return None
    return {**content, "resume": None} if isinstance(content, dict) else None  # type: ignore[dict-item]
