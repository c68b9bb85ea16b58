"""Lightning drives the stream: epochs follow its own, and a run resumed anywhere sees what it would have seen."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from mmcs.stream.loader import StreamLoader
from mmcs.stream.order import Place, Shuffle
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import ReadSample
from mmcs.stream.sources import sizes


class Recorder(LightningModule):
    """Notes (step, epoch, identities) of every batch that it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, int, list[str]]] = []

    def training_step(self, batch, batch_idx):
        self.seen.append((self.global_step, batch["epoch"], batch["identity"]))
        return self.weight * len(batch["position"])

    def validation_step(self, batch, batch_idx):
        assert batch["position"].tolist() == list(range(4 * batch_idx, min(4 * batch_idx + 4, 10)))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder: Path, shards, resume: Path | None = None, **options) -> list[tuple[int, int, list[str]]]:
    stages = [ReadSample(extensions=["txt", "json"]), ParseSample()]
    train, val = (
        StreamLoader(shards, sizes(shards), stages, batch_size=4, shuffle=shuffle, place=Place())
        for shuffle in (Shuffle(seed=2), None)
    )
    module = Recorder()
    keep = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            callbacks=[keep], default_root_dir=folder, devices=1, **quiet, **({"max_epochs": 3} | options)
        )
        trainer.fit(module, train, val, ckpt_path=resume, weights_only=True)
    return module.seen


@pytest.fixture
def shards(make_shards):
    return make_shards([7, 3])


def test_a_run_resumed_anywhere_sees_the_rest(shards, tmp_path):
    whole = fit(tmp_path / "whole", shards)
    assert [(step, epoch) for step, epoch, _ in whole] == [(step, step // 3) for step in range(9)]
    for epoch in range(3):
        assert sum(len(seen) for _, at, seen in whole if at == epoch) == 10
    for step in range(1, 9):
        assert fit(tmp_path / "again", shards, tmp_path / f"whole/step={step}.ckpt") == whole[step:], step


def test_limits_and_max_steps_do_what_lightning_users_expect(shards, tmp_path):
    limited = fit(tmp_path / "limited", shards, limit_train_batches=2)
    assert [(step, epoch) for step, epoch, _ in limited] == [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2)]
    assert limited[:2] == fit(tmp_path / "steps", shards, max_steps=2, max_epochs=-1)
    whole = fit(tmp_path / "whole", shards, val_check_interval=1)
    assert [seen for _, epoch, seen in whole if epoch == 1][:2] == [seen for _, epoch, seen in limited if epoch == 1]
