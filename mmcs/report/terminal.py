"""A comparison for the terminal, readable at 80 columns: recall@10 per language and system, claims, what else was measured,
summary. Rich does the drawing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmcs.evaluation.ranking import TASKS
from mmcs.report.cells import RECALL_10
from mmcs.report.comparison import Comparison, SuiteComparison
from mmcs.report.language_verdicts import OPEN, LanguageVerdict
from mmcs.report.names import language_name
from mmcs.report.terminal_tables import Layout, further_tables, key_title, other_tables, short
from mmcs.report.words import UNCORRECTED, about, basis, p_text, points, significance_note, summary, verdict

STYLES = {"good": "green", "bad": "red", "open": "yellow"}
MARKS = {"helps": (" ▲", "green"), "hurts": (" ▼", "red"), OPEN: ("  ", "")}


def show(comparison: Comparison, console: Console) -> None:
    """Prints tables and summary; ``console`` is made with ``markup=False``, since labels may hold brackets."""
    layout = Layout.of([system.label for system in comparison.systems], console.width)
    if layout.heads != layout.labels:
        console.print("; ".join(f"{head} {label}" for head, label in zip(layout.heads, layout.labels, strict=True)))
    for part in comparison.suites:
        console.print(f"\n{basis(part)}", highlight=False)
        _mind(part.notes, console)
        for table in (*_tables(comparison, layout, part), *other_tables(layout, part)):
            console.print(table, highlight=False)
    for table in further_tables(layout, comparison.texts):
        console.print(table, highlight=False)
    _mind(comparison.text_notes, console)
    console.print()
    for paragraph in summary(comparison):
        console.print(paragraph, highlight=False)
    if comparison.settings.unequal:
        console.print(f"Warning: trained at unequal settings: {', '.join(comparison.settings.unequal)}.", style="red")


def _mind(notes: Sequence[str], console: Console) -> None:
    for note in notes:
        console.print(f"Mind: {note}", highlight=False, style="yellow")


def _tables(comparison: Comparison, layout: Layout, part: SuiteComparison) -> Iterator[Table | Text]:
    yield _figures(layout, part)
    if part.verdicts:
        yield Text(
            f"▲ helps, ▼ hurts against {comparison.baseline.label}: single languages, a secondary family, corrected by itself",
            style="dim",
        )
    if part.claims:
        yield from _claims(part)
    if comparison.step is not None:
        yield from (_verdicts(label, part) for label in part.candidates)


def _figures(layout: Layout, part: SuiteComparison) -> Table:
    title = f"image retrieval, recall@10 in %{' [95 % interval]' if layout.intervals else ''}"
    cells = part.cells[TASKS[0]]
    spread = any(cell.spread is not None for own in cells.values() for cell in own.values())
    table = layout.table(f"{title}{' ± spread over seeds' if spread and layout.intervals else ''}", "language")
    sets = [name for name, members in part.sets.items() if name not in part.languages or len(members) > 1]
    for key in [*part.languages, *sets]:
        row = []
        for label in layout.labels:
            own = part.verdicts.get(label, {}).get(key)
            mark, style = MARKS[own.verdict if own else OPEN]
            cell = cells[label][key]
            row.append(Text(layout.figure(cell.figures[RECALL_10], cell.spread)) + Text(mark, style=style))
        table.add_row(key_title(key, part), *row, style="bold" if key in sets else "")
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
            table.add_row(short(claim.of, part), difference, p_text(claim.corrected), ours, randomised, answer)
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
    title = f"{label}, language by language (secondary, corrected by themselves): points of recall@10 [95 % interval]"
    table = Table(title=f"\n{title}", title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    table.add_column("language")
    for column in ("difference", "queries", "needed"):
        table.add_column(column, justify="right")
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
    return about(own.needed) if own.needed > own.difference.n_queries else "more seeds"
