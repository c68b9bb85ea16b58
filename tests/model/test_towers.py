"""Towers against open_clip itself: embeddings, locking, state, identity."""

from __future__ import annotations

import open_clip
import pytest
import torch
import torch.nn.functional as F

from mmcs.errors import UserError
from mmcs.model.build import build_towers
from mmcs.model.towers import Towers

TEXTS = ["a black cat in the snow", "zwei Hund", "кошка", "", "a house and a house and a house and a house and a house"]
MODELS = ["own_model", "hf_model"]


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


def pictures(n: int = 4) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def step(towers: Towers) -> None:
    """One step of SGD on everything that can be trained."""
    towers.train()
    optimizer = torch.optim.SGD([p for p in towers.parameters() if p.requires_grad], lr=0.5)
    images = towers.embed_images(pictures())
    texts = towers.embed_texts(towers.tokenise.encode(TEXTS[:4]))
    F.cross_entropy(towers.logit_scale.exp() * images @ texts.T, torch.arange(4)).backward()
    optimizer.step()


@torch.no_grad()
def test_embeddings_equal_open_clips(model: str) -> None:
    towers = build_towers(model)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (towers.preprocess.mean, towers.preprocess.std))
    expected = towers.clip.encode_image((pictures() / 255 - mean) / std, normalize=True)
    torch.testing.assert_close(towers.embed_images(pictures()), expected, atol=1e-6, rtol=0)
    expected = towers.clip.encode_text(towers.tokenizer(TEXTS), normalize=True)
    torch.testing.assert_close(towers.embed_texts(towers.tokenise.encode(TEXTS)), expected, atol=1e-6, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", ["ViT-S-32-alt", "RN50"])
def test_named_models_build_without_network(name: str) -> None:
    """Random weights of an OpenCLIP name, the same on every build, the caller's generator untouched."""
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    towers = build_towers(name)
    assert torch.rand(1) == expected
    assert towers.embed_dim == open_clip.get_model_config(name)["embed_dim"]
    assert towers.preprocess.size == (224, 224)
    assert towers.embed_texts(towers.tokenise.encode(["a dog"])).shape == (1, towers.embed_dim)


def test_random_weights_are_a_function_of_the_name(model: str) -> None:
    one, two = build_towers(model), build_towers(model)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


@pytest.mark.parametrize("lock", ["image", "text"])
def test_a_locked_trunk_does_not_change_and_stays_in_eval(model: str, lock: str) -> None:
    towers = build_towers(model, **{f"lock_{lock}": True})
    before = {name: value.clone() for name, value in towers.state_dict().items()}
    trained = towers.trainable_state_dict().keys()
    fingerprint = getattr(towers, f"{lock}_fingerprint")()
    step(towers)
    for module in towers._locked_trunks():
        assert not any(part.training for part in module.modules())
        assert not any(parameter.requires_grad for parameter in module.parameters())
    after = towers.state_dict()
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed and changed <= trained, "only what checkpoints hold may change"
    assert set(before) - trained, "a locked trunk is not in checkpoints"
    towers._fingerprints.clear()
    assert getattr(towers, f"{lock}_fingerprint")() == fingerprint


def test_locked_features_are_reproduced_bit_for_bit_after_training(hf_model: str) -> None:
    towers = build_towers(hf_model, lock_image=True, lock_text=True)
    tokens = towers.tokenise.encode(TEXTS[:4])
    image, text = towers.image_features(pictures()), towers.text_features(tokens)
    assert not image.requires_grad and not text.requires_grad
    step(towers)
    assert torch.equal(towers.image_features(pictures()), image)
    assert torch.equal(towers.text_features(tokens), text)


def test_partial_locks_follow_open_clip(hf_model: str, own_model: str) -> None:
    """The last layer alone is trained; for BERT open_clip needs names that mmcs supplies. Nothing is cached then."""
    towers = build_towers(
        hf_model, lock_text=True, lock_text_unlocked_layers=1, lock_image=True, lock_image_unlocked_groups=1
    )
    free = {name for name, p in towers.clip.text.transformer.named_parameters() if p.requires_grad}
    assert free and all(name.startswith("encoder.layer.2.") for name in free)
    assert not towers.text_locked and not towers.image_locked
    frozen = [m for m in towers.train().modules() if isinstance(m, torch.nn.BatchNorm2d) and not m.weight.requires_grad]
    assert frozen and not any(m.training for m in frozen), "frozen batch normalisation keeps its statistics"
    own = build_towers(own_model, lock_text=True, lock_text_unlocked_layers=1)
    free = {name for name, p in own.clip.named_parameters() if p.requires_grad and not name.startswith("visual.")}
    assert free == {"logit_scale", "text_projection"}


def test_dropout_acts_in_training_alone(hf_model: str) -> None:
    towers = build_towers(hf_model, lock_text=True, text_dropout=0.5)
    tokens = towers.tokenise.encode(TEXTS[:2])
    torch.testing.assert_close(towers.embed_texts(tokens), towers.embed_texts(tokens), atol=0, rtol=0)
    towers.train()
    assert not torch.equal(towers.embed_texts(tokens), towers.embed_texts(tokens))


def test_trainable_state_restores_a_trained_model(model: str) -> None:
    trained = build_towers(model, lock_image=True)
    step(trained)
    restored = build_towers(model, lock_image=True)
    restored.load_trainable_state_dict(trained.trainable_state_dict())
    tokens = trained.tokenise.encode(TEXTS)
    assert torch.equal(trained.eval().embed_texts(tokens), restored.eval().embed_texts(tokens))
    with pytest.raises(UserError, match="do not belong"):
        build_towers(model).load_trainable_state_dict(trained.trainable_state_dict())


def test_fingerprints_tell_weights_preprocessing_and_context_apart(hf_model: str) -> None:
    towers, other = build_towers(hf_model), build_towers(hf_model)
    assert (towers.image_fingerprint(), towers.text_fingerprint()) == (
        other.image_fingerprint(),
        other.text_fingerprint(),
    )
    with torch.no_grad():
        other.clip.text.proj.weight.add_(1)  # a head is not part of the trunk
    assert towers.text_fingerprint() == other.text_fingerprint()
    other.tokenizer.context_length = 10
    assert towers.text_fingerprint() != other.text_fingerprint()
    with torch.no_grad():
        next(other.clip.visual.trunk.parameters()).add_(1e-3)
    assert towers.image_fingerprint() != other.image_fingerprint()


@pytest.mark.parametrize(
    ("name", "pretrained", "options", "sentence"),
    [
        ("ViT-B32", None, {}, "did you mean ViT-B-32"),
        ("ViT-B-32", "opnai", {}, "its tags: openai"),
        ("local-dir:/nowhere", None, {}, "no open_clip_config.json"),
        ("nowhere.json", None, {}, "does not exist"),
        ("lite0_e5", "openai", {}, "leave model.pretrained empty"),
        ("RN50", None, {"lock_image": True, "lock_image_unlocked_groups": 1}, "cannot lock the image tower"),
        ("RN50", None, {"lock_text_unlocked_layers": 1}, "0 without lock_text"),
        ("RN50", None, {"image_dropout": 1.5}, "image_dropout is 1.5"),
    ],
)
def test_mistakes_get_one_sentence(name: str, pretrained: str | None, options: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_towers(name, pretrained, **options)
