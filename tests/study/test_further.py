"""Figures of a further evaluation count for the run and the settings that they were made of, and no others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mmcs.evaluation.results import NAME
from mmcs.study.further import Evaluation
from mmcs.study.material import Material
from mmcs.study.plan import Stage


@pytest.fixture
def evaluation(tmp_path, world):
    run = tmp_path / "run"
    run.mkdir()
    (run / NAME).write_text('{"of": "one training"}')
    model = {
        "name": f"{world}/model.json",
        "pretrained": None,
        "lock_image": False,
        "lock_text": False,
        "image_dropout": 0.0,
        "text_dropout": 0.0,
    }
    config = {"model": model, "trainer": {"accelerator": "cpu"}, "experiment": "zero_shot", "seed": 0}
    stage = Stage(f"{world}/train", {"shapes": f"{world}/test"}, ("de",), ("fi",), (), choosing=False)
    untrained = Evaluation(tmp_path / "untrained", config, None, Material(stage, stage), (), {}, ())
    untrained.do()
    (tmp_path / "further").mkdir()
    done = replace(untrained, folder=tmp_path / "further", run=run, settings=("centred",))
    (done.folder / NAME).write_text("{}")
    return untrained, done


def test_what_was_evaluated_is_done(evaluation):
    untrained, _ = evaluation
    assert untrained.done()
    assert not replace(untrained, config={**untrained.config, "model": {"name": "another"}}).done()


def test_a_run_trained_anew_or_asked_in_other_settings_is_not(evaluation):
    _, further = evaluation
    assert not further.done(), "figures alone do not say of what they are"
    (further.folder / "of.json").write_text(json.dumps(further._of()))
    assert further.done()
    assert not replace(further, settings=("centred", "mixed")).done()
    (further.run / NAME).write_text('{"of": "another training"}')
    assert not further.done()
