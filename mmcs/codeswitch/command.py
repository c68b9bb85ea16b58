"""``mmcs switch``: shows what training would read."""

from __future__ import annotations

import argparse
import sys

from mmcs.errors import UserError

EPILOG = """example:
  mmcs switch "A dog chases a red ball." --lexicon freedict.lex --languages de,fi --n 3
"""


def register(commands: argparse._SubParsersAction) -> None:
    """Adds ``mmcs switch``."""
    parser = commands.add_parser(
        "switch",
        help="show captions as training would read them",
        description="Code-switches a caption (or, without TEXT, every line of standard input) and prints it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("text", nargs="?", metavar="TEXT", help="the caption; standard input where it is left out")
    parser.add_argument(
        "--lexicon",
        action="append",
        required=True,
        metavar="FILE.lex",
        help="repeatable: the first that knows a word wins",
    )
    parser.add_argument("--strategy", default="multilingual", help="bilingual or multilingual (default)")
    parser.add_argument(
        "--languages", metavar="de,fi", help="languages that may be drawn (default: all of the lexicons)"
    )
    parser.add_argument("--p", type=float, default=0.5, help="probability of switching a word (default 0.5)")
    parser.add_argument("--language-per", default="token", help="draw the language per token (default) or per caption")
    parser.add_argument(
        "--whole-captions", type=float, default=0.0, help="share of captions switched whole, into one language"
    )
    parser.add_argument("--candidates", default="first", help="first (default) or weighted")
    parser.add_argument("--control", help="shuffled_lexicon or word_drop")
    parser.add_argument("--keep", metavar="FILE", help="words never switched, one per line")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=1, help="versions to show: those of the epochs 0 to N-1 (default 1)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prints N versions of each caption: coloured by language on a terminal, plain text into a pipe."""
    from mmcs.codeswitch.build import build_strategy
    from mmcs.codeswitch.draw import Draw
    from mmcs.codeswitch.strategy import Caption

    if args.n < 1:
        raise UserError(f"--n is the number of versions to show, at least 1; got {args.n}.")
    strategy = build_strategy(
        args.strategy,
        lexicons=args.lexicon,
        languages=args.languages.split(",") if args.languages else None,
        control=args.control,
        keep=args.keep,
        seed=args.seed,
        p=args.p,
        language_per=args.language_per,
        whole_captions=args.whole_captions,
        candidates=args.candidates,
    )
    show = _coloured(strategy.languages) if sys.stdout.isatty() else lambda switched: print(switched.text)
    lines = [args.text] if args.text is not None else (line.rstrip("\n") for line in sys.stdin)
    for line in lines:
        for epoch in range(args.n):
            show(strategy(Caption(line, {}), Draw(args.seed, epoch, line)))


def _coloured(languages: tuple[str, ...]):
    from rich.console import Console
    from rich.text import Text

    console = Console()
    palette = ("cyan", "magenta", "green", "yellow", "bright_blue", "bright_red", "bright_green", "bright_magenta")
    colour = {language: palette[i % len(palette)] for i, language in enumerate(languages)}

    def show(switched) -> None:
        line, at = Text(), 0
        for start, end, new, language in switched.replacements:
            line.append(switched.original[at:start])
            line.append(new, style=f"bold {colour[language]}")
            at = end
        line.append(switched.original[at:])
        used = dict.fromkeys(replacement.language for replacement in switched.replacements)
        for language in used:
            line.append(f"  {language}", style=f"dim {colour[language]}")
        console.print(line, soft_wrap=True)

    return show
