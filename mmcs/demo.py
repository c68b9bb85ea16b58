"""``mmcs demo``: the main job on real data, end to end, with what a fresh machine can get.

It only calls what the other commands call, in order: prepare, build a lexicon, train, evaluate, compare, export.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmcs.errors import MmcsError, UserError
from mmcs.run_folder import CONFIG, LOCK

# Languages with a large FreeDict and human captions in the stamps.
LANGUAGES = ("de", "cs", "fi", "hu", "hi", "ar", "sv", "tr")
BEST = "recommended"
ARMS = ("zero_shot", BEST, "shuffled_lexicon")
# The settings at which the study compares these systems (docs/study.md), with validation on top.
SETTINGS = (
    "optim.lr=0.0005",
    "trainer.max_epochs=-1",
    "trainer.max_steps=600",
    "trainer.check_val_every_n_epoch=null",
    "trainer.val_check_interval=150",
)
NOTES = (
    "Learning rate, updates and views are those of the study (docs/study.md). They were chosen on validation concepts, in "
    "languages that are not shown here; the test split was not used to choose anything.",
    "One seed only: the study trains three seeds of each system and also shows the upper bound, further controls and ablations.",
)


def register(commands: argparse._SubParsersAction) -> None:
    """Adds ``mmcs demo``."""
    parser = commands.add_parser(
        "demo",
        help="the whole of it on real data, in minutes on a CPU",
        description="Prepares stamps and emoji, builds a FreeDict lexicon, trains English only, the recommended recipe and "
        "a control with a shuffled lexicon at equal settings, compares them with the untouched model, and exports the "
        "recommended one.",
        epilog="example:\n  mmcs demo\n  mmcs demo --stamps tuxpaint-stamps-default.deb --freedict DIR_WITH_DICTD_FILES\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data", type=Path, default=Path("data"), metavar="DIR", help="shards and lexicon, kept (default data)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("outputs/demo"),
        metavar="DIR",
        help="runs, report and export; those of an earlier demo are replaced (default outputs/demo)",
    )
    parser.add_argument("--stamps", metavar="DIR|DEB", help="where the stamps lie, on a machine without apt-get")
    parser.add_argument(
        "--freedict", action="append", metavar="DIR|DEB", help="FreeDict's dictd files, likewise; repeatable"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the demo and prints where the report and the exported model lie."""
    from mmcs.model.lite0_e5 import build_lite0_e5

    began = time.perf_counter()
    data = args.data.absolute()
    sets = prepare(data, args.stamps)
    lexicon = build_lexicon(data, args.freedict, args.seed)
    arms = ARMS if lexicon else ARMS[:1]
    say("model: the pretrained towers out of packages")
    build_lite0_e5()
    say(f"data, lexicon and model are ready after {time.perf_counter() - began:.0f} s; what follows is computed here")
    started = time.perf_counter()
    out = args.out.absolute()
    remove_earlier(out)
    runs = {arm: train(arm, out / arm, data, sets, args.seed) for arm in arms}
    best = report_and_export(runs, out)
    say(f"training, evaluation, report and export took {time.perf_counter() - started:.0f} s")
    print(f"\nreport: {out / 'report.html'}\nexported model ({best}): {out / 'export'}")


def remove_earlier(out: Path) -> None:
    """Removes what an earlier demo wrote into ``out``, and nothing else.

    Raises:
        UserError: ``out`` has something of the same name that no demo wrote.
    """
    for folder in (*(out / arm for arm in ARMS), out / "export"):
        if not folder.exists() or not any(folder.iterdir()):
            continue
        if not any((folder / file).exists() for file in (CONFIG, LOCK, "open_clip_config.json")):
            raise UserError(f"{folder} was not written by mmcs demo; name another folder with --out.")
        shutil.rmtree(folder)
    (out / "report.html").unlink(missing_ok=True)


def prepare(data: Path, stamps: str | None) -> list[str]:
    """Shards of the sets that can be had, made once; says what is missing."""
    from mmcs.prepare.emoji import prepare_emoji
    from mmcs.prepare.stamps import prepare_stamps

    say("data: emoji")
    prepare_emoji(data / "emoji")
    try:
        say("data: stamps")
        prepare_stamps(data / "stamps", stamps)
    except MmcsError as error:
        if stamps is not None:
            raise
        say(f"the demo goes on with emoji alone: {error}")
        return ["emoji"]
    return ["stamps", "emoji"]


def build_lexicon(data: Path, sources: Sequence[str] | None, seed: int) -> Path | None:
    """The FreeDict lexicon and its shuffled copy, built once; None where it cannot be had."""
    from mmcs.codeswitch.lexicon import Lexicon
    from mmcs.lexicons.freedict import build_freedict
    from mmcs.lexicons.shuffle import shuffled_copy

    lexicon = data / "lexicons" / "freedict.lex"
    say(f"lexicon: FreeDict, English to {', '.join(LANGUAGES)}")
    try:
        try:
            Lexicon.open(lexicon)
        except MmcsError:  # not there, or of an older format
            build_freedict(lexicon, LANGUAGES, sources)
        shuffled_copy(lexicon, seed)
        return lexicon
    except MmcsError as error:
        if sources is not None:
            raise
        say(f"the demo goes on with English-only training alone, without a lexicon nothing can be switched: {error}")
        return None


def train(arm: str, folder: Path, data: Path, sets: Sequence[str], seed: int) -> dict[str, Any]:
    """One run of the demo's configuration; returns that configuration."""
    from mmcs.config import compose_config, resolve
    from mmcs.train import launch

    say(f"training: {arm}")
    shards = {split: [str(data / name / split) for name in sets] for split in ("train", "val", "test")}
    suite = "_".join(sets)
    config = resolve(compose_config([f"experiment={arm}", f"seed={seed}", f"data_dir={data}", *SETTINGS]))
    config["experiment"] = arm
    config["eval"]["matrix"] = arm in ("zero_shot", BEST)
    config["eval"]["untouched"] = arm == "zero_shot"  # the same model before training in all of them: once is enough
    config["data"]["train_shards"] = shards["train"]
    config["eval"] |= {"val": {suite: shards["val"]}, "test": {suite: shards["test"]}}
    if arm == "zero_shot" and "stamps" not in sets:
        config["eval"]["seen_languages"] = [
            tag for tag in config["eval"]["seen_languages"] if tag in ("de", "ar", "tr")
        ]
    config["codeswitch"].get("lexicons", [])[:] = [str(data / "lexicons" / "freedict.lex")]
    folder.mkdir(parents=True)
    launch(config, folder)
    return config


def report_and_export(configs: dict[str, dict[str, Any]], out: Path) -> str:
    """Writes the report, prints its summary and exports the recommended run; returns the name of the exported one."""
    from rich.console import Console

    from mmcs.export.card import model_card
    from mmcs.export.open_clip import export_open_clip
    from mmcs.model.checkpoint import load_model
    from mmcs.report.compare import compare
    from mmcs.report.terminal import show

    runs = [out / arm for arm in configs]
    comparison = compare(runs, out=out / "report.html", notes=NOTES)
    show(comparison, Console(markup=False))
    best = BEST if BEST in configs else "zero_shot"
    say(f"export: {best}")
    loaded = load_model(out / best)
    card = model_card(loaded.towers, f"mmcs demo: {best}", loaded.config, loaded.run_folder)
    export_open_clip(loaded.towers, out / "export", card=card)
    return best


def say(line: str) -> None:
    """A step's headline, on standard output at once."""
    print(f"» {line}", flush=True)
