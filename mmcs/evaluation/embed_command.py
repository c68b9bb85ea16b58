"""``mmcs embed``: ids and float16 embeddings of shards, ready for FAISS."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmcs.errors import DataError, MmcsError, UserError, exit_code_of
from mmcs.stream.source_options import add_reading

DESCRIPTION = """\
Embeds the images of shards and their captions into a folder:

  images.npy     float16 (N, D), rows of length 1: a product of rows is a cosine
  image_ids.txt  N lines, one id each: source/shard/key, white space and % as %XX
  texts.npy      float16 (M, D), the captions
  texts.tsv      M lines: id (the image's and #number), language, caption, between tabs
  queries.npy    float16, a row for each line of --queries
  manifest.json  model, fingerprint of its weights, preprocessing, counts, what was dropped and why

A run that was ended goes on when the same command is given again.
"""
EPILOG = """\
examples:
  mmcs embed outputs/two_view/2026-01-01_12-00-00 data/mine/all --out index
  mmcs embed RUN --queries queries.txt --out queries

  import faiss, numpy as np
  images = np.load("index/images.npy").astype("float32")
  index = faiss.IndexFlatIP(images.shape[1]); index.add(images)
  scores, rows = index.search(np.load("queries/queries.npy").astype("float32"), 10)
"""


def register(commands: argparse._SubParsersAction) -> None:
    """Adds ``mmcs embed``."""
    parser = commands.add_parser(
        "embed",
        help="ids and embeddings of images and captions, for a search engine",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="as 'mmcs evaluate' takes it")
    parser.add_argument(
        "shards", metavar="SHARDS", nargs="?", help="a folder, a file, a glob or {00000..00099}; '::' joins"
    )
    parser.add_argument(
        "--pretrained", help="weights of an OpenCLIP name: its tag, a file, a run or an OpenCLIP folder"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to make")
    parser.add_argument("--languages", default="en", metavar="en,de", help="of the captions (default en)")
    add_reading(parser, language=False)
    parser.add_argument("--no-images", action="store_true", help="captions alone")
    parser.add_argument("--no-texts", action="store_true", help="images alone")
    parser.add_argument("--queries", type=Path, metavar="FILE.txt", help="texts of your own, one a line")
    parser.add_argument("--batch-size", type=int, default=256, metavar="N", help="samples at a time (default 256)")
    parser.add_argument("--num-workers", type=int, default=0, metavar="N", help="processes that read and decode")
    parser.add_argument("--device", help="cpu, cuda, … (default: a GPU where there is one)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Embeds and says what stands where."""
    if args.shards is None and args.queries is None:
        raise UserError("nothing to embed: name shards, or texts with --queries FILE.txt.")
    if args.shards is not None and args.no_images and args.no_texts and args.queries is None:
        raise UserError("nothing to embed: --no-images and --no-texts leave nothing of the shards.")
    if args.batch_size < 1 or args.num_workers < 0:
        raise UserError(
            f"--batch-size {args.batch_size} and --num-workers {args.num_workers} must be 1 and 0 at least."
        )
    if (args.out / "manifest.json").exists():
        raise UserError(f"{args.out} holds embeddings already; remove it or name another folder.")
    import torch

    from mmcs.common.language_tags import language_tag
    from mmcs.evaluation.embed import Wanted, embed_shards
    from mmcs.model.checkpoint import load_model
    from mmcs.model.random_weights import warn_of_random_weights
    from mmcs.stream.source_options import reading_of

    wanted = Wanted(
        shards=reading_of(args).expand(args.shards) if args.shards else (),
        images=not args.no_images,
        languages=() if args.no_texts else [language_tag(tag) for tag in args.languages.split(",") if tag],
        queries=None if args.queries is None else read_queries(args.queries),
    )
    loaded = load_model(args.model, args.pretrained)
    warn_of_random_weights(loaded.towers, trained=loaded.config is not None)
    towers = loaded.towers.to(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        manifest = embed_shards(
            towers,
            wanted,
            args.out.absolute(),
            model=loaded.name,
            batch_size=args.batch_size,
            num_workers=args.num_workers,
        )
    except KeyboardInterrupt:
        print("mmcs: interrupted; the same command goes on from here.", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        if exit_code_of(error) is None:
            raise
        where = error.filename or args.out
        raise MmcsError(f"{error.strerror} ({where}); once that is mended, the same command goes on.") from error
    for name in ("images", "texts", "queries"):
        if name in manifest:
            spoken = ", ".join(f"{language} {n:,}" for language, n in manifest[name].get("languages", {}).items())
            print(f"{args.out / name}.npy: {manifest[name]['rows']:,} × {manifest['width']}{spoken and f' ({spoken})'}")


def read_queries(path: Path) -> list[str]:
    """The lines of a text file; an empty one is a query as well, so that row and line agree.

    Raises:
        UserError: there is no such file. DataError: it is not UTF-8, or holds no line.
    """
    if not path.is_file():
        raise UserError(f"--queries {path} is not a file.")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}).") from None
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise DataError(f"{path} holds no line: nothing to embed.")
    return lines
