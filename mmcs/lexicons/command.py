"""``mmcs lexicon``: building lexicons and looking into them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from mmcs.errors import UserError

RAW = argparse.RawDescriptionHelpFormatter


def register(commands: Any) -> None:
    """Adds ``mmcs lexicon`` with what stands below it."""
    lexicon = commands.add_parser("lexicon", help="build lexicons, or look into one")
    actions = lexicon.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="build a lexicon from a known source")
    builders = build.add_subparsers(dest="source_kind", metavar="SOURCE", required=True)
    _add_freedict(builders)
    _add_info(actions)
    _add_coverage(actions)
    _add_shuffle(actions)


def _add_freedict(builders: Any) -> None:
    parser = builders.add_parser(
        "freedict",
        help="FreeDict's dictionaries from English (dictd files)",
        description=(
            "Builds a lexicon from FreeDict's dictionaries: labels, grammar, pronunciation and examples are stripped,\n"
            "translations ranked by how common, how short and how often named they are. The files are fetched as\n"
            "Debian packages (dict-freedict-eng-deu) with apt-get, without root, or read from --source."
        ),
        epilog=(
            "examples:\n"
            "  mmcs lexicon build freedict de cs fi --out freedict.lex\n"
            "  mmcs lexicon build freedict --source dict-freedict-eng-deu_2022.04.21-1_all.deb --out de.lex\n"
            "  mmcs lexicon build freedict --source /usr/share/dictd/freedict-eng-deu --out de.lex"
        ),
        formatter_class=RAW,
    )
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help="FreeDict's code (deu) or BCP 47 tag (de)")
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="PATH|TAG=PATH",
        help="repeatable: a .deb, a folder, or a name with a .index and a .dict.dz; TAG= where the name does not tell",
    )
    _add_out(parser)
    parser.set_defaults(run=run_freedict)


def _add_info(actions: Any) -> None:
    parser = actions.add_parser(
        "info",
        help="languages, counts, sources, licences and a sample",
        epilog="example:\n  mmcs lexicon info freedict.lex",
        formatter_class=RAW,
    )
    parser.add_argument("lexicon", metavar="FILE.lex")
    _add_json(parser)
    parser.set_defaults(run=run_info)


def _add_coverage(actions: Any) -> None:
    parser = actions.add_parser(
        "coverage",
        help="share of the words of captions that a lexicon can switch",
        description="Share of all words and of content words per language, and the most frequent uncovered ones.",
        epilog=(
            "examples:\n"
            "  mmcs lexicon coverage freedict.lex --shards 'data/train/{00000..00009}.tar'\n"
            "  mmcs lexicon coverage freedict.lex --text captions.txt"
        ),
        formatter_class=RAW,
    )
    parser.add_argument("lexicon", metavar="FILE.lex")
    texts = parser.add_mutually_exclusive_group(required=True)
    texts.add_argument("--shards", nargs="+", metavar="SHARDS", help="folders, .tar files, braces or globs")
    texts.add_argument("--text", metavar="FILE", help="a text file (UTF-8), one caption per line")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="uncovered words to show (default 10)")
    _add_json(parser)
    parser.set_defaults(run=run_coverage)


def _add_shuffle(actions: Any) -> None:
    parser = actions.add_parser(
        "shuffle",
        help="a copy with wrong partners, for the control experiment",
        description="The same phrases and the same candidates, paired at random among phrases with as many words.",
        epilog="example:\n  mmcs lexicon shuffle freedict.lex --out shuffled.lex --seed 0",
        formatter_class=RAW,
    )
    parser.add_argument("lexicon", metavar="FILE.lex")
    _add_out(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the permutation (default 0)")
    parser.set_defaults(run=run_shuffle)


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.lex", help="the lexicon to write")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_freedict(args: argparse.Namespace) -> None:
    """Builds the lexicon and says what it holds."""
    from mmcs.lexicons.freedict import build_freedict

    _print_counts(build_freedict(_checked(args.out), args.languages, args.source))


def run_info(args: argparse.Namespace) -> None:
    """Prints what a lexicon holds."""
    from mmcs.codeswitch.lexicon import Lexicon
    from mmcs.lexicons.info import describe, show

    _print(describe(Lexicon.open(args.lexicon)), show, as_json=args.json)


def run_coverage(args: argparse.Namespace) -> None:
    """Prints the coverage of a text file or of the captions of shards."""
    from mmcs.codeswitch.lexicon import Lexicon
    from mmcs.lexicons.coverage import coverage, show, texts_of_file, texts_of_shards
    from mmcs.prepare.records import Tally

    if args.top < 0:
        raise UserError(f"--top is a number of words, 0 or more; got {args.top}.")
    lexicon = Lexicon.open(args.lexicon)
    dropped = Tally()
    of_shards = texts_of_shards(args.shards or (), lexicon.source_language, dropped)
    result = coverage(of_shards if args.shards else texts_of_file(args.text), lexicon, top=args.top)
    _print(result | {"dropped": dropped.as_dict()}, show, as_json=args.json)
    for cause, about in dropped.as_dict().items():
        print(f"dropped: {about['count']} x {cause} (e.g. {about['examples'][0]})", file=sys.stderr)  # type: ignore[index]


def run_shuffle(args: argparse.Namespace) -> None:
    """Writes the shuffled copy and says what it holds."""
    from mmcs.lexicons.shuffle import shuffle_lexicon

    _print_counts(shuffle_lexicon(args.lexicon, _checked(args.out), args.seed))


def _checked(out: Path) -> Path:
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; name a file, such as {out / 'freedict.lex'}.")
    return out


def _print_counts(path: Path) -> None:
    from mmcs.codeswitch.lexicon import Lexicon

    lexicon = Lexicon.open(path)
    entries = ", ".join(f"{language} {n:,}" for language, n in lexicon.header["entries"].items())
    print(f"{path}: {len(lexicon):,} phrases of {lexicon.source_language}; entries per language: {entries}")


def _print(result: dict[str, Any], show: Any, *, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps(result, ensure_ascii=False, indent=2))
    else:
        show(result)
