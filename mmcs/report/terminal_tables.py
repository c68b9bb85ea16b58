"""Tables of a comparison beside its claims, for the terminal: protocols, pairs of languages, further settings, terms.

``terminal`` shows them; how wide they may be is ``Layout``'s.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from rich.table import Table
from rich.text import Text

from mmcs.report.cells import RECALL_10, Cell, Figure
from mmcs.report.comparison import SuiteComparison
from mmcs.report.further import Further
from mmcs.report.further_words import TITLES, further_figure, further_title
from mmcs.report.names import SETS, language_name
from mmcs.report.proximity_words import correlations, relation
from mmcs.report.terms import ALL
from mmcs.report.words import points
from mmcs.retrieval.languages import ENGLISH

BESIDE_PLAIN = ("translate_test", "other")  # kinds that are looked at beside the plain queries
MOST_TERMS = 8  # named in a row
_FIRST, _WIDE, _NARROW = 28, 17, 11  # columns: languages, a figure with its interval, a figure


@dataclass(frozen=True)
class Layout:
    """How the systems of a comparison stand beside each other in so many columns of text.

    Attributes:
        labels: of the systems.
        heads: of their columns: the labels, or numbers where these leave no room for the figures.
        intervals: whether there is room for them; the page has them anyway.
    """

    labels: list[str]
    heads: list[str]
    intervals: bool

    @classmethod
    def of(cls, labels: Sequence[str], width: int) -> Layout:
        room = width - _FIRST
        heads = list(labels) if room >= _NARROW * len(labels) else [str(number + 1) for number in range(len(labels))]
        return cls(list(labels), heads, room >= _WIDE * len(labels))

    def table(self, title: str, first: str, *more: str) -> Table:
        """An empty table with a column for each system behind ``first`` and ``more``."""
        table = Table(title=f"\n{title}", title_justify="left", box=None, padding=(0, 1), pad_edge=False)
        table.add_column(first, overflow="fold")
        for column in (*more, *(textwrap.fill(head, _WIDE - 2) for head in self.heads)):
            table.add_column(column, justify="right")
        return table

    def figure(self, figure: Figure, spread: float | None = None) -> str:
        """In percent, with its interval, and the spread over seeds, where there is room."""
        value, low, high = (100 * one for one in figure)
        if not self.intervals:
            return f"{value:.1f}"
        return f"{value:.1f} [{low:.0f}, {high:.0f}]{'' if spread is None else f' ±{100 * spread:.1f}'}"


def other_tables(layout: Layout, part: SuiteComparison) -> Iterator[Table | Text]:
    """What there is of a suite beside its figures and claims."""
    if part.other_protocols:
        yield _protocols(layout, part)
    for label, own in part.proximity.items():
        yield Text(f"\n{label}: {relation(own)} {correlations(own)}")
    if part.matrices:
        yield _pairs(layout, part)
    yield from further_tables(layout, part.further)
    if part.terms:
        yield _terms(layout, part)
        yield Text(_missing(part), style="dim")


def _protocols(layout: Layout, part: SuiteComparison) -> Table:
    table = layout.table("other protocols: recall@10 (recall@1) in %", "mean of")
    for protocol, tasks in part.other_protocols.items():
        for task, cells in tasks.items():
            table.add_row(Text(f"{protocol}, {task}".replace("_", " "), style="dim"))
            for name in part.sets:
                if all(name in cells[label] for label in layout.labels):
                    table.add_row(short(name, part), *(_two(cells[label][name]) for label in layout.labels))
    return table


def _two(cell: Cell) -> str:
    ten, one = (100 * cell.figures[metric][0] for metric in (RECALL_10, "recall@1"))
    return f"{ten:.1f} ({one:.1f})"


def _pairs(layout: Layout, part: SuiteComparison) -> Table:
    """The mean of the matrix; the page has all of it."""
    table = layout.table("captions ask for captions of the same image in another language: recall@10 in %", "")
    pairs = max(map(len, part.matrices.values()))
    means = (
        f"{100 * fmean(part.matrices[label].values()):.1f}" if label in part.matrices else "–"
        for label in layout.labels
    )
    table.add_row(f"mean of {pairs:,} pairs", *means)
    return table


def further_tables(layout: Layout, rows: Sequence[Further]) -> Iterator[Table]:
    """A table per kind; shares of languages stand on the page, and single languages of the kinds that nobody named."""
    for kind in dict.fromkeys(one.kind for one in rows if one.kind != "language_share"):
        own = [one for one in rows if one.kind == kind]
        if kind == "other" and any(one.languages for one in own):
            own = [one for one in own if one.languages or one.language == ENGLISH]
        brackets = " (plain queries in brackets)" if kind in BESIDE_PLAIN and any(one.plain for one in own) else ""
        table = layout.table(f"{TITLES[kind]}{brackets}", "")
        for one in own:
            title = further_title(one).removesuffix(f": {RECALL_10}")
            table.add_row(title, *(_further_cell(one, label, layout) for label in layout.labels))
        yield table


def _further_cell(one: Further, label: str, layout: Layout) -> str:
    if label not in one.values:
        return "–"
    if one.kind in BESIDE_PLAIN and label in one.plain:
        return f"{100 * one.values[label][0]:.1f} ({100 * one.plain[label][0]:.1f})"
    figure = further_figure(one, one.values[label])
    return figure if layout.intervals else figure.split(" ")[0]


def _terms(layout: Layout, part: SuiteComparison) -> Table:
    table = layout.table("queries that hold one of your terms: recall@10 in %", "language", "queries")
    for report in part.terms:
        if report.n_queries:
            row = [layout.figure(report.figures[label]) for label in layout.labels]
            name = "all, each query alike" if report.language == ALL else language_name(report.language)
            table.add_row(name, f"{report.n_queries:,}", *row, style="bold" if report.language == ALL else "")
    return table


def _missing(part: SuiteComparison) -> str:
    """Differences over all queries with a term, and which terms no query holds."""
    together = part.terms[-1]
    told = [f"{label}: {points(own)} points against the baseline" for label, own in together.differences.items()]
    missing = together.missing
    if missing:
        more = f" and {len(missing) - MOST_TERMS:,} more" if len(missing) > MOST_TERMS else ""
        told.append(
            f"in no query: {len(missing):,} of {len(missing) + len(together.terms):,} terms ({', '.join(missing[:MOST_TERMS])}{more})"
        )
    return "; ".join(told) + "." if told else ""


def key_title(key: str, part: SuiteComparison) -> str:
    """A language's name, or ``mean of 8 with a lexicon``."""
    return language_name(key) if key in part.languages else f"mean of {short(key, part)}"


def short(name: str, part: SuiteComparison) -> str:
    """``8 with a lexicon``: a set of languages, as narrow as it can be said."""
    if name not in SETS or name == "en":
        return language_name(name)
    return f"{len(part.sets[name])} {SETS[name].removeprefix('languages ')}"
