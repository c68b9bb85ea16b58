"""``mmcs evaluate``: recall per language of any model on any suites."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcs.errors import UserError

EPILOG = """MODEL is a run's folder or checkpoint, an exported (OpenCLIP) folder, lite0_e5, or an OpenCLIP name.

example:
  mmcs evaluate outputs/two_view/2026-01-01_12-00-00 --suite mine=data/mine/test --out outputs/mine
  mmcs evaluate xlm-roberta-base-ViT-B-32 --pretrained laion5b_s13b_b90k --suite mine=data/mine/test --out outputs/laion
"""


def register(commands: argparse._SubParsersAction) -> None:
    """Adds ``mmcs evaluate``."""
    parser = commands.add_parser(
        "evaluate",
        help="recall per language of a model on suites",
        description="Embeds suites, ranks, and writes results.json and TREC files.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--pretrained", help="OpenCLIP's tag, or a checkpoint file")
    parser.add_argument(
        "--suite",
        action="append",
        required=True,
        metavar="[NAME=]SHARDS",
        help="repeatable; '::' joins several folders into one gallery",
    )
    parser.add_argument("--split", default="test", help="how the split is called in the results (default test)")
    parser.add_argument("--languages", metavar="en,de", help="default: all that the suite has")
    parser.add_argument(
        "--seen", metavar="de,fi", help="languages with a lexicon in training, for the means (default: as the run says)"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="where results.json and retrieval/ are written"
    )
    parser.add_argument("--device", help="cpu, cuda, … (default: a GPU where there is one)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Evaluates and prints a table."""
    import torch

    from mmcs.evaluation.evaluate import evaluate
    from mmcs.evaluation.suites import open_suites
    from mmcs.model.checkpoint import load_model

    patterns = dict(suite_of(text) for text in args.suite)
    if (args.out / "results.json").exists():
        raise UserError(f"{args.out} holds results already; remove it or name another folder.")
    suites = open_suites(patterns, args.split, args.languages.split(",") if args.languages else None)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    loaded = load_model(args.model, args.pretrained)
    config = loaded.config or {"model": {"name": args.model, "pretrained": args.pretrained}}
    seen = args.seen.split(",") if args.seen else config.get("seen_languages", [])
    rows = evaluate(
        loaded.towers.to(device),
        suites,
        args.out,
        model=loaded.name,
        experiment=config.get("experiment", "untouched"),
        seed=config.get("seed"),
        config=config,
        seen=seen,
    )
    show(rows)


def suite_of(text: str) -> tuple[str, str]:
    """``NAME=SHARDS``, or SHARDS named after the last folder names."""
    name, found, shards = text.partition("=")
    if found and "/" not in name:
        return name, shards
    folders = [part for part in Path(text.split("::")[0]).parts if "." not in part and "{" not in part]
    return "_".join(folders[-2:]).strip("/") or "suite", text


def show(rows: list[dict]) -> None:
    """Prints recall@10 per language and direction, the means last."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "suite", "language", "text → image R@10", "95 %", "image → text R@10", "queries", title="recall@10 in %"
    )
    chosen = [row for row in rows if row["metric"] == "recall@10"]
    text_rows = {(row["suite"], row["language"]): row for row in chosen if row["task"] == "text_retrieval"}
    for row in chosen:
        if row["task"] == "image_retrieval":
            other = text_rows.get((row["suite"], row["language"]))
            low, high = row["ci95"]
            table.add_row(
                row["suite"],
                row["language"],
                f"{100 * row['value']:.1f}",
                f"{100 * low:.1f}–{100 * high:.1f}",
                f"{100 * other['value']:.1f}" if other else "–",
                str(row["n_queries"]),
            )
    Console().print(table)
