"""``mmcs data prepare`` for evaluation suites: XM3600, XTD10, Multi30k, xFlickr&CO, Karpathy's COCO and Flickr30k.

command.py registers these beside the sets that are fetched. Imports nothing heavy.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmcs.prepare.shards import Prepared
    from mmcs.prepare.suites import Request

RAW = argparse.RawDescriptionHelpFormatter
ABOUT = (
    "The official files, as they lie after unpacking or cloning, and the pictures become shards. Counts are compared with the\n"
    "official ones. Pictures are not touched, so figures are those of the originals. What to download: docs/suites.md.\n"
)


def register(sets: Any, tell: Callable[[Prepared], None]) -> None:
    """Adds a command for each suite; ``tell`` prints what was made."""
    _add(sets, tell, "xm3600", "XM3600: 3,600 photographs, captions in 36 languages", "xm3600/captions.jsonl", _xm3600)
    _add(
        sets,
        tell,
        "xtd10",
        "XTD10: 1,000 photographs of COCO, 11 languages",
        "Cross-lingual-Test-Dataset-XTD10",
        _xtd10,
    )
    multi30k = _add(
        sets,
        tell,
        "multi30k",
        "Multi30k: Flickr30k in English, German, French and Czech",
        "multi30k/dataset",
        _multi30k,
    )
    multi30k.add_argument(
        "--task", type=int, choices=(1, 2), default=1, help="1: translations; 2: five captions, English and German"
    )
    multi30k.add_argument("--test-set", metavar="NAME", help="what becomes the test split (default: test_2016_flickr)")
    _add_splits(multi30k)
    _add(sets, tell, "xflickrco", "xFlickr&CO: 2,000 photographs, 8 languages", "iglue", _xflickrco)
    for name, about, file in (
        ("coco-karpathy", "COCO by Karpathy's split, English", "dataset_coco.json"),
        ("flickr-karpathy", "Flickr30k by Karpathy's split, English", "dataset_flickr30k.json"),
    ):
        _add_splits(_add(sets, tell, name, about, file, _karpathy))


def _add(
    sets: Any,
    tell: Callable[[Prepared], None],
    name: str,
    about: str,
    captions: str,
    prepare: Callable[[argparse.Namespace, Request], Prepared],
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = sets.add_parser(
        name,
        help=about,
        description=f"{about}.\n\n{ABOUT}",
        epilog=f"example:\n  mmcs data prepare {name} --images images --captions {captions} --out data/{name}",
        formatter_class=RAW,
    )
    parser.add_argument(
        "--images", type=Path, nargs="+", required=True, metavar="DIR", help="where the pictures lie, at any depth"
    )
    parser.add_argument(
        "--captions",
        type=Path,
        nargs="+",
        required=True,
        metavar="PATH",
        help="the official files, or folders with them",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    parser.add_argument(
        "--size", type=int, metavar="PX", help="make pictures smaller whose shorter side is longer (default: never)"
    )
    parser.add_argument("--samples-per-shard", type=int, default=1000, metavar="N", help="default: 1000")
    parser.add_argument(
        "--allow-incomplete", action="store_true", help="go on with what is there; it is noted beside figures"
    )
    parser.set_defaults(run=lambda args: tell(prepare(args, _request(args))), splits=None, set=name)
    return parser


def _add_splits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--splits", metavar="NAME,NAME", help="such as test (default: train,val,test)")


def _request(args: argparse.Namespace) -> Request:
    from mmcs.prepare.layout import SuiteLayout
    from mmcs.prepare.suites import Request

    splits = None if args.splits is None else tuple(split for split in args.splits.split(",") if split)
    layout = SuiteLayout(args.size, args.samples_per_shard)
    return Request(args.images, args.captions, layout, splits, args.allow_incomplete)


def _xm3600(args: argparse.Namespace, request: Request) -> Prepared:
    from mmcs.prepare.xm3600 import prepare_xm3600

    return prepare_xm3600(request, args.out)


def _xtd10(args: argparse.Namespace, request: Request) -> Prepared:
    from mmcs.prepare.xtd10 import prepare_xtd10

    return prepare_xtd10(request, args.out)


def _multi30k(args: argparse.Namespace, request: Request) -> Prepared:
    from mmcs.prepare.multi30k import prepare_multi30k

    return prepare_multi30k(request, args.out, task=args.task, test_set=args.test_set)


def _xflickrco(args: argparse.Namespace, request: Request) -> Prepared:
    from mmcs.prepare.xflickrco import prepare_xflickrco

    return prepare_xflickrco(request, args.out)


def _karpathy(args: argparse.Namespace, request: Request) -> Prepared:
    from mmcs.prepare.karpathy import COCO, FLICKR, prepare_karpathy

    return prepare_karpathy(COCO if args.set == COCO.name else FLICKR, request, args.out)
