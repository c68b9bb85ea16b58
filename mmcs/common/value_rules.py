"""What a value of a configuration may be: its type and bounds, with the words for a message."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """What a value may be.

    Attributes:
        allowed: in words, after "must be".
        accepts: whether a value is allowed.
    """

    allowed: str
    accepts: Callable[[Any], bool]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def integer(least: int, most: int | None = None) -> Rule:
    """A whole number from ``least`` to ``most``."""
    allowed = f"a whole number >= {least}" if most is None else f"a whole number from {least} to {most}"
    return Rule(allowed, lambda value: _is_int(value) and least <= value and (most is None or value <= most))


def number(
    least: float | None = None, most: float | None = None, *, above: float | None = None, below: float | None = None
) -> Rule:
    """A finite number within bounds: ``least`` and ``most`` are included, ``above`` and ``below`` are not."""
    bounds = {">=": least, ">": above, "<=": most, "<": below}
    allowed = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None)

    def accepts(value: Any) -> bool:
        return (
            _is_number(value)
            and (least is None or value >= least)
            and (above is None or value > above)
            and (most is None or value <= most)
            and (below is None or value < below)
        )

    return Rule(f"a number {allowed}".rstrip(), accepts)


def optional(rule: Rule) -> Rule:
    """As ``rule``, or null."""
    return Rule(f"{rule.allowed}, or null", lambda value: value is None or rule.accepts(value))


def either(*rules: Rule) -> Rule:
    """As any of ``rules``."""
    return Rule(" or ".join(rule.allowed for rule in rules), lambda value: any(rule.accepts(value) for rule in rules))


def choice(*values: str) -> Rule:
    """One of ``values``."""
    return Rule(
        " or ".join(filter(None, [", ".join(values[:-1]), values[-1]])),
        lambda value: isinstance(value, str) and value in values,
    )


def listed(rule: Rule, what: str, length: int | None = None) -> Rule:
    """A list, each value as ``rule``; ``what`` names the list."""
    return Rule(
        what,
        lambda value: isinstance(value, list) and all(map(rule.accepts, value)) and length in (None, len(value)),
    )


FLAG = Rule("true or false", lambda value: isinstance(value, bool))
TEXT = Rule("a text", lambda value: isinstance(value, str) and bool(value))
MAPPING = Rule("keys with values {KEY: VALUE}", lambda value: isinstance(value, Mapping))
ANYTHING = Rule("anything", lambda value: True)
TEXTS = listed(TEXT, "a list of texts [a,b]")
SHARE = number(0, 1)
BELOW_ONE = number(0, below=1)
AUTO = choice("auto")
PATHS = optional(either(TEXT, TEXTS))


def near(name: str, known: Collection[str]) -> str:
    """A hint at the one of ``known`` that ``name`` resembles, or nothing."""
    found = difflib.get_close_matches(name, known, 1)
    return f" Did you mean {found[0]!r}?" if found else ""
