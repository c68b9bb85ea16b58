"""``compare``: run folders in, a ``Comparison`` and its page out. The command and the demo call it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mmcs.errors import UserError
from mmcs.evaluation.proximity import read_distances
from mmcs.evaluation.results import NAME, read_results
from mmcs.report.comparison import Comparison, compare_systems
from mmcs.report.names import BASELINE, UNTRAINED
from mmcs.report.runs import Run, System, check_comparable, load_runs, pool
from mmcs.report.terms import read_terms
from mmcs.report.unfinished import is_unfinished, load_validations


def compare(
    runs: Sequence[Path],
    baseline: Path | None = None,
    out: Path | None = None,
    pictures: Callable[[str], bytes | None] | None = None,
    notes: Sequence[str] = (),
    protocol: str | None = None,
    distances: Path | None = None,
    terms: Path | None = None,
) -> Comparison:
    """Compares evaluated runs and, with ``out``, writes the page. Runs of one system alone get its figures.

    Args:
        runs: folders with results.json and retrieval/*.queries.tsv.
        baseline: one of them; by default the run of ``zero_shot``, else the first.
        out: the page's file.
        pictures: image id → an encoded image (or None), for the examples on the page; by default out of the suites'
            shards, where these lie there still.
        notes: sentences for the page on how the runs came about.
        protocol: that is compared in full where all runs were evaluated so; by default all captions.
        distances: a file of languages' distances from English; by default the package's.
        terms: a file of the user's terms, to report on the queries that hold one.

    Raises:
        UserError: no run, runs of different queries, a baseline that is none of the runs, nothing to compare.
        DataError: a file of a run is damaged.
    """
    if not runs:
        raise UserError("a comparison needs run folders; name at least one.")
    wanted = read_terms(terms) if terms is not None else ()
    loaded = load_runs(_with_untouched([Path(run) for run in runs]), protocol)
    check_comparable(loaded)
    systems = pool(loaded)
    comparison = compare_systems(
        systems, _baseline(systems, baseline), _seen(loaded), wanted, read_distances(distances)
    )
    if not comparison.suites and not comparison.texts:
        raise UserError(f"{loaded[0].path} was evaluated on nothing that a comparison reads; evaluate the run again.")
    if out is not None:
        from mmcs.report.page import write_page  # which draws: the terminal needs none of it

        write_page(Path(out), comparison, pictures, notes)
    return comparison


def compare_unfinished(
    runs: Sequence[Path], baseline: Path | None = None, at_step: int | None = None, distances: Path | None = None
) -> Comparison:
    """Compares runs, some or all of them under way, by their validations at a step that all have reached.

    Args:
        runs, baseline: as for ``compare``.
        at_step: which; by default the last that all have.
        distances: as for ``compare``.

    Raises:
        UserError: no common step, other queries, a baseline that is none of the runs.
        DataError: a file of a run is damaged.
    """
    step, loaded = load_validations([Path(run) for run in runs], at_step)
    check_comparable(loaded, "validate")
    systems = pool(loaded)
    comparison = compare_systems(
        systems, _baseline(systems, baseline), _seen(loaded), distances=read_distances(distances)
    )
    unfinished = [str(run.path) for run in loaded if not (run.path / NAME).is_file()]
    return replace(comparison, step=step, unfinished=unfinished)


def any_unfinished(runs: Sequence[Path]) -> bool:
    """Whether one of the folders is a run's that is not evaluated yet."""
    return any(is_unfinished(Path(run)) for run in runs)


def _with_untouched(folders: list[Path]) -> list[Path]:
    """Training evaluates the model as it was, too: that of the first run stands beside them, where none is named."""
    beside = [folder / UNTRAINED for folder in folders if (folder / UNTRAINED / NAME).is_file()]
    if not beside or any(read_results(folder)["experiment"] == UNTRAINED for folder in folders):
        return folders
    return folders + beside[:1]


def _seen(runs: Sequence[Run]) -> set[str]:
    return {language for run in runs for language in run.results.get("seen_languages", [])}


def _baseline(systems: Sequence[System], chosen: Path | None) -> System:
    if chosen is None:
        return next((system for system in systems if system.experiment == BASELINE), systems[0])
    for system in systems:
        if any(run.path.resolve() == Path(chosen).resolve() for run in system.runs):
            return system
    known = ", ".join(str(run.path) for system in systems for run in system.runs)
    raise UserError(f"the baseline {chosen} is none of the runs: {known}.")
