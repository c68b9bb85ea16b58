"""``mmcs data``: making shards of known sets and of a user's table, and looking into shards."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcs.prepare import beir_format, overlap_command, suite_commands
from mmcs.stream.source_options import add_reading

if TYPE_CHECKING:
    from mmcs.prepare.layout import Layout
    from mmcs.prepare.shards import Prepared

RAW = argparse.RawDescriptionHelpFormatter
SHOWN_LANGUAGES = 12
FEW_CONCEPTS = 50


def register(commands: Any) -> None:
    """Adds ``mmcs data`` with what stands below it."""
    data = commands.add_parser("data", help="make shards of pictures with captions, or look into shards")
    actions = data.add_subparsers(dest="action", metavar="ACTION", required=True)
    prepare = actions.add_parser("prepare", help="pictures with captions into shards: known sets, suites, your own")
    sets = prepare.add_subparsers(dest="set", metavar="NAME", required=True)
    _add_stamps(sets)
    _add_emoji(sets)
    _add_table(sets)
    suite_commands.register(sets, _tell)
    beir_format.register(sets)
    _add_inspect(actions)
    overlap_command.register(actions)


def _add_stamps(sets: Any) -> None:
    parser = sets.add_parser(
        "stamps",
        help="Tux Paint's stamps: 770 pictures, captions in 75 languages",
        description="The stamps of Tux Paint (GPL-2), fetched with apt-get or read from --source.",
        epilog="example:\n  mmcs data prepare stamps --out data/stamps",
        formatter_class=RAW,
    )
    parser.add_argument(
        "--source", type=Path, metavar="DIR|DEB", help="unpacked folder or .deb file, instead of apt-get"
    )
    _add_layout(parser, val=0.10, test=0.25)
    parser.set_defaults(run=run_stamps)


def _add_emoji(sets: Any) -> None:
    parser = sets.add_parser(
        "emoji",
        help="OpenMoji's pictures: 1,440 emoji, names in 14 languages",
        description=(
            "OpenMoji's pictures (CC-BY-SA-4.0) with the names of the emoji package, out of installed packages; with\n"
            "--languages names in any of Unicode CLDR's languages, out of Debian's unicode-cldr-core (apt-get) or --cldr."
        ),
        epilog=(
            "examples:\n  mmcs data prepare emoji --out data/emoji\n"
            "  mmcs data prepare emoji --languages sw,bn,te --out data/emoji_sw_bn_te"
        ),
        formatter_class=RAW,
    )
    parser.add_argument("--languages", metavar="TAG,TAG", help="beside English; default: the 13 of the emoji package")
    parser.add_argument(
        "--cldr", type=Path, nargs="+", default=[], metavar="PATH", help="CLDR: folders, .deb or npm's .tgz files"
    )
    _add_layout(parser, val=0.10, test=0.25)
    parser.set_defaults(run=run_emoji)


def _add_table(sets: Any) -> None:
    parser = sets.add_parser(
        "table",
        help="your own pictures and a table of captions",
        description=(
            "A folder of pictures and a table with a header: CSV (comma, semicolon, tab or pipe), JSON lines or Parquet,\n"
            "one row for each caption of a picture. Columns named by a language tag (de, pt-BR, zh-Hans) whose cells are\n"
            "text hold captions in that language; the list of what was taken is printed.\n"
            "Without --group, pictures that share an English caption or are the same file form one group; a group\n"
            "is in one split."
        ),
        epilog="example:\n  mmcs data prepare table --images photos --captions captions.csv --val 0.1 --out data/mine",
        formatter_class=RAW,
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="the folder of the pictures")
    parser.add_argument("--captions", type=Path, required=True, metavar="FILE", help="the table, also with .gz")
    parser.add_argument("--image-column", metavar="COLUMN", help="default: image, filename, filepath, file_name, …")
    parser.add_argument(
        "--caption-column", metavar="COLUMN", help="English captions; default: caption, title, text, en, …"
    )
    parser.add_argument("--languages", metavar="TAG,TAG", help="these columns and no others hold other languages")
    parser.add_argument("--ignore-columns", metavar="NAME,NAME", help="columns that are no captions")
    parser.add_argument(
        "--column", action="append", default=[], metavar="NAME=TAG", help="a column and its language; may be repeated"
    )
    parser.add_argument("--delimiter", metavar="CHAR", help="between cells: comma, semicolon, tab, pipe or a character")
    parser.add_argument(
        "--quote", metavar="CHAR", help="around cells; 'none' reads quotation marks as text (default: \")"
    )
    parser.add_argument("--group", metavar="COLUMN", help="the concept that a picture belongs to")
    parser.add_argument("--licence", default="not stated", metavar="TEXT", help="for the manifest")
    parser.add_argument(
        "--max-dropped", type=float, default=0.1, metavar="SHARE", help="stop when more is unusable (default: 0.1)"
    )
    _add_layout(parser, val=0.1, test=0.0)
    parser.set_defaults(run=run_table)


def _add_layout(parser: argparse.ArgumentParser, val: float, test: float) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    parser.add_argument("--val", type=float, default=val, metavar="SHARE", help=f"of the concepts (default: {val})")
    parser.add_argument("--test", type=float, default=test, metavar="SHARE", help=f"of the concepts (default: {test})")
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="longer side in pixels (default: 256)")
    parser.add_argument("--samples-per-shard", type=int, default=1000, metavar="N", help="default: 1000")


def _add_inspect(actions: Any) -> None:
    parser = actions.add_parser(
        "inspect",
        help="what shards hold, and what in them cannot be read",
        description="Reads every sample and decodes every picture: counts, captions per language, and all damage.",
        epilog="example:\n  mmcs data inspect 'data/emoji/train/{00000..00009}.tar'\n  mmcs data inspect data/emoji",
        formatter_class=RAW,
    )
    parser.add_argument(
        "shards", metavar="SHARDS", help="a folder, a file, a glob or {00000..00099}; '::' joins several"
    )
    add_reading(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_inspect)


def run_stamps(args: argparse.Namespace) -> None:
    from mmcs.prepare.stamps import prepare_stamps

    _tell(prepare_stamps(args.out, args.source, layout=_layout(args)))


def run_emoji(args: argparse.Namespace) -> None:
    from mmcs.prepare.emoji import prepare_emoji

    _tell(prepare_emoji(args.out, layout=_layout(args), languages=_tags(args.languages), cldr=args.cldr))


def run_table(args: argparse.Namespace) -> None:
    from mmcs.common.language_columns import LanguageColumns, parse_mapping
    from mmcs.prepare.table import Table, prepare_table
    from mmcs.prepare.table_file import dialect_of

    table = Table(
        args.images,
        args.captions,
        args.group,
        args.image_column,
        args.caption_column,
        languages=_tags(args.languages),
        ignored=_tags(args.ignore_columns) or (),
        mapping=parse_mapping(args.column),
        dialect=dialect_of(args.delimiter, args.quote),
        licence=args.licence,
    )
    prepared = prepare_table(table, args.out, layout=_layout(args), max_dropped=args.max_dropped)
    columns = prepared.manifest["arguments"]["columns"]
    for line in LanguageColumns(columns["languages"], columns["left_out"]).lines():
        print(line)
    _tell(prepared)


def _tags(text: str | None) -> list[str] | None:
    return None if text is None else [tag.strip() for tag in text.split(",") if tag.strip()]


def _layout(args: argparse.Namespace) -> Layout:
    from mmcs.prepare.layout import Layout

    return Layout(args.val, args.test, args.size, args.samples_per_shard)


def _tell(prepared: Prepared) -> None:
    """Prints what the folder holds, and what was left out or dropped and why."""
    manifest = prepared.manifest
    state = "complete already, reused" if prepared.reused else "written"
    print(f"{prepared.folder}: {state} ({manifest['samples']} samples, {manifest['groups']} groups)")
    for split, summary in manifest["splits"].items():
        print(f"  {split}: {summary['samples']} samples, {summary['groups']} groups, {summary['shards']} shards")
    captions = sorted(manifest["captions"].items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{language} {n}" for language, n in captions[:SHOWN_LANGUAGES])
    print(
        f"  captions: {shown}{f' and {len(captions) - SHOWN_LANGUAGES} languages more' * (len(captions) > SHOWN_LANGUAGES)}"
    )
    evaluation = manifest.get("evaluation", {})
    for title, causes in (
        ("not as it should be", evaluation.get("incomplete", {})),
        ("left out", manifest["left_out"]),
        ("dropped", manifest["dropped"]),
    ):
        for cause, detail in causes.items():
            print(f"  {title}: {detail['count']} {cause} (such as {detail['examples'][0]})")
    if evaluation:
        print(f"  figures are quoted by: {', '.join(evaluation['protocols'])}")
    notes = [*evaluation.get("notes", ()), *few_concepts(manifest)]
    for note in notes:
        print(f"  note: {note}")


def few_concepts(manifest: dict[str, Any]) -> list[str]:
    """One sentence about splits with so few concepts (groups) that results on them are not reliable."""
    asked = [split for split in ("val", "test") if manifest["arguments"].get(split)]
    groups = dict.fromkeys(asked, 0) | {split: own["groups"] for split, own in manifest["splits"].items()}
    few = [f"{split} ({number})" for split, number in groups.items() if number < FEW_CONCEPTS]
    if not few:
        return []
    return [
        f"Fewer than {FEW_CONCEPTS} concepts in {', '.join(few)}: too few to train on or to measure with confidence."
    ]


def run_inspect(args: argparse.Namespace) -> None:
    from mmcs.errors import DataError
    from mmcs.prepare.inspect import inspect_shards, print_report
    from mmcs.stream.source_options import reading_of

    report = inspect_shards(args.shards, reading_of(args))
    if args.json:
        json.dump(report.as_dict(), sys.stdout, ensure_ascii=False, indent=1)
        print()
    else:
        print_report(report)
    if not report.usable:
        raise DataError(f"None of the {report.samples} samples in {args.shards} can be used.")
