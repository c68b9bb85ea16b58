"""A sweep on the terminal and as one self-contained page; the layout lies in ``sweep.html.j2``."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup
from rich.console import Console
from rich.table import Table

from mmcs.files import atomic_file
from mmcs.report.page import pages
from mmcs.report.sweep_plot import parallel_plot
from mmcs.report.sweeps import Figure, Point, Swept


def show_sweep(swept: Swept, console: Console) -> None:
    """Prints the table of the points, what failed, and the best run; ``console`` is made with ``markup=False``."""
    table = Table(title=f"{swept.folder}: figures in %", title_justify="left")
    for key in swept.keys:
        table.add_column(key, overflow="fold")
    table.add_column("jobs", justify="right")
    table.add_column("status")
    table.add_column("objective", justify="right")
    if swept.measured:
        table.add_column(swept.measured, justify="right")
    for point in swept.points:
        figures = [percent(point.objective), *([percent(point.tested)] if swept.measured else [])]
        table.add_row(*point.settings.values(), numbers(point), status(point), *figures)
    console.print(table)
    for line in failures(swept):
        console.print(line, soft_wrap=True, highlight=False)
    console.print(best(swept), soft_wrap=True, highlight=False)


def write_sweep_page(path: Path, swept: Swept) -> None:
    """Writes the page."""
    environment = pages()
    environment.filters |= {"percent": percent, "numbers": numbers, "status": status}
    title = "Each point's settings and its objective; the table below has the figures"
    plot = Markup(parallel_plot(swept.keys, swept.points, title, "sweep")) if swept.keys else ""  # it escapes its texts
    page = environment.get_template("sweep.html.j2").render(
        swept=swept, plot=plot, failures=failures(swept), best=best(swept)
    )
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def percent(figure: Figure | None) -> str:
    """A figure in percent, with the range over seeds where there are several."""
    if figure is None:
        return "–"
    mean = f"{100 * figure.mean:.1f}"
    return mean if figure.low == figure.high else f"{mean} ({100 * figure.low:.1f} to {100 * figure.high:.1f})"


def numbers(point: Point) -> str:
    """The jobs of a point by number."""
    return ", ".join(str(job.number) for job in point.jobs)


def status(point: Point) -> str:
    """How a point's jobs ended."""
    states = {job.status for job in point.jobs}
    if len(states) == 1:
        return states.pop()
    return f"{len(point.completed)} of {len(point.jobs)} completed"


def failures(swept: Swept) -> list[str]:
    """A sentence for each job that did not complete."""
    unfinished = (job for job in swept.jobs if job not in [own for point in swept.points for own in point.completed])
    return [f"job {job.number} {job.status}{f': {job.sentence}' if job.sentence else ''}" for job in unfinished]


def best(swept: Swept) -> str:
    """Which run, and which point, is the best."""
    run = swept.best
    text = f"Best run: job {run.number}, objective {100 * (run.objective or 0):.1f} %, in {run.folder}."
    if swept.seeds and (point := swept.points[0]).objective is not None:
        settings = ", ".join(f"{key}={value}" for key, value in point.settings.items()) or "the one point"
        text += f" Best point over its seeds: {settings}, {percent(point.objective)} %."
    return text
