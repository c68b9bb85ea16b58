"""Classes that the configuration names by ``_target_``, with one sentence for what can be wrong about them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate

from mmcs.errors import MmcsError, UserError


def instantiated(settings: Mapping[str, Any], key: str, **more: Any) -> Any:
    """An instance of the class that ``settings`` name.

    Args:
        settings: ``_target_`` (MODULE.CLASS) and arguments.
        key: of ``settings`` in the configuration, for messages.
        more: further arguments, or those of ``hydra.utils.instantiate``.

    Raises:
        UserError: the class cannot be imported, or takes other arguments; or whatever it raises itself.
    """
    try:
        return instantiate(dict(settings), **more, _convert_="all")
    except InstantiationException as error:
        raise _sentence(error, key, str(settings.get("_target_"))) from None


def build_own(entries: Mapping[str, Any] | None, key: str, kind: type, **defaults: Any) -> list[Any]:
    """Instances of classes of the user's own.

    Args:
        entries: name → ``_target_`` and arguments; null leaves an entry out.
        key: of ``entries`` in the configuration, for messages.
        kind: what every instance must be.
        defaults: arguments for classes that take them, where the entry has none.

    Raises:
        UserError: an entry without ``_target_``, one that ``instantiated`` refuses, or another kind of class.
    """
    entries = {f"{key}.{name}": entry for name, entry in (entries or {}).items() if entry is not None}
    return [_own(entry, name, kind, defaults) for name, entry in entries.items()]


def _own(entry: Any, key: str, kind: type, defaults: Mapping[str, Any]) -> Any:
    target = entry.get("_target_") if isinstance(entry, Mapping) else None
    if not isinstance(target, str):
        raise UserError(
            f"{key} must be {{_target_: MODULE.CLASS, ARGUMENT: VALUE}} of a {kind.__name__}, got {entry!r}."
        )
    try:
        taken = inspect.signature(get_class(target)).parameters
    except Exception:  # `instantiated` says what is wrong
        taken = {}  # type: ignore[assignment]
    more = {name: value for name, value in defaults.items() if name in taken and name not in entry}
    built = instantiated(entry, key, **more)
    if not isinstance(built, kind):
        raise UserError(f"{key}: {target} is no {kind.__module__.split('.')[0]}.{kind.__name__}.")
    return built


def _sentence(error: InstantiationException, key: str, target: str) -> MmcsError:
    cause: BaseException = error
    while isinstance(cause, InstantiationException | ImportError) and cause.__cause__:
        cause = cause.__cause__
    if isinstance(cause, MmcsError):
        return cause
    required = re.search(r"Requirement '([\w-]+)|pip install ([\w-]+)", str(cause))
    package = (required[1] or required[2]) if required else getattr(cause, "name", None) or ""
    package = package.split(".")[0]
    if isinstance(cause, ImportError) and package and package != target.split(".")[0]:
        return UserError(f"{key}: {target} needs a package that is not installed: pip install {package}.")
    text = re.sub(r", set env var HYDRA_FULL_ERROR=1[^.]*\.", "", " ".join(str(cause).split()))
    return UserError(f"{key}: {target} cannot be used: {text.rstrip('.')}.")
