"""The optimiser's groups: where weight decay applies, and the learning rate of each tower and layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_tuning import with_timm, written
from tuned import OPTIM, lora, trained

from mmcs.errors import UserError
from mmcs.model.build import build_towers
from mmcs.model.parameter_groups import decay_groups, parameter_groups
from mmcs.model.towers import Towers


def test_decay_is_on_matrices_only() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))
    decayed, plain = decay_groups(model, 0.2)
    assert decayed["weight_decay"] == 0.2 and [p.ndim for p in decayed["params"]] == [2]
    assert plain["weight_decay"] == 0.0 and [p.ndim for p in plain["params"]] == [1, 1, 1]


@pytest.mark.parametrize("name", ["ViT-B-32", "RN50", "coca_ViT-B-32", "swin_base_patch4_window7_224"])
def test_decay_is_where_open_clip_has_it(name: str) -> None:
    """The rule of its trainer, on the names and shapes of whole models (without their memory)."""
    import open_clip

    with torch.device("meta"):
        if name.startswith("swin"):
            model = pytest.importorskip("timm").create_model(name)
        else:
            model = open_clip.create_model(name, precision="fp32", device="meta")
    theirs = {
        n for n, p in model.named_parameters() if p.ndim < 2 or any(x in n for x in ("bn", "ln", "bias", "logit_scale"))
    }
    names = {id(p): n for n, p in model.named_parameters()}
    decayed, plain = decay_groups(model, 0.2)
    assert {names[id(p)] for p in plain["params"]} == theirs
    assert len(decayed["params"]) + len(plain["params"]) == len(names)


def rates(towers: Towers, **optim: Any) -> dict[str, float]:
    """The learning rate of each trained parameter, by its name in ``clip``."""
    groups = parameter_groups(towers, {**OPTIM, "lr": 1.0, **optim})
    found = {id(p): group.get("lr", 1.0) for group in groups for p in group["params"]}
    named = {name: p for name, p in towers.clip.named_parameters() if p.requires_grad}
    assert found.keys() == {id(p) for p in named.values()}, "every trained parameter is in one group, and no other"
    assert sum(len(group["params"]) for group in groups) == len(named)
    return {name: found[id(p)] for name, p in named.items()}


def test_without_rates_the_groups_are_those_of_weight_decay(own_model: str) -> None:
    towers = build_towers(own_model)
    found = parameter_groups(towers, {**OPTIM, "image_lr": None, "text_lr": None, "layer_decay": None})
    expected = decay_groups(towers, OPTIM["weight_decay"])
    assert [group.keys() for group in found] == [{"params", "weight_decay"}] * 2
    for one, other in zip(found, expected, strict=True):
        assert all(a is b for a, b in zip(one["params"], other["params"], strict=True))


def test_each_tower_has_its_rate_and_the_temperature_that_of_the_run(own_model: str, hf_model: str) -> None:
    for model in (own_model, hf_model):
        for name, rate in rates(build_towers(model), image_lr=0.5, text_lr=0.25).items():
            assert rate == (0.5 if name.startswith("visual.") else 1.0 if name.startswith("logit_") else 0.25), name
        only = rates(build_towers(model), text_lr=0.25)
        assert {rate for name, rate in only.items() if name.startswith("visual.")} == {1.0}


LAYERS = {
    "own_model": {
        "visual.conv1.weight": 4,
        "visual.class_embedding": 4,
        "visual.positional_embedding": 4,
        "visual.ln_pre.bias": 4,
        "visual.transformer.resblocks.0.attn.in_proj_weight": 3,
        "visual.transformer.resblocks.2.mlp.c_fc.weight": 1,
        "visual.ln_post.weight": 0,
        "visual.proj": 0,
        "token_embedding.weight": 4,
        "positional_embedding": 4,
        "transformer.resblocks.1.ln_1.weight": 2,
        "ln_final.bias": 0,
        "text_projection": 0,
        "logit_scale": 0,
    },
    "hf_model": {
        "visual.trunk.conv_stem.weight": 6,
        "visual.head.proj.weight": 0,
        "text.transformer.embeddings.word_embeddings.weight": 4,
        "text.transformer.embeddings.LayerNorm.bias": 4,
        "text.transformer.encoder.layer.0.attention.self.query.weight": 3,
        "text.transformer.encoder.layer.2.output.dense.bias": 1,
        "text.proj.weight": 0,
    },
    "resnet": {
        "visual.conv3.weight": 5,
        "visual.layer1.0.conv1.weight": 4,
        "visual.layer4.0.downsample.0.weight": 1,
        "visual.attnpool.positional_embedding": 0,
        "visual.attnpool.c_proj.weight": 0,
    },
    "coca": {"visual.attn_pool.query": 0, "text.cls_emb": 3, "text.text_projection": 0},
    "timm transformer": {
        "visual.trunk.pos_embed": 7,
        "visual.trunk.patch_embed.proj.bias": 7,
        "visual.trunk.blocks.5.attn.qkv.weight": 1,
        "visual.trunk.norm.weight": 1,
        "visual.head.proj.weight": 0,
    },
}


@pytest.mark.parametrize("kind", list(LAYERS))
def test_a_layer_has_the_rate_of_the_one_above_times_the_factor(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    name = request.getfixturevalue(kind) if kind.endswith("_model") else written(kind, tmp_path)
    found = rates(build_towers(name), layer_decay=0.5)
    assert {key: found[key] for key in LAYERS[kind]} == {key: 0.5**depth for key, depth in LAYERS[kind].items()}


def test_layers_are_those_of_the_tower_whatever_is_locked_or_adapted(own_model: str) -> None:
    free = rates(build_towers(own_model), layer_decay=0.5)
    locks = {"lock_image": True, "lock_image_unlocked_groups": 2, "lock_text": True, "lock_text_unlocked_layers": 2}
    locked = rates(build_towers(own_model, **locks), layer_decay=0.5)
    assert locked.keys() < free.keys() and all(free[name] == rate for name, rate in locked.items())
    adapted = rates(build_towers(own_model, lora=lora()), layer_decay=0.5, image_lr=0.1)
    first = {rate for name, rate in adapted.items() if "lora" in name and "visual.transformer.resblocks.0." in name}
    assert first == {0.1 * 0.5**3}


def test_timm_models_without_a_separate_head_have_layers(tmp_path: Path) -> None:
    found = rates(build_towers(with_timm("test_resnet", 32, tmp_path)), layer_decay=0.5)
    assert found["visual.head.proj.weight"] == 1.0
    assert found["visual.trunk.conv1.0.weight"] == min(found.values())


def test_a_rate_without_effect_is_refused(own_model: str, hf_model: str) -> None:
    with pytest.raises(UserError, match=r"optim.image_lr is 0.1, but nothing of the image tower is trained"):
        parameter_groups(build_towers(own_model, lock_image=True), {**OPTIM, "image_lr": 0.1})
    with pytest.raises(UserError, match=r"optim.layer_decay is 0.5, but only the last layers are trained"):
        parameter_groups(build_towers(hf_model, lock_image=True, lock_text=True), {**OPTIM, "layer_decay": 0.5})


def test_a_run_moves_each_tower_at_its_rate_and_resumes(own_model: str, tmp_path: Path) -> None:
    """A tower of rate zero stays as it is; a resumed run ends as an unbroken one, bitwise."""
    optim = {"image_lr": 0.0, "text_lr": 0.01, "layer_decay": 0.5}
    before = build_towers(own_model).state_dict()
    module, _ = trained(tmp_path / "one", {"name": own_model}, optim=optim)
    after = module.towers.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert "clip.text_projection" in changed and not any(name.startswith("clip.visual.") for name in changed)
    _, half = trained(tmp_path / "half", {"name": own_model}, optim=optim, epochs=1)
    resumed, _ = trained(tmp_path / "two", {"name": own_model}, optim=optim, resume=half)
    assert all(torch.equal(value, after[name]) for name, value in resumed.towers.state_dict().items())
