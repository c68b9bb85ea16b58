"""The words for a model whose towers, or one of them, begin with random weights: no pretrained ones were loaded."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmcs.model.towers import Towers


def random_towers(towers: Towers | Any) -> list[str]:
    """Those of the towers "image" and "text" that ``build_towers`` had no weights for; none of what is no ``Towers``."""
    return list(getattr(towers, "config", {}).get("random", ()))


def random_label(random: Sequence[str]) -> str:
    """Of the towers ``random``.

    >>> random_label(["image", "text"]), random_label(["image"])
    ('random weights', 'random weights in the image tower')
    """
    return "random weights" + ("" if len(random) == 2 else f" in the {random[0]} tower")


def random_note(random: Sequence[str], *, trained: bool) -> str | None:
    """The sentence beside figures of such a model; None where every tower had weights.

    Args:
        trained: whether the figures are of a trained model that began so.
    """
    if not random:
        return None
    if trained:
        return f"The model was trained from {random_label(random)}; no pretrained ones were loaded."
    return f"The model has {random_label(random)}: no pretrained ones were loaded, and nothing was trained."


def warn_of_random_weights(towers: Towers, *, trained: bool = False, command: str = "mmcs") -> None:
    """Prints a line on standard error where a tower has random weights, or had before it was ``trained``."""
    if random := random_towers(towers):
        option = "model.pretrained" if command == "mmcs-train" else "--pretrained"
        more = "" if trained else f"; {option} loads others"
        begins = "was trained from" if trained else "begins with"
        print(f"{command}: note: the model {begins} {random_label(random)}{more}.", file=sys.stderr)
