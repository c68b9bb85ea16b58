"""``mmcs data``: making shards of known sets and of a user's table, and looking into shards."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcs.prepare import beir_format, overlap_command, suite_commands

if TYPE_CHECKING:
    from mmcs.prepare.layout import Layout
    from mmcs.prepare.shards import Prepared

RAW = argparse.RawDescriptionHelpFormatter
SHOWN_LANGUAGES = 12


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
        help="your own pictures and a CSV of captions",
        description=(
            "A folder of pictures and a CSV (comma, semicolon or tab; UTF-8; with a header): one row for each caption\n"
            "of a picture. Columns named by a language tag (de, pt-BR, zh-Hans) hold captions in that language.\n"
            "Without --group, pictures that share an English caption or are the same file form one group; a group\n"
            "lies in one split."
        ),
        epilog="example:\n  mmcs data prepare table --images photos --captions captions.csv --val 0.1 --out data/mine",
        formatter_class=RAW,
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="where the pictures lie")
    parser.add_argument("--captions", type=Path, required=True, metavar="FILE.csv", help="the table")
    parser.add_argument("--image-column", metavar="COLUMN", help="default: image, filename, filepath or file_name")
    parser.add_argument(
        "--caption-column", metavar="COLUMN", help="English captions; default: caption, title, text or en"
    )
    parser.add_argument(
        "--languages", metavar="TAG,TAG", help="columns with other languages; default: all two-letter tags"
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
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_inspect)


def run_stamps(args: argparse.Namespace) -> None:
    from mmcs.prepare.stamps import prepare_stamps

    _tell(prepare_stamps(args.out, args.source, layout=_layout(args)))


def run_emoji(args: argparse.Namespace) -> None:
    from mmcs.prepare.emoji import prepare_emoji

    _tell(prepare_emoji(args.out, layout=_layout(args), languages=_tags(args.languages), cldr=args.cldr))


def run_table(args: argparse.Namespace) -> None:
    from mmcs.prepare.table import Table, prepare_table

    table = Table(
        args.images,
        args.captions,
        args.group,
        args.image_column,
        args.caption_column,
        _tags(args.languages),
        args.licence,
    )
    prepared = prepare_table(table, args.out, layout=_layout(args), max_dropped=args.max_dropped)
    if ignored := prepared.manifest["arguments"]["columns"]["ignored"]:
        print(f"columns that are not captions: {', '.join(ignored)} (name languages among them with --languages)")
    _tell(prepared)


def _tags(text: str | None) -> list[str] | None:
    return None if text is None else [tag for tag in text.split(",") if tag]


def _layout(args: argparse.Namespace) -> Layout:
    from mmcs.prepare.layout import Layout

    return Layout(args.val, args.test, args.size, args.samples_per_shard)


def _tell(prepared: Prepared) -> None:
    """What stands in the folder now, and what does not and why."""
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
    for note in evaluation.get("notes", ()):
        print(f"  note: {note}")


def run_inspect(args: argparse.Namespace) -> None:
    from mmcs.errors import DataError
    from mmcs.prepare.inspect import inspect_shards, print_report

    report = inspect_shards(args.shards)
    if args.json:
        json.dump(report.as_dict(), sys.stdout, ensure_ascii=False, indent=1)
        print()
    else:
        print_report(report)
    if not report.usable:
        raise DataError(f"None of the {report.samples} samples in {args.shards} can be used.")
