"""Composes the configuration through Hydra, and turns Hydra's errors into one sentence."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from mmcs.common.home import with_home
from mmcs.common.value_rules import near
from mmcs.config_values import RULES
from mmcs.errors import UserError

SEARCH_PATH = "hydra.searchpath"
_FUNCTION = re.compile(r"(tag|interval|range|choice|glob|sort|shuffle|int|float|str|bool)\(")  # of Hydra's grammar
#: Keys under which an override may add keys that conf/ does not have.
_OPEN = r"trainer\.|hydra[./]|(logger|callbacks|loss)\.own\b"


def conf_dir() -> Path:
    """``conf/`` beside the package in a checkout, else the copy that the wheel carries inside the package."""
    package = Path(__file__).parent
    checkout = package.parent / "conf"
    return checkout if (checkout / "train.yaml").is_file() else package / "conf"


def compose_config(overrides: Sequence[str], *, hydra: bool = False) -> DictConfig:
    """The configuration that ``overrides`` (as typed on the command line) describe, not yet resolved; with ``hydra``, Hydra's
    own settings are in it.

    Raises:
        UserError: an unknown key, group or name (the sentence lists the known ones), or a malformed override.
    """
    for override in overrides:
        if re.match(rf"(\+{{1,2}}|~(?!experiment\b))(?!{_OPEN})", override):
            what = "removes a key that is read" if override.startswith("~") else "adds a key that nothing reads"
            raise UserError(
                f"{override!r} {what}: only trainer.*, logger.own.*, callbacks.own.* and loss.own.* are open; write KEY=VALUE."
            )
    overrides = [quoted(override) for override in overrides]
    for override in overrides:
        if not _readable(override):
            raise UserError(
                f"cannot read {override!r}; an override is KEY=VALUE, lists are [a,b] in quotes, and in a list values with braces "
                "of their own are quoted again."
            )
    try:
        return _compose(overrides, hydra)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_sentence(error, overrides)) from None
    except ValueError:  # Hydra's, of a group's file that is null or a number
        raise UserError(_not_a_file(overrides)) from None


def _not_a_file(overrides: Sequence[str]) -> str:
    groups = {path.name for path in conf_dir().iterdir() if path.is_dir()}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        if override.key_or_group in groups and not isinstance(override.value(), str | list):
            return (
                f"{override.input_line} names no file: write {override.key_or_group}=NAME (~experiment leaves the experiment "
                "out)."
            )
    return f"{' '.join(overrides)} cannot be composed."


def quoted(override: str) -> str:
    """An override whose value Hydra's grammar does not take as it stands, such as ``train/{00000..00099}.tar``, in quotes; ``~``
    in its paths is the home folder.
    """
    key, equals, value = override.partition("=")
    value = with_home(value)
    override = f"{key}{equals}{value}"
    if not equals or value[:1] in ("", "[", "{", "'", '"') or _readable(override) or _FUNCTION.match(value):
        return override
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{key}="{escaped}"'


def _readable(override: str) -> bool:
    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        return False
    return True


def _compose(overrides: Sequence[str], hydra: bool = False) -> DictConfig:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        _ours_stand()
        return compose("train", overrides=list(overrides), return_hydra_config=hydra)


def _ours_stand() -> None:
    """Launchers and sweepers that users may have as plugins of Hydra register schemas of the same names, by which Hydra
    would judge the files in ``conf/hydra``.
    """
    schemas = ConfigStore.instance().repo.get("hydra", {})
    for file in (conf_dir() / "hydra").glob("*/**/*.yaml"):
        node = schemas
        for part in file.parent.relative_to(conf_dir() / "hydra").parts:
            node = node.get(part, {})
        node.pop(file.name, None)


def resolve(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain dictionaries with every interpolation resolved.

    Raises:
        UserError: a mandatory value (``???``) that nobody set, or an interpolation to nowhere.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise UserError(f"{', '.join(missing)} must be set, for example {missing[0]}=…")
    try:
        return with_home(OmegaConf.to_container(config, resolve=True))
    except OmegaConfBaseException as error:
        raise UserError(_sentence(error, ())) from None


def run_config(composed: DictConfig) -> dict[str, Any]:
    """The configuration of one run as plain dictionaries: ``composed`` (with Hydra's settings) without those, and with the
    experiment's name under ``experiment``.

    Raises:
        UserError: see ``resolve``.
    """
    task = copy.deepcopy(composed)
    with open_dict(task):
        del task["hydra"]
    return {**resolve(task), "experiment": composed.hydra.runtime.choices.get("experiment") or "none"}


def hydra_folder(composed: DictConfig, mode: str) -> Path:
    """The absolute folder of ``hydra.run.dir`` or ``hydra.sweep.dir``; ``mode`` is "run" or "sweep".

    Raises:
        UserError: it is no path.
    """
    try:
        value = composed.hydra[mode].dir
    except OmegaConfBaseException as error:
        raise UserError(f"hydra.{mode}.dir cannot be resolved: {_sentence(error, ())}") from None
    if not isinstance(value, str) or not value:
        raise UserError(f"hydra.{mode}.dir must be a folder, got {value!r}.")
    return Path(value).expanduser().absolute()


def _sentence(error: Exception, overrides: Sequence[str]) -> str:
    text = str(error)
    key = re.search(r"Could not override '([^']+)'", text)
    if key and key[1] in ("eval.val", "eval.test"):
        return (
            f"{key[1]} of this file names its own suites; choose eval=suites to name yours: {key[1]}={{NAME: SHARDS}}."
        )
    if key:
        return _unknown_key(key[1], [o for o in overrides if "=" in o and _chooses(o.split("=")[0])])
    option = re.search(
        r"Could not find '([^']+)'\s+Available options in '([^']+)':\s*(.*?)\s*(?:Config search path|$)", text, re.S
    )
    if option:
        group, name = option[1].rsplit("/", 1)
        known = option[3].split()
        return f"there is no {group}={name}; known: {', '.join(known)}.{near(name, known)}"
    first = " ".join(text.split("\n")[0].split())
    if first.startswith("Ambiguous value"):
        return f"{first}: a list is [a,b], a text with a comma is quoted, and a sweep over the values needs -m."
    if first.startswith("Error merging override") and error.__cause__:
        return f"{first}: {' '.join(str(error.__cause__).splitlines()[0].split())}."
    return first


def _chooses(key: str) -> bool:
    """Whether an override of ``key`` decides which files are composed."""
    return "." not in key or key == SEARCH_PATH


def _unknown_key(key: str, choices: Sequence[str]) -> str:
    """``choices``: the overrides that choose a group's file, so that the keys listed are those of the chosen one."""
    *path, name = key.split(".")
    node: Any = _compose([choice for choice in choices if choice.split("=")[0] != key])
    for part in path:
        node = node.get(part) if isinstance(node, DictConfig) and part in node else None
    if not isinstance(node, DictConfig):
        return f"unknown key {key!r}: there is no {'.'.join(path)!r} in the configuration."
    if path == ["trainer"] and f"trainer.{name}" in RULES:
        return f"{key} is not in this file; write +{key}=VALUE for a further argument of lightning.Trainer."
    known = [str(k) for k in node if k != "_target_"]
    return f"unknown key {key!r}; known keys{' of ' + '.'.join(path) if path else ''}: {', '.join(known)}.{near(name, known)}"
