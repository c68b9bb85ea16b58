"""What of each kind of model is trained: under DDP nothing may wait for a gradient that never comes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_models import VISION
from tuned import TEXTS, lora, trained

from mmcs.errors import UserError
from mmcs.model.build import build_towers
from mmcs.model.module import ContrastiveModule
from mmcs.model.towers import Towers
from mmcs.model.tuning import check_gradients

TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
POOLED = {**VISION, "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
KINDS: dict[str, dict[str, Any]] = {
    "open_clip's own": {"vision_cfg": VISION, "text_cfg": TEXT},
    "text apart": {"vision_cfg": VISION, "text_cfg": TEXT, "custom_text": True},
    "resnet": {"vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16}, "text_cfg": TEXT},
    "coca": {
        "vision_cfg": POOLED,
        "text_cfg": {**TEXT, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {**TEXT, "attn_pooler_heads": 2},
        "custom_text": True,
    },
    "timm transformer": {
        "vision_cfg": {"timm_model_name": "test_vit", "timm_pool": "token", "timm_proj": "linear", "image_size": 160},
        "text_cfg": TEXT,
    },
}
PARTLY = {
    "lock_image": True,
    "lock_image_unlocked_groups": 1,
    "lock_text": True,
    "lock_text_unlocked_layers": 1,
}


def written(kind: str, folder: Path) -> str:
    path = folder / f"{kind}.json"
    path.write_text(json.dumps({"embed_dim": 24, **KINDS[kind]}))
    return str(path)


def after_a_step(name: str, **options: Any) -> Any:
    towers = build_towers(name, **options).train()
    images = torch.randint(0, 256, (4, 3, *towers.preprocess.size), dtype=torch.uint8)
    texts = towers.embed_texts(towers.tokenise.encode(TEXTS[:4]))
    F.cross_entropy(towers.logit_scale.exp() * towers.embed_images(images) @ texts.T, torch.arange(4)).backward()
    return towers


@pytest.mark.parametrize("how", ["whole", "partly locked", "adapted"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_whatever_is_trained_gets_a_gradient_and_nothing_else(kind: str, how: str, tmp_path: Path) -> None:
    attention = kind != "resnet"
    options: dict[str, dict[str, Any]] = {
        "whole": {},
        "partly locked": {**PARTLY, "lock_image_unlocked_groups": int(attention)},
        "adapted": {"lora": lora(image=True if attention else ["conv1"])},
    }
    towers = after_a_step(written(kind, tmp_path), **options[how])
    free = {name for name, parameter in towers.named_parameters() if parameter.requires_grad}
    assert free == {name for name, parameter in towers.named_parameters() if parameter.grad is not None}
    assert free <= towers.trainable_state_dict().keys()


@pytest.mark.parametrize("how", ["whole", "partly locked", "adapted"])
def test_every_layer_of_nllbs_text_tower_is_trained_at_every_step(how: str, hf_model: str, tmp_path: Path) -> None:
    """Hugging Face's M2M-100 leaves layers out at random in training."""
    shutil.copytree(Path(hf_model).parent, tmp_path / "nllb")
    sizes = {
        "d_model": 32,
        "max_position_embeddings": 60,
        "vocab_size": 100,
        "pad_token_id": 1,
        "encoder_layerdrop": 0.9,
    }
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": 3, f"{side}_attention_heads": 2, f"{side}_ffn_dim": 48}
    (tmp_path / "nllb" / "bert" / "config.json").write_text(json.dumps({"model_type": "m2m_100", **sizes}))
    adapters = {"lora": lora(image=["conv_pw"])}
    options: dict[str, Any] = {"whole": {}, "partly locked": PARTLY, "adapted": adapters}[how]
    towers = after_a_step(str(tmp_path / "nllb" / Path(hf_model).name), **options)
    trained_layers = {
        name.split(".")[4] for name, p in towers.named_parameters() if ".layers." in name and p.requires_grad
    }
    assert trained_layers == ({"2"} if how == "partly locked" else {"0", "1", "2"})
    check_gradients(towers)


def test_frozen_batch_normalisation_keeps_its_statistics(tmp_path: Path) -> None:
    """Of a locked ResNet, and of one with adapters; a free one's move."""
    name, moved = written("resnet", tmp_path), {}
    for how, options in {
        "locked": {"lock_image": True},
        "adapted": {"lora": lora(image=["conv1"])},
        "free": {},
    }.items():
        before = build_towers(name, **options).state_dict()
        after = after_a_step(name, **options).state_dict()
        moved[how] = {key for key in after if "running" in key and not torch.equal(before[key], after[key])}
    assert moved["locked"] == moved["adapted"] == set() and moved["free"]


def test_gradient_checkpointing_gives_the_same_gradients_or_says_that_it_cannot(hf_model: str, tmp_path: Path) -> None:
    for name in (written("open_clip's own", tmp_path), written("timm transformer", tmp_path)):
        gradients = []
        for recompute in (False, True):
            torch.manual_seed(0)
            towers = after_a_step(name, grad_checkpointing=recompute)
            gradients.append({key: p.grad for key, p in towers.named_parameters()})
        for key, gradient in gradients[0].items():
            torch.testing.assert_close(gradients[1][key], gradient, msg=key)
    assert build_towers(hf_model, grad_checkpointing=True).clip.text.transformer.is_gradient_checkpointing
    with pytest.raises(UserError, match="cannot recompute its activations"):
        build_towers(written("resnet", tmp_path), grad_checkpointing=True)
    build_towers(written("resnet", tmp_path), grad_checkpointing=True, lock_image=True)


def with_timm(trunk: str, size: int, folder: Path) -> str:
    vision = {"timm_model_name": trunk, "timm_pool": "avg", "timm_proj": "linear", "image_size": size}
    path = folder / f"{trunk}.json"
    path.write_text(json.dumps({"embed_dim": 24, "vision_cfg": vision, "text_cfg": TEXT}))
    return str(path)


def is_channels_last(towers: Towers) -> bool:
    weights = [module.weight for module in towers.clip.visual.modules() if isinstance(module, torch.nn.Conv2d)]
    large = [weight for weight in weights if weight.shape[1] > 1 and weight.shape[2] > 1]  # else both orders are one
    assert large
    return all(weight.is_contiguous(memory_format=torch.channels_last) for weight in large)


def test_channels_last_is_left_where_its_gradients_overrun_memory(tmp_path: Path) -> None:
    """MobileCLIP's stem, of a smaller model of its family, trained crashed the process."""
    mobile = with_timm("fastvit_t8", 64, tmp_path)
    assert is_channels_last(build_towers(mobile, lock_image=True)), "no gradient, no danger"
    assert is_channels_last(build_towers(with_timm("test_efficientnet", 32, tmp_path)))
    towers = build_towers(mobile).train()
    assert not is_channels_last(towers)
    orders = []
    towers.clip.visual.trunk.register_forward_pre_hook(lambda _, inputs: orders.append(inputs[0].is_contiguous()))
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8).permute(0, 3, 1, 2)  # as they are decoded
    towers.embed_images(images).sum().backward()
    assert orders == [True]


def test_a_weight_that_no_gradient_reaches_stops_the_run_and_is_named(own_model: str, tmp_path: Path) -> None:
    class Unreached(ContrastiveModule):
        def configure_model(self) -> None:
            self.towers.clip.blocks = torch.nn.ModuleList([torch.nn.Linear(2, 2)])

    with pytest.raises(
        UserError, match=r"^2 trained weights of .*own-tiny.json got no gradient .* not call blocks.N \("
    ):
        trained(tmp_path, {"name": own_model}, module=Unreached)
