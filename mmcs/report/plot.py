"""Dot plots of a comparison as inline SVG: languages down, figures or differences across, a dot with its interval per system.

Text and axes take the page's own colour (``currentColor``), so one picture serves light and dark pages. Numbers come in as plain
dictionaries; ``page`` makes them out of a comparison.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import accumulate

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmcs.report.names import language_name

# Okabe and Ito (2008): told apart by colour-blind readers; the marks differ as well. All stand out on white and black.
COLOURS = ("#767676", "#0072b2", "#d55e00", "#009e73", "#b0609a", "#a08500", "#3d94c4", "#8a6d3b")
MARKS = ("o", "s", "D", "^", "v", "P", "X", "*")
SIGNS = ("●", "■", "◆", "▲", "▼", "✚", "✖", "★")  # the same as text
INK = "#010203"  # replaced by the page's text colour
FONT_SIZE = 11.5

Interval = tuple[float, float, float]  # value, low, high; shares, 0…1


@dataclass(frozen=True)
class Look:
    """How a system is drawn wherever it stands on a page; ``sign`` is its mark as text."""

    colour: str
    mark: str
    sign: str


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """A look for each system, in their order."""
    kinds = [Look(*kind) for kind in zip(COLOURS, MARKS, SIGNS, strict=True)]
    return {label: kinds[place % len(kinds)] for place, label in enumerate(labels)}


def dot_plot(
    series: Mapping[str, Mapping[str, Interval]],
    sets: Sequence[Sequence[str]],
    looks: Mapping[str, Look],
    title: str,
    name: str,
) -> str:
    """SVG text of recall per language, one dot with its interval for each system.

    Args:
        series: system label → language → recall@10.
        sets: languages top to bottom, a strong line between the sets.
        looks: of each label.
        title: read out in place of the picture.
        name: unique on the page; prefixes the ids inside.
    """
    with _style(name):
        figure, axes = _frame(sets, len(series), "recall@10, %")
        _dots(axes, series, sets, looks)
        return svg_text(figure, title, name)


def difference_plot(
    series: Mapping[str, Mapping[str, Interval]],
    clear: Mapping[str, Collection[str]],
    sets: Sequence[Sequence[str]],
    looks: Mapping[str, Look],
    title: str,
    name: str,
) -> str:
    """SVG text of differences per language around a strong line at zero; what cannot be told has a hollow mark.

    Args:
        series: system label → language → difference from the baseline; bounds may be infinite (nothing to resample).
        clear: system label → languages in which the difference is told from zero.
        sets, looks, title, name: as ``dot_plot`` has them.
    """
    with _style(name):
        figure, axes = _frame(sets, len(series), "worse ← difference in points → better")
        axes.axvline(0, color=INK, linewidth=1.4)
        _dots(axes, series, sets, looks, clear)
        return svg_text(figure, title, name)


def svg_text(figure: Figure, title: str, name: str) -> str:
    """A figure as SVG that fits into a page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return inline(buffer.getvalue(), title, name)


def inline(svg: str, title: str, name: str) -> str:
    """A stand-alone SVG made fit to lie inside HTML: no addresses, no metadata, ids of its own, a spoken title."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href").replace(INK, "currentColor")
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{name}-", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(title)}"', 1)


def _style(name: str) -> AbstractContextManager[None]:
    return matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": FONT_SIZE})


def _frame(sets: Sequence[Sequence[str]], n_series: int, label: str) -> tuple[Figure, Axes]:
    """A row for each language, lines between them, the scale above and below."""
    languages = [language for members in sets for language in members]
    figure = Figure(figsize=(5.2, 1.1 + len(languages) * (0.17 + 0.11 * n_series)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_yticks(range(len(languages)), [language_name(language) for language in languages])
    axes.set_ylim(len(languages) - 0.45, -0.55)
    axes.set_xlabel(label, color=INK)
    bounds = list(accumulate(len(members) for members in sets))[:-1]
    for row in range(1, len(languages)):
        strong = row in bounds
        axes.axhline(row - 0.5, color=INK, linewidth=1.2 if strong else 0.4, alpha=0.7 if strong else 0.25)
    axes.grid(axis="x", color=INK, linewidth=0.4, alpha=0.25)
    axes.tick_params(colors=INK, length=0, labeltop=len(languages) > 8)
    axes.spines[:].set_visible(False)
    return figure, axes


def _dots(
    axes: Axes,
    series: Mapping[str, Mapping[str, Interval]],
    sets: Sequence[Sequence[str]],
    looks: Mapping[str, Look],
    clear: Mapping[str, Collection[str]] | None = None,
) -> None:
    languages = [language for members in sets for language in members]
    step = 0.76 / max(1, len(series))
    for place, (label, own) in enumerate(series.items()):
        offset = (place - (len(series) - 1) / 2) * step
        look = looks[label]
        for row, language in enumerate(languages):
            if language not in own:
                continue
            value, low, high = (100 * figure for figure in own[language])
            if high - low < float("inf"):
                axes.hlines(row + offset, low, high, color=look.colour, linewidth=1.6)
            hollow = clear is not None and language not in clear.get(label, ())
            axes.plot(
                value,
                row + offset,
                marker=look.mark,
                markersize=5,
                color=look.colour,
                markerfacecolor="none" if hollow else look.colour,
            )
