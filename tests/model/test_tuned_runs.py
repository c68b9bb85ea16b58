"""Adapters, averaged weights, dropout, chunks and precisions together in one training: repeatable, and resumed bitwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tuned import batch, embeddings, lora, trained

from mmcs.callbacks.ema import AverageWeights
from mmcs.errors import MmcsError
from mmcs.model.build import build_towers
from mmcs.model.checkpoint import load_model
from mmcs.model.checkpoint_file import read_checkpoint
from mmcs.model.embed import embed_in_chunks
from mmcs.model.module import ContrastiveModule

EVERYTHING: dict[str, Any] = {"ema": 0.8, "chunk_size": 4, "gradient_clip_val": 0.5}


def dropping(name: str) -> dict[str, Any]:
    return {"name": name, "image_dropout": 0.1, "text_dropout": 0.1, "lora": lora(dropout=0.2)}


def same(one: Path, other: Path) -> None:
    a, b = read_checkpoint(one), read_checkpoint(other)
    for part in ("state_dict", "live"):
        assert a[part].keys() == b[part].keys()
        for name, value in a[part].items():
            assert torch.equal(value, b[part][name]), (part, name)


def test_the_same_seed_gives_the_same_weights_and_a_resumed_run_those_of_an_unbroken_one(
    own_model: str, tmp_path: Path
) -> None:
    """Bitwise, with adapters, averaging, dropout and chunks; the average and the live weights."""
    _, one = trained(tmp_path / "one", dropping(own_model), **EVERYTHING)
    _, again = trained(tmp_path / "again", dropping(own_model), **EVERYTHING)
    same(one, again)
    _, half = trained(tmp_path / "half", dropping(own_model), epochs=1, **EVERYTHING)
    _, whole = trained(tmp_path / "whole", dropping(own_model), resume=half, **EVERYTHING)
    same(one, whole)
    content = read_checkpoint(one)
    assert any(not torch.equal(value, content["state_dict"][f"towers.{k}"]) for k, value in content["live"].items())


class Live(ContrastiveModule):
    """Keeps what was trained after every step."""

    def on_train_start(self) -> None:
        super().on_train_start()
        self.steps = [self.weights()]

    def on_train_batch_end(self, *_: Any) -> None:
        self.steps.append(self.weights())

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: p.detach().clone() for name, p in self.towers.named_parameters() if p.requires_grad}


def test_the_average_is_the_recursion_and_a_checkpoint_gives_it(hf_model: str, tmp_path: Path) -> None:
    """Of what is trained alone; a run that goes on without averaging goes on from the live weights."""
    model = {"name": hf_model, "lock_image": True, "lock_text": True, "lock_text_unlocked_layers": 1}
    module, path = trained(tmp_path / "a", model, ema=0.8, module=Live)
    assert isinstance(module, Live) and len(module.steps) == 7
    expected = module.steps[0]
    for step in module.steps[1:]:
        expected = {name: 0.8 * value + 0.2 * step[name] for name, value in expected.items()}
    content = read_checkpoint(path)
    assert content["live"].keys() == expected.keys(), "frozen layers are not copied"
    loaded = load_model(path).towers
    for name, value in expected.items():
        torch.testing.assert_close(loaded.get_parameter(name), value.to(torch.float32), atol=1e-6, rtol=1e-5)
        assert torch.equal(content["live"][name], module.steps[-1][name])
    assert torch.equal(embeddings(module.towers), embeddings(loaded)), "the module ends with the average"
    goes_on, _ = trained(tmp_path / "b", model, epochs=3, resume=path, module=Live)
    assert isinstance(goes_on, Live)
    assert all(torch.equal(value, goes_on.steps[0][name]) for name, value in module.steps[-1].items())


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_half_precision_trains_and_its_embeddings_are_float32_of_unit_length(
    own_model: str, tmp_path: Path, precision: Any
) -> None:
    """The average is kept in float32, where small steps are not lost; what is loaded again embeds in float32."""
    module, path = trained(tmp_path, {"name": own_model, "lora": lora()}, epochs=1, ema=0.9, precision=precision)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        found = embeddings(module.towers)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=1), torch.ones(12), atol=1e-5, rtol=0)
    content = read_checkpoint(path)
    assert {value.dtype for value in content["state_dict"].values()} == {torch.float32}
    live = {value.dtype for value in content["live"].values()}
    assert live == {torch.bfloat16 if precision == "bf16-true" else torch.float32}
    assert load_model(path).towers.logit_scale.dtype == torch.float32


def test_no_checkpoint_with_weights_that_are_not_finite_replaces_a_good_one(own_model: str, tmp_path: Path) -> None:
    """Of any writer (last, best, preemption, average): all of them go through the trainer."""
    module, path = trained(tmp_path, {"name": own_model}, epochs=1, ema=0.5)
    good = path.read_bytes()
    for spoilt in (float("nan"), float("inf"), 1e30):
        average = next(own for own in module.trainer.callbacks if isinstance(own, AverageWeights))._average
        name = next(iter(average))
        before = average[name].clone()
        average[name].fill_(spoilt)
        with pytest.raises(
            MmcsError, match=rf"weights are not finite after step 2 .*{name}.*no checkpoint was written"
        ):
            module.trainer.save_checkpoint(path)
        assert path.read_bytes() == good and list(tmp_path.glob(".*partial")) == []
        average[name].copy_(before)
    module.trainer.save_checkpoint(path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["own_model", "hf_model"])
def test_compiled_trunks_give_the_same_gradients_under_the_same_names(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """In training, with adapters and chunks; in evaluation nothing is compiled."""
    model = {"name": request.getfixturevalue(kind), "lora": lora(image=kind == "own_model")}
    gradients = []
    for compiled in (False, True):
        towers = build_towers(**model, compile=compiled).train()
        for module in towers.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        found = embed_in_chunks(towers, batch(towers), 2)
        (found.scale * found.images @ found.views[0].T).logsumexp(1).sum().backward()
        gradients.append({name: p.grad for name, p in towers.named_parameters() if p.requires_grad})
        assert set(towers._compiled) == ({"image", "text"} if compiled else set())
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-4, rtol=1e-3, msg=name)
    towers = build_towers(**model, compile=True)
    embeddings(towers)
    assert not towers._compiled
