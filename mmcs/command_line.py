"""The command line of ``mmcs-train``: overrides, a sweep (``-m``), configuration folders of the user's own, or a request to show
something. The flags are Hydra's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from mmcs.config import SEARCH_PATH, compose_config, conf_dir, quoted
from mmcs.errors import UserError

_SHOWN = ("help", "hydra_help", "cfg", "info", "shell_completion")
_REPLACED = {  # Hydra's flags for another primary configuration
    "config_path": "add a configuration folder with --config-dir DIR",
    "config_name": "choose an experiment with experiment=NAME",
    "experimental_rerun": "give the overrides of that run again",
}


@dataclass(frozen=True)
class CommandLine:
    """The arguments of ``mmcs-train``.

    Attributes:
        overrides: quoted for Hydra's grammar; a folder given by ``--config-dir`` is part of ``hydra.searchpath``.
        is_sweep: whether ``-m`` was given.
        shown: Hydra's arguments if something is to be shown (``--help``, ``--cfg``) and nothing to be run, else None.
    """

    overrides: list[str]
    is_sweep: bool
    shown: list[str] | None


def read_command_line(arguments: Sequence[str]) -> CommandLine:
    """Reads the arguments of ``mmcs-train``. Flags may appear anywhere among the overrides.

    Raises:
        UserError: an unknown flag, or a configuration folder that does not exist.
    """
    parser = get_args_parser()
    parser.__class__ = _Parser
    args = parser.parse_intermixed_args(list(arguments))
    for name, instead in _REPLACED.items():
        if getattr(args, name):
            raise UserError(f"--{name.replace('_', '-')} is not supported; {instead}.")
    typed = [quoted(override) for override in args.overrides]
    overrides = _with_folder(typed, args.config_dir)
    if not any(getattr(args, name) for name in _SHOWN):
        return CommandLine(overrides, is_sweep=args.multirun, shown=None)
    if args.cfg:
        compose_config(overrides)  # an error of the user is one sentence here, and a page from Hydra
    flags = [argument for argument in arguments if argument not in args.overrides]
    return CommandLine(overrides, is_sweep=False, shown=[*flags, *typed])


def show(line: CommandLine) -> None:
    """Prints what the flags ask for: help, the composed configuration, …"""
    import hydra

    sys.argv[1:] = line.shown or []
    hydra.main(config_path=str(conf_dir()), config_name="train", version_base="1.3")(lambda config: None)()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see 'mmcs-train --help'.")


def _with_folder(overrides: list[str], config_dir: str | None) -> list[str]:
    """``overrides`` with ``config_dir`` added to ``hydra.searchpath``.

    Raises:
        UserError: ``hydra.searchpath`` is no list, or a folder does not exist.
    """
    typed = [override for override in overrides if override.startswith(f"{SEARCH_PATH}=")]
    sources = [source for override in typed for source in _sources(override)]
    folders = [source.removeprefix("file://") for source in sources if source.startswith("file://")]
    if config_dir is not None:
        folders.append(str(Path(config_dir).expanduser().absolute()))
        sources.append(f"file://{folders[-1]}")
    for folder in folders:
        if not Path(folder).is_dir():
            raise UserError(f"there is no configuration folder {folder}.")
    if not sources:
        return overrides
    escaped = [source.replace("\\", "\\\\").replace('"', '\\"') for source in sources]
    listed = ",".join(f'"{source}"' for source in escaped)
    return [f"{SEARCH_PATH}=[{listed}]", *(override for override in overrides if override not in typed)]


def _sources(override: str) -> list[str]:
    try:
        value = OverridesParser.create().parse_override(override).value()
    except HydraException:
        value = None
    if not isinstance(value, list):
        raise UserError(f"cannot read {override!r}; write '{SEARCH_PATH}=[file://FOLDER]'.")
    return [str(source) for source in value]
