"""``mmcs-train``: composes the configuration, starts the processes, assembles data, model, callbacks and trainer; fits;
evaluates the best checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcs.errors import Stopped, UserError, exit_code_of, hide_disk_errors_of_threads, report, sentence_of
from mmcs.files import disk_errors
from mmcs.orphans import end_with_parent
from mmcs.processes import RESOLVED, Outcome, child, launch_processes, processes_per_node
from mmcs.run_folder import (
    COMPLETED,
    CONFIG,
    FAILED,
    STATUS,
    check_free,
    clear,
    completed,
    held,
    unfinished,
    write_status,
)
from mmcs.started import Started, check_srun, is_first

if TYPE_CHECKING:
    from mmcs.assemble import Run

JOB = "--job"  # before the folder of one job of a sweep


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code (see ``mmcs.errors``)."""
    arguments = sys.argv[1:] if argv is None else argv
    hide_disk_errors_of_threads()
    try:
        if arguments[:1] == [RESOLVED]:
            return child(Path(arguments[1]), run)
        if arguments[:1] == [JOB]:
            return _job(Path(arguments[1]))
        return _train(arguments)
    except KeyboardInterrupt:
        if arguments[:1] != [RESOLVED]:  # the process that started this one reports it
            print("mmcs-train: interrupted before training; run the same command again.", file=sys.stderr)
        return 130
    except Stopped as error:
        if is_first():
            print(f"mmcs-train: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        return report(error)


def _job(folder: Path) -> int:
    """Runs one job of a sweep (see ``mmcs.sweep.process``)."""
    import signal

    end_with_parent()
    for number in (signal.SIGUSR1, signal.SIGUSR2):  # SLURM's warnings reach every process of a job: the launcher acts
        signal.signal(number, signal.SIG_IGN)
    launch(json.loads((folder / "job.json").read_text(encoding="utf-8"))["config"], folder)
    return 0


def _train(arguments: list[str]) -> int:
    """One run, or a sweep, from the command line."""
    from hydra.core.hydra_config import HydraConfig

    from mmcs.command_line import read_command_line, show
    from mmcs.config import compose_config, hydra_folder, run_config

    line = read_command_line(arguments)
    if line.shown is not None:
        show(line)
        return 0
    if line.is_sweep:
        from mmcs.sweep.main import sweep

        return sweep(line.overrides)
    composed = compose_config(line.overrides, hydra=True)
    HydraConfig.instance().set_config(composed)
    folder = hydra_folder(composed, "run")
    if composed.hydra.job.chdir:
        raise UserError("hydra.job.chdir=true is not supported: relative paths are relative to the working directory.")
    os.environ.update({str(name): str(value) for name, value in composed.hydra.job.env_set.items()})
    named = any(override.startswith("hydra.run.dir=") for override in line.overrides)
    launch(run_config(composed), folder, among=None if named else folder.parent)
    return 0


def launch(config: dict[str, Any], folder: Path, *, among: Path | None = None) -> float | None:
    """Trains in this process, or in a process tree of its own for several devices; where torchrun or srun has started the
    processes, as one of them. Writes ``status.json`` at the end.

    Args:
        config: resolved; ``overwrite`` replaces the run that ``folder`` holds.
        among: with ``resume=auto``, the folder of runs among which the newest of this configuration that has not completed is
            continued. None: only the run in ``folder`` is.

    Returns:
        The best monitored validation figure (the objective of a sweep), None without one.

    Raises:
        UserError, DataError: the run cannot start. Stopped: a signal ended it.
    """
    from mmcs.config_values import check_values

    config = {"overwrite": False, **config}
    check_values(config)
    from mmcs.model.start import pinned
    from mmcs.preempt import listening

    config["model"] = pinned(config["model"])
    started = Started.here()
    if started is not None:
        started.check(config["trainer"], processes_per_node(config))
    else:
        check_srun()
    if started is None and (config["trainer"].get("num_nodes") or 1) != 1:
        raise UserError(
            f"trainer.num_nodes={config['trainer']['num_nodes']}: on several nodes torchrun or srun starts the processes, "
            "such as torchrun --nnodes 2 --nproc-per-node 8 train.py …"
        )
    first = started is None or started.rank == 0
    automatic = config["resume"] == "auto"
    if automatic and config["overwrite"]:
        raise UserError("resume=auto continues a run and overwrite=true replaces it; set one of them.")
    if first and automatic and among is not None and (before := unfinished(among, config)):
        print(f"mmcs-train: note: resume=auto continues {before}.", file=sys.stderr)
        folder = before
    if started is not None:
        folder = started.agree_on(folder)
    if automatic and (status := completed(folder, config)):
        if first:
            print(f"mmcs-train: note: the run in {folder} has completed; there is nothing to do.", file=sys.stderr)
        return status["objective"]
    with held(folder) if first else contextlib.nullcontext(), listening():
        resumed = _resumed(config, folder, first)
        with _reporting(folder) if first else contextlib.nullcontext():
            several = started is None and (processes_per_node(config) or 1) > 1
            outcome = launch_processes(resumed, folder) if several else run(resumed, folder)
            if first:
                write_status(folder, COMPLETED, **asdict(outcome))
            return outcome.objective


def _resumed(config: dict[str, Any], folder: Path, first: bool) -> dict[str, Any]:
    """``config`` with the path of the checkpoint to continue from under ``resume``.

    Raises:
        UserError: there is no such checkpoint, or the folder holds a run that would be replaced unasked.
    """
    from mmcs.resume import checkpoint_of

    def tell(sentence: str) -> None:
        if first:
            print(f"mmcs-train: warning: resume=auto: {sentence}", file=sys.stderr)

    checkpoint = checkpoint_of(config["resume"], folder, tell)
    continues = checkpoint is not None and folder in checkpoint.parents
    if continues and config["overwrite"]:
        raise UserError(f"overwrite=true would remove {checkpoint}, which resume names; set one of them.")
    if not continues and not config["overwrite"]:
        check_free(folder)
    if first and checkpoint is None and config["resume"] == "auto":
        print(f"mmcs-train: note: resume=auto: {folder} has no checkpoint yet, the run begins.", file=sys.stderr)
    return {**config, "resume": checkpoint and str(checkpoint)}


@contextlib.contextmanager
def _reporting(folder: Path) -> Iterator[None]:
    """Writes ``status.json`` if a run that has begun does not complete."""
    from mmcs.preempt import STOPPED

    def begun() -> int | None:
        return (folder / CONFIG).stat().st_mtime_ns if (folder / CONFIG).exists() else None

    before = begun()
    try:
        yield
    except BaseException as error:
        code = error.exit_code if isinstance(error, Stopped) else exit_code_of(error) or 1
        if begun() != before:
            step = getattr(error, "step", 0)
            with contextlib.suppress(OSError):  # the disk may be full, which ``error`` is about
                write_status(folder, STOPPED.get(code, FAILED), step=step, sentence=sentence_of(error), code=code)
        raise


def run(config: dict[str, Any], folder: Path) -> Outcome:
    """One process's part of a run: assemble, fit, evaluate the best checkpoint on the test suites (rank 0)."""
    import torch.distributed as dist
    from lightning.pytorch.utilities.exceptions import SIGTERMException

    from mmcs.assemble import assemble, write_config
    from mmcs.loggers import log_config
    from mmcs.preempt import deferred, received_here, stopped, take_over

    parts = assemble({key: value for key, value in config.items() if key != "overwrite"}, folder)
    trainer = parts.trainer
    take_over(trainer)
    if trainer.is_global_zero:
        if config["overwrite"]:
            clear(folder)
        (folder / STATUS).unlink(missing_ok=True)  # of the run that is continued
        write_config(parts.config, folder)
        log_config(trainer.loggers, parts.config)
    try:
        with disk_errors(folder):
            with deferred():
                trainer.fit(parts.module, parts.datamodule, ckpt_path=config["resume"], weights_only=True)
            if dist.is_initialized():  # what follows is one process's work: nothing may wait for the others
                trainer.strategy.barrier()
                dist.destroy_process_group()
            if received_here():
                raise SIGTERMException
            objective = _finish(parts) if trainer.is_global_zero else None
    except SIGTERMException:
        raise stopped(
            f"at step {trainer.global_step}; the same command with resume=auto continues from {folder}.",
            trainer.global_step,
        ) from None
    except BaseException as error:
        if _is_of_settings(error):
            error = UserError(f"lightning refuses the settings: {' '.join(str(error).splitlines()[0].split())}")
        vars(error)["step"] = trainer.global_step  # for ``status.json``
        raise error
    speeds = (getattr(callback, "samples_per_second", None) for callback in trainer.callbacks)  # type: ignore[attr-defined]
    return Outcome(objective, trainer.global_step, next(filter(None, speeds), None))


def _is_of_settings(error: BaseException) -> bool:
    """Whether Lightning raised ``error`` because of settings that it could not check before it had seen the data."""
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    of_value = isinstance(error, ValueError) and "`val_check_interval`" in str(error)
    of_metric = isinstance(error, RuntimeError) and "conditioned on metric" in str(error)
    return of_value or of_metric or isinstance(error, MisconfigurationException)


def _finish(parts: Run) -> float | None:
    from mmcs.finish import finish
    from mmcs.preempt import stopped

    try:
        return finish(parts)
    except Stopped:
        raise stopped(
            f"during the final evaluation, after training: the checkpoints in {parts.folder} are complete; the same command "
            "with resume=auto repeats the evaluation."
        ) from None


if __name__ == "__main__":
    sys.exit(main())
