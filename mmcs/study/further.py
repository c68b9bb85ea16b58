"""The evaluation side of the study: what needs no further training. Translate-Test, centring, mixed languages, captions that ask
for captions, switched queries, text retrieval in BEIR's format, and the model as it was before training.

Each run gets a folder of figures of its own; one that has them is not evaluated again, unless the run was trained anew.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcs.evaluation.results import NAME
from mmcs.files import atomic_file
from mmcs.report.names import UNTRAINED
from mmcs.study.jobs import Job
from mmcs.study.material import Material
from mmcs.study.plan import SETTINGS, Plan, joined

OF = "of.json"  # what a folder of figures was made of
SWITCHED = (0.25, 0.5, 0.75, 1.0)
MOST_BEIR = 4  # sets of text retrieval: that many seen languages ask for English captions


@dataclass(frozen=True)
class Evaluation:
    """A trained run, or the untrained model, to be evaluated further.

    Attributes:
        folder: where its figures go.
        config: of the run.
        run: its folder; None: the model as it is before training, in no setting but text retrieval.
        settings: some of ``SETTINGS``.
        translators: programs that Translate-Test asks, by language.
        sets: of text retrieval.
    """

    folder: Path
    config: Mapping[str, Any]
    run: Path | None
    material: Material
    settings: tuple[str, ...]
    translators: Mapping[str, str]
    sets: tuple[Path, ...]

    def done(self) -> bool:
        """Whether the folder holds the figures of just this run in these settings."""
        of = self.folder / OF
        return (self.folder / NAME).is_file() and of.is_file() and json.loads(of.read_text()) == self._of()

    def do(self) -> None:
        """Evaluates."""
        import torch

        from mmcs.evaluation.beir import open_beir
        from mmcs.evaluation.evaluate import evaluate
        from mmcs.evaluation.suites import open_suites
        from mmcs.model.build import build_towers
        from mmcs.model.checkpoint import load_model

        stage, of = self.material.comparing, self._of()
        for left in ("retrieval", OF):  # of an evaluation that was broken off, or of another one
            path = self.folder / left
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        on_gpu = self.config["trainer"]["accelerator"] != "cpu" and torch.cuda.is_available()
        towers = load_model(self.run).towers if self.run else build_towers(**self.config["model"])
        evaluate(
            towers.to("cuda" if on_gpu else "cpu"),
            open_suites(dict(stage.suites), "test", ["en", *stage.seen, *stage.unseen]),
            self.folder,
            model=self.config["model"]["name"],
            experiment=self.config["experiment"] if self.run else UNTRAINED,
            seed=self.config["seed"] if self.run else None,
            config=self.config,
            seen=stage.seen,
            settings=[setting for name in self.settings for setting in self._setting(name)],
            beir=[open_beir(path, path.name) for path in self.sets],
        )
        with atomic_file(self.folder / OF) as path:
            path.write_text(json.dumps(of) + "\n", encoding="utf-8")

    def _of(self) -> dict[str, Any]:
        made_of = (self.run / NAME).read_bytes() if self.run else json.dumps(self.config["model"]).encode()
        return {
            "run": hashlib.sha256(made_of).hexdigest(),
            "settings": list(self.settings),
            "translators": dict(self.translators),
            "beir": [path.name for path in self.sets],
        }

    def _setting(self, name: str) -> list[Any]:
        from mmcs.codeswitch.build import ML_CS, build_strategy
        from mmcs.evaluation.caption_pairs import CaptionPairs
        from mmcs.evaluation.centred import Centred
        from mmcs.evaluation.mixed import MixedLanguages
        from mmcs.evaluation.switched_queries import SwitchedQueries
        from mmcs.evaluation.translate_test import TranslateTest, command, dictionary

        stage = self.material.comparing
        if name == "mixed":
            return [MixedLanguages(self.folder / "retrieval")]
        if name == "caption_pairs":
            return [CaptionPairs()]
        if name == "centred":
            return [Centred(joined(stage.train))]
        if name == "switched_queries":
            switch = ML_CS | {"lexicons": list(stage.lexicons), "languages": list(stage.seen)}
            return [SwitchedQueries(lambda p: build_strategy({**switch, "p": p}), SWITCHED)]
        programs = [
            TranslateTest(Path(shlex.split(line)[0]).name, {language: command(line)})
            for language, line in self.translators.items()
        ]
        return [TranslateTest("dictionary", dict(map(dictionary, self.material.into_english))), *programs]


def further_evaluations(
    plan: Plan, material: Material, trained: Mapping[str, Sequence[Job]], base: Job
) -> tuple[list[Evaluation], list[str]]:
    """The evaluations that the plan asks for, the untrained model's first; and a sentence for each that cannot be made.

    Args:
        trained: system → its runs.
        base: any run of English only, whose model is evaluated untrained.
    """
    own, out = plan.settings["further"], plan.out / "further"
    settings = tuple(name for name in SETTINGS if name in own["settings"])
    translators, notes = _programs(plan.settings["translators"] if "translate_test" in settings else {})
    sets = tuple(_beir_sets(material, plan.out))
    found = [Evaluation(out / UNTRAINED / "untrained", base.config, None, material, (), {}, sets)]
    for name in own["systems"]:
        for job in trained.get(name, ()):
            folder = out / name / job.folder.name
            found.append(Evaluation(folder, job.config, job.folder, material, settings, translators, sets))
    return found, notes


def _programs(translators: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The translators that are installed, and a sentence for each that is not."""
    there = {language: line for language, line in translators.items() if shutil.which(shlex.split(line)[0])}
    missing = [
        f"Translate-Test by '{line}' ({language}) was not run: the program is not installed."
        for language, line in translators.items()
        if language not in there
    ]
    return there, missing


def _beir_sets(material: Material, out: Path) -> list[Path]:
    """Captions in a language as queries, English captions as documents, in BEIR's format, out of the compared suite."""
    from mmcs.errors import MmcsError
    from mmcs.prepare.beir_format import prepare_beir_format

    name, shards = next(iter(material.comparing.suites.items()))
    source = joined(shards)
    made = []
    for language in material.comparing.seen[:MOST_BEIR]:
        folder = out / "beir_format" / f"{name}_{language}_en"
        if not (folder / "manifest.json").is_file():
            try:
                prepare_beir_format(source, language, "en", folder)
            except MmcsError:
                continue
        made.append(folder)
    return made
