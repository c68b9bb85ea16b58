"""The temperature and SigLIP's bias: where they begin, that they stay within bounds, and what a checkpoint keeps of them."""

from __future__ import annotations

import math

import open_clip
import pytest
import torch
from tiny_models import write_own_model

from mmcs.assemble import build_loss
from mmcs.config import compose_config, resolve
from mmcs.export.open_clip import write_folder
from mmcs.model.build import build_towers
from mmcs.model.temperature import clamp_temperature, ensure_bias, prepare_temperature


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_own_model(tmp_path_factory.mktemp("temperature"))


def prepared(model, *overrides, global_batch=256):
    loss = build_loss(resolve(compose_config(["data=shards", "data.train_shards=x", *overrides])))
    towers = build_towers(model)
    prepare_temperature(towers, loss, global_batch)
    return towers, loss


def test_siglip_starts_for_the_batch_in_use(model):
    towers, _ = prepared(model, "loss=siglip", global_batch=256)
    assert towers.logit_scale.exp().item() == pytest.approx(10)
    assert towers.logit_bias.item() == pytest.approx(-math.log(255))
    assert towers.logit_bias.requires_grad and towers.logit_scale.requires_grad


def test_a_batch_of_one_and_values_that_are_given(model):
    assert prepared(model, "loss=siglip", global_batch=1)[0].logit_bias.item() == 0
    towers, _ = prepared(model, "loss=siglip", "loss.logit_bias.init=-10", "loss.logit_scale.init=20")
    assert towers.logit_bias.item() == -10 and towers.logit_scale.exp().item() == pytest.approx(20)


def test_a_model_with_a_bias_keeps_its_own_and_freezes_it_under_info_nce(model):
    loss = build_loss(resolve(compose_config(["data=shards", "data.train_shards=x", "loss=siglip"])))
    towers = build_towers(model)
    ensure_bias(towers)
    with torch.no_grad():
        towers.logit_bias.fill_(-16.5)
        towers.logit_scale.fill_(4.7)
    prepare_temperature(towers, loss, 256)
    assert towers.logit_bias.item() == -16.5 and towers.logit_scale.item() == pytest.approx(4.7)
    prepare_temperature(towers, prepared(model)[1], 256)
    assert not towers.logit_bias.requires_grad and towers.logit_bias.item() == -16.5


def test_info_nce_begins_at_the_models_own_and_adds_no_bias(model):
    towers, _ = prepared(model)
    assert torch.equal(towers.logit_scale, build_towers(model).logit_scale) and towers.logit_bias is None


def test_the_scale_stays_between_1_and_its_maximum(model):
    towers, loss = prepared(model, "loss.logit_scale.max=30")
    for value, expected in ((9.0, 30), (-2.0, 1), (math.log(20), 20)):
        with torch.no_grad():
            towers.logit_scale.fill_(value)
        clamp_temperature(towers, loss)
        assert towers.logit_scale.exp().item() == pytest.approx(expected)


def test_a_fixed_temperature_is_no_parameter_of_the_training_and_stays(model):
    towers, loss = prepared(model, "loss.logit_scale.learn=false", "loss.logit_scale.init=0.5")
    clamp_temperature(towers, loss)
    assert not towers.logit_scale.requires_grad and towers.logit_scale.item() == pytest.approx(math.log(0.5))


def test_an_export_with_a_bias_loads_in_plain_open_clip(model, tmp_path):
    towers, _ = prepared(model, "loss=siglip")
    write_folder(towers, tmp_path, "a card")
    loaded, _ = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path}")
    assert loaded.logit_bias.item() == pytest.approx(-math.log(255))
    assert loaded.logit_scale.exp().item() == pytest.approx(10)
