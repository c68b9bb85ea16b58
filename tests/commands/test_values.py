"""Every value of the configuration is checked before anything is built."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from test_run_folder import arguments

from mmcs.config import compose_config, conf_dir, resolve
from mmcs.config_values import RULES, check_values
from mmcs.errors import UserError
from mmcs.train import main

NEEDED = ["data.train_shards=x", "model.name=x"]
OPEN = ("data.train_shards", "eval.val", "eval.test", "loss.terms", "callbacks", "logger.own", "trainer.strategy")
FILES = [path for path in sorted(conf_dir().glob("*/*.yaml")) if path.parent.name not in ("hydra", "experiment")]


def composed(*overrides: str) -> dict[str, Any]:
    return resolve(
        compose_config([*overrides, "~experiment", "codeswitch=none", "data=shards", "model=open_clip", *NEEDED])
    )


def leaves(value: Any, key: str = "") -> list[str]:
    if isinstance(value, dict) and value:
        return [leaf for name, part in value.items() for leaf in leaves(part, f"{key}.{name}".lstrip("."))]
    return [key]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}={file.stem}")
def test_every_key_has_a_rule_that_its_default_keeps(file: Path) -> None:
    choice = f"{file.parent.name}={file.stem}"
    needed = {
        "data": ["data.train_shards=x"],
        "model": ["model.name=x"],
        "codeswitch": [] if file.stem == "none" else ["codeswitch.languages=[de]"],
    }.get(file.parent.name, [])
    needed += ["codeswitch.strategy=module.Class"] if choice == "codeswitch=own" else []
    experiment = "~experiment" if file.parent.name == "codeswitch" else "experiment=two_view"
    config = resolve(compose_config([experiment, choice, *needed]))
    check_values(config)
    without = [key for key in leaves(config) if key not in RULES and not key.startswith(OPEN)]
    assert [key for key in without if not key.endswith("._target_")] == []


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("optim.lr=abc", "optim.lr must be a number > 0, got 'abc'."),
        ("optim.lr=-1", "optim.lr must be a number > 0, got -1."),
        ("optim.lr=null", "optim.lr must be a number > 0, got null."),
        ("optim.lr=nan", "optim.lr must be a number > 0, got NaN."),
        ("optim.lr=inf", "optim.lr must be a number > 0, got Infinity."),
        ("optim.lr=true", "optim.lr must be a number > 0, got true."),
        ("optim.betas=[0.9]", "optim.betas must be two numbers [beta1,beta2] >= 0 and < 1, got [0.9]."),
        ("optim.betas=[0.9,1]", "optim.betas must be two numbers [beta1,beta2] >= 0 and < 1, got [0.9, 1]."),
        ("optim.eps=-1", "optim.eps must be a number > 0, got -1."),
        ("optim.warmup=1.5", "optim.warmup must be a number of steps, or a share of all steps >= 0 and < 1, got 1.5."),
        ("optim.layer_decay=0", "optim.layer_decay must be a number > 0 and <= 1, or null, got 0."),
        ("optim.schedule=linear", "optim.schedule must be cosine or constant, got 'linear'."),
        ("optim.chunk_size=0", "optim.chunk_size must be a whole number >= 1, or null, got 0."),
        ("seed=-1", "seed must be a whole number from 0 to 4294967295, got -1."),
        ("seed=4294967296", "seed must be a whole number from 0 to 4294967295, got 4294967296."),
        ("eval.val=path", "eval.val must be suites {NAME: SHARDS}, or null, got 'path'."),
        ("eval.languages=de", "got 'de'. Write eval.languages=[de]."),
        ("codeswitch.lexicons=a.lex", "got 'a.lex'. Write codeswitch.lexicons=[a.lex]."),
        ("data.batch_size=1.5", "data.batch_size must be a whole number >= 1, got 1.5."),
        ("data.num_workers=-1", "data.num_workers must be a whole number >= 0, got -1."),
        ("callbacks.ema.decay=2", "callbacks.ema.decay must be a number > 0 and < 1, or null, got 2."),
        ("callbacks.own=abc", "callbacks.own must be keys with values {KEY: VALUE}, or null, got 'abc'."),
        ("model.lora.r=-1", "model.lora.r must be a whole number >= 0, got -1."),
        ("loss.own={mine: 3}", "loss.own must be terms {NAME: {_target_: MODULE.CLASS, weight: NUMBER}}, or null"),
        ("loss.terms.image_text.weight=nan", "loss.terms.image_text.weight must be a finite number, got nan."),
        ("trainer.devices=x", "trainer.devices must be a number of processes >= 1, auto or -1 for every device"),
        ("trainer.max_steps=abc", "trainer.max_steps must be a whole number >= -1, got 'abc'."),
        (
            "trainer.max_epochs=-1",
            "optim.schedule=cosine needs the number of steps, which trainer.max_epochs=-1 leaves",
        ),
        ("trainer.strategy=ddp", "trainer.strategy is not in this file; write +trainer.strategy=VALUE"),
        ("+trainer.strategy=ddp_spawn", "trainer.strategy must be auto, ddp, "),
        ("+trainer.max_time=1h", "trainer.max_time must be a duration DD:HH:MM:SS or {hours: 1}, or null, got '1h'."),
        ("+trainer.logger=true", "trainer.logger cannot be set: choose loggers with logger=NAME"),
        ("+trainer.max_epoch=3", "Did you mean 'max_epochs'?"),
        ("overwrite=yes", "overwrite must be true or false, got 'yes'."),
    ],
)
def test_a_wrong_value_is_one_sentence(tmp_path, monkeypatch, capfd, override, sentence):
    monkeypatch.chdir(tmp_path)
    assert main(["data=shards", "data.train_shards=x", "eval=suites", "hydra.run.dir=run", override]) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and sentence in errors, errors
    assert not any(tmp_path.iterdir())


def test_every_key_refuses_another_type_with_its_name():
    config = composed()
    for key in leaves(config):
        *path, name = key.split(".")
        for value in (object(), float("nan"), -7, "abc", [None]):
            if key not in RULES or RULES[key].accepts(value):
                continue
            changed = copy.deepcopy(config)
            node = changed
            for part in path:
                node = node[part]
            node[name] = value
            with pytest.raises(UserError, match=rf"^{key} must be "):
                check_values(changed)


def test_keys_that_nothing_reads_and_keys_that_are_missing():
    """As in files of the user's own, which Hydra does not compare with those of mmcs."""
    config = composed()
    with pytest.raises(
        UserError, match=r"unknown key 'optim\.ler'; known keys of optim: betas, .* Did you mean 'lr'\?"
    ):
        check_values({**config, "optim": {**config["optim"], "ler": 1}})
    with pytest.raises(UserError, match=r"unknown key 'nosuch'; known keys: callbacks, codeswitch, "):
        check_values({**config, "nosuch": 1})
    with pytest.raises(UserError, match=r"^optim\.lr is missing; it must be a number > 0\.$"):
        check_values({**config, "optim": {key: value for key, value in config["optim"].items() if key != "lr"}})


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["eval.test={a.b: TEST}"], "the suite name 'a.b' names files: use letters, digits, '_' and '-'."),
        (["logger.own={a: {_target_: lightning.pytorch.loggers.CSVLogger, nosuch: 1}}"], "unexpected keyword argument"),
        (["logger.own={a: {_target_: os.path.join}}"], "logger.own.a: os.path.join cannot be used"),
        (["callbacks.own={a: {_target_: nosuch.Class}}"], "nosuch.Class cannot be used: No module named 'nosuch'."),
        (["callbacks.own={a: {monitor: x}}"], "callbacks.own.a must be {_target_: MODULE.CLASS, ARGUMENT: VALUE}"),
        (["callbacks.own={a: {_target_: lightning.pytorch.loggers.CSVLogger, save_dir: x}}"], "is no lightning.Callback"),
        (["callbacks.own={a: {_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val_loss}}"], "monitors 'val_loss'"),
        (["callbacks.throughput._target_=nosuch.Class"], "callbacks.throughput: nosuch.Class cannot be used"),
        (["trainer.accelerator=nosuch"], "invalid accelerator name: `accelerator='nosuch'`"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_one_sentence_before_the_model(world, tmp_path, capfd, overrides, sentence):
    typed = [override.replace("TEST", f"{world}/test") for override in overrides]
    others = [own for own in arguments(world, tmp_path / "run", "model.pretrained=nosuch") if "eval.test" not in own]
    assert main([*others, *typed]) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and sentence in errors, errors
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("logger", "package"), [("wandb", "wandb"), ("mlflow", "mlflow"), ("[tensorboard,wandb]", "wandb")]
)
def test_a_missing_logger_names_its_package(world, tmp_path, capfd, monkeypatch, logger, package):
    # As where it is not installed.
    monkeypatch.setattr(
        "lightning.pytorch.loggers.wandb._WANDB_AVAILABLE", Missing("Requirement 'wandb>=0.12.10' not met.")
    )
    monkeypatch.setattr(
        "lightning.pytorch.loggers.mlflow._MLFLOW_AVAILABLE", Missing("Requirement 'mlflow>=1.0.0' not met.")
    )
    assert main(arguments(world, tmp_path / "run", f"logger={logger}")) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and f"is not installed: pip install {package}." in errors, errors
    assert not (tmp_path / "run").exists()


class Missing(str):
    def __bool__(self) -> bool:
        return False


def test_loggers_callbacks_and_arguments_of_ones_own(world, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MMCS_CACHE", str(world / "cache"))
    early = "{_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/shapes/all/image_retrieval_recall@10, mode: min, patience: 1}"
    overrides = [
        "logger=[csv,tensorboard]",
        "logger.own={mine: {_target_: lightning.pytorch.loggers.CSVLogger, name: mine, version: here}}",
        f"callbacks.own={{early: {early}, none: null}}",
        "trainer.max_epochs=50",
        "trainer.log_every_n_steps=1",
        "+trainer.enable_progress_bar=false",
        "+trainer.enable_model_summary=true",
        "+trainer.detect_anomaly=true",
        "eval.test=null",
    ]
    folder = tmp_path / "run"
    assert main(arguments(world, folder, *overrides)) == 0
    assert len((folder / "metrics.csv").read_text().splitlines()) < 30  # stopped early
    assert (folder / "mine/here/metrics.csv").is_file() and (folder / "mine/here/hparams.yaml").is_file()
    assert list((folder / "tensorboard").glob("events*"))
    capfd.readouterr()


def test_training_by_the_clock(world, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MMCS_CACHE", str(world / "cache"))
    endless = ["trainer.max_epochs=-1", "optim.schedule=constant", "optim.warmup=2", "eval.test=null"]
    assert main(arguments(world, tmp_path / "run", *endless, "+trainer.max_time={milliseconds: 1}")) == 0
    capfd.readouterr()
    cosine = ["trainer.max_epochs=1", "+trainer.max_time=00:01:00:00", "model.name=nosuch"]
    assert main(arguments(world, tmp_path / "other", *cosine)) == 2
    assert "trainer.max_time may end training before optim.schedule=cosine" in capfd.readouterr().err
