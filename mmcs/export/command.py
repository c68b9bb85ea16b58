"""``mmcs export``: a trained run leaves as a folder that other software loads. The work is in the other modules here."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

_EXAMPLE = """\
examples:
  mmcs export outputs/two_view/2026-01-31_12-00-00 --to open_clip --out my-model
  mmcs export outputs/two_view/2026-01-31_12-00-00/checkpoints/last.ckpt --to open_clip --out my-model
  mmcs export outputs/two_view/2026-01-31_12-00-00 --to onnx --out my-model-onnx
  mmcs export outputs/two_view/2026-01-31_12-00-00 --alpha 0.5 --out halfway
"""


def register(commands: Any) -> None:
    """Adds ``mmcs export``."""
    parser = commands.add_parser(
        "export",
        help="a trained run as a model that other software loads",
        description="Writes a run's best checkpoint (or a given one) as an OpenCLIP folder or as two ONNX graphs, with a "
        "model card. Before the folder appears, plain open_clip (in a fresh process, with the lines that the card shows) or "
        "onnxruntime loads it and must get the same embeddings.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "model",
        metavar="RUN_OR_CKPT",
        help="a run's folder (its best checkpoint), a .ckpt file, an export folder or an OpenCLIP name",
    )
    parser.add_argument(
        "--to", choices=("open_clip", "onnx"), default="open_clip", help="the format (default open_clip)"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to write; must not exist")
    parser.add_argument(
        "--pretrained", help="weights of an OpenCLIP name: its tag, a file, a run or an OpenCLIP folder"
    )
    parser.add_argument(
        "--alpha",
        type=float,
        metavar="A",
        help="WiSE-FT, of a run: weights on the line from the start of training (0) to what was trained (1)",
    )
    parser.add_argument("--name", help="the model card's title (default: the folder's name)")
    parser.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> None:
    import open_clip
    from rich.console import Console

    from mmcs.errors import UserError
    from mmcs.export.card import model_card
    from mmcs.export.onnx import export_onnx, require_packages
    from mmcs.export.open_clip import export_open_clip
    from mmcs.model.checkpoint import load_model
    from mmcs.model.random_weights import warn_of_random_weights

    out = Path(args.out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):  # said before minutes of work
        raise UserError(f"{out} exists already; remove it or name another folder.")
    if args.to == "onnx":
        require_packages()
    architecture = args.model.endswith(".json") or args.model.replace("/", "-") in open_clip.list_models()
    if architecture and not args.pretrained:
        raise UserError(f"{args.model} has no weights of its own: name them with --pretrained.")
    with Console(file=sys.stderr).status(
        "loading the model"
    ) as status:  # this one, also while torch's exporter is kept quiet
        loaded = load_model(args.model, args.pretrained, alpha=args.alpha)
        warn_of_random_weights(loaded.towers, trained=loaded.config is not None)

        def card(loading: str | None = None) -> str:
            run = loaded.run_folder if loaded.evaluated else None
            title = args.name or out.resolve().name
            return model_card(loaded.towers, title, loaded.config, run, alpha=loaded.alpha, loading=loading)

        if args.to == "onnx":
            status.update("writing the graphs and running them with onnxruntime")
            export_onnx(loaded.towers, out, card=card)
        else:
            status.update("writing the folder and loading it with open_clip")
            export_open_clip(loaded.towers, out, card=card())
    does = "runs with onnxruntime" if args.to == "onnx" else "loads with open_clip"
    print(f"{out}: {does} and gives the same embeddings; how is in {out / 'README.md'}.")
