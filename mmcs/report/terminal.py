"""A comparison for the terminal: recall@10 per language and system, claims, summary. Rich does the drawing."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmcs.evaluation.ranking import TASKS
from mmcs.report.comparison import Comparison, SuiteComparison
from mmcs.report.names import language_name
from mmcs.report.words import p_text, points, set_title, summary, verdict

STYLES = {"good": "green", "bad": "red", "open": "yellow"}


def show(comparison: Comparison, console: Console) -> None:
    """Prints tables and summary; ``console`` is made with ``markup=False``, since labels may hold brackets."""
    for part in comparison.suites:
        console.print(_figures(comparison, part))
        if part.claims:
            console.print(_claims(part))
    for paragraph in summary(comparison):
        console.print(paragraph, highlight=False)
    if comparison.settings.unequal:
        console.print(f"Warning: trained at unequal settings: {', '.join(comparison.settings.unequal)}.", style="red")


def _figures(comparison: Comparison, part: SuiteComparison) -> Table:
    table = Table(
        title=f"{part.suite} ({part.split}): image retrieval, recall@10 in % [95 % interval over groups]",
        title_justify="left",
    )
    table.add_column("language")
    for system in comparison.systems:
        table.add_column(system.label, justify="right")
    cells = part.cells[TASKS[0]]
    sets = [name for name, members in part.sets.items() if name not in part.languages or len(members) > 1]
    for key in [*part.languages, *sets]:
        title = language_name(key) if key in part.languages else f"mean of {set_title(key, part)}"
        row = []
        for system in comparison.systems:
            value, low, high = (100 * figure for figure in cells[system.label][key].figures["recall@10"])
            row.append(f"{value:.1f} [{low:.0f}, {high:.0f}]")
        table.add_row(title, *row, end_section=key == part.languages[-1], style="bold" if key in sets else "")
    return table


def _claims(part: SuiteComparison) -> Table:
    table = Table(title="Differences in points of recall@10 [95 % interval]", title_justify="left")
    table.add_column("systems")
    table.add_column("question")
    table.add_column("answer")
    table.add_column("difference", justify="right")
    table.add_column("p, corrected", justify="right")
    for claim in part.claims:
        found = verdict(claim, part)
        answer = Text(found.answer, style=STYLES[found.kind])
        pair = f"{claim.first} against {claim.second}"
        table.add_row(pair, found.question, answer, points(claim.difference), p_text(claim.corrected))
    return table
