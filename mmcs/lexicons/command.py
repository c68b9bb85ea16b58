"""``mmcs lexicon``: building lexicons and looking into them."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from mmcs.errors import UserError
from mmcs.lexicons import build_command
from mmcs.lexicons.build_command import RAW, add_out, built, checked


def register(commands: Any) -> None:
    """Adds ``mmcs lexicon`` with what stands below it."""
    lexicon = commands.add_parser("lexicon", help="build lexicons, or look into one")
    actions = lexicon.add_subparsers(dest="action", metavar="ACTION", required=True)
    build_command.register(actions)
    _add_info(actions)
    _add_coverage(actions)
    _add_shuffle(actions)


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
        description=(
            "Share of all words and of content words per language, what looking up base forms (cats -> cat) adds, and the\n"
            "most frequent words that stay uncovered."
        ),
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
    add_out(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the permutation (default 0)")
    parser.set_defaults(run=run_shuffle)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_info(args: argparse.Namespace) -> None:
    """Prints what a lexicon holds."""
    from mmcs.codeswitch.lexicon import Lexicon
    from mmcs.lexicons.info import describe, show

    _print(describe(Lexicon.open(args.lexicon)), show, as_json=args.json)


def run_coverage(args: argparse.Namespace) -> None:
    """Prints the coverage of a text file or of the captions of shards."""
    from mmcs.codeswitch.lexicon import Lexicon
    from mmcs.lexicons.coverage import coverage, show, texts_of_file, texts_of_shards
    from mmcs.lexicons.lemmas import LANGUAGES, lemmas_of
    from mmcs.prepare.records import Tally

    if args.top < 0:
        raise UserError(f"--top is a number of words, 0 or more; got {args.top}.")
    lexicon = Lexicon.open(args.lexicon)
    dropped = Tally()
    of_shards = texts_of_shards(args.shards or (), lexicon.source_language, dropped)
    texts = of_shards if args.shards else texts_of_file(args.text)
    lemmas = lemmas_of(lexicon.source_language) if lexicon.source_language.split("-")[0] in LANGUAGES else None
    result = coverage(texts, lexicon, top=args.top, lemmas=lemmas)
    _print(result | {"dropped": dropped.as_dict()}, show, as_json=args.json)
    for cause, about in dropped.as_dict().items():
        print(f"dropped: {about['count']} x {cause} (e.g. {about['examples'][0]})", file=sys.stderr)  # type: ignore[index]


def run_shuffle(args: argparse.Namespace) -> None:
    """Writes the shuffled copy and says what it holds."""
    from mmcs.lexicons.shuffle import shuffle_lexicon

    built(shuffle_lexicon(args.lexicon, checked(args.out), args.seed))


def _print(result: dict[str, Any], show: Any, *, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps(result, ensure_ascii=False, indent=2))
    else:
        show(result)
