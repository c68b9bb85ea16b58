"""A comparison for the terminal, readable at 80 columns: recall@10 per language and system, claims, what else was measured,
summary. Rich does the drawing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmcs.evaluation.ranking import TASKS
from mmcs.report.cells import RECALL_10, Figure
from mmcs.report.comparison import Comparison, SuiteComparison
from mmcs.report.further import Further
from mmcs.report.further_words import TITLES, further_figure, further_title
from mmcs.report.language_verdicts import OPEN, LanguageVerdict
from mmcs.report.names import SETS, language_name
from mmcs.report.terms import ALL
from mmcs.report.words import UNCORRECTED, basis, p_text, points, significance_note, summary, verdict

STYLES = {"good": "green", "bad": "red", "open": "yellow"}
MARKS = {"helps": (" ▲", "green"), "hurts": (" ▼", "red"), OPEN: ("  ", "")}
WITH_INTERVALS = 4  # systems: of more, their intervals stand on the page
MOST_TERMS = 8  # named in a row


def show(comparison: Comparison, console: Console) -> None:
    """Prints tables and summary; ``console`` is made with ``markup=False``, since labels may hold brackets."""
    for part in comparison.suites:
        console.print(f"\n{basis(part)}", highlight=False)
        for note in part.notes:
            console.print(f"Mind: {note}", highlight=False, style="yellow")
        for table in _tables(comparison, part):
            console.print(table)
    for table in _further(comparison, comparison.texts):
        console.print(table)
    console.print()
    for paragraph in summary(comparison):
        console.print(paragraph, highlight=False)
    if comparison.settings.unequal:
        console.print(f"Warning: trained at unequal settings: {', '.join(comparison.settings.unequal)}.", style="red")


def _tables(comparison: Comparison, part: SuiteComparison) -> Iterator[Table | Text]:
    yield _figures(comparison, part)
    if part.verdicts:
        yield Text(
            f"▲ helps, ▼ hurts against {comparison.baseline.label}: single languages, a secondary family, corrected by itself",
            style="dim",
        )
    if part.claims:
        yield from _claims(part)
    if comparison.step is not None:
        yield from (_verdicts(label, part) for label in part.candidates)
    if part.other_protocols:
        yield _protocols(comparison, part)
    yield from _further(comparison, part.further)
    if part.terms:
        yield _terms(comparison, part)
        yield Text(_missing(part), style="dim")


def _table(title: str, first: str, columns: Sequence[str]) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _figures(comparison: Comparison, part: SuiteComparison) -> Table:
    labels = [system.label for system in comparison.systems]
    intervals = len(labels) <= WITH_INTERVALS
    title = f"image retrieval, recall@10 in %{' [95 % interval]' if intervals else ''}"
    table = _table(title, "language", labels)
    cells = part.cells[TASKS[0]]
    sets = [name for name, members in part.sets.items() if name not in part.languages or len(members) > 1]
    for key in [*part.languages, *sets]:
        row = []
        for label in labels:
            own = part.verdicts.get(label, {}).get(key)
            mark, style = MARKS[own.verdict if own else OPEN]
            row.append(Text(_percent(cells[label][key].figures[RECALL_10], intervals)) + Text(mark, style=style))
        table.add_row(_key(key, part), *row, style="bold" if key in sets else "")
    return table


def _claims(part: SuiteComparison) -> Iterator[Table | Text]:
    """One line per claim, under a line for each pair of systems."""
    yield Text(
        "\nClaims: differences in points of recall@10 [95 % interval]. p: paired t-test (English: of a loss of 1 point or "
        f"more), corrected for {part.claims[0].n_claims} claims; p alone: as it is; rand.: paired randomisation test, as it is."
    )
    for pair in dict.fromkeys((claim.first, claim.second) for claim in part.claims):
        table = _fixed(" against ".join(pair))
        for claim in (claim for claim in part.claims if (claim.first, claim.second) == pair):
            found = verdict(claim, part)
            answer = Text(found.answer.replace(UNCORRECTED, "*"), style=STYLES[found.kind])
            ours, theirs = p_text(claim.p_value), p_text(claim.difference.p_randomisation)
            randomised = "" if claim.not_lost else theirs  # it asks whether English differs, not whether it is lost
            difference = points(claim.difference)
            table.add_row(_short(claim.of, part), difference, p_text(claim.corrected), ours, randomised, answer)
        yield table
    if any(significance_note(claim) for claim in part.claims):
        yield Text("* not significant after correction", style="dim")


def _fixed(title: str) -> Table:
    """Columns as wide in every table of claims."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
    table.add_column("", width=19)
    table.add_column("difference", justify="right", width=20)
    for name in ("p corr.", "p", "rand."):
        table.add_column(name, justify="right", width=7)
    table.add_column("answer", overflow="fold")
    return table


def _verdicts(label: str, part: SuiteComparison) -> Table:
    """Language by language, with the number of queries that an open verdict would take."""
    table = _table(
        f"{label}, language by language (secondary, corrected by themselves): points of recall@10 [95 % interval]",
        "language",
        ["difference", "queries", "needed"],
    )
    table.add_column("verdict")
    for language, own in part.verdicts[label].items():
        mark, style = MARKS[own.verdict]
        difference = own.difference
        verdict_ = Text(f"{own.verdict}{mark.rstrip()}", style=style)
        table.add_row(language_name(language), points(difference), f"{difference.n_queries:,}", _needed(own), verdict_)
    return table


def _needed(own: LanguageVerdict) -> str:
    if own.verdict != OPEN:
        return ""
    if own.needed is None:
        return "too close to 0"
    return f"about {own.needed:,}" if own.needed > own.difference.n_queries else "more seeds"


def _protocols(comparison: Comparison, part: SuiteComparison) -> Table:
    labels = [system.label for system in comparison.systems]
    table = _table("other protocols: recall@10 (recall@1) in %", "protocol, task, mean of", labels)
    for protocol, tasks in part.other_protocols.items():
        for task, cells in tasks.items():
            names = [name for name in part.sets if all(name in cells[label] for label in labels)]
            for name in names:
                row = [
                    "{:.1f} ({:.1f})".format(
                        *(100 * cells[label][name].figures[metric][0] for metric in (RECALL_10, "recall@1"))
                    )
                    for label in labels
                ]
                table.add_row(f"{protocol.replace('_', ' ')}, {task.replace('_', ' ')}, {_short(name, part)}", *row)
    return table


def _further(comparison: Comparison, rows: Sequence[Further]) -> Iterator[Table]:
    """A table per kind; shares of languages stand on the page."""
    labels = [system.label for system in comparison.systems]
    for kind in dict.fromkeys(one.kind for one in rows if one.kind != "language_share"):
        table = _table(
            f"{TITLES[kind]}{' (plain queries in brackets)' if kind == 'translate_test' else ''}", "", labels
        )
        for one in (one for one in rows if one.kind == kind):
            table.add_row(further_title(one), *(_further_cell(one, label, len(labels)) for label in labels))
        yield table


def _further_cell(one: Further, label: str, count: int) -> str:
    if label not in one.values:
        return "–"
    if one.kind == "translate_test" and label in one.plain:
        return f"{100 * one.values[label][0]:.1f} ({100 * one.plain[label][0]:.1f})"
    figure = further_figure(one, one.values[label])
    return figure if count <= WITH_INTERVALS else figure.split(" ")[0]


def _terms(comparison: Comparison, part: SuiteComparison) -> Table:
    labels = [system.label for system in comparison.systems]
    intervals = len(labels) <= WITH_INTERVALS
    table = _table("queries that hold one of your terms: recall@10 in %", "language", ["queries", *labels])
    for report in part.terms:
        if report.n_queries:
            row = [_percent(report.figures[label], intervals) for label in labels]
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


def _percent(figure: Figure, intervals: bool) -> str:
    value, low, high = (100 * one for one in figure)
    return f"{value:.1f} [{low:.0f}, {high:.0f}]" if intervals else f"{value:.1f}"


def _key(key: str, part: SuiteComparison) -> str:
    return language_name(key) if key in part.languages else f"mean of {_short(key, part)}"


def _short(name: str, part: SuiteComparison) -> str:
    """``8 with a lexicon``: a set of languages, as narrow as it can be said."""
    if name not in SETS or name == "en":
        return language_name(name)
    return f"{len(part.sets[name])} {SETS[name].removeprefix('languages ')}"
