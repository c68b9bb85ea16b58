"""WiSE-FT (Wortsman et al. 2022, section 3): weights on the line between the start of training and its end.

``interpolate`` is the line; ``choose`` measures points on it and tells of them. Which data they are measured on, and what
becomes of the best, is decided in ``mmcs.finish``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from torch import Tensor

from mmcs.errors import UserError
from mmcs.files import atomic_file

Figures = Mapping[str, float]


def check_alphas(alphas: Any, validated: bool) -> None:
    """What can be said of ``eval.wise_ft`` before training.

    Raises:
        UserError: it is no list of numbers from 0 to 1, or no validation suite could choose among them.
    """
    if alphas is None:
        return
    if (
        not isinstance(alphas, list)
        or not alphas
        or not all(isinstance(alpha, int | float) and 0 <= alpha <= 1 for alpha in alphas)
    ):
        raise UserError(
            f"eval.wise_ft is a list of numbers from 0 (the start) to 1 (as trained), or null; got {alphas}."
        )
    if not validated:
        raise UserError("eval.wise_ft needs eval.val: validation suites choose among the weights.")


def interpolate(start: Mapping[str, Tensor], tuned: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """(1 − alpha) · start + alpha · tuned of every weight; at 0 and 1 exactly the one and the other.

    Of adapters (LoRA) it is the merged weights that lie on the line: they begin at W, so alpha scales what B·A adds to it, and
    A, which begins at random, stays. Whole numbers (counts of batches) are those of ``tuned``.
    """
    return {name: _between(name, start[name], value, alpha) for name, value in tuned.items()}


def _between(name: str, start: Tensor, tuned: Tensor, alpha: float) -> Tensor:
    if ".lora_A." in name or ".lora_embedding_A." in name or not tuned.is_floating_point():
        return tuned.clone()
    return start.to(tuned.device).lerp(tuned, alpha) if alpha < 1 else tuned.clone()


def choose(
    alphas: Sequence[float], measure: Callable[[float], Figures], *, monitor: str, folder: Path
) -> tuple[float, float]:
    """Measures every alpha; the best by the figure ``monitor`` (of equals the largest alpha, the nearest to what was trained).

    Writes ``wise_ft.json`` and ``wise_ft.png`` into ``folder`` and prints a table.

    Returns:
        the best alpha and its figure.
    """
    points = [{"alpha": float(alpha), **measure(float(alpha))} for alpha in alphas]
    chosen = max(points, key=lambda point: (point[monitor], point["alpha"]))
    best = chosen["alpha"]
    content: dict[str, Any] = {"schema": 1, "monitor": monitor, "best": best, "points": points}
    with atomic_file(folder / "wise_ft.json") as path:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    names = [name for name in points[0] if name != "alpha"]
    table = Table(title="WiSE-FT on validation, %: 0 is the start, 1 as trained")
    for column in ("alpha", *map(_short, names)):
        table.add_column(column, justify="right")
    for point in points:
        mark = " *" if point["alpha"] == best else ""
        table.add_row(f"{point['alpha']:.2f}{mark}", *(f"{100 * point[name]:.1f}" for name in names))
    Console().print(table)
    _plot(points, names, best, folder / "wise_ft.png")
    return best, chosen[monitor]


def _short(name: str) -> str:
    """``val/stamps/en/image_retrieval_recall@10`` as ``stamps en R@10``."""
    return name.removeprefix("val/").replace("/image_retrieval_recall@", " R@").replace("/", " ")


def _plot(points: Sequence[Figures], names: Sequence[str], best: float, target: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    line = sorted(points, key=lambda point: point["alpha"])
    for name in names:
        axes.plot([point["alpha"] for point in line], [100 * point[name] for point in line], "o-", label=_short(name))
    axes.axvline(best, color="0.6", linestyle="--", label="chosen")
    axes.set(xlabel="α (0: the start, 1: as trained)", ylabel="%", title="WiSE-FT on validation")
    axes.legend(fontsize="small")
    with atomic_file(target) as path:
        figure.savefig(path, format="png", dpi=120)
