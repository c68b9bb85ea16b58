"""``mmcs lexicon``: building lexicons and looking into them."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from mmcs.errors import UserError
from mmcs.lexicons import dictionary_commands, mined_commands
from mmcs.lexicons.arguments import RAW, add_out, built, checked, listed
from mmcs.stream.source_options import add_reading


def register(commands: Any) -> None:
    """Adds ``mmcs lexicon`` with what stands below it."""
    lexicon = commands.add_parser("lexicon", help="build lexicons, or look into one")
    actions = lexicon.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="build a lexicon from a known source")
    builders = build.add_subparsers(dest="source_kind", metavar="SOURCE", required=True)
    dictionary_commands.register(builders)
    mined_commands.register(builders)
    _add_info(actions)
    _add_coverage(actions)
    _add_shuffle(actions)
    _add_merge(actions)
    _add_invert(actions)
    _add_filter(actions)


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
    add_reading(parser, pictures=False)
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


def _add_merge(actions: Any) -> None:
    parser = actions.add_parser(
        "merge",
        help="join lexicons of one source language, the most trusted first",
        description=(
            "A phrase has, per language, the candidates of the first lexicon that translates it, then the new ones of the\n"
            "next, which weigh no more. With --fill later lexicons only add what earlier ones lack, as\n"
            "codeswitch.lexicons=[A.lex,B.lex] does."
        ),
        epilog="example:\n  mmcs lexicon merge terms.lex freedict.lex wiki.lex --out all.lex",
        formatter_class=RAW,
    )
    parser.add_argument("lexicons", nargs="+", metavar="FILE.lex")
    parser.add_argument("--fill", action="store_true", help="the first lexicon that has an entry gives all of it")
    add_out(parser)
    parser.set_defaults(run=run_merge)


def _add_invert(actions: Any) -> None:
    parser = actions.add_parser(
        "invert",
        help="the other direction, such as German to English, for Translate-Test",
        description=(
            "Turns the part of one target language round; candidates are ranked by the weight of the pair times how common\n"
            "they are (Bayes' rule)."
        ),
        epilog="example:\n  mmcs lexicon invert freedict.lex --language de --out de-en.lex",
        formatter_class=RAW,
    )
    parser.add_argument("lexicon", metavar="FILE.lex")
    parser.add_argument("--language", required=True, metavar="TAG", help="the target language that becomes the source")
    parser.add_argument("--max-words", type=int, default=4, metavar="N", help="leave out longer phrases (default 4)")
    add_out(parser)
    parser.set_defaults(run=run_invert)


def _add_filter(actions: Any) -> None:
    parser = actions.add_parser(
        "filter",
        help="keep some languages, likely candidates, common words, or nouns",
        description="Keeps the candidates that meet every condition, with their weights; tells what was left out, and why.",
        epilog=(
            "examples:\n"
            "  mmcs lexicon filter freedict.lex --languages de,fi --max-candidates 1 --out small.lex\n"
            "  mmcs lexicon filter freedict.lex --min-weight 0.1 --min-frequency 3 --pos n,unlabelled --out nouns.lex"
        ),
        formatter_class=RAW,
    )
    add = parser.add_argument
    add("lexicon", metavar="FILE.lex")
    add("--languages", default="", metavar="TAG,TAG", help="target languages to keep")
    add("--min-weight", type=float, metavar="W", help="the least weight of a candidate, 0 to 1")
    add(
        "--max-candidates", type=int, metavar="N", help="the best N per phrase and language, after the other conditions"
    )
    add(
        "--min-frequency",
        type=float,
        metavar="ZIPF",
        help="how common a candidate must be: 3 is once in a million words",
    )
    add("--pos", default="", metavar="LABEL,LABEL", help="parts of speech to keep; 'unlabelled' for candidates without")
    add_out(parser)
    parser.set_defaults(run=run_filter)


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
    from mmcs.stream.drops import HINTS
    from mmcs.stream.source_options import reading_of

    if args.top < 0:
        raise UserError(f"--top is a number of words, 0 or more; got {args.top}.")
    lexicon = Lexicon.open(args.lexicon)
    dropped = Tally()
    of_shards = texts_of_shards(args.shards or (), lexicon.source_language, dropped, reading_of(args))
    texts = of_shards if args.shards else texts_of_file(args.text)
    lemmas = lemmas_of(lexicon.source_language) if lexicon.source_language.split("-")[0] in LANGUAGES else None
    result = coverage(texts, lexicon, top=args.top, lemmas=lemmas)
    _print(result | {"dropped": dropped.as_dict()}, show, as_json=args.json)
    for cause, about in dropped.as_dict().items():
        hint = f"; {HINTS[cause]}" if cause in HINTS else ""
        print(f"dropped: {about['count']} x {cause} (e.g. {about['examples'][0]}){hint}", file=sys.stderr)  # type: ignore[index]


def run_shuffle(args: argparse.Namespace) -> None:
    """Writes the shuffled copy and says what it holds."""
    from mmcs.lexicons.shuffle import shuffle_lexicon

    built(shuffle_lexicon(args.lexicon, checked(args.out), args.seed))


def run_merge(args: argparse.Namespace) -> None:
    """Joins lexicons and says what came of it."""
    from mmcs.lexicons.merge import merge_lexicons
    from mmcs.prepare.records import Tally

    left_out = Tally()
    built(merge_lexicons(args.lexicons, checked(args.out), left_out, fill=args.fill))
    _tell(left_out)


def run_invert(args: argparse.Namespace) -> None:
    """Turns a lexicon round and says what came of it."""
    from mmcs.lexicons.invert import invert_lexicon
    from mmcs.prepare.records import Tally

    left_out = Tally()
    built(invert_lexicon(args.lexicon, args.language, checked(args.out), left_out, max_tokens=args.max_words))
    _tell(left_out)


def run_filter(args: argparse.Namespace) -> None:
    """Filters a lexicon and says what came of it."""
    from mmcs.codeswitch.lexicon import Lexicon
    from mmcs.lexicons.filter import Conditions, filter_lexicon, unknown_frequencies
    from mmcs.prepare.records import Tally

    conditions = Conditions(
        languages=listed(args.languages),
        pos=listed(args.pos),
        min_weight=args.min_weight,
        min_frequency=args.min_frequency,
        max_candidates=args.max_candidates,
    )
    left_out = Tally()
    out = filter_lexicon(args.lexicon, checked(args.out), conditions, left_out)
    built(out)
    _tell(left_out)
    if args.min_frequency is not None and (unknown := unknown_frequencies(Lexicon.open(out))):
        print(f"kept whole, since wordfreq does not know them: {', '.join(unknown)}", file=sys.stderr)


def _tell(left_out: Any) -> None:
    for cause, count in left_out.counts.most_common():
        print(f"left out: {count:,} x {cause} (e.g. {'; '.join(left_out.examples[cause][:3])})", file=sys.stderr)


def _print(result: dict[str, Any], show: Any, *, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps(result, ensure_ascii=False, indent=2))
    else:
        show(result)
