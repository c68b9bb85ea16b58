"""The evaluation side of the study: what needs no further training. Translate-Test, centring, mixed languages, captions that ask
for captions, switched queries, text retrieval in BEIR's format, and the model as it was before training.

Each run gets a folder of figures of its own; one that has them is not evaluated again.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmcs.evaluation.results import NAME
from mmcs.report.names import UNTRAINED
from mmcs.study.material import Material

SWITCHED = (0.25, 0.5, 0.75, 1.0)
MOST_BEIR = 4  # sets of text retrieval: that many seen languages ask for English captions


def programs(translators: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The translators that are installed, and a sentence for each that is not."""
    there = {language: line for language, line in translators.items() if shutil.which(shlex.split(line)[0])}
    missing = [
        f"Translate-Test by '{line}' ({language}) was not run: the program is not installed."
        for language, line in translators.items()
        if language not in there
    ]
    return there, missing


def beir_sets(material: Material, out: Path) -> list[Path]:
    """Captions in a language as queries, English captions as documents, in BEIR's format, out of the compared suite."""
    from mmcs.errors import MmcsError
    from mmcs.prepare.beir_format import prepare_beir_format

    name, shards = next(iter(material.comparing.suites.items()))
    joined = _joined(shards)
    made = []
    for language in material.comparing.seen[:MOST_BEIR]:
        folder = out / "beir_format" / f"{name}_{language}_en"
        if not (folder / "manifest.json").is_file():
            try:
                prepare_beir_format(joined, language, "en", folder)
            except MmcsError:
                continue
        made.append(folder)
    return made


def evaluate_further(runs: Sequence[Path], material: Material, translators: Mapping[str, str], out: Path) -> list[Path]:
    """Evaluates ``runs`` in every further setting, into ``out/NAME/SEED``; returns those folders."""
    sets = beir_sets(material, out)
    folders = []
    for number, run in enumerate(runs, 1):
        folder = out / "further" / run.parent.name / run.name
        folders.append(folder)
        if not (folder / NAME).is_file():
            print(f"  [{number}/{len(runs)}] further settings: {run.parent.name}/{run.name}", flush=True)
            _evaluate(run, folder, material, translators, sets)
    return folders


def evaluate_untouched(config: Mapping[str, Any], material: Material, out: Path) -> Path:
    """The model before any training, on the compared suites; returns its folder."""
    from mmcs.model.build import build_towers

    folder = out / "further" / UNTRAINED / "untrained"
    if not (folder / NAME).is_file():
        _write(build_towers(**config["model"]), folder, UNTRAINED, None, config, material, [], beir_sets(material, out))
    return folder


def _evaluate(
    run: Path, folder: Path, material: Material, translators: Mapping[str, str], sets: Sequence[Path]
) -> None:
    from mmcs.codeswitch.build import build_strategy
    from mmcs.evaluation.caption_pairs import CaptionPairs
    from mmcs.evaluation.centred import Centred
    from mmcs.evaluation.mixed import MixedLanguages
    from mmcs.evaluation.switched_queries import SwitchedQueries
    from mmcs.evaluation.translate_test import TranslateTest, command, dictionary
    from mmcs.model.checkpoint import load_model

    lexicons = {"strategy": "multilingual", "lexicons": list(material.comparing.lexicons)}
    settings = [
        MixedLanguages(folder / "retrieval"),
        CaptionPairs(),
        Centred(_joined(material.comparing.train)),
        SwitchedQueries(lambda p: build_strategy({**lexicons, "languages": list(material.comparing.seen), "p": p}), SWITCHED),
        TranslateTest("dictionary", dict(map(dictionary, material.into_english))),
        *(TranslateTest(Path(shlex.split(line)[0]).name, {language: command(line)}) for language, line in translators.items()),
    ]  # fmt: skip
    loaded = load_model(run)
    config = loaded.config or {}
    _write(loaded.towers, folder, config["experiment"], config["seed"], config, material, settings, sets)


def _write(
    towers: Any,
    folder: Path,
    experiment: str,
    seed: int | None,
    config: Mapping[str, Any],
    material: Material,
    settings: Sequence[Any],
    sets: Sequence[Path],
) -> None:
    import torch

    from mmcs.evaluation.beir import open_beir
    from mmcs.evaluation.evaluate import evaluate
    from mmcs.evaluation.suites import open_suites

    stage = material.comparing
    shutil.rmtree(folder, ignore_errors=True)  # of an evaluation that was broken off
    evaluate(
        towers.to("cuda" if torch.cuda.is_available() else "cpu"),
        open_suites(dict(stage.suites), "test", ["en", *stage.seen, *stage.unseen]),
        folder,
        model=config["model"]["name"],
        experiment=experiment,
        seed=seed,
        config=config,
        seen=stage.seen,
        settings=settings,
        beir=[open_beir(path, path.name) for path in sets],
    )


def _joined(shards: Any) -> str:
    return "::".join(shards) if isinstance(shards, list | tuple) else str(shards)
