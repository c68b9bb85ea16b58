"""``mmcs-train``: composes the configuration, starts the processes, assembles data, model, callbacks and trainer; fits;
evaluates the best checkpoint. Nothing is computed here: each line calls the room that does it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from mmcs.errors import MmcsError, UserError, exit_code_of, report
from mmcs.orphans import end_with_parent

RESOLVED = "--resolved"  # how a process of a multi-device run is told its configuration
FAILURE = ".failure.json"  # how it tells the launching process what went wrong


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code (see ``mmcs.errors``)."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        if arguments[:1] == [RESOLVED]:
            return _child(Path(arguments[1]))
        return _hydra(arguments)
    except KeyboardInterrupt:
        print("mmcs-train: interrupted; checkpoints written so far are kept.", file=sys.stderr)
        return 130
    except Exception as error:
        return report(error)


def _hydra(arguments: list[str]) -> int:
    from mmcs.config import compose_config, conf_dir, quoted, resolve

    arguments = [argument if argument.startswith("-") else quoted(argument) for argument in arguments]
    if not {"-m", "--multirun", "-h", "--help", "--hydra-help", "--cfg", "-c"} & set(arguments):
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
            return launch(resolved, folder)
        except Exception as error:
            if exit_code_of(error) is None:
                raise
            codes.append(report(error))
            for empty in (folder, *folder.parents[:2]):
                with contextlib.suppress(OSError):
                    empty.rmdir()
            return None

    sys.argv[1:] = arguments
    job()
    return max(codes, default=0)


def launch(config: dict[str, Any], folder: Path) -> float | None:
    """Trains in this process, or in a process tree of its own for several devices.

    Returns the best monitored validation figure (the objective of a sweep), None without one.
    """
    from mmcs.resume import checkpoint_of

    checkpoint = checkpoint_of(config["resume"], folder)
    if config["resume"] == "auto" and checkpoint is None:
        print(f"mmcs-train: note: resume=auto: {folder} has no checkpoint yet, the run begins.", file=sys.stderr)
    config = {**config, "resume": checkpoint and str(checkpoint)}
    devices = config["trainer"].get("devices", 1)
    processes = len(devices) if isinstance(devices, list) else devices
    if processes in (1, "1", "auto") or "LOCAL_RANK" in os.environ:
        return run(config, folder)
    if not isinstance(processes, int) or processes < 1:
        raise UserError(f"trainer.devices is a number of processes, or a list of GPU indices; got {devices!r}.")
    from mmcs.assemble import check

    check(config)  # here, once, rather than in every process
    return _launch_processes(config, folder, processes)


def _launch_processes(config: dict[str, Any], folder: Path, processes: int) -> float | None:
    """Torch's elastic launcher on the resolved configuration. (Lightning's own repeats the command line: in a sweep that
    would start the sweep again in every rank.)
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    folder.mkdir(parents=True, exist_ok=True)
    resolved, failure, objective = folder / ".resolved.json", folder / FAILURE, folder / ".objective.json"
    failure.unlink(missing_ok=True)  # of a run that was killed
    resolved.write_text(json.dumps(config))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
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
        return json.loads(objective.read_text()) if objective.exists() else None
    except ChildFailedError as error:
        if failure.exists():
            told = json.loads(failure.read_text())
            wrong = MmcsError(told["sentence"])
            wrong.exit_code = told["code"]
            raise wrong from None
        raise MmcsError(
            f"a training process failed; its message stands above, {folder} holds its checkpoints."
        ) from error
    finally:
        for told_file in (resolved, failure, objective):
            told_file.unlink(missing_ok=True)


def _child(folder: Path) -> int:
    end_with_parent()
    try:
        objective = run(json.loads((folder / ".resolved.json").read_text()), folder)
        if os.environ["RANK"] == "0":
            (folder / ".objective.json").write_text(json.dumps(objective))
        return 0
    except Exception as error:
        code = exit_code_of(error)
        if code is None:
            raise
        _tell(folder / FAILURE, {"sentence": str(error), "code": code})
        return code


def _tell(path: Path, told: dict[str, Any]) -> None:
    """Leaves word of a failure, unless another process has: the first knows why, the others fail because it did."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(told))
    with contextlib.suppress(FileExistsError):
        os.link(partial, path)
    partial.unlink()


def run(config: dict[str, Any], folder: Path) -> float | None:
    """One process's part of a run: assemble, fit, evaluate the best checkpoint on the test suites (rank 0)."""
    import torch.distributed as dist

    from mmcs.assemble import assemble

    parts = assemble(config, folder)
    parts.trainer.fit(parts.module, parts.datamodule, ckpt_path=config["resume"], weights_only=True)
    first = parts.trainer.is_global_zero
    if dist.is_initialized():  # what follows is one process's work: nothing may wait for the others
        parts.trainer.strategy.barrier()
        dist.destroy_process_group()
    if first:
        parts.evaluate()
    best = parts.checkpoint.best_model_score
    return None if best is None else float(best)


if __name__ == "__main__":
    sys.exit(main())
