"""How fast a run was: what counts, what does not, and the line at its end."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch
from lightning import LightningModule, Trainer

from mmcs.callbacks import throughput


class Clock:
    """Eight batches, two to a step, on a clock of the test's own: a second of waiting and a second and a half of computing in
    every batch, 100 for anything else.
    """

    def __init__(self, monkeypatch, world_size):
        self.now, self.logged = 0.0, []
        monkeypatch.setattr(throughput.time, "perf_counter", lambda: self.now)
        self.loader = SimpleNamespace(waited=0.0)
        strategy = SimpleNamespace(reduce=lambda values, reduce_op: values)
        self.trainer = SimpleNamespace(
            train_dataloader=self.loader,
            global_step=0,
            log_every_n_steps=2,
            world_size=world_size,
            strategy=strategy,
            is_global_zero=True,
        )
        self.module = SimpleNamespace(
            log=lambda name, value, **kwargs: self.logged.append((name, value)), device=torch.device("cpu")
        )

    def run(self, timer, batches=8):
        timer.on_train_start(self.trainer, self.module)
        for batch in range(batches):
            if batch in (0, 3, 6):
                hook = {0: timer.on_train_epoch_start, 3: timer.on_validation_start}.get(batch)
                hook(self.trainer, self.module) if hook else timer.on_save_checkpoint(self.trainer, self.module, {})
                self.now += 100
            self.now += 1
            self.loader.waited += 1
            timer.on_train_batch_start(self.trainer, self.module, {}, batch)
            self.now += 1.5 if batch else 50  # the first compiles
            self.trainer.global_step += batch % 2
            timer.on_train_batch_end(self.trainer, self.module, None, {"position": torch.zeros(10)}, batch)
        timer.on_train_end(self.trainer, self.module)


def test_a_step_is_timed_without_validation_and_checkpoints(monkeypatch):
    clock = Clock(monkeypatch, world_size=3)
    clock.run(throughput.Throughput())
    logged = dict(clock.logged)
    assert logged.pop("memory/process_peak_gib") > 0.01
    assert logged == {
        "time/data_wait": 2.0,
        "time/step": 5.0,
        "time/data_wait_share": 0.4,
        "time/samples_per_second_per_device": 4.0,
        "time/samples_per_second": 12.0,
    }


@pytest.mark.parametrize(
    ("batches", "told"),
    [
        (8, "12 samples per second, 23.15 hours per million (waiting for data 40% of the time)"),
        (1, "1 samples"),
        (0, ""),
    ],
    ids=["without the first batch", "the first alone", "no step"],
)
def test_the_last_line_says_how_fast_the_run_was(monkeypatch, capsys, batches, told):
    timer = throughput.Throughput()
    Clock(monkeypatch, world_size=3).run(timer, batches)
    line = capsys.readouterr().err
    assert told in line and line.count("\n") == bool(batches)
    expected = {8: 12.0, 1: 30 / 51, 0: None}[batches]
    assert timer.samples_per_second == (None if expected is None else pytest.approx(expected))


class Waits(torch.utils.data.DataLoader):
    waited = 0.0


class Model(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch["position"]).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def test_a_real_trainer_reports_it(tmp_path, capsys):
    timer = throughput.Throughput()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        callbacks=[timer],
        log_every_n_steps=1,
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_checkpointing=False,
    )
    trainer.fit(Model(), Waits([{"position": torch.ones(4, 2)}] * 3, batch_size=None))
    assert re.search(r"[\d,]+ samples per second, \d+\.\d\d hours per million", capsys.readouterr().err)
    assert {"time/step", "time/samples_per_second", "memory/process_peak_gib"} <= trainer.callback_metrics.keys()
