"""``mmcs study``: the parser; the study itself is ``run``."""

from __future__ import annotations

import argparse

EPILOG = """OVERRIDE is KEY=VALUE, as mmcs-train takes it for each run, or study.KEY=VALUE for conf/study.yaml.

examples:
  mmcs study
  mmcs study trainer=gpu study.seeds=[0,1,2,3,4]
  mmcs study data=shards data.train_shards=data/mine/train eval=suites eval.val={mine:data/mine/val} \\
      eval.test={mine:data/mine/test} study.lexicons.tested_on=[de_fi.lex] model=open_clip model.name=MODEL

The same command goes on where it was broken off.
"""


def register(commands: argparse._SubParsersAction) -> None:
    """Adds ``mmcs study``."""
    parser = commands.add_parser(
        "study",
        help="every system of the study trained, compared and written up",
        description="Chooses learning rates where nothing is compared, trains every system, its controls and ablations,\n"
        "evaluates them in every setting, and writes what came of it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", metavar="OVERRIDE", nargs="*")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the study and prints where its page lies."""
    from mmcs.study.plan import Plan
    from mmcs.study.run import study

    print(f"study: {study(Plan.read(args.overrides))}")
