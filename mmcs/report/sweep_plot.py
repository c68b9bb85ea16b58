"""The parallel plot of a sweep as inline SVG: an axis for each key that was varied, the objective last, a line for each point."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmcs.report.plot import COLOURS, INK, inline
from mmcs.report.sweeps import Point

_MOST_TICKS = 6
_LOG_FROM = 30.0  # largest value by smallest, from which on an axis is logarithmic
_FAILED, _GOOD, _BEST = "#8a8a8a", COLOURS[1], COLOURS[2]  # on white and on black


def parallel_plot(keys: Sequence[str], points: Sequence[Point], title: str, name: str) -> str:
    """SVG text of the plot; ``points`` without an objective are dotted and end before its axis.

    Args:
        keys: the axes before the last.
        points: what is drawn; the best first.
        title: read out in place of the picture. name: unique on the page; prefixes the ids inside.
    """
    measured = [point.objective.mean for point in points if point.objective is not None]
    columns = [_heights([point.settings[key] for point in points]) for key in keys]
    low, high = min(measured), max(measured)
    room = (high - low) or 1.0
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9}):
        figure = Figure(figsize=(1.5 + 1.7 * len(keys), 3.6), layout="constrained")
        axes = figure.add_subplot()
        for place in reversed(range(len(points))):  # the best on top
            point = points[place]
            heights = [column[0][place] for column in columns]
            if point.objective is None:
                axes.plot(range(len(keys)), heights, color=_FAILED, linewidth=1.1, linestyle=":")
                continue
            height = (point.objective.mean - low) / room if high > low else 0.5
            look: dict[str, Any] = (
                {"color": _BEST, "linewidth": 2.8} if place == 0 else {"color": _GOOD, "linewidth": 1.5}
            )
            axes.plot(range(len(keys) + 1), [*heights, height], alpha=1.0 if place == 0 else 0.2 + 0.6 * height, **look)
        for place, (_, ticks) in enumerate(columns):
            _axis(axes, place, ticks, place == 0)
        ends = [(0.0, f"{100 * low:.1f}"), (1.0, f"{100 * high:.1f}")] if high > low else [(0.5, f"{100 * low:.1f}")]
        _axis(axes, len(keys), ends, False)
        axes.set_xticks(range(len(keys) + 1), [*keys, "objective, %"])
        axes.set_ylim(-0.06, 1.06)
        axes.set_yticks([])
        axes.margins(x=0.12)
        axes.tick_params(colors=INK, length=0)
        axes.spines[:].set_visible(False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return inline(buffer.getvalue(), title, name)


def _axis(axes: Axes, place: int, ticks: Sequence[tuple[float, str]], left: bool) -> None:
    axes.axvline(place, color=INK, linewidth=0.9, alpha=0.6)
    for height, text in ticks:
        beside, above, side = (-5, 0, "right") if left else (4, 7, "left")  # lines pass to the right of an axis
        axes.annotate(
            text if len(text) <= 18 else f"{text[:17]}…",
            (place, height),
            (beside, above),
            textcoords="offset points",
            ha=side,
            va="center",
            color=INK,
        )


def _heights(values: Sequence[str]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where each value stands on its axis, 0 to 1, and the axis' ticks: numbers by their size, all else evenly."""
    numbers = [_number(value) for value in values]
    distinct = sorted(set(values), key=lambda value: (_number(value) is None, _number(value) or 0.0, value))
    if all(number is not None and math.isfinite(number) for number in numbers) and len(distinct) > 1:
        scaled = {value: float(value) for value in distinct}
        if min(scaled.values()) > 0 and max(scaled.values()) / min(scaled.values()) >= _LOG_FROM:
            scaled = {value: math.log(number) for value, number in scaled.items()}
        low, high = min(scaled.values()), max(scaled.values())
        places = {value: (number - low) / ((high - low) or 1.0) for value, number in scaled.items()}
    else:
        places = {value: place / max(1, len(distinct) - 1) for place, value in enumerate(distinct)}
    shown = distinct if len(distinct) <= _MOST_TICKS else [distinct[0], distinct[len(distinct) // 2], distinct[-1]]
    return [places[value] for value in values], [(places[value], _short(value)) for value in shown]


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _short(value: str) -> str:
    number = _number(value)
    return value if number is None else f"{number:.3g}"
