"""The type and the bounds of every value of the configuration, checked before anything is built.

What depends on data, other values or a library is checked where it is used (``mmcs.assemble.check``).
"""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmcs.common.value_rules import (
    ANYTHING,
    AUTO,
    BELOW_ONE,
    FLAG,
    MAPPING,
    PATHS,
    SHARE,
    TEXT,
    TEXTS,
    Rule,
    choice,
    either,
    integer,
    listed,
    near,
    number,
    optional,
)
from mmcs.errors import UserError

SUITES = optional(
    Rule("suites {NAME: SHARDS}", lambda value: isinstance(value, Mapping) and None not in value.values())
)
SHARDS = Rule(
    "a text that names shards, or a list of these", lambda value: isinstance(value, str | list | dict) and bool(value)
)
DURATION = Rule(
    "a duration DD:HH:MM:SS or {hours: 1}",
    lambda value: (
        isinstance(value, Mapping) or (isinstance(value, str) and bool(re.fullmatch(r"\d+(:\d\d){3}", value)))
    ),
)
WARMUP = Rule("a number of steps, or a share of all steps >= 0 and < 1", either(integer(0), BELOW_ONE).accepts)
DEVICES = Rule(
    "a number of processes >= 1, auto or -1 for every device, or a list of GPU indices",
    lambda value: (
        (any(rule.accepts(value) for rule in (AUTO, integer(1), listed(integer(0), ""))) and value != [])
        or value in (-1, "-1")
        or (isinstance(value, str) and value.isdecimal() and int(value) > 0)
    ),
)
STRATEGY = Rule(
    "auto, ddp, ddp_find_unused_parameters_true or {_target_: MODULE.CLASS}; trainer=fsdp shards the weights",
    lambda value: (
        isinstance(value, Mapping)
        or (
            isinstance(value, str)
            and bool(re.fullmatch(r"auto|single_device|ddp(_find_unused_parameters_(true|false))?", value))
        )
    ),
)
TERMS = Rule(
    "terms {NAME: {_target_: MODULE.CLASS, weight: NUMBER}}",
    lambda value: (
        isinstance(value, Mapping) and all(isinstance(term, Mapping) and "_target_" in term for term in value.values())
    ),
)
BATCHES = optional(either(integer(0), SHARE))

RULES: dict[str, Rule] = {
    "seed": integer(0, 2**32 - 1),
    "float32_matmul_precision": choice("highest", "high", "medium"),
    "data_dir": TEXT,
    "resume": optional(TEXT),
    "overwrite": FLAG,
    "experiment": ANYTHING,
    "data._target_": TEXT,
    "data.train_shards": SHARDS,
    "data.text_language": TEXT,
    "data.image_extensions": optional(TEXTS),
    "data.samples_per_epoch": optional(integer(1)),
    "data.exclude": PATHS,
    "data.batch_size": integer(1),
    "data.num_workers": integer(0),
    "data.shuffle.lanes": integer(1),
    "data.shuffle.window": integer(1),
    "data.augment.scale": listed(number(above=0, most=1), "two shares [low,high] above 0 and up to 1", 2),
    "data.augment.flip": SHARE,
    "data.augment.transform": optional(MAPPING),
    "data.cache_features": FLAG,
    "data.max_bad_share": SHARE,
    "data.allow_pipe": FLAG,
    "data.access.timeout": number(above=0),
    "data.access.retries": integer(0),
    "data.access.cache_gb": optional(number(above=0)),
    "data.access.storage_options": optional(MAPPING),
    "data.access.allow_pipe": FLAG,
    "codeswitch.strategy": optional(TEXT),
    "codeswitch.options": optional(MAPPING),
    "codeswitch.views": Rule(TEXTS.allowed, lambda value: TEXTS.accepts(value) and bool(value)),
    "codeswitch.lexicons": listed(TEXT, "a list of files [FILE.lex]"),
    "codeswitch.languages": optional(TEXTS),
    "codeswitch.language_weights": optional(MAPPING),
    "codeswitch.p": ANYTHING,  # a number or a curriculum: mmcs.codeswitch.schedule
    "codeswitch.max_tokens": optional(integer(1)),
    "codeswitch.language_per": optional(choice("token", "caption")),
    "codeswitch.whole_captions": ANYTHING,  # likewise
    "codeswitch.candidates": optional(TEXT),
    "codeswitch.lemmas": optional(either(FLAG, AUTO)),
    "codeswitch.content_words_only": optional(either(FLAG, AUTO)),
    "codeswitch.keep_english": ANYTHING,  # likewise
    "codeswitch.keep": optional(TEXT),
    "codeswitch.variants": integer(0),
    "codeswitch.control": optional(TEXT),
    "codeswitch.fallback": optional(either(TEXT, MAPPING)),
    "codeswitch.source_language": TEXT,
    "model.name": TEXT,
    "model.pretrained": optional(TEXT),
    "model.image_size": optional(either(integer(1), listed(integer(1), "[height,width]", 2))),
    "model.lock_image": FLAG,
    "model.lock_image_unlocked_groups": integer(0),
    "model.lock_text": FLAG,
    "model.lock_text_unlocked_layers": integer(0),
    "model.image_dropout": BELOW_ONE,
    "model.text_dropout": BELOW_ONE,
    "model.lora.r": integer(0),
    "model.lora.alpha": number(above=0),
    "model.lora.dropout": BELOW_ONE,
    "model.lora.image": either(FLAG, TEXT, TEXTS),
    "model.lora.text": either(FLAG, TEXT, TEXTS),
    "model.grad_checkpointing": FLAG,
    "model.compile": FLAG,
    "loss._target_": TEXT,
    "loss.terms": TERMS,
    "loss.own": optional(TERMS),
    "loss.logit_scale.init": optional(either(number(above=0), AUTO)),
    "loss.logit_scale.learn": FLAG,
    "loss.logit_scale.max": number(1),
    "loss.logit_bias.init": optional(either(number(), AUTO)),
    "loss.teacher.name": optional(TEXT),
    "loss.teacher.pretrained": optional(TEXT),
    "optim.lr": number(above=0),
    "optim.image_lr": optional(number(above=0)),
    "optim.text_lr": optional(number(above=0)),
    "optim.layer_decay": optional(number(above=0, most=1)),
    "optim.weight_decay": number(0),
    "optim.betas": listed(BELOW_ONE, "two numbers [beta1,beta2] >= 0 and < 1", 2),
    "optim.eps": number(above=0),
    "optim.warmup": WARMUP,
    "optim.schedule": choice("cosine", "constant"),
    "optim.chunk_size": optional(integer(1)),
    "callbacks.own": optional(MAPPING),
    "callbacks.recall.queries_shown": integer(0),
    "callbacks.recall.languages_shown": integer(0),
    "callbacks.preview.captions": integer(0),
    "callbacks.drops": MAPPING,
    "callbacks.throughput": MAPPING,
    "callbacks.checkpoint.save_top_k": integer(-1),
    "callbacks.last.every_n_train_steps": integer(1),
    "callbacks.ema.decay": optional(number(above=0, below=1)),
    "logger.own": optional(MAPPING),
    "logger.csv": FLAG,
    "logger.tensorboard": FLAG,
    "eval.val": SUITES,
    "eval.test": SUITES,
    "eval.languages": optional(TEXTS),
    "eval.seen_languages": optional(TEXTS),
    "eval.allow_unmeasured": FLAG,
    "eval.untouched": FLAG,
    "eval.matrix": FLAG,
    "eval.wise_ft": optional(listed(SHARE, "a list of numbers from 0 to 1")),
    "eval.batch_size": integer(1),
    "trainer.accelerator": TEXT,
    "trainer.strategy": STRATEGY,
    "trainer.devices": DEVICES,
    "trainer.num_nodes": integer(1),
    "trainer.precision": ANYTHING,
    "trainer.max_epochs": optional(integer(-1)),
    "trainer.min_epochs": optional(integer(0)),
    "trainer.max_steps": integer(-1),
    "trainer.min_steps": optional(integer(0)),
    "trainer.max_time": optional(DURATION),
    "trainer.limit_train_batches": BATCHES,
    "trainer.limit_val_batches": BATCHES,
    "trainer.overfit_batches": either(integer(0), SHARE),
    "trainer.fast_dev_run": either(FLAG, integer(0)),
    "trainer.val_check_interval": optional(either(integer(1), number(above=0, most=1), DURATION)),
    "trainer.check_val_every_n_epoch": optional(integer(1)),
    "trainer.num_sanity_val_steps": optional(integer(-1)),
    "trainer.accumulate_grad_batches": integer(1),
    "trainer.gradient_clip_val": optional(number(0)),
    "trainer.gradient_clip_algorithm": optional(choice("norm", "value")),
    "trainer.log_every_n_steps": optional(integer(0)),
    "trainer.deterministic": optional(either(FLAG, choice("warn"))),
    "trainer.benchmark": optional(FLAG),
    "trainer.detect_anomaly": FLAG,
    "trainer.inference_mode": FLAG,
    "trainer.sync_batchnorm": FLAG,
    "trainer.reload_dataloaders_every_n_epochs": integer(0),
    "trainer.enable_progress_bar": optional(FLAG),
    "trainer.enable_model_summary": optional(FLAG),
}

#: Nodes whose keys are all in ``RULES``. (Classes named by ``_target_`` check their arguments themselves.)
_CLOSED = (
    *("", "model", "model.lora", "loss", "loss.logit_scale", "loss.logit_bias", "loss.teacher", "optim"),
    *("callbacks", "callbacks.checkpoint", "logger", "eval"),
)
#: Nodes whose keys depend on the chosen file, so that any may be missing.
_PARTIAL = ("codeswitch.", "trainer.", "experiment")
_RESERVED = {  # arguments of lightning.Trainer that mmcs sets, or that would have no effect
    "callbacks": "add callbacks with callbacks.own",
    "logger": "choose loggers with logger=NAME, or add some with logger.own",
    "default_root_dir": "name the run's folder with hydra.run.dir",
    "plugins": "mmcs writes checkpoints with a plugin of its own",
    "use_distributed_sampler": "the stream distributes the samples itself",
    "enable_checkpointing": "callbacks.checkpoint.save_top_k=0 keeps last.ckpt alone",
    "limit_test_batches": "suites are evaluated whole",
    "limit_predict_batches": "suites are evaluated whole",
    "barebones": "set single arguments, such as trainer.enable_progress_bar=false",
}


def check_values(config: Mapping[str, Any]) -> None:
    """Checks every value of a resolved configuration.

    Raises:
        UserError: a value of another type or out of bounds, a key that is missing or that nothing reads.

    >>> check_values({"optim": {"lr": -1}})
    Traceback (most recent call last):
    ...
    mmcs.errors.UserError: optim.lr must be a number > 0, got -1.
    """
    for node in _CLOSED:
        _check_keys(node, _value_at(config, node))
    for key in config.get("trainer", {}):
        _check_argument(key)
    for key, rule in RULES.items():
        value = _value_at(config, key)
        if value is _MISSING:
            if not key.startswith(_PARTIAL):
                raise UserError(f"{key} is missing; it must be {rule.allowed}.")
        elif not rule.accepts(value):
            hint = f" Write {key}=[{value}]." if rule.accepts([value]) else ""
            raise UserError(f"{key} must be {rule.allowed}, got {_shown(value)}.{hint}")
    for key, value in _leaves(config):
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{key} must be a finite number, got {value}.")
    _check_length(config)


_MISSING = object()


def _value_at(config: Any, key: str) -> Any:
    for part in filter(None, key.split(".")):
        if not isinstance(config, Mapping) or part not in config:
            return _MISSING
        config = config[part]
    return config


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping | list):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, part in parts:
            yield from _leaves(part, f"{key}.{name}".lstrip("."))
    else:
        yield key, value


def _check_keys(node: str, value: Any) -> None:
    beginning = f"{node}." if node else ""
    known = {key.removeprefix(beginning).split(".")[0] for key in RULES if key.startswith(beginning)}
    for key in value if isinstance(value, Mapping) else ():
        if key not in known:
            listed_ = ", ".join(sorted(known - {"_target_", "experiment"}))
            raise UserError(
                f"unknown key {f'{beginning}{key}'!r}; known keys{f' of {node}' if node else ''}: {listed_}.{near(key, known)}"
            )


def _check_argument(key: str) -> None:
    if key in _RESERVED:
        raise UserError(f"trainer.{key} cannot be set: {_RESERVED[key]}.")
    if f"trainer.{key}" in RULES:
        return
    from lightning import Trainer

    known = [name for name in inspect.signature(Trainer).parameters if name not in _RESERVED]
    if key not in known:
        raise UserError(
            f"lightning.Trainer has no argument {key!r} (trainer.{key}); it takes {', '.join(known)}.{near(key, known)}"
        )


def _check_length(config: Mapping[str, Any]) -> None:
    """Whether the schedule of the learning rate knows the number of steps that it needs."""
    trainer, optim = config["trainer"], config["optim"]
    if trainer.get("max_epochs") != -1 or trainer.get("max_steps", -1) != -1:
        return
    for key, needs in (("schedule", optim["schedule"] == "cosine"), ("warmup", 0 < optim["warmup"] < 1)):
        if needs:
            raise UserError(
                f"optim.{key}={optim[key]} needs the number of steps, which trainer.max_epochs=-1 leaves open: set "
                "trainer.max_steps, or train at a constant rate with optim.schedule=constant optim.warmup=STEPS."
            )


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 100 else f"{text[:100]}…"
