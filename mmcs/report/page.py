"""``report.html``: one self-contained page out of a comparison. Layout lies in ``page.html.j2``, words in ``words``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mmcs import __version__
from mmcs.evaluation.ranking import TASKS
from mmcs.files import atomic_file
from mmcs.report import names, words
from mmcs.report.comparison import Cell, Comparison, SuiteComparison
from mmcs.report.examples import Pictures, examples
from mmcs.report.plot import dot_plot, legend
from mmcs.report.runs import System


def write_page(path: Path, comparison: Comparison, pictures: Pictures | None = None, notes: Sequence[str] = ()) -> None:
    """Writes the page.

    Args:
        path: the file; its folder is made if missing.
        comparison: what it shows.
        pictures: image id → JPEG bytes (or None); without it the examples show captions and ranks alone.
        notes: sentences on how the runs came about: how settings were chosen, what was tried.
    """
    environment = pages()
    environment.globals |= {"words": words, "names": names, "task_names": TASKS}
    environment.filters |= {"cell": _cell, "seeds": _seeds, "p": words.p_text}
    page = environment.get_template("page.html.j2").render(
        comparison=comparison,
        summary=words.summary(comparison),
        notes=notes,
        parts=[_part(comparison, part, place, pictures) for place, part in enumerate(comparison.suites)],
    )
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def pages() -> jinja2.Environment:
    """Where the templates of mmcs' pages are found, and how they are read."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mmcs.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["version"] = __version__
    return environment


def _part(comparison: Comparison, part: SuiteComparison, place: int, pictures: Pictures | None) -> dict[str, Any]:
    """What the template shows of one suite."""
    labels = [system.label for system in comparison.systems]
    title = f"Recall at 10 of image retrieval per language and system on {part.suite}; the table below has the figures"
    plot = dot_plot(part.cells[TASKS[0]], list(part.sets.values()), "recall@10", title, f"plot{place}")
    best = _best(comparison, part) if part.candidates else None
    return {
        "suite": part,
        "claims": [(claim, words.verdict(claim, part)) for claim in part.claims],
        "legend": legend(labels),
        "plot": Markup(plot),  # made by plot.py, which escapes the labels it is given
        "sets": [name for name, members in part.sets.items() if name != "en" and len(members) > 1],
        "home": {language: name for name, members in part.sets.items() for language in members},
        "best": best.label if best else "",
        "examples": examples(comparison, part, best, pictures) if best else [],
    }


def _best(comparison: Comparison, part: SuiteComparison) -> System:
    """The candidate with the highest mean over the languages asked about, to take examples from."""
    of = next(name for name in ("seen", "non_english", "en", "unseen") if name in part.sets)
    candidates = [system for system in comparison.systems if system.label in part.candidates]
    return max(candidates, key=lambda system: part.cells[TASKS[0]][system.label][of].figures["recall@10"][0])


def _seeds(system: System) -> str:
    return ", ".join(str(run.seed) for run in system.runs if run.seed is not None) or "nothing trained"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _cell(cell: Cell) -> dict[str, Any]:
    """A cell as the tables show it, in percent."""
    value, low, high = cell.figures["recall@10"]
    return {
        "r10": _percent(value),
        "low": _percent(low),
        "high": _percent(high),
        "r1": _percent(cell.figures["recall@1"][0]),
        "r5": _percent(cell.figures["recall@5"][0]),
        "mrr": _percent(cell.figures["mrr@10"][0]),
        "spread": None if cell.spread is None else _percent(cell.spread),
    }
