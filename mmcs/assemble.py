"""From a resolved configuration to the parts of a run. ``mmcs.train`` calls it; each part lives in its own room."""

from __future__ import annotations

import functools
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningDataModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ProgressBar, RichProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from mmcs.callbacks.best import KeepBest
from mmcs.callbacks.features import FillFeatures
from mmcs.callbacks.recall import figure_names
from mmcs.callbacks.reseed import Reseed
from mmcs.codeswitch.build import build_switch
from mmcs.codeswitch.schedule import one_of
from mmcs.codeswitch.stage import ChooseCaption, SwitchCaption
from mmcs.common.language_tags import find_language
from mmcs.errors import UserError
from mmcs.evaluation.suites import Suite, open_suites, seen_of_suites
from mmcs.files import atomic_file
from mmcs.instantiated import build_own, instantiated
from mmcs.loggers import build_loggers, check_monitors
from mmcs.losses.contrastive import ContrastiveLoss
from mmcs.model.build import build_towers
from mmcs.model.checkpoint import check_belongs
from mmcs.model.module import ContrastiveModule, number_of_chunks
from mmcs.model.random_weights import warn_of_random_weights
from mmcs.model.sharded import check_precision
from mmcs.model.teacher import Teacher
from mmcs.model.towers import Towers
from mmcs.model.wise_ft import check_alphas
from mmcs.resume import WholeCheckpoints, check_resume, guard_restore
from mmcs.started import cluster_environment, is_first
from mmcs.stream.exclude import LeaveOut
from mmcs.stream.mixture import open_sources


@dataclass
class Captions:
    """The caption stages of a run, the languages that its switch writes, and what its texts are: the first ``contrasted`` are
    views, ``english`` is the place of the caption before any switch, where a term of the loss reads it.
    """

    stages: tuple[ChooseCaption] | tuple[ChooseCaption, SwitchCaption]
    languages: tuple[str, ...]
    contrasted: int
    english: int | None


@dataclass
class Run:
    """A run's parts; ``untouched``: the weights that training may change, as they were before."""

    config: dict[str, Any]
    folder: Path
    module: ContrastiveModule
    datamodule: LightningDataModule
    trainer: Trainer
    checkpoint: KeepBest
    val: list[Suite]
    test: list[Suite]
    seen: list[str]
    untouched: dict[str, Tensor]


def build_captions(config: dict[str, Any], *, english: bool) -> Captions:
    """The stages that make a run's texts; ``english``: the caption before any switch must be among them."""
    settings = config["codeswitch"]
    choose = ChooseCaption(
        seed=config["seed"], variants=settings["variants"], source_language=settings["source_language"]
    )
    views = list(settings.get("views") or ["english"])
    texts = [*views, "english"] if english and "english" not in views else views
    place = texts.index("english") if english else None
    switch, languages = build_switch({**settings, "views": texts}, seed=config["seed"])
    return Captions((choose,) if switch is None else (choose, switch), languages, len(views), place)


def build_data(config: dict[str, Any]) -> functools.partial[LightningDataModule]:
    """The datamodule that ``data`` names, lacking what is known at run time alone."""
    elsewhere = ("max_bad_share", "allow_pipe")  # read by a callback, and through data.access
    settings = {key: value for key, value in config["data"].items() if key not in elsewhere}
    return instantiated(settings, "data", _partial_=True)


def build_loss(config: dict[str, Any]) -> ContrastiveLoss:
    """The loss that ``loss`` names."""
    return instantiated({key: value for key, value in config["loss"].items() if key != "teacher"}, "loss")


def check(config: dict[str, Any], *, notes: bool = False) -> tuple[Captions, list[Suite], list[Suite], list[str]]:
    """Checks everything of a configuration that is cheap to check, before a tower is built or a file written.

    Args:
        notes: print notes on what is allowed but may not be meant.

    Returns the caption stages, the validation and test suites, and the seen languages.

    Raises:
        UserError, DataError: with one sentence each.
    """
    check_precision(config["trainer"])
    captions = build_captions(config, english=build_loss(config).uses_teacher)
    number_of_chunks(config["data"]["batch_size"], config["optim"]["chunk_size"])
    one_of("float32_matmul_precision", config["float32_matmul_precision"], ("highest", "high", "medium"))
    settings = config["eval"]
    data = build_data(config).keywords
    images = data.get("image_extensions")
    val = open_suites(settings["val"] or {}, "val", settings["languages"], data["access"], images)
    test = open_suites(settings["test"] or {}, "test", settings["languages"], data["access"], images)
    check_alphas(settings["wise_ft"], bool(val))
    open_sources(data["train_shards"], data["access"], images)
    if data["exclude"]:
        LeaveOut(data["exclude"])
    given = settings["seen_languages"] if settings["seen_languages"] is not None else captions.languages
    seen = seen_of_suites(given, [*val, *test])
    measured = {language for suite in (*val, *test) for language in suite.languages}
    unmeasured = [language for language in captions.languages if find_language(language, measured) is None]
    named = config["codeswitch"].get("languages") is not None
    if measured and unmeasured and not settings["allow_unmeasured"]:
        what = f"no suite has captions in {', '.join(unmeasured)} (suites have {', '.join(sorted(measured))})"
        if named or len(unmeasured) == len(captions.languages):
            raise UserError(
                f"codeswitch writes languages whose recall nothing would measure: {what}; name other codeswitch.languages, "
                "add a suite to eval.val and eval.test, or set eval.allow_unmeasured=true."
            )
        if notes:
            print(f"mmcs-train: note: {what}; they are trained on but not measured.", file=sys.stderr)
    if notes and config["trainer"].get("max_time") and config["optim"]["schedule"] == "cosine":
        print(
            "mmcs-train: note: trainer.max_time may end training before optim.schedule=cosine has lowered the learning rate; "
            "optim.schedule=constant does not depend on the number of steps.",
            file=sys.stderr,
        )
    return captions, val, test, seen


def assemble(config: dict[str, Any], folder: Path) -> Run:
    """Builds data, model, callbacks and trainer of a run that lives in ``folder``; ``config["resume"]`` is the path of a
    checkpoint or None.
    """
    captions, val, test, seen = check(config, notes=is_first())
    resume = Path(config["resume"]) if config["resume"] else None
    resumed = check_resume(resume, config) if resume else None
    begin = resumed["global_step"] if resumed else 0
    loggers = build_loggers(config["logger"], folder, begin)
    own = build_own(config["callbacks"]["own"], "callbacks.own", Callback)
    check_monitors(own, figure_names(val, seen))
    best = _checkpoint(val, folder, config["callbacks"]["checkpoint"])
    callbacks: list[Callback] = [
        Reseed(config["seed"]),
        FillFeatures(),
        instantiated(config["callbacks"]["drops"], "callbacks.drops", max_bad_share=config["data"]["max_bad_share"]),
        instantiated(config["callbacks"]["preview"], "callbacks.preview", languages=captions.languages),
        instantiated(config["callbacks"]["recall"], "callbacks.recall", _partial_=True)(val, seen),
        instantiated(config["callbacks"]["throughput"], "callbacks.throughput"),
        instantiated(config["callbacks"]["ema"], "callbacks.ema"),
        *([LearningRateMonitor("step")] if loggers else []),
        *own,
        best,
        instantiated(config["callbacks"]["last"], "callbacks.last", folder=folder / "checkpoints"),
    ]
    # Without suites there is no validation, and no callback may wait for one before it saves a checkpoint.
    settings = config["trainer"] if val else {**config["trainer"], "limit_val_batches": 0}
    trainer = _trainer(settings, folder, callbacks, loggers)
    towers = build_towers(**config["model"])
    datamodule = build_data(config)(towers, captions.stages, val, seed=config["seed"])
    module = _module(towers, captions, config, trainer.world_size)
    if resume and resumed:
        check_belongs(towers, resumed, resume)
        guard_restore(trainer, resume)
    if trainer.is_global_zero:
        warn_of_random_weights(towers, command="mmcs-train")
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision(config["float32_matmul_precision"])
    untouched = {name: value.detach().clone() for name, value in towers.trainable_state_dict().items()}
    return Run(config, folder, module, datamodule, trainer, best, val, test, seen, untouched)


def _module(towers: Towers, captions: Captions, config: dict[str, Any], processes: int) -> ContrastiveModule:
    loss, batch_size = build_loss(config), config["data"]["batch_size"]
    return ContrastiveModule(
        towers,
        loss,
        config["optim"],
        config,
        batch_size=batch_size,
        global_batch=batch_size * processes,
        teacher=Teacher.of(towers, **config["loss"]["teacher"]) if loss.uses_teacher else None,
        english=captions.english,
        contrasted=captions.contrasted,
    )


def _trainer(settings: dict[str, Any], folder: Path, callbacks: list[Callback], loggers: list[Logger]) -> Trainer:
    strategy = settings.get("strategy", "auto")
    if isinstance(strategy, dict):
        strategy = instantiated(strategy, "trainer.strategy")
    has_bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
    shown = settings.get("enable_progress_bar")
    shown = (has_bar or sys.stdout.isatty()) if shown is None else shown
    if shown and not has_bar:
        callbacks = [*callbacks, RichProgressBar(leave=False)]
    given = {"enable_model_summary": False, **settings, "strategy": strategy, "enable_progress_bar": shown}
    try:
        return Trainer(
            **given,
            default_root_dir=folder,
            callbacks=callbacks,
            logger=loggers,
            plugins=[WholeCheckpoints(), *cluster_environment()],
            use_distributed_sampler=False,
        )
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise UserError(f"lightning.Trainer refuses the trainer settings: {str(error).splitlines()[0]}") from None


def write_config(config: dict[str, Any], folder: Path) -> None:
    """Writes ``config.yaml``, the resolved configuration of the run."""
    from omegaconf import OmegaConf

    with atomic_file(folder / "config.yaml") as path:
        OmegaConf.save(OmegaConf.create(json.loads(json.dumps(config))), path)


def _checkpoint(val: list[Suite], folder: Path, settings: dict[str, Any]) -> KeepBest:
    """Keeps the best by mean non-English recall@10 of the first suite (all languages where it has English alone)."""
    languages = "all" if val and val[0].languages == ["en"] else "non_english"
    monitor = f"val/{val[0].name}/{languages}/image_retrieval_recall@10" if val else None
    return KeepBest(folder / "checkpoints", monitor, settings["save_top_k"])
