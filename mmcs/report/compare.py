"""``compare``: run folders in, a ``Comparison`` and its page out. The command and the demo call it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmcs.errors import UserError
from mmcs.evaluation.results import NAME
from mmcs.report.comparison import Comparison, compare_systems
from mmcs.report.examples import Pictures
from mmcs.report.names import BASELINE, UNTRAINED
from mmcs.report.page import write_page
from mmcs.report.runs import System, check_comparable, load_run, pool


def compare(
    runs: Sequence[Path],
    baseline: Path | None = None,
    out: Path | None = None,
    pictures: Pictures | None = None,
    notes: Sequence[str] = (),
) -> Comparison:
    """Compares evaluated runs and, with ``out``, writes the page. Runs of one system alone get its figures.

    Args:
        runs: folders with results.json and retrieval/*.queries.tsv.
        baseline: one of them; by default the run of ``zero_shot``, else the first.
        out: the page's file.
        pictures: image id → JPEG bytes (or None), for the examples on the page.
        notes: sentences for the page on how the runs came about.

    Raises:
        UserError: no run, runs of different queries, a baseline that is none of the runs.
        DataError: a file of a run is damaged.
    """
    if not runs:
        raise UserError("a comparison needs run folders; name at least one.")
    loaded = [load_run(Path(run)) for run in runs]
    if all(run.experiment != UNTRAINED for run in loaded):  # training evaluates the model as it was, too
        beside = (run.path / UNTRAINED for run in loaded)
        loaded += [load_run(folder) for folder in beside if (folder / NAME).is_file()][:1]
    check_comparable(loaded)
    systems = pool(loaded)
    seen = {language for run in loaded for language in run.results.get("seen_languages", [])}
    comparison = compare_systems(systems, _baseline(systems, baseline), seen)
    if out is not None:
        write_page(Path(out), comparison, pictures, notes)
    return comparison


def _baseline(systems: Sequence[System], chosen: Path | None) -> System:
    if chosen is None:
        return next((system for system in systems if system.experiment == BASELINE), systems[0])
    for system in systems:
        if any(run.path.resolve() == Path(chosen).resolve() for run in system.runs):
            return system
    known = ", ".join(str(run.path) for system in systems for run in system.runs)
    raise UserError(f"the baseline {chosen} is none of the runs: {known}.")
