"""Heat maps of languages × languages as tables whose cells are coloured: the picture and its figures are one thing.

So they can be read out, searched and copied, and stay legible at any width. Colours are classes in ``heat_css``, the same in
light and dark pages; the page's template draws the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib

Pair = tuple[str, str]  # the queries' language, the gallery's language

_SHARES = 11  # colours from nothing to the most
_SIDE = 6  # colours on either side of zero
_LEAST_SPAN = 0.02  # of a scale of differences: noise of a fraction of a point must not look like an effect


@dataclass(frozen=True)
class HeatCell:
    """A coloured cell: its text and its class."""

    text: str
    kind: str


@dataclass(frozen=True)
class HeatMap:
    """A map as its table shows it.

    Attributes:
        title: what the figures are.
        languages: of the queries, down, and of the gallery, across.
        rows: a list of cells per query language; None where a pair has no figure.
        scale: (class, text) of the colours from the least to the most, for the legend.
    """

    title: str
    languages: list[str]
    rows: list[list[HeatCell | None]]
    scale: list[HeatCell]


def share_map(title: str, values: Mapping[Pair, float], languages: Sequence[str], most: float) -> HeatMap:
    """A map of shares, 0…1, in percent; ``most`` has the strongest colour, so that several maps can share a scale."""

    def cell(value: float) -> HeatCell:
        level = min(_SHARES - 1, round((_SHARES - 1) * value / most)) if most else 0
        return HeatCell(f"{100 * value:.0f}", f"s{level}")

    scale = [HeatCell(cell(share * most).text, cell(share * most).kind) for share in (0, 0.25, 0.5, 0.75, 1)]
    return HeatMap(title, list(languages), _rows(values, languages, cell), scale)


def difference_map(
    title: str, first: Mapping[Pair, float], second: Mapping[Pair, float], languages: Sequence[str]
) -> HeatMap:
    """A map of ``first`` minus ``second`` in points, of the pairs that both have; zero is colourless."""
    values = {pair: value - second[pair] for pair, value in first.items() if pair in second}
    span = max([_LEAST_SPAN, *(abs(value) for value in values.values())])

    def cell(value: float) -> HeatCell:
        level = round(_SIDE * value / span)
        text = f"{100 * value:+.0f}".replace("-", "−")
        return HeatCell("0" if text in ("+0", "−0") else text, f"d{level}")

    scale = [cell(share * span) for share in (-1, -0.5, 0, 0.5, 1)]
    return HeatMap(title, list(languages), _rows(values, languages, cell), scale)


def most_of(matrices: Sequence[Mapping[Pair, float]]) -> float:
    """The end of a scale that several maps of shares use: the largest share, rounded up to the next tenth."""
    return math.ceil(10 * max(value for matrix in matrices for value in matrix.values())) / 10


def heat_css() -> str:
    """The colours' classes. Text is black or white, whichever stands out more (at least 4.5 : 1 on any colour)."""
    shares = {f"s{level}": matplotlib.colormaps["Blues"](0.95 * level / (_SHARES - 1)) for level in range(_SHARES)}
    sides = {
        f"d{level}": matplotlib.colormaps["RdBu"](0.5 + 0.42 * level / _SIDE) for level in range(-_SIDE, _SIDE + 1)
    }
    rules = []
    for kind, colour in (shares | sides).items():
        paper = tuple(round(255 * channel) for channel in colour[:3])
        ink = "#000" if _luminance(paper) > 0.179 else "#fff"  # where both have the same contrast
        rules.append(f".{kind} {{ background: #{bytes(paper).hex()}; color: {ink}; }}")
    return "\n".join(rules)


def _rows(
    values: Mapping[Pair, float], languages: Sequence[str], cell: Callable[[float], HeatCell]
) -> list[list[HeatCell | None]]:
    return [
        [cell(values[query, gallery]) if (query, gallery) in values else None for gallery in languages]
        for query in languages
    ]


def _luminance(colour: Sequence[int]) -> float:
    """Relative luminance of sRGB, 0…1 (WCAG 2.2)."""
    linear = [
        (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for c in (channel / 255 for channel in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
