"""``mmcs-train -m``: reads the command line of a sweep, builds sweeper and launcher, lists every job at the end."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from mmcs.config import SEARCH_PATH, compose_config, conf_dir, hydra_folder
from mmcs.errors import MmcsError, UserError
from mmcs.run_folder import COMPLETED, held
from mmcs.sweep.launcher import Launcher
from mmcs.sweep.outcome import NAME, Record
from mmcs.sweep.process import Stop
from mmcs.sweep.sweeper import Sweep, Sweeper

#: Hydra's own, which run jobs in this very process, one failure ending them all, and what stands in their place.
_BASIC = {
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher": "mmcs.sweep.launcher.Local",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper": "mmcs.sweep.grid.Grid",
}


def sweep(typed: Sequence[str]) -> int:
    """Runs the sweep of a command line and returns its exit code.

    Args:
        typed: the overrides, Hydra's among them.

    Returns:
        0 if every job completed and one has an objective, else the highest exit code of the jobs, or 128 + the signal that ended
        the sweep.

    Raises:
        UserError: nothing can be run at all.
    """
    parser = _parser([own for own in typed if own.startswith(f"{SEARCH_PATH}=")])
    overrides = _parsed(parser, typed)
    hydra = [str(own.input_line) for own in overrides if own.is_hydra_override()]
    task = [own for own in overrides if not own.is_hydra_override()]
    composed = _composed(hydra, task)
    folder, stop = hydra_folder(composed, "sweep"), Stop()
    with held(folder), stop.caught():
        launcher, sweeper = _part(composed, "launcher", Launcher), _part(composed, "sweeper", Sweeper)
        record = Record(folder)
        try:
            sweeper.run(Sweep(folder, hydra, launcher, stop, record), task, parser)
        finally:
            launcher.close()
        show(record, Console(markup=False))
    return record.code if stop.signal is None else 128 + stop.signal


def show(record: Record, console: Console) -> None:
    """All jobs of a sweep as a table; then the sentences of what failed, the best, and where the record lies."""
    outcomes = [record.outcomes[number] for number in sorted(record.outcomes)]
    shared = set.intersection(*(set(own.overrides) for own in outcomes)) if len(outcomes) > 1 else set()
    table = Table(title=f"{len(outcomes)} jobs in {record.folder}", title_justify="left")
    table.add_column("job", justify="right")
    table.add_column("overrides", overflow="fold")
    table.add_column("status")
    table.add_column("objective", justify="right")
    for own in outcomes:
        differing = " ".join(override for override in own.overrides if override not in shared)
        objective = "" if own.objective is None else f"{own.objective:.4f}"
        table.add_row(str(own.number), differing or "–", own.status, objective)
    console.print(table)
    for own in outcomes:
        if own.status != COMPLETED and own.sentence:
            console.print(f"job {own.number} {own.status}: {own.sentence}", soft_wrap=True, highlight=False)
    best = record.best
    told = "No job completed with an objective." if best is None else f"Best: job {best.number}, {best.objective:.4f}"
    console.print(told, highlight=False)
    console.print(f"Record: {record.folder / NAME}", soft_wrap=True, highlight=False)


def _parser(search_path: list[str]) -> OverridesParser:
    """A parser that resolves ``glob(*)``, to files in ``search_path``, too."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
    found: Any = SimpleNamespace(
        get_group_options=functools.partial(loader.get_group_options, config_name="train", overrides=search_path)
    )
    return OverridesParser.create(config_loader=found)


def _parsed(parser: OverridesParser, typed: Sequence[str]) -> list[Override]:
    for override in typed:
        try:
            parser.parse_override(override)
        except HydraException:
            raise UserError(
                f"cannot read {override!r}; an override is KEY=VALUE, of a sweep KEY=VALUE,VALUE."
            ) from None
    return parser.parse_overrides(list(typed))


def _composed(hydra: list[str], task: Sequence[Override]) -> DictConfig:
    """The configuration that the sweep itself is read from. What is not swept over counts, since an experiment may say how;
    alone it need not make sense (``codeswitch=none,phrases codeswitch.max_tokens=2``).
    """
    fixed = [str(own.input_line) for own in task if not own.is_sweep_override()]
    try:
        composed = compose_config([*hydra, *fixed], hydra=True)
    except UserError:
        composed = compose_config(hydra, hydra=True)
    HydraConfig.instance().set_config(composed)
    return composed


def _part(composed: DictConfig, which: str, kind: type) -> Any:
    """The launcher or the sweeper that is configured."""
    name = composed.hydra.runtime.choices[f"hydra/{which}"]
    settings: Any = OmegaConf.to_container(composed.hydra[which], resolve=True)
    settings["_target_"] = _BASIC.get(settings["_target_"], settings["_target_"])
    if not settings["_target_"].startswith("mmcs."):
        known = ["basic", *sorted(path.stem for path in (conf_dir() / "hydra" / which).glob("*.yaml"))]
        raise UserError(f"there is no hydra/{which}={name} for mmcs; known: {', '.join(known)}.")
    try:
        importlib.import_module(settings["_target_"].rpartition(".")[0])
    except ModuleNotFoundError as error:
        raise UserError(f"hydra/{which}={name} needs {error.name}: pip install 'mmcs[sweep]'.") from None
    try:
        part = instantiate(settings, _convert_="all", _recursive_=False)
    except InstantiationException as error:
        if isinstance(error.__cause__, MmcsError):
            raise error.__cause__ from None
        raise UserError(
            f"the settings of hydra/{which}={name} cannot be used: {' '.join(str(error).split())}"
        ) from None
    assert isinstance(part, kind)
    return part
