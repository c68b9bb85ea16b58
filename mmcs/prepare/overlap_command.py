"""``mmcs data overlap``: parsing and printing; the audit itself is in ``overlap``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcs.errors import UserError
from mmcs.stream.source_options import add_reading

if TYPE_CHECKING:
    from rich.console import Console

    from mmcs.prepare.overlap_result import Overlap, SuiteOverlap

_EXAMPLES, _LANGUAGES = 5, 12  # shown on a terminal; --json and --html have more

DESCRIPTION = """\
Looks for the images of test sets in training shards (the same file, or the same picture re-encoded, resized, in grey or
slightly cropped) and for their captions in any language, says per suite what it finds, and writes the list of training
samples and captions that training shall leave out.
"""
EPILOG = """\
example:
  mmcs data overlap data/stamps/train data/stamps/test --html overlap.html
  mmcs data overlap 's3://bucket/laion/{00000..00999}.tar' xm3600=data/xm3600/test data/multi30k/test --out leaks.txt
  mmcs-train data=shards data.train_shards=data/stamps/train data.exclude=[exclude.txt]

With --exclude exclude.txt --out rest.txt the same audit finds nothing more to list.
"""


def register(actions: Any) -> None:
    """Adds ``overlap`` to ``mmcs data``."""
    parser = actions.add_parser(
        "overlap",
        help="images and captions of test sets that stand in training shards, too",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("train", metavar="TRAIN", help="training shards: a folder, braces, a glob, a URL; '::' joins")
    parser.add_argument("suites", metavar="[NAME=]SUITE", nargs="+", help="shards of a test set, the same way")
    parser.add_argument(
        "--out", type=Path, default=Path("exclude.txt"), metavar="FILE", help="the list (default: %(default)s)"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="a page that shows the pairs of pictures")
    parser.add_argument("--json", action="store_true", help="print JSON, with every pair")
    parser.add_argument(
        "--distance",
        type=int,
        default=10,
        metavar="BITS",
        help="of 64 in which the hashes of a picture and its copy may differ (default: %(default)s)",
    )
    parser.add_argument(
        "--min-words",
        type=int,
        default=5,
        metavar="N",
        help="a caption of fewer words is reported but not listed: it says what many pictures show (default: %(default)s)",
    )
    parser.add_argument("--groups", action="store_true", help="list training samples of a suite's group, too")
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="LIST", help="what training leaves out already; repeatable"
    )
    add_reading(parser, "TRAIN")
    parser.add_argument(
        "--num-workers", type=int, default=2, metavar="N", help="processes that read and decode (default: %(default)s)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Audits, writes the list, prints what was found."""
    from rich.console import Console

    from mmcs.evaluation.command import named
    from mmcs.prepare.overlap import find_overlap
    from mmcs.prepare.overlap_list import check_list, write_list
    from mmcs.prepare.overlap_result import Settings
    from mmcs.stream.source_options import reading_of

    settings = Settings(
        distance=args.distance,
        min_words=args.min_words,
        groups=args.groups,
        reading=reading_of(args),
        exclude=tuple(args.exclude),
        num_workers=args.num_workers,
    )
    suites = named(args.suites, "mmcs data overlap TRAIN")
    check_list(args.out, args.exclude)
    if args.html is not None and args.html.is_dir():
        raise UserError(f"--html {args.html} is a folder; name a file, such as {args.html / 'overlap.html'}.")
    overlap = find_overlap(args.train, suites, settings)
    write_list(args.out, overlap)
    if args.html is not None:
        from mmcs.prepare.overlap_page import write_page

        write_page(args.html, overlap)
    if args.json:
        json.dump(overlap.as_dict(), sys.stdout, ensure_ascii=False, indent=1)
        print()
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for suite in overlap.suites:
        _show(suite, overlap, console)
    console.print(f"training: {overlap.samples:,} samples read, {overlap.dropped.summary()}")
    console.print(
        f"{args.out}: {len(overlap.listed):,} samples and {len(overlap.captions):,} captions to leave out "
        f"(data.exclude=[{args.out}])"
    )
    if args.html is not None:
        console.print(f"{args.html}: the pairs to look at")


def _show(suite: SuiteOverlap, overlap: Overlap, console: Console) -> None:
    """A suite's tables: what was found by kind, captions by language, examples."""
    from mmcs.prepare.inspect import print_table
    from mmcs.prepare.overlap_find import CAPTION, GROUP
    from mmcs.stream.drops import printable

    console.print(
        f"{suite.name}: {suite.leaked:,} of {suite.images:,} images ({suite.leaked / suite.images:.1%}) stand in "
        f"{overlap.train}; {suite.dropped.summary()}"
    )
    rows = []
    for kind, found in suite.found.items():
        listed = kind in overlap.kinds_listed
        name = f"{kind} of {overlap.settings.min_words} words or more" if kind == CAPTION else kind
        leaves = "listed" if listed else "not listed" + (" (--groups lists them)" if kind == GROUP else "")
        rows.append((name, f"{found:,}", f"{found / suite.images:.1%}", f"{suite.samples[kind]:,}", leaves))
    print_table(console, "found", ("what", "suite images", "share", "training samples", ""), rows)
    languages = [
        (language, *(f"{number:,}" for number in numbers)) for language, numbers in suite.by_language(overlap.settings)
    ]
    print_table(console, "captions in both", ("language", "of", "in both", "of them listed"), languages[:_LANGUAGES])
    if len(languages) > _LANGUAGES:
        console.print(f"  and {len(languages) - _LANGUAGES} languages more (--json has all)")
    pairs = [(pair.kind, pair.suite, pair.train, f"{pair.distance} bits, {pair.likeness:.3f}") for pair in suite.pairs]
    print_table(console, "images", ("what", "suite", "training", "apart, alike"), pairs[:_EXAMPLES])
    captions = [
        (printable(each.text), " ".join(each.languages[:6]), str(each.words), f"{each.samples:,}", each.example)
        for each in suite.captions[:_EXAMPLES]
    ]
    print_table(console, "captions", ("text", "languages", "words", "training samples", "such as"), captions)
