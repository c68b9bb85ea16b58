"""The dot plot of a comparison as inline SVG: languages down, recall across, one dot with its interval per system.

Text and axes take the page's own colour (``currentColor``), so one picture serves light and dark pages.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate

import matplotlib
from matplotlib.figure import Figure

from mmcs.report.comparison import Cell
from mmcs.report.names import language_name

# Okabe and Ito (2008): told apart by colour-blind readers; the marks differ as well. All stand out on white and black.
COLOURS = ("#767676", "#0072b2", "#d55e00", "#009e73", "#b0609a", "#a08500", "#3d94c4", "#8a6d3b")
MARKS = ("o", "s", "D", "^", "v", "P", "X", "*")
INK = "#010203"  # replaced by the page's text colour


def dot_plot(
    cells: Mapping[str, Mapping[str, Cell]], sets: Sequence[Sequence[str]], metric: str, title: str, name: str
) -> str:
    """SVG text of the plot.

    Args:
        cells: system label → language → figures.
        sets: languages top to bottom, a strong line between the sets.
        metric: such as ``recall@10``; shown in percent.
        title: read out in place of the picture.
        name: unique on the page; prefixes the ids inside.
    """
    languages = [language for members in sets for language in members]
    bounds = list(accumulate(len(members) for members in sets))[:-1]
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 10}):
        figure = Figure(figsize=(5.2, 0.9 + len(languages) * (0.24 + 0.085 * len(cells))), layout="constrained")
        axes = figure.add_subplot()
        step = 0.76 / max(1, len(cells))
        for place, (label, own) in enumerate(cells.items()):
            rows = [row + (place - (len(cells) - 1) / 2) * step for row in range(len(languages))]
            values, lows, highs = zip(*([100 * x for x in own[key].figures[metric]] for key in languages), strict=True)
            colour, mark = COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)]
            axes.hlines(rows, lows, highs, color=colour, linewidth=1.6)
            axes.plot(values, rows, linestyle="", marker=mark, markersize=4.5, color=colour, label=label)
        axes.set_yticks(range(len(languages)), [language_name(language) for language in languages])
        axes.set_ylim(len(languages) - 0.45, -0.55)
        axes.set_xlabel(f"{metric}, %")
        for row in range(1, len(languages)):
            strong = row in bounds
            axes.axhline(row - 0.5, color=INK, linewidth=1.2 if strong else 0.4, alpha=0.7 if strong else 0.25)
        axes.grid(axis="x", color=INK, linewidth=0.4, alpha=0.25)
        axes.tick_params(colors=INK, length=0)
        axes.xaxis.label.set_color(INK)
        axes.spines[:].set_visible(False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return inline(buffer.getvalue(), title, name)


def legend(labels: Sequence[str]) -> list[tuple[str, str, str]]:
    """(label, colour, HTML sign) per system, as ``dot_plot`` draws them."""
    signs = ("●", "■", "◆", "▲", "▼", "✚", "✖", "★")
    return [(label, COLOURS[place % len(COLOURS)], signs[place % len(signs)]) for place, label in enumerate(labels)]


def inline(svg: str, title: str, name: str) -> str:
    """A stand-alone SVG made fit to lie inside HTML: no addresses, no metadata, ids of its own, a spoken title."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href").replace(INK, "currentColor")
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{name}-", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
