"""What the commands on lexicons have in common: arguments, and what they print at the end. Imports nothing heavy."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmcs.errors import UserError

RAW = argparse.RawDescriptionHelpFormatter
# Tallies of a source in a lexicon's header, and how people read them.
TALLIES = {"cleaned": "cleaned", "left_out": "left out"}


def add_out(parser: argparse.ArgumentParser) -> None:
    """``--out``, the same for every command that writes a lexicon."""
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.lex", help="the lexicon to write")


def add_source_language(parser: argparse.ArgumentParser, default: str) -> None:
    """``--source-language``, the same for every builder."""
    parser.add_argument(
        "--source-language", metavar="TAG", help=f"BCP 47 tag of the language to translate from (default: {default})"
    )


def add_limits(parser: argparse.ArgumentParser) -> None:
    """What every builder from word lists asks: how much damage it takes, and how long a phrase may be."""
    parser.add_argument(
        "--max-damaged",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="share of damaged lines, 0 to 1, above which the file is refused (default 0.2)",
    )
    parser.add_argument(
        "--max-words", type=int, default=4, metavar="N", help="longer phrases are left out, and counted (default 4)"
    )


def add_header(parser: argparse.ArgumentParser) -> None:
    """``--header`` and ``--no-header``, the same for every builder from tables."""
    parser.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="the first line is a header, or is not (default: recognised by names of languages, or source and target)",
    )


def add_clean(parser: argparse.ArgumentParser) -> None:
    """``--clean`` and ``--no-clean``, the same for every builder from word lists."""
    parser.add_argument(
        "--clean",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="remove remarks, grammar and punctuation around words, and split lists (default: yes)",
    )


def listed(text: str) -> tuple[str, ...]:
    """The parts of ``de,fi``."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def checked(out: Path) -> Path:
    """``out``, unless it is a folder."""
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; name a file, such as {out / 'freedict.lex'}.")
    return out


def built(path: Path, *, left_out: bool = False) -> None:
    """Prints what the lexicon that was written holds and, on standard error, what of it never matches.

    With ``left_out`` also notes on its sources, and what was cleaned and left out.
    """
    from mmcs.codeswitch.lexicon import Lexicon
    from mmcs.lexicons.reach import sentences, unreachable

    lexicon = Lexicon.open(path)
    entries = ", ".join(f"{language} {n:,}" for language, n in lexicon.header["entries"].items())
    print(f"{path}: {len(lexicon):,} phrases of {lexicon.source_language}; entries per language: {entries}")
    lines: dict[str, None] = {}  # two sources may have one file, and its notes
    for source in lexicon.header["sources"] if left_out else ():
        lines |= dict.fromkeys(f"note: {note}" for note in source.get("notes", ()))
        for key, done in TALLIES.items():
            for cause, about in source.get(key, {}).items():
                examples = "; ".join(about["examples"][:3])
                lines[f"{source['name']}: {done} {about['count']:,} x {cause} (e.g. {examples})"] = None
    for line in [*lines, *sentences(unreachable(lexicon).as_dict(), len(lexicon))]:
        print(line, file=sys.stderr)
