"""Were the runs trained alike? Settings out of each run's ``config``, what is equal in all and what is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What an experiment varies on purpose: shown, never warned about.
METHOD = ("codeswitch", "loss")
# What belongs to a run rather than to its training.
INCIDENTAL = ("seed", "experiment", "hydra", "paths", "logger", "callbacks", "eval", "out", "run", "name", "resume")


@dataclass(frozen=True)
class Settings:
    """Settings of several trained systems beside each other.

    Attributes:
        equal: training settings that are the same in all.
        method: what differs in the switch and the loss, per system label: the thing under comparison.
        unequal: what differs beside it, per system label: a reason not to trust the comparison.
    """

    equal: dict[str, str]
    method: dict[str, dict[str, str]]
    unequal: dict[str, dict[str, str]]


def training_settings(config: Mapping[str, Any]) -> dict[str, str]:
    """A config as ``{"optim.lr": "0.001", …}``, without what belongs to the single run."""
    kept = {key: value for key, value in config.items() if key not in INCIDENTAL}
    return dict(sorted(_flat(kept)))


def compare_settings(configs: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Sorts the settings of the systems (label → config) into equal, method and unequal."""
    per_system = {label: training_settings(config) for label, config in configs.items()}
    settings = Settings({}, {}, {})
    for key in sorted(set().union(*per_system.values())) if per_system else []:
        values = {label: own.get(key, "–") for label, own in per_system.items()}
        if len(set(values.values())) == 1:
            settings.equal[key] = next(iter(values.values()))
        else:
            (settings.method if key.split(".")[0] in METHOD else settings.unequal)[key] = values
    return settings


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        return [pair for key, own in value.items() for pair in _flat(own, f"{prefix}.{key}" if prefix else str(key))]
    return [(prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]
