"""``mmcs-train``: composes the configuration, starts the processes, assembles data, model, callbacks and trainer; fits;
evaluates the best checkpoint. Nothing is computed here: each line calls the room that does it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmcs.errors import MmcsError, UserError, exit_code_of, report
from mmcs.orphans import end_with_parent
from mmcs.processes import RESOLVED, Outcome, child, launch_processes, processes_per_node
from mmcs.run_folder import COMPLETED, CONFIG, FAILED, PREEMPTED, STATUS, held, unfinished, write_status
from mmcs.started import Started

JOB = "--job"  # how the process of one job of a sweep is told its own


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code (see ``mmcs.errors``)."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        if arguments[:1] == [RESOLVED]:
            return child(Path(arguments[1]), run)
        if arguments[:1] == [JOB]:
            return _job(Path(arguments[1]))
        return _hydra(arguments)
    except KeyboardInterrupt:
        print("mmcs-train: interrupted; checkpoints written so far are kept.", file=sys.stderr)
        return 130
    except SystemExit as error:
        if not hasattr(error, "sentence"):  # not ``mmcs.preempt.Preempted``, which is not imported before it is needed
            raise
        if os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0":
            print(f"mmcs-train: {error.sentence}", file=sys.stderr)
        return int(str(error.code))
    except Exception as error:
        return report(error)


def _job(folder: Path) -> int:
    """One job of a sweep, which waits for this process (see ``mmcs.sweep.process``)."""
    import signal

    end_with_parent()
    for number in (signal.SIGUSR1, signal.SIGUSR2):  # SLURM's warnings reach every process of a job: the launcher acts
        signal.signal(number, signal.SIG_IGN)
    launch(json.loads((folder / "job.json").read_text(encoding="utf-8"))["config"], folder)
    return 0


def _hydra(arguments: list[str]) -> int:
    from mmcs.config import compose_config, conf_dir, quoted, resolve

    helps = {"-h", "--help", "--hydra-help", "--cfg", "-c"}
    if {"-m", "--multirun"} & set(arguments) and not helps & set(arguments):
        from mmcs.sweep.main import sweep

        return sweep(arguments)
    arguments = [argument if argument.startswith("-") else quoted(argument) for argument in arguments]
    if not helps & set(arguments):
        # Composed once before Hydra does, so that a mistake is answered in a sentence and leaves no folder behind.
        overrides = [a for a in arguments if not a.startswith(("-", "hydra.", "hydra/"))]
        resolve(compose_config(overrides))

    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import DictConfig

    codes: list[int] = []

    @hydra.main(config_path=str(conf_dir()), config_name="train", version_base="1.3")
    def job(config: DictConfig) -> float | None:
        folder = Path(HydraConfig.get().runtime.output_dir).absolute()
        try:
            resolved = resolve(config)
            resolved["experiment"] = HydraConfig.get().runtime.choices.get("experiment") or "none"
            own = any(override.startswith("hydra.run.dir=") for override in HydraConfig.get().overrides.hydra)
            return launch(resolved, folder, among=None if own else folder.parent)
        except Exception as error:
            if exit_code_of(error) is None:
                raise
            codes.append(report(error))
            return None
        finally:
            _remove_if_empty(folder)

    sys.argv[1:] = arguments
    job()
    return max(codes, default=0)


def _remove_if_empty(folder: Path) -> None:
    for empty in (folder, *folder.parents[:2]):
        with contextlib.suppress(OSError):
            empty.rmdir()


def launch(config: dict[str, Any], folder: Path, *, among: Path | None = None) -> float | None:
    """Trains in this process, or in a process tree of its own for several devices; where torchrun or srun has started the
    processes, as one of them. ``status.json`` says how it ended.

    Args:
        among: where, with ``resume=auto``, a run of this configuration is looked for that has not completed, which then goes
            on in its own folder. None: in ``folder`` alone.

    Returns the best monitored validation figure (the objective of a sweep), None without one.

    Raises:
        UserError, DataError: what cannot be run. Preempted: a signal ended it.
    """
    from mmcs.preempt import listening

    started = Started.here()
    if started is not None:
        started.check(config["trainer"], processes_per_node(config))
    elif (config["trainer"].get("num_nodes") or 1) != 1:
        raise UserError(
            f"trainer.num_nodes={config['trainer']['num_nodes']}: on several nodes torchrun or srun starts the processes, "
            "such as torchrun --nnodes 2 --nproc-per-node 8 train.py …"
        )
    first = started is None or started.rank == 0
    told = first and config["resume"] == "auto"
    if told and among is not None and (before := unfinished(among, config)):
        print(f"mmcs-train: note: resume=auto: goes on with {before}.", file=sys.stderr)
        folder = before
    if started is not None:
        folder = started.agree_on(folder)
    with held(folder) if first else contextlib.nullcontext():
        resumed = _resumed(config, folder, told)
        with listening(), _telling(folder) if first else contextlib.nullcontext():
            several = started is None and (processes_per_node(config) or 1) > 1
            outcome = launch_processes(resumed, folder) if several else run(resumed, folder)
            if first:
                write_status(folder, COMPLETED, **asdict(outcome))
            return outcome.objective


def _resumed(config: dict[str, Any], folder: Path, told: bool) -> dict[str, Any]:
    """``config`` with the checkpoint's path for ``resume``."""
    from mmcs.resume import checkpoint_of

    def tell(sentence: str) -> None:
        if told:
            print(f"mmcs-train: warning: resume=auto: {sentence}", file=sys.stderr)

    checkpoint = checkpoint_of(config["resume"], folder, tell)
    if told and checkpoint is None:
        print(f"mmcs-train: note: resume=auto: {folder} has no checkpoint yet, the run begins.", file=sys.stderr)
    return {**config, "resume": checkpoint and str(checkpoint)}


@contextlib.contextmanager
def _telling(folder: Path) -> Any:
    """Writes ``status.json`` where a run that has begun does not complete."""
    from mmcs.preempt import Preempted

    def begun() -> int | None:
        return (folder / CONFIG).stat().st_mtime_ns if (folder / CONFIG).exists() else None

    before = begun()

    def tell(status: str, error: BaseException, code: int) -> None:
        if begun() != before:
            sentence = " ".join(str(error).split())
            write_status(folder, status, step=getattr(error, "step", 0), sentence=sentence, code=code)

    try:
        yield
    except Preempted as error:
        tell(PREEMPTED, error, int(str(error.code)))
        raise
    except KeyboardInterrupt:
        tell(FAILED, MmcsError("interrupted"), 130)
        raise
    except BaseException as error:
        tell(FAILED, error, exit_code_of(error) or 1)
        raise


def run(config: dict[str, Any], folder: Path) -> Outcome:
    """One process's part of a run: assemble, fit, evaluate the best checkpoint on the test suites (rank 0)."""
    import torch.distributed as dist
    from lightning.pytorch.utilities.exceptions import SIGTERMException

    from mmcs.assemble import assemble
    from mmcs.finish import finish
    from mmcs.preempt import Preempted, asked_here, deferred, take_over

    parts = assemble(config, folder)
    trainer = parts.trainer
    take_over(trainer)
    if trainer.is_global_zero:
        (folder / STATUS).unlink(missing_ok=True)  # of the run that goes on
    try:
        with deferred():
            trainer.fit(parts.module, parts.datamodule, ckpt_path=config["resume"], weights_only=True)
        if dist.is_initialized():  # what follows is one process's work: nothing may wait for the others
            trainer.strategy.barrier()
            dist.destroy_process_group()
        if asked_here():
            raise SIGTERMException
        objective = finish(parts) if trainer.is_global_zero else None
    except SIGTERMException:
        raise Preempted(
            f"preempted at step {trainer.global_step}; the same command with resume=auto goes on from {folder}.",
            trainer.global_step,
        ) from None
    except BaseException as error:
        vars(error)["step"] = trainer.global_step  # for ``status.json``
        raise
    speeds = (getattr(callback, "samples_per_second", None) for callback in trainer.callbacks)  # type: ignore[attr-defined]
    return Outcome(objective, trainer.global_step, next(filter(None, speeds), None))


if __name__ == "__main__":
    sys.exit(main())
