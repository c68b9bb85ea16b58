"""``mmcs export``: a trained run leaves as a folder that other software loads. The work is in the other modules here."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_EXAMPLE = """\
examples:
  mmcs export outputs/two_view/2026-01-31_12-00-00 --to open_clip --out my-model
  mmcs export outputs/two_view/2026-01-31_12-00-00/checkpoints/last.ckpt --to open_clip --out my-model
  mmcs export outputs/two_view/2026-01-31_12-00-00 --to onnx --out my-model-onnx
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
    parser.add_argument("--name", help="the model card's title (default: the folder's name)")
    parser.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> None:
    from rich.console import Console

    from mmcs.errors import UserError
    from mmcs.export.card import model_card
    from mmcs.export.open_clip import export_open_clip
    from mmcs.model.checkpoint import load_model

    out = Path(args.out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):  # said before minutes of work
        raise UserError(f"{out} exists already; remove it or name another folder.")
    title = args.name or out.resolve().name
    if args.to == "onnx":
        _export_onnx(args.model, out, title)
        return
    with Console(stderr=True).status("loading the checkpoint") as status:
        loaded = load_model(args.model)
        status.update("writing the folder and loading it with open_clip")
        card = model_card(loaded.towers, title, loaded.config, loaded.run_folder)
        export_open_clip(loaded.towers, out, card=card)
    print(f"{out}: loads with open_clip and gives the same embeddings; how is in {out / 'README.md'}.")


def _export_onnx(model: str, out: Path, title: str) -> None:
    from rich.console import Console

    from mmcs.export.card import model_card
    from mmcs.export.onnx import export_onnx, require_packages
    from mmcs.model.checkpoint import load_model

    require_packages()
    with Console(stderr=True).status("loading the checkpoint") as status:
        loaded = load_model(model)
        status.update("writing the graphs and running them with onnxruntime")

        def card(loading: str) -> str:
            return model_card(loaded.towers, title, loaded.config, loaded.run_folder, library="onnx", loading=loading)

        export_onnx(loaded.towers, out, card=card)
    print(f"{out}: runs with onnxruntime and gives the same embeddings; how is in {out / 'README.md'}.")
