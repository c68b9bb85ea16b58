"""Adapters: where they stand, what they leave alone, and that merged they are plain OpenCLIP weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tuned import batch, embeddings, lora, trained

from mmcs.errors import UserError
from mmcs.model.build import build_towers
from mmcs.model.checkpoint import load_model
from mmcs.model.checkpoint_file import read_checkpoint
from mmcs.model.lora import UnpackedAttention, _unpacked, merged
from mmcs.model.towers import Towers

CONVOLUTIONS = {"image": ["conv_pw"]}  # of the small timm tower, which has no attention
TOWERS = [("own_model", {}), ("hf_model", CONVOLUTIONS)]


@pytest.fixture(params=TOWERS, ids=[name for name, _ in TOWERS])
def adapted(request: pytest.FixtureRequest) -> dict[str, Any]:
    name, modules = request.param
    return {"name": request.getfixturevalue(name), "lora": lora(dropout=0.1, **modules)}


def moved(towers: Towers) -> Towers:
    """After a training that moved everything that may move."""
    with torch.no_grad():
        for parameter in towers.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.linspace(-0.2, 0.2, parameter.numel()).view_as(parameter))
    return towers


def test_adapters_begin_as_nothing_and_merge_into_the_models_own_names(adapted: dict[str, Any]) -> None:
    plain = build_towers(adapted["name"])
    towers = build_towers(**adapted)
    torch.testing.assert_close(embeddings(towers), embeddings(plain), atol=1e-6, rtol=0)
    whole = merged(moved(towers))
    assert whole.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(embeddings(whole), embeddings(towers), atol=1e-6, rtol=0)
    assert (embeddings(whole) - embeddings(plain)).abs().max() > 0.01
    assert merged(plain) is plain


def test_only_adapters_and_what_projects_are_trained_and_kept(adapted: dict[str, Any], tmp_path: Path) -> None:
    """The frozen weights do not change by a bit, nor do statistics of batch normalisation; both towers are read anew each step."""
    before = build_towers(**adapted).state_dict()
    module, path = trained(tmp_path, adapted)
    towers = module.towers
    kept = {name.removeprefix("towers.") for name in read_checkpoint(path)["state_dict"]}
    free = {name for name, parameter in towers.named_parameters() if parameter.requires_grad}
    assert kept == free, "adapters, projections and temperature"
    assert any("lora_A" in name and "visual" in name for name in kept)
    changed = {name for name, value in towers.state_dict().items() if not torch.equal(value, before[name])}
    assert {name for name in free if "lora_B" in name} <= changed <= free
    assert not towers.image_locked and not towers.text_locked, "no features to cache"
    assert [name for name, p in towers.named_parameters() if p.requires_grad and p.grad is None] == []


def test_a_lock_besides_freezes_the_projection_of_an_own_tower(own_model: str) -> None:
    free = {False: 0, True: 0}
    for lock in free:
        towers = build_towers(own_model, lock_image=lock, lock_text=lock, lora=lora())
        free[lock] = sum(p.requires_grad for name, p in towers.named_parameters() if "lora" not in name)
    assert free == {False: 3, True: 1}, "two projections and the temperature, or that alone"


def test_a_checkpoint_is_loaded_again_and_a_changed_base_is_noticed(hf_model: str, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "model"
    shutil.copytree(Path(hf_model).parent, copy)
    own = {"name": str(copy / "hf-tiny.json"), "lora": lora(image=False)}
    module, path = trained(tmp_path / "run", own, ema=0.5)
    assert torch.equal(embeddings(load_model(path).towers), embeddings(module.towers))
    content = json.loads((copy / "hf-tiny.json").read_text())
    content["model_cfg"]["text_cfg"]["context_length"] = 10
    (copy / "hf-tiny.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="another text tower"):
        load_model(path)


def test_the_unpacked_attention_is_torchs(own_model: str) -> None:
    """With a causal mask, one mask per head, and either order of axes; packed again it holds the same weights."""
    for batch_first in (True, False):
        torch.manual_seed(0)
        packed = torch.nn.MultiheadAttention(32, 4, batch_first=batch_first)
        torch.nn.init.normal_(packed.in_proj_bias)
        x = torch.randn(3, 5, 32) if batch_first else torch.randn(5, 3, 32)
        causal = torch.full((5, 5), float("-inf")).triu(1)
        for mask in (None, causal, causal.expand(12, 5, 5)):
            expected = packed(x, x, x, need_weights=False, attn_mask=mask)[0]
            unpacked = UnpackedAttention(packed)
            torch.testing.assert_close(unpacked(x, x, x, attn_mask=mask)[0], expected, atol=1e-6, rtol=1e-5)
            assert torch.equal(unpacked.pack()(x, x, x, need_weights=False, attn_mask=mask)[0], expected)


def test_attention_that_reads_the_weights_of_qkv_is_adapted(tmp_path: Path) -> None:
    """timm's EVA with one projection for queries, keys and values, as in EVA01-g-14 and EVA02-E-14."""
    vision = {"timm_model_name": "eva02_tiny_patch14_224", "timm_pool": "token", "timm_proj": None, "image_size": 224}
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    path = tmp_path / "eva.json"
    path.write_text(json.dumps({"embed_dim": 24, "vision_cfg": vision, "text_cfg": text, "custom_text": True}))
    plain, towers = build_towers(str(path)), build_towers(str(path), lora=lora())
    images = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(towers.embed_images(images), plain.embed_images(images), atol=1e-6, rtol=0)
    towers.embed_images(images).sum().backward()
    adapters = {name: p for name, p in towers.named_parameters() if "lora_B" in name and "visual" in name}
    assert len(adapters) == 12 and all(p.grad is not None and p.grad.abs().max() > 0 for p in adapters.values())
    with torch.no_grad():
        torch.testing.assert_close(
            merged(moved(towers)).embed_images(images), towers.embed_images(images), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("family", ["beit", "swin_transformer_v2"])
def test_other_attention_that_reads_the_weights_of_qkv_calls_it_once_adapted(family: str) -> None:
    from timm.models import beit, swin_transformer_v2

    attention = {
        "beit": lambda: beit.Attention(16, num_heads=2, qkv_bias=True),
        "swin_transformer_v2": lambda: swin_transformer_v2.WindowAttention(16, (2, 2), num_heads=2),
    }[family]()
    x, called = torch.rand(1, 4, 16), []
    attention.qkv.register_forward_hook(lambda *_: called.append(True))
    before = attention(x)
    assert not called
    assert list(_unpacked(torch.nn.ModuleDict({"attn": attention}), "attn.qkv")) == ["attn.qkv"]
    torch.testing.assert_close(attention(x), before)
    assert called


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lora": lora(text="nothing.*", image=False)}, r"match no module of the text tower .*resblocks.N.attn"),
        ({"lora": lora(image="(")}, "no regular expression"),
        ({"lora": lora(image=False, text=False)}, "names what to adapt"),
        ({"lora": lora(alpha=0)}, "alpha above 0"),
        ({"lora": lora(r=-1)}, "rank r of 0"),
        (
            {"lora": lora(), "lock_text": True, "lock_text_unlocked_layers": 1},
            "must be 0 where model.lora adapts the text",
        ),
    ],
)
def test_mistakes_get_one_sentence(own_model: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_towers(own_model, **options)


def test_without_peft_the_command_that_brings_it_is_named(own_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"pip install 'mmcs\[lora\]'"):
        build_towers(own_model, lora=lora())
    build_towers(own_model, lora=lora(r=0))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_chunks_and_recomputed_activations_give_the_gradients_of_the_whole(
    adapted: dict[str, Any], checkpointing: bool
) -> None:
    """No dropout here: its draws are another test's."""
    from mmcs.model.embed import embed_in_chunks

    gradients = []
    for chunks in (1, 3):
        towers = build_towers(
            **{**adapted, "lora": {**adapted["lora"], "dropout": 0.0}}, grad_checkpointing=checkpointing
        )
        moved(towers).train()
        for module in towers.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        found = towers(batch(towers)) if chunks == 1 else embed_in_chunks(towers, batch(towers), chunks)
        (found.scale * found.images @ found.views[0].T).logsumexp(1).sum().backward()
        gradients.append({name: p.grad for name, p in towers.named_parameters() if p.requires_grad})
    for name, gradient in gradients[0].items():
        if name != "clip.logit_scale":
            torch.testing.assert_close(gradients[1][name], gradient, atol=2e-5, rtol=1e-3, msg=name)
