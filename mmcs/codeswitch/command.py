"""``mmcs switch``: shows what training would read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcs.common.caption_text import clean_caption
from mmcs.errors import DataError, UserError

if TYPE_CHECKING:
    from mmcs.codeswitch.strategy import Switched

EPILOG = """examples:
  mmcs switch "A dog chases a red ball." --lexicon freedict.lex --languages de,fi --n 3
  mmcs switch "A dog chases a red ball." --lexicon freedict.lex --strategy dictionary --languages de
  mmcs switch --lexicon freedict.lex --html examples.html < captions.txt
"""
PALETTE = ("cyan", "magenta", "green", "yellow", "bright_blue", "bright_red", "bright_green", "bright_magenta")
# The options of the command that are keys of codeswitch by another name, or need reading.
_PASSED = ("strategy", "language_per", "whole_captions", "max_tokens", "candidates", "lemmas", "content_words_only")


def register(commands: argparse._SubParsersAction) -> None:
    """Adds ``mmcs switch``."""
    parser = commands.add_parser(
        "switch",
        help="show captions as training would read them",
        description="Code-switches a caption (or, without TEXT, every line of standard input) and prints it: in colours on a "
        "terminal, as plain text into a pipe.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("text", nargs="?", metavar="TEXT", help="the caption; standard input where it is left out")
    add(
        "--lexicon",
        action="append",
        required=True,
        metavar="FILE.lex",
        help="repeatable: the first that has a word or phrase decides",
    )
    add(
        "--strategy",
        default="multilingual",
        help="bilingual, multilingual (default), phrases or dictionary; bl_cs, ml_cs or wiki_cs: the study's own ways",
    )
    add("--languages", metavar="de,fi", help="languages that may be drawn (default: all of the lexicons)")
    add("--language-weights", metavar="sw=3,de=1", help="weights in the draw of the language (default: all 1)")
    add(
        "--p",
        metavar="P",
        help="probability of switching a phrase or word (default 0.5; phrases, dictionary: 1), or a curriculum over epochs: "
        "0:0.1,10:0.5",
    )
    add("--language-per", help="draw the language per token or per caption (default: as the strategy does)")
    add("--whole-captions", type=float, help="share of captions switched whole, into one language")
    add("--max-tokens", type=int, metavar="N", help="words of the longest phrase (default: any); 1: word by word")
    add("--candidates", help="first (default), weighted or uniform")
    add(
        "--lemmas",
        action=argparse.BooleanOptionalAction,
        help="look up base forms, cats -> cat (default: where they are known)",
    )
    add(
        "--content-words-only",
        action=argparse.BooleanOptionalAction,
        help="leave function words (the, of, with) as they are, but in phrases (default: where they are known)",
    )
    add("--keep-english", type=float, default=0.0, metavar="SHARE", help="share of captions left as they are")
    add("--control", help="shuffled_lexicon or word_drop")
    add("--keep", metavar="FILE", help="words and phrases never switched, one per line")
    add("--seed", type=int, default=0)
    add("--n", type=int, default=1, help="versions to show: those of the epochs 0 to N-1 (default 1)")
    add("--html", type=Path, metavar="FILE", help="write a page of examples instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prints N versions of each caption, or writes the page."""
    from mmcs.codeswitch.build import WITH_LEXICON, build_switch

    if args.n < 1:
        raise UserError(f"--n is the number of versions to show, at least 1; got {args.n}.")
    if args.strategy == "translate":
        raise UserError(
            f"translate reads the translations in shards, which a text has none of; use {', '.join(WITH_LEXICON)}."
        )
    switch, languages = build_switch(settings_of(args), seed=args.seed)
    assert switch is not None
    lines = map(clean_caption, [args.text] if args.text is not None else _lines(sys.stdin.buffer))
    versions = ([_version(switch, line, epoch) for epoch in range(args.n)] for line in lines)
    if args.html is not None:
        from mmcs.codeswitch.page import write_page

        write_page(args.html, versions, languages, settings={"seed": args.seed} | settings_of(args))
        print(f"page: {args.html}")
        return
    show = _coloured(languages) if sys.stdout.isatty() else lambda switched: print(switched.text)
    for switched in (one for of_line in versions for one in of_line):
        show(switched)


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The options as ``codeswitch`` settings."""
    from mmcs.codeswitch.build import STUDY

    settings = {key: getattr(args, key) for key in _PASSED} | {
        "lexicons": args.lexicon,
        "languages": args.languages.split(",") if args.languages else None,
        "language_weights": _weights(args.language_weights),
        "p": _curriculum(args.p),
        "keep_english": args.keep_english,
        "control": args.control,
        "keep": args.keep,
    }
    given = {key: value for key, value in settings.items() if value is not None}
    return STUDY.get(args.strategy, {}) | given | {"strategy": STUDY.get(args.strategy, given)["strategy"]}


def _version(switch: Any, line: str, epoch: int) -> Switched:
    sample = {"texts": [line], "captions": {}, "identity": line, "caption_index": 0, "epoch": epoch, "version": epoch}
    return switch.switch(sample)[0]


def _weights(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    try:
        return {language: float(weight) for language, _, weight in (one.partition("=") for one in text.split(","))}
    except ValueError:
        raise UserError(f"--language-weights are languages and numbers such as sw=3,de=1; got {text!r}.") from None


def _curriculum(text: str | None) -> float | list[list[float]] | None:
    if text is None:
        return None
    try:
        if ":" not in text:
            return float(text)
        return [[int(epoch), float(p)] for epoch, _, p in (point.partition(":") for point in text.split(","))]
    except ValueError:
        raise UserError(f"--p is a probability, or a curriculum such as 0:0.1,10:0.5; got {text!r}.") from None


def _lines(stream: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(stream, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise DataError(f"standard input is not UTF-8 (line {number}); save it as UTF-8.") from None


def _coloured(languages: tuple[str, ...]) -> Callable[[Switched], None]:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    colour = {language: PALETTE[i % len(PALETTE)] for i, language in enumerate(languages)}

    def show(switched: Switched) -> None:
        line = Text()
        for text, language in switched.pieces():
            line.append(text, style=f"bold {colour[language]}" if language else "")
        for language in dict.fromkeys(language for _, _, language in switched.replacements):
            line.append(f"  {language}", style=f"dim {colour[language]}")
        console.print(line, soft_wrap=True)

    return show
