"""Flags of ``mmcs-train``, and configuration folders of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmcs.command_line import read_command_line
from mmcs.config import compose_config
from mmcs.errors import UserError
from mmcs.train import main


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "my conf, with 'quotes'"
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment/mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /codeswitch: none\nseed: 7\n"
    )
    return folder


@pytest.mark.parametrize("form", ["blank", "equals", "between", "searchpath"])
def test_experiments_of_ones_own(own, form):
    typed = {
        "blank": ["--config-dir", str(own), "experiment=mine"],
        "equals": [f"--config-dir={own}", "experiment=mine"],
        "between": ["experiment=mine", "--config-dir", str(own), "data=shards", "data.train_shards=x"],
        "searchpath": [f'hydra.searchpath=["file://{own}"]', "experiment=mine"],
    }
    line = read_command_line(typed[form])
    assert not line.is_sweep and line.shown is None
    config = compose_config(line.overrides)
    assert config.seed == 7 and config.codeswitch.strategy is None
    with pytest.raises(UserError, match="known keys of codeswitch: strategy, variants, source_language"):
        compose_config([*line.overrides, "codeswitch.p=0.5"])  # the keys listed are the experiment's
    with pytest.raises(UserError, match="there is no experiment=other; known: bl_cs, english_twice, mine"):
        compose_config([*line.overrides, "experiment=other"])


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["--config-dir", "nowhere"], "there is no configuration folder"),
        (["hydra.searchpath=[file://nowhere]"], "there is no configuration folder nowhere"),
        (["hydra.searchpath=nowhere"], "write 'hydra.searchpath=[file://FOLDER]'"),
        (["--config-name=x"], "--config-name is not supported"),
        (["--nosuch"], "unrecognized arguments: --nosuch"),
        (["--cfg", "job", "experiment=nosuch"], "there is no experiment=nosuch; known: bl_cs"),
        (["experiment=null"], "experiment=null names no file: write experiment=NAME"),
        (["model=3"], "model=3 names no file"),
        (["seed=1,2"], "a sweep over the values needs -m"),
        (["optim.lr=interval(1)"], "cannot read 'optim.lr=interval(1)'"),
        (["~optim.lr"], "'~optim.lr' removes a key that is read"),
        (["+optim.nosuch=1"], "'+optim.nosuch=1' adds a key that nothing reads"),
        (["hydra.job.chdir=true"], "hydra.job.chdir=true is not supported"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, monkeypatch, capfd, typed, sentence):
    monkeypatch.chdir(tmp_path)
    assert main(typed) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and sentence in errors, errors
    assert not any(tmp_path.iterdir())
