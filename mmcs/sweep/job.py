"""A job: one point of a sweep, composed and resolved, ready to run anywhere. Sweepers make jobs, launchers run them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from mmcs.config import compose_config, run_config
from mmcs.config_values import check_values
from mmcs.errors import MmcsError, UserError


@dataclass(frozen=True)
class Job:
    """One point of a sweep.

    Attributes:
        number: from 0; names the folder unless ``hydra.sweep.subdir`` says otherwise.
        label: how its lines begin, such as ``[3/6]``.
        overrides: of the point, those that all jobs share included.
        point: those that tell it from the other jobs, for people.
        folder: of the run, absolute.
        cwd: what relative paths of the configuration are relative to.
        config: resolved; None where the point cannot be composed.
        sentence: then why.
        environment: variables of this job alone (``hydra.job.env_set``).
    """

    number: int
    label: str
    overrides: tuple[str, ...]
    point: str
    folder: Path
    cwd: Path
    config: dict[str, Any] | None
    sentence: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


def compose_job(
    number: int,
    total: int,
    shared: Sequence[str],
    point: Sequence[str],
    *,
    sweep: Path,
    typed: Sequence[str],
    resume: bool = False,
) -> Job:
    """Composes one point. A point that cannot be composed is a job all the same: it fails alone, with its sentence.

    Args:
        number: of the job.
        total: of the jobs of the sweep, for the label.
        shared: overrides of all jobs.
        point: overrides of this one.
        sweep: the sweep's folder, absolute.
        typed: the ``hydra`` overrides of the command line.
        resume: continue from the folder's last checkpoint, whatever the configuration says.
    """
    overrides = (*shared, *point)
    about = {"number": number, "label": f"[{number + 1}/{total}]", "overrides": overrides, "cwd": Path.cwd()}
    about["point"] = " ".join(point)
    try:
        composed = compose_config([*typed, *overrides], hydra=True)
        with open_dict(composed):
            composed.hydra.job.num, composed.hydra.job.id = number, str(number)
            composed.hydra.runtime.output_dir = str(sweep / str(number))
        HydraConfig.instance().set_config(composed)
        folder = sweep / str(composed.hydra.sweep.subdir)
        hydra = OmegaConf.to_container(composed.hydra.job.env_set, resolve=True)
        config = _config(composed, resume)
    except MmcsError as error:
        return Job(**about, folder=sweep / str(number), config=None, sentence=str(error))  # type: ignore[arg-type]
    environment = {str(key): str(value) for key, value in hydra.items()}  # type: ignore[union-attr]
    return Job(**about, folder=folder, config=config, environment=environment)  # type: ignore[arg-type]


def _config(composed: DictConfig, resume: bool) -> dict[str, Any]:
    config = run_config(composed)
    check_values(config)
    if resume:
        config = _continuing(config)
    if config["trainer"].get("num_nodes", 1) != 1:
        raise UserError("a job of a sweep runs on one machine; train on several with torchrun, one run at a time.")
    return config


def _continuing(config: dict[str, Any]) -> dict[str, Any]:
    return {**config, "resume": "auto", "overwrite": False}


def resumed(job: Job) -> Job:
    """The same job, continuing from the last checkpoint in its folder."""
    return job if job.config is None else replace(job, config=_continuing(job.config))


def processes_of(config: dict[str, Any]) -> int:
    """How many processes a job asks for; 1 for ``auto``."""
    devices = config["trainer"].get("devices", 1)
    if isinstance(devices, list):
        return len(devices)
    return int(devices) if str(devices).isdecimal() and int(devices) > 0 else 1


def on_gpus(config: dict[str, Any], there: bool) -> bool:
    """Whether a job trains on GPUs; ``there``: whether some machine that may run it has any."""
    accelerator = config["trainer"].get("accelerator", "auto")
    return accelerator in ("gpu", "cuda") or (accelerator == "auto" and there)
