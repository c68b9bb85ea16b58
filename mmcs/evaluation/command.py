"""``mmcs evaluate``: recall per language of any model on any suites, in the settings that are asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcs.errors import UserError
from mmcs.stream.source_options import add_reading

if TYPE_CHECKING:
    from mmcs.evaluation.beir import BeirSet
    from mmcs.evaluation.setting import Setting
    from mmcs.evaluation.suites import Suite
    from mmcs.model.checkpoint import Loaded

EPILOG = """MODEL is a run's folder or checkpoint, an exported (OpenCLIP) folder, lite0_e5, or an OpenCLIP name.

example:
  mmcs evaluate outputs/two_view/2026-01-01_12-00-00 --suite mine=data/mine/test --out outputs/mine
  mmcs evaluate xlm-roberta-base-ViT-B-32 --pretrained laion5b_s13b_b90k --suite xm3600=data/xm3600/test --out outputs/laion
  mmcs evaluate RUN --suite mine=data/mine/test --mixed --matrix --switched-queries 0.25,0.5,1 --lexicon de_fi.lex \\
      --translate-test de-en.lex --translate-command 'es=apertium -u spa-eng' --out outputs/all

What each setting is: docs/evaluation.md.
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
    parser.add_argument(
        "--pretrained", help="weights of an OpenCLIP name: its tag, a file, a run or an OpenCLIP folder"
    )
    parser.add_argument(
        "--suite",
        action="append",
        default=[],
        metavar="[NAME=]SHARDS",
        help="repeatable; '::' joins several folders into one gallery",
    )
    parser.add_argument("--split", default="test", help="how the split is called in the results (default test)")
    parser.add_argument("--languages", metavar="en,de", help="default: all that the suite has")
    parser.add_argument(
        "--seen", metavar="de,fi", help="languages with a lexicon in training, for the means (default: as the run says)"
    )
    parser.add_argument(
        "--protocol",
        action="append",
        metavar="NAME",
        help="all_captions or first_caption, repeatable (default: what the suite's manifest says, else all_captions)",
    )
    add_reading(parser, "the suites", language=False)
    _add_settings(parser)
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="where results.json and retrieval/ are written"
    )
    parser.add_argument("--device", help="cpu, cuda, … (default: a GPU where there is one)")
    parser.add_argument("--num-workers", type=int, default=0, metavar="N", help="processes that read and decode")
    parser.add_argument("--no-cache", action="store_true", help="embed anew, keep no embeddings")
    parser.set_defaults(run=run)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what else is ranked").add_argument
    add("--mixed", action="store_true", help="MLIR: queries, gallery or both in languages drawn per item")
    add("--mixed-seed", type=int, default=0, metavar="N", help="of that draw (default 0)")
    add("--mixed-draw", type=Path, metavar="FILE", help="a draw that was saved before (….mixed.tsv)")
    add("--matrix", action="store_true", help="captions of each language ask for captions of every other")
    add("--switched-queries", metavar="0.25,0.5,1", help="English queries, switched with these probabilities")
    add("--lexicon", action="append", metavar="FILE.lex", help="for --switched-queries; repeatable, the first wins")
    add(
        "--translate-test",
        action="append",
        default=[],
        type=Path,
        metavar="X-en.lex",
        help="queries put into English word by word",
    )
    add(
        "--translate-command",
        action="append",
        default=[],
        metavar="X=COMMAND",
        help="queries put into English by a program, lines to lines",
    )
    add(
        "--beir",
        action="append",
        default=[],
        metavar="[NAME=]DIR",
        help="a folder in BEIR's format, read for --split: the text tower alone; repeatable",
    )
    add(
        "--centred",
        metavar="SHARDS",
        help="each language's mean embedding over these captions, such as those of training, subtracted",
    )
    add("--beir-languages", metavar="QUERIES[,DOCUMENTS]", help="of folders whose manifest does not say (default en)")


def run(args: argparse.Namespace) -> None:
    """Evaluates and prints a table."""
    if not args.suite and not args.beir:
        raise UserError(
            "nothing to evaluate on: name a suite (--suite [NAME=]SHARDS) or a folder in BEIR's format (--beir DIR)."
        )
    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"--out {args.out} is a file; name a folder.")
    if (args.out / "results.json").exists():
        raise UserError(f"{args.out} holds results already; remove it or name another folder.")
    import torch

    from mmcs.evaluation.embedding_cache import EmbeddingCache
    from mmcs.evaluation.evaluate import evaluate
    from mmcs.evaluation.protocols import check_protocol
    from mmcs.evaluation.show import show
    from mmcs.evaluation.suites import open_suites
    from mmcs.files import cache_folder
    from mmcs.model.checkpoint import load_model
    from mmcs.model.random_weights import warn_of_random_weights
    from mmcs.stream.source_options import reading_of

    protocols = [check_protocol(name) for name in args.protocol or ()] or None
    patterns = named(args.suite)
    settings = settings_of(args)
    reading = reading_of(args)
    captions = {"caption": reading.caption, "caption_lines": reading.caption_lines}
    suites = open_suites(
        {name: [{"shards": shards, **captions}] for name, shards in patterns.items()},
        args.split,
        args.languages.split(",") if args.languages else None,
        images=reading.images,
    )
    _check_translators(settings, suites)
    beir = _open_beir(args, patterns)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    loaded = load_model(args.model, args.pretrained)
    warn_of_random_weights(loaded.towers, trained=loaded.config is not None)
    config = loaded.config or {"model": {"name": args.model, "pretrained": args.pretrained}}
    rows = evaluate(
        loaded.towers.to(device),
        suites,
        args.out,
        model=loaded.name,
        experiment=config.get("experiment", "untouched"),
        seed=config.get("seed"),
        config=config,
        seen=args.seen.split(",") if args.seen else seen_of(loaded),
        protocols=protocols,
        settings=settings,
        beir=beir,
        cache=None if args.no_cache else EmbeddingCache(cache_folder() / "embeddings"),
        num_workers=args.num_workers,
    )
    show(rows)
    print(f"results: {(args.out / 'results.json').resolve()}")


def settings_of(args: argparse.Namespace) -> list[Setting]:
    """What the options add to a suite's own retrieval, in the order in which it is ranked."""
    from mmcs.evaluation.caption_pairs import CaptionPairs
    from mmcs.evaluation.centred import Centred
    from mmcs.evaluation.mixed import MixedLanguages
    from mmcs.evaluation.translate_test import TranslateTest, command, dictionary

    settings: list[Setting] = []
    if args.mixed or args.mixed_draw:
        settings.append(MixedLanguages(args.out / "retrieval", args.mixed_seed, args.mixed_draw))
    if args.matrix:
        settings.append(CaptionPairs())
    if args.centred:
        settings.append(Centred(args.centred))
    if args.switched_queries:
        settings.append(_switched(args.switched_queries, args.lexicon or []))
    elif args.lexicon:
        raise UserError("--lexicon goes with --switched-queries.")
    if args.translate_test:
        settings.append(TranslateTest("dictionary", dict(map(dictionary, args.translate_test))))
    programs: dict[str, dict[str, Any]] = {}
    for text in args.translate_command:
        language, found, line = text.partition("=")
        if not found or not language:
            raise UserError(f"--translate-command is LANGUAGE=COMMAND, such as 'es=apertium -u spa-eng'; got {text!r}.")
        translate = command(line)
        programs.setdefault(Path(line.split()[0]).name, {})[language] = translate
    return [*settings, *(TranslateTest(name, translators) for name, translators in programs.items())]


def _check_translators(settings: Sequence[Setting], suites: Sequence[Suite]) -> None:
    """Prints which translators no suite has captions for.

    Raises:
        UserError: none of them has any.
    """
    from mmcs.common.language_tags import find_languages
    from mmcs.evaluation.translate_test import TranslateTest

    translated = {tag for setting in settings if isinstance(setting, TranslateTest) for tag in setting.translators}
    used = {source for suite in suites for source in find_languages(suite.languages, translated).values()}
    unused = ", ".join(sorted(translated - used))
    if translated and not used:
        raise UserError(f"--translate-test and --translate-command: no suite has captions in {unused}.")
    if unused:
        print(f"mmcs: warning: no suite has captions in {unused}; nothing is translated from there.", file=sys.stderr)


def _switched(text: str, lexicons: Sequence[str]) -> Setting:
    from mmcs.codeswitch.build import ML_CS, build_strategy
    from mmcs.evaluation.switched_queries import SwitchedQueries

    try:
        ps = [float(p) for p in text.split(",")]
    except ValueError:
        raise UserError(f"--switched-queries are probabilities such as 0.25,0.5,1; got {text!r}.") from None
    settings = ML_CS | {"lexicons": list(lexicons)}
    return SwitchedQueries(lambda p: build_strategy({**settings, "p": p}), ps)


def _open_beir(args: argparse.Namespace, suites: Collection[str]) -> list[BeirSet]:
    from mmcs.common.language_tags import language_tag
    from mmcs.evaluation.beir import open_beir

    languages = None
    if args.beir_languages and not args.beir:
        raise UserError("--beir-languages goes with --beir.")
    if args.beir_languages:
        queries, _, documents = args.beir_languages.partition(",")
        languages = (language_tag(queries), language_tag(documents or queries))
    folders = named(args.beir, "--beir")
    for name in folders:
        if name in suites:
            raise UserError(
                f"a suite and a folder of --beir are both called {name!r}: name one, as in --beir NAME=DIR."
            )
    return [open_beir(folder, name, args.split, languages) for name, folder in folders.items()]


def seen_of(loaded: Loaded) -> list[str]:
    """Languages that had a lexicon in a run's training, as it says itself or its configuration does; none for other models."""
    from mmcs.codeswitch.lexicon import Lexicon
    from mmcs.common.language_tags import language_tag
    from mmcs.evaluation.results import NAME, read_results

    if loaded.run_folder is not None and (loaded.run_folder / NAME).is_file():
        return list(read_results(loaded.run_folder).get("seen_languages", []))
    config = loaded.config or {}
    named = config.get("eval", {}).get("seen_languages")
    switch = config.get("codeswitch") or {}
    if named is not None or not switch.get("strategy"):
        return list(named or [])
    if switch.get("languages"):
        return list(dict.fromkeys(map(language_tag, switch["languages"])))
    return list(dict.fromkeys(tag for path in switch.get("lexicons") or [] for tag in Lexicon.open(path).languages))


def named(texts: Sequence[str], option: str = "--suite") -> dict[str, str]:
    """``NAME=SHARDS`` by name, or SHARDS named after the last folder names.

    Raises:
        UserError: a name stands twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, given, shards = text.partition("=")
        if not given or "/" in name:
            folders = [part for part in Path(text.split("::")[0]).parts if "." not in part and "{" not in part]
            name, shards = "_".join(folders[-2:]).strip("/") or "suite", text
        if name in found:
            raise UserError(f"two suites are called {name!r}: name them, as in {option} NAME={shards}.")
        found[name] = shards
    return found
