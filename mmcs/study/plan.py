"""What the study runs: ``conf/study.yaml`` with what the command line changes, and from it the configuration of every run.

No run is started here (``jobs``), and no data is made (``material``).
"""

from __future__ import annotations

import copy
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmcs.config import compose_config, conf_dir, quoted, resolve
from mmcs.errors import UserError
from mmcs.report.names import BASELINE

PREFIX = "study."
BILINGUAL = "bl_cs"
TEXT_TOWER = "_text_tower"  # behind the names of systems whose text tower is trained, too
SETTINGS = ("mixed", "caption_pairs", "centred", "switched_queries", "translate_test")  # of further evaluations
PARTS = {"further": ("systems", "settings"), "text_tower": ("overrides", "systems", "seeds", "learning_rates")}


@dataclass(frozen=True)
class Stage:
    """What a part of the study trains and measures on.

    Attributes:
        train: shards, as ``data.train_shards``.
        suites: name → shards, validated on while settings are chosen, else evaluated on at the end.
        seen, unseen: languages with and without a lexicon.
        lexicons: that are switched with.
        choosing: whether settings are chosen here.
    """

    train: Any
    suites: Mapping[str, Any]
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    lexicons: tuple[str, ...]
    choosing: bool


@dataclass(frozen=True)
class Arm:
    """A system, or one thing changed in it.

    Attributes:
        name: of its folder, and what ``results.json`` calls the experiment.
        experiment: the file in ``conf/experiment``.
        overrides: what differs from it.
        languages: the only ones that it switches into; None: all of the stage.
        lexicons: in place of the stage's; None: the stage's.
    """

    name: str
    experiment: str
    overrides: tuple[str, ...] = ()
    languages: tuple[str, ...] | None = None
    lexicons: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Plan:
    """The study's own settings, and the overrides that go to each run.

    Attributes:
        settings: ``conf/study.yaml`` and what the command line changed in it.
        typed: every other override.
        command: that it was read from; empty where nothing was set.
    """

    settings: dict[str, Any]
    typed: tuple[str, ...]
    command: str

    @staticmethod
    def read(overrides: Sequence[str]) -> Plan:
        """The plan that the command line describes.

        Raises:
            UserError: an unknown key of the study; the sentence lists the known ones.
        """
        own = [text.removeprefix(PREFIX) for text in overrides if text.startswith(PREFIX)]
        typed = tuple(text for text in overrides if not text.startswith(PREFIX))
        config = OmegaConf.load(conf_dir() / "study.yaml")
        given: Any = OmegaConf.to_container(config, resolve=True)
        known = [str(key) for key in config]
        for text in own:
            key, equals, _ = text.partition("=")
            if not equals:
                raise UserError(f"cannot read {PREFIX + text!r}; the study's keys are set as {PREFIX}KEY=VALUE.")
            if key.split(".")[0] not in known:
                raise UserError(f"unknown key {PREFIX}{key}; known keys of the study: {', '.join(known)}.")
            try:
                value = OverridesParser.create().parse_override(quoted(text)).value()
                OmegaConf.update(config, key, value, merge=False)  # a mapping in the place of another, as it was typed
            except (HydraException, OmegaConfBaseException) as error:
                raise UserError(f"cannot read {PREFIX + text!r}: {' '.join(str(error).split())}") from None
        settings: Any = OmegaConf.to_container(config, resolve=True)
        left_out = [key for key in PARTS if settings[key] is None]
        settings |= {key: {**given[key], "systems": []} for key in left_out}
        command = shlex.join(["make", "study", *overrides]) if overrides else ""
        return Plan(settings, typed, command).checked()

    def checked(self) -> Plan:
        """Itself.

        Raises:
            UserError: a value that makes no study.
        """
        settings = self.settings
        for key, needed in PARTS.items():
            lacks = [name for name in needed if name not in (settings[key] or {})]
            if lacks:
                raise UserError(
                    f"{PREFIX}{key} lacks {', '.join(lacks)}; it is {{{', '.join(f'{own}: …' for own in needed)}}}."
                )
        seeds = {"seeds": settings["seeds"], "ablation_seeds": settings["ablation_seeds"]}
        seeds["text_tower.seeds"] = settings["text_tower"]["seeds"]
        for key, own in seeds.items():
            if (
                not isinstance(own, list)
                or not own
                or len({*map(str, own)}) < len(own)
                or not all(isinstance(one, int) for one in own)
            ):
                raise UserError(f"{PREFIX}{key} are different whole numbers, at least one; got {own}.")
        if not set(settings["ablation_seeds"]) <= set(settings["seeds"]):
            raise UserError(f"{PREFIX}ablation_seeds are some of {PREFIX}seeds ({settings['seeds']}).")
        for key in ("learning_rates", "text_tower.learning_rates"):
            rates = settings["text_tower"]["learning_rates"] if "." in key else settings[key]
            if not rates or any(not isinstance(rate, float | int) or rate <= 0 for rate in rates):
                raise UserError(f"{PREFIX}{key} are numbers above 0, at least one; got {rates}.")
        unknown = [name for name in settings["further"]["settings"] if name not in SETTINGS]
        if unknown:
            raise UserError(f"{PREFIX}further.settings has {', '.join(unknown)}; known ones: {', '.join(SETTINGS)}.")
        if settings["further"]["systems"] and BASELINE not in settings["further"]["systems"]:
            raise UserError(f"{PREFIX}further.systems lack {BASELINE}: it is what they are compared with.")
        if BASELINE not in settings["systems"]:
            raise UserError(f"{PREFIX}systems lack {BASELINE}: every gain is measured against English only.")
        self.compose(Arm(BASELINE, BASELINE))
        return self

    @property
    def out(self) -> Path:
        """Where the runs lie."""
        return Path(self.settings["out"]).absolute()

    @property
    def own_data(self) -> bool:
        """Whether the user names the data."""
        return any(text.split("=")[0] in ("data.train_shards", "eval.val", "eval.test") for text in self.typed)

    def systems(self) -> list[Arm]:
        """Every system but BL-CS, which is one per language."""
        return [Arm(name, name) for name in self.settings["systems"] if name != BILINGUAL]

    def bilingual(self, languages: Sequence[str]) -> list[Arm]:
        """BL-CS of each language."""
        if BILINGUAL not in self.settings["systems"]:
            return []
        return [Arm(f"{BILINGUAL}_{language}", BILINGUAL, languages=(language,)) for language in languages]

    def text_tower(self) -> list[Arm]:
        """The systems whose text tower is trained, too."""
        own = self.settings["text_tower"]
        return [Arm(name + TEXT_TOWER, name, tuple(own["overrides"])) for name in own["systems"]]

    def ablations(self, stage: Stage, lexicons: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, dict[str, Arm]]]:
        """Title → the system that is changed, and what is changed in it by name.

        Args:
            lexicons: those that can be had under a name of their own.
        """
        from mmcs.codeswitch.lexicon import Lexicon

        found = {}
        for title, own in (self.settings["ablations"] or {}).items():
            base, arms = own["of"], {}
            if base not in self.settings["systems"]:
                continue
            for name, overrides in own.get("arms", {}).items():
                arms[name] = Arm(_folder(title, name), base, tuple(overrides))
            for count in own.get("languages", ()):
                if count < len(stage.seen):
                    name = f"{count} of {len(stage.seen)} languages"
                    arms[name] = Arm(_folder(title, name), base, languages=stage.seen[:count])
            for name, given in own.get("lexicons", {}).items():
                files = lexicons.get(given) if isinstance(given, str) else given
                if files:
                    known = {language for path in files for language in Lexicon.open(Path(path)).languages}
                    languages = tuple(language for language in stage.seen if language in known)
                    arms[name] = Arm(_folder(title, name), base, languages=languages, lexicons=tuple(map(str, files)))
            if arms:
                found[title] = (base, arms)
        return found

    def config(self, arm: Arm, stage: Stage, seed: int, rate: float) -> dict[str, Any]:
        """The resolved configuration of one run."""
        config = resolve(self.compose(arm, f"seed={seed}", f"optim.lr={rate}"))
        config["experiment"] = arm.name
        config["data"]["train_shards"] = stage.train
        measured = {"val": stage.suites, "test": None} if stage.choosing else {"val": None, "test": stage.suites}
        languages = ["en", *stage.seen, *stage.unseen]
        config["eval"] |= {**measured, "languages": languages, "seen_languages": list(stage.seen)}
        switch = config["codeswitch"]
        if switch.get("strategy") is not None:
            switch["languages"] = list(arm.languages or stage.seen)
        if "lexicons" in switch and switch["strategy"] != "translate":
            switch["lexicons"] = list(arm.lexicons or stage.lexicons)
        return copy.deepcopy(config)

    def compose(self, arm: Arm, *more: str) -> Any:
        """The configuration of an arm, without what belongs to a stage. What was typed counts last, but for the arm's own."""
        own = [f"experiment={arm.experiment}", *self.settings["overrides"], *self.typed, *arm.overrides, *more]
        last = {text.split("=")[0]: text for text in own}  # Hydra refuses a key that stands twice
        choices = [text for key, text in last.items() if key == "experiment"]
        languages = [] if arm.languages is None else [f"codeswitch.languages=[{','.join(arm.languages)}]"]
        return compose_config(choices + languages + [text for key, text in last.items() if key != "experiment"])


def _folder(title: str, name: str) -> str:
    words = "".join(letter if letter.isalnum() or letter in ".=" else "_" for letter in f"{title}-{name}".casefold())
    return "_".join(filter(None, words.replace("=", "_").split("_")))


def joined(shards: Any) -> str:
    """A stage's shards as one source."""
    return "::".join(shards) if isinstance(shards, list | tuple) else str(shards)
