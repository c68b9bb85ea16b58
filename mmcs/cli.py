"""The ``mmcs`` command: parsers only. Each room registers its commands in its ``command.py``.

Those modules import nothing heavy at the top, so that ``--help`` answers at once; the work is imported when it runs.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from pathlib import Path
from typing import NoReturn

from mmcs import __version__
from mmcs.common.home import with_home
from mmcs.errors import Stopped, report
from mmcs.files import check_writable, disk_errors

ROOMS = (
    "mmcs.prepare.command",
    "mmcs.lexicons.command",
    "mmcs.codeswitch.command",
    "mmcs.evaluation.command",
    "mmcs.evaluation.embed_command",
    "mmcs.report.command",
    "mmcs.export.command",
    "mmcs.demo",
    "mmcs.study.command",
)


class Parser(argparse.ArgumentParser):
    """argparse, with a user's mistake answered in one sentence (exit code 2)."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message.strip().rstrip('.')}; see '{self.prog} --help'.\n")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line, every room's commands included."""
    parser = Parser(
        prog="mmcs", description="Multimodal code-switching: cross-lingual image retrieval from English captions."
    )
    parser.add_argument("--version", action="version", version=f"mmcs {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for room in ROOMS:
        importlib.import_module(room).register(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``mmcs``; returns the exit code (see ``mmcs.errors``)."""
    args = build_parser().parse_args(argv)
    vars(args).update(with_home(vars(args)))
    try:
        outputs = [Path(given) for given in (getattr(args, "out", None), getattr(args, "html", None)) if given]
        for output in outputs:
            check_writable(output)
        with disk_errors(outputs[0]) if outputs else contextlib.nullcontext():
            args.run(args)
    except BrokenPipeError:  # the reader went away (``mmcs … | head``): nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("mmcs: interrupted; nothing unfinished was kept.", file=sys.stderr)
        return 130
    except Stopped as error:
        print(f"mmcs: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        return report(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
