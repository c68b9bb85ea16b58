"""The LightningModule: what trains, what stays, in which mode, and what a checkpoint holds."""

from __future__ import annotations

import pytest
import torch
from lightning import Trainer

from mmcs.assemble import build_loss
from mmcs.config import compose_config, resolve
from mmcs.errors import MmcsError, UserError
from mmcs.model.build import build_towers
from mmcs.model.finite import LossWatch
from mmcs.model.module import ContrastiveModule, learning_rate, number_of_chunks

OPTIM = {"lr": 1e-2, "weight_decay": 0.1, "betas": [0.9, 0.98], "eps": 1e-6, "warmup": 0, "schedule": "constant"}


SIZES = {"batch_size": 6, "global_batch": 6}


def loss():
    return build_loss(resolve(compose_config(["data=shards", "data.train_shards=x"])))


class Recorded(ContrastiveModule):
    """Notes the modes of trunk and whole in every training step."""

    def training_step(self, batch, batch_idx):
        self.modes = (self.towers.training, self.towers.clip.text.transformer.training)
        return super().training_step(batch, batch_idx)


def batch(towers, n=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=generator)
    texts = ["a dog", "a cat", "the house", "red snow", "two cats", "black"][:n]
    tokens = towers.tokenise.encode(texts)
    labels = {"group": torch.arange(n), "caption": torch.arange(n), "text_id": [torch.arange(n), torch.arange(n)]}
    return {"image": images, "tokens": [tokens, tokens], **labels, "position": torch.arange(n)}


def fit(module, batches, folder, **options):
    loader = torch.utils.data.DataLoader(batches, batch_size=None)
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=folder, **options
    )
    trainer.fit(module, loader)
    return trainer


@pytest.fixture
def trained(hf_model, tmp_path):
    towers = build_towers(hf_model, lock_image=True, lock_text=True, image_dropout=0.5, text_dropout=0.5)
    before = {name: value.clone() for name, value in towers.state_dict().items()}
    module = Recorded(towers, loss(), OPTIM, {"model": {"name": hf_model}}, **SIZES)
    trainer = fit(module, [batch(towers, seed=i) for i in range(3)], tmp_path)
    return towers, before, module, trainer


def test_training_is_in_training_mode_and_locked_trunks_are_not(trained):
    *_, module, _ = trained
    assert module.modes == (True, False)


def test_locked_trunks_do_not_change_by_a_bit_and_heads_do(trained):
    towers, before, *_ = trained
    changed = {name for name, value in towers.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"clip.visual.head.proj.weight", "clip.text.proj.weight", "clip.logit_scale"}


def test_a_checkpoint_holds_what_training_changes_and_loads_without_pickle(trained, tmp_path):
    *_, trainer = trained
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    checkpoint = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert set(checkpoint["state_dict"]) == {
        "towers.clip.visual.head.proj.weight",
        "towers.clip.text.proj.weight",
        "towers.clip.logit_scale",
    }
    assert checkpoint["mmcs"]["image_fingerprint"]


def test_tensors_are_moved_and_nothing_else_is_touched(own_model):
    module = ContrastiveModule(build_towers(own_model), loss(), OPTIM, {}, **SIZES)
    tensors = {"image_features": torch.ones(2, 3), "text_id": [torch.arange(2), torch.arange(2)]}
    names = {"identity": ["a", "b"], "texts": [["x", "y"]], "flip": [True, False], "dropped": [], "epoch": 3}
    moved = module.transfer_batch_to_device({**tensors, **names}, torch.device("meta"), 0)
    assert moved.keys() == {*tensors, *names}
    assert moved["image_features"].is_meta
    assert [view.is_meta for view in moved["text_id"]] == [True, True]
    assert all(moved[key] is value for key, value in names.items())


def test_an_empty_batch_takes_its_step(hf_model, tmp_path):
    """A rank whose whole share was dropped must not fail: its gradients are zero."""
    towers = build_towers(hf_model, lock_image=False, lock_text=True)
    module = ContrastiveModule(towers, loss(), {**OPTIM, "weight_decay": 0.0}, {"model": {"name": hf_model}}, **SIZES)
    before = {name: parameter.clone() for name, parameter in towers.named_parameters()}
    fit(
        module,
        [{key: [v[:0] for v in x] if isinstance(x, list) else x[:0] for key, x in batch(towers).items()}],
        tmp_path,
    )
    assert all(torch.equal(parameter, before[name]) for name, parameter in towers.named_parameters())


def test_the_learning_rate_warms_up_and_falls_as_a_cosine():
    factor = learning_rate("cosine", 0.1, 100)
    assert [factor(0), factor(4), factor(9)] == [0.1, 0.5, 1.0]
    assert factor(10) == 1.0 and factor(55) == pytest.approx(0.5) and factor(100) == pytest.approx(0.0)
    assert learning_rate("constant", 5, 100)(50) == 1.0
    with pytest.raises(UserError, match="one of cosine, constant"):
        learning_rate("linear", 0, 10)


def test_nothing_to_train_is_said(own_model):
    towers = build_towers(own_model, lock_image=True, lock_text=True)
    with pytest.raises(UserError, match="nothing but the temperature would be trained"):
        ContrastiveModule(towers, loss(), OPTIM, {}, **SIZES)


def test_a_loss_that_is_not_finite_stops_the_run(hf_model, tmp_path):
    towers = build_towers(hf_model, lock_image=True, lock_text=True)
    module = ContrastiveModule(towers, loss(), OPTIM, {"model": {"name": hf_model}}, **SIZES)
    towers.clip.text.proj.weight.data.fill_(float("nan"))
    with pytest.raises(MmcsError, match=r"not finite at step 0 .*lower optim.lr"):
        fit(module, [batch(towers)], tmp_path, log_every_n_steps=0)


def test_a_loss_on_the_cpu_is_looked_at_at_once():
    watch = LossWatch()
    watch(0, {"loss": torch.tensor(1.0), "a": torch.tensor(float("nan"))})
    with pytest.raises(MmcsError, match=r"not finite at step 1 \(loss nan, a 2\)"):
        watch(1, {"loss": torch.tensor(float("nan")), "a": torch.tensor(2.0)})
    watch.settle()


@pytest.mark.parametrize("size", [0, -3, 2.5])
def test_a_chunk_is_a_number_of_samples(size):
    with pytest.raises(UserError, match="chunk_size is a number of samples"):
        number_of_chunks(8, size)


def test_chunks_are_no_longer_than_asked():
    assert [number_of_chunks(10, size) for size in (None, 1, 3, 10, 11)] == [1, 10, 4, 1, 1]
