"""``mmcs compare``: parsing and printing; the work is in ``compare``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcs.errors import UserError

EXAMPLE = """\
example:
  mmcs compare outputs/zero_shot/RUN outputs/two_view/RUN outputs/shuffled_lexicon/RUN --out report.html
  mmcs compare RUN RUN --terms my_terms.txt --distances my_distances.csv
  mmcs compare multirun/SWEEP

One run alone gets its figures. Runs of one experiment that differ in their seed alone are pooled: the mean over seeds
per query, the spread shown. Where a run is not evaluated yet, all are compared by their validations at the last step
that all have reached. The folder of a sweep gets the table of its jobs, how their settings and figures go together,
and the best.
"""


def register(commands: argparse._SubParsersAction) -> None:
    """Adds ``compare``."""
    parser = commands.add_parser(
        "compare",
        help="table, significance and a report.html of evaluated runs",
        description="Compares evaluated runs per language, with intervals and paired tests over groups.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        type=Path,
        help="folder of an evaluated run (results.json, retrieval/), of a run under way, or of a sweep",
    )
    parser.add_argument(
        "--baseline",
        metavar="RUN",
        type=Path,
        help="what the others are compared with (default: English only, or the first)",
    )
    parser.add_argument(
        "--out", metavar="FILE", type=Path, default=Path("report.html"), help="the page (default: %(default)s)"
    )
    parser.add_argument(
        "--protocol",
        metavar="NAME",
        help="to compare in full (default: all_captions, where all runs were evaluated so)",
    )
    parser.add_argument(
        "--terms",
        metavar="FILE",
        type=Path,
        help="report on queries that hold one of these: TERM or LANGUAGE<tab>TERM a line",
    )
    parser.add_argument(
        "--distances",
        metavar="FILE",
        type=Path,
        help="languages' distances from English, CSV or TSV (default: URIEL's syntactic ones)",
    )
    parser.add_argument(
        "--at-step",
        metavar="N",
        type=int,
        help="compare by validations at this step, finished runs too (default for unfinished runs: the last common one)",
    )
    parser.set_defaults(run=_compare)


def _compare(args: argparse.Namespace) -> None:
    if args.out.is_dir():
        raise UserError(f"--out {args.out} is a folder; name a file, such as {args.out / 'report.html'}.")
    from rich.console import Console

    from mmcs.sweep.outcome import NAME

    if any((folder / NAME).is_file() for folder in args.runs):
        _compare_sweep(args)
        return
    from mmcs.report.compare import any_unfinished, compare
    from mmcs.report.terminal import show

    if args.at_step is not None or any_unfinished(args.runs):
        _compare_unfinished(args)
        return
    with Console(stderr=True).status(f"Comparing {len(args.runs)} runs"):
        comparison = compare(
            args.runs,
            args.baseline,
            args.out,
            protocol=args.protocol,
            distances=args.distances,
            terms=args.terms,
        )
    console = Console(markup=False)
    show(comparison, console)
    console.print(f"Report: {args.out.resolve()}", soft_wrap=True, highlight=False)


def _compare_unfinished(args: argparse.Namespace) -> None:
    for option in ("terms", "protocol"):
        if getattr(args, option) is not None:
            raise UserError(f"--{option} needs evaluated runs: validations hold neither texts nor protocols.")
    from rich.console import Console

    from mmcs.report.compare import compare_unfinished
    from mmcs.report.terminal import show

    show(compare_unfinished(args.runs, args.baseline, args.at_step, args.distances), Console(markup=False))


def _compare_sweep(args: argparse.Namespace) -> None:
    if len(args.runs) > 1 or args.baseline is not None:
        raise UserError("a sweep is compared by itself: name its folder alone, or the folders of some of its runs.")
    from rich.console import Console

    from mmcs.report.sweep_page import show_sweep, write_sweep_page
    from mmcs.report.sweeps import load_sweep

    swept = load_sweep(args.runs[0])
    console = Console(markup=False)
    show_sweep(swept, console)
    write_sweep_page(args.out, swept)
    console.print(f"Report: {args.out.resolve()}", soft_wrap=True, highlight=False)
