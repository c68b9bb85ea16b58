"""Gain against a language's distance from English, or another figure of it, as inline SVG: a dot per language, each with its name beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from mmcs.report.names import language_name
from mmcs.report.plot import COLOURS, FONT_SIZE, INK, MARKS, SIGNS, svg_text

_LOOKS = {"seen": (1, "with a lexicon"), "unseen": (2, "without a lexicon"), "non_english": (1, "other languages")}
_MOST_NAMES = 20  # languages; with more their tags stand for them
# Where a name may stand beside its dot: horizontal and vertical offset in points, alignments.
_PLACES = (
    (6, 0, "left", "center"),
    (-6, 0, "right", "center"),
    (0, 6, "center", "bottom"),
    (0, -6, "center", "top"),
    (5, 6, "left", "bottom"),
    (5, -6, "left", "top"),
    (-5, 6, "right", "bottom"),
    (-5, -6, "right", "top"),
)


def proximity_plot(
    points: Mapping[str, tuple[float, float]],
    sets: Mapping[str, Sequence[str]],
    title: str,
    name: str,
    across: str = "distance from English",
) -> str:
    """SVG text of the plot.

    Args:
        points: language → (distance from English or the like, gain as a share 0…1, shown in points).
        sets: name → languages; seen and unseen ones have marks of their own.
        title: read out in place of the picture.
        name: unique on the page; prefixes the ids inside.
        across: what the distances are.
    """
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": FONT_SIZE}):
        figure = Figure(figsize=(5.2, 4.2), layout="constrained")
        axes = figure.add_subplot()
        axes.axhline(0, color=INK, linewidth=1.0, alpha=0.7)
        for own, (place, _) in _LOOKS.items():
            members = [points[language] for language in sets.get(own, ()) if language in points]
            distances, gains = [distance for distance, _ in members], [100 * gain for _, gain in members]
            axes.plot(distances, gains, linestyle="", marker=MARKS[place], color=COLOURS[place], markersize=5.5)
        axes.set_xlabel(across, color=INK)
        axes.set_ylabel("gain in points", color=INK)
        axes.margins(x=0.14, y=0.1)
        axes.grid(color=INK, linewidth=0.4, alpha=0.2)
        axes.tick_params(colors=INK, length=0)
        axes.spines[:].set_visible(False)
        figure.draw_without_rendering()  # names are placed by where the dots really lie
        _write_names(axes, points)
        return svg_text(figure, title, name)


def proximity_legend(sets: Mapping[str, Sequence[str]]) -> list[tuple[str, str, str]]:
    """(label, colour, sign) of the marks that ``proximity_plot`` draws."""
    return [(label, COLOURS[place], SIGNS[place]) for name, (place, label) in _LOOKS.items() if sets.get(name)]


def _write_names(axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Each name where it covers the least of the dots and of the names that stand already."""
    figure = axes.get_figure()
    assert figure is not None
    renderer = figure._get_renderer()  # type: ignore[union-attr]
    dots = {language: axes.transData.transform((distance, 100 * gain)) for language, (distance, gain) in points.items()}
    taken = [Bbox.from_extents(x - 4, y - 4, x + 4, y + 4) for x, y in dots.values()]
    for language, (distance, gain) in sorted(points.items(), key=lambda item: (item[1][1], item[0])):
        text = axes.annotate(
            language_name(language) if len(points) <= _MOST_NAMES else language,
            (distance, 100 * gain),
            _PLACES[0][:2],
            textcoords="offset points",
            color=INK,
            fontsize=FONT_SIZE - 1.5,
        )
        boxes = []
        for x, y, side, height in _PLACES:
            text.set(position=(x, y), ha=side, va=height)
            boxes.append(text.get_window_extent(renderer))
        costs = [_covered(box, taken, axes.bbox) for box in boxes]
        best = costs.index(min(costs))
        x, y, side, height = _PLACES[best]
        text.set(position=(x, y), ha=side, va=height)
        taken.append(boxes[best])


def _covered(box: Bbox, taken: Sequence[Bbox], frame: Bbox) -> float:
    """The area of ``box`` that lies on others or outside the frame."""
    shared = (Bbox.intersection(box, other) for other in taken)
    inside = Bbox.intersection(box, frame)
    outside = box.width * box.height - (inside.width * inside.height if inside else 0)
    return outside + sum(own.width * own.height for own in shared if own)
