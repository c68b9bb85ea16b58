"""Lightning drives the stream: it counts as over any other loader, and a run resumed anywhere goes on as if never ended."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from mmcs.callbacks.best import KeepBest
from mmcs.callbacks.last import KeepLast
from mmcs.errors import UserError
from mmcs.stream.loader import StreamLoader
from mmcs.stream.order import Place, Shuffle
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import ReadSample
from mmcs.stream.shard_sizes import sizes

COUNTS = (13, 5)  # five batches of four, the last of two


class Recorder(LightningModule):
    """Notes all that happens to it. A checkpoint holds the notes: a resumed run's are those that led to where it is."""

    def __init__(self, estimates: bool = True) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.notes: list[list[Any]] = []
        self.estimates = estimates

    def training_step(self, batch, batch_idx):
        held = [batch["epoch"], *batch["identity"]] if isinstance(batch, dict) else [None]
        rate = self.lr_schedulers().get_last_lr()[0] if self.estimates else None
        bar = [self.trainer.current_epoch, batch_idx + 1, self.trainer.num_training_batches]
        self.notes.append(["step", self.global_step, *bar, rate, *held])
        self.log("loss", self.weight, on_epoch=True)
        return self.weight * (len(held) - 1) + self.weight

    def on_train_epoch_start(self):
        self.notes.append(["epoch starts", self.current_epoch, self.global_step])

    def on_train_epoch_end(self):
        self.notes.append(["epoch ends", self.current_epoch, self.global_step])

    def on_validation_epoch_end(self):
        self.notes.append(["validated", self.current_epoch, self.global_step])
        self.log("score", float(self.global_step))

    def validation_step(self, batch, batch_idx):
        if isinstance(batch, dict):
            assert batch["position"].tolist() == list(range(4 * batch_idx, min(4 * batch_idx + 4, sum(COUNTS))))

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        if not self.estimates:
            return optimizer
        steps = self.trainer.estimated_stepping_batches  # makes the loader before a checkpoint's loops are read
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint):
        checkpoint["notes"] = list(self.notes)

    def on_load_checkpoint(self, checkpoint):
        self.notes = list(checkpoint["notes"])


class KeepAll(KeepLast):
    """Keeps under a name of its own what would be ``last.ckpt``."""

    def _save(self, trainer):
        self.path = self.path.parent / f"{len(list(self.path.parent.glob('*.ckpt'))):03d}.ckpt"
        super()._save(trainer)


class Crash(Callback):
    """Ends the run within its ``batches``-th batch."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_before_backward(self, trainer, pl_module, loss):
        self.left -= 1
        if not self.left:
            raise ConnectionError("killed")


def streams(shards, batch_size: int = 4, seed: int = 2) -> list[StreamLoader]:
    stages = [ReadSample(extensions=["txt", "json"]), ParseSample()]
    return [
        StreamLoader(shards, sizes(shards), stages, batch_size=batch_size, shuffle=shuffle, place=Place())
        for shuffle in (Shuffle(seed=seed), None)
    ]


def fit(
    loaders, callbacks=(), resume: Path | None = None, module: Recorder | None = None, **options
) -> list[list[Any]]:
    """The notes of a whole or resumed run."""
    module = module or Recorder()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    keep = {} if callbacks else {"enable_checkpointing": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            accelerator="cpu", devices=1, callbacks=list(callbacks), **quiet, **keep, **({"max_epochs": 2} | options)
        )
        trainer.fit(module, *loaders, ckpt_path=resume, weights_only=True)
    return module.notes


@pytest.fixture
def shards(make_shards):
    return make_shards(COUNTS)


OPTIONS = {
    "plain": {},
    "max_steps in an epoch": {"max_steps": 8},
    "max_steps alone": {"max_steps": 9, "max_epochs": -1, "val_check_interval": 2},
    "max_steps at an epoch's end": {"max_steps": 5, "max_epochs": -1},
    "val_check_interval int": {"val_check_interval": 2},
    "val_check_interval float": {"val_check_interval": 0.5},
    "validation by steps": {"val_check_interval": 3, "check_val_every_n_epoch": None},
    "every second epoch": {"check_val_every_n_epoch": 2},
    "limit_train_batches int": {"limit_train_batches": 3, "max_steps": 5},
    "limit_train_batches float": {"limit_train_batches": 0.7},
    "accumulation": {"accumulate_grad_batches": 2, "val_check_interval": 1},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_lightning_counts_as_over_any_other_loader(shards, options):
    """Steps, epochs, validation, schedule: as with a torch DataLoader of the same length."""
    stream = fit(streams(shards), **options)
    other = [DataLoader(torch.zeros(sum(COUNTS)), batch_size=4) for _ in range(2)]
    assert [note[:6] for note in stream] == [note[:6] for note in fit(other, **options)]
    # An epoch that no limit cuts holds every sample once, and is known by its number.
    for epoch in range(1 if "max_steps" in options else 2):
        held = [note[6:] for note in stream if note[0] == "step" and note[2] == epoch]
        names = [name for batch in held for name in batch[1:]]
        assert {batch[0] for batch in held} == {epoch}
        if "limit_train_batches" not in options:
            assert len(names) == len(set(names)) == sum(COUNTS)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_run_resumed_anywhere_goes_on_as_if_never_ended(shards, tmp_path, options):
    """From each place where last.ckpt can be written: samples, steps, epochs, validations and learning rates are equal."""
    whole = fit(streams(shards), [KeepAll(tmp_path, 1)], **options)
    kept = sorted(tmp_path.glob("*.ckpt"))
    assert len(kept) >= 4
    for checkpoint in kept[:-1:2]:  # ends of epochs, validations and what lies between are among them
        assert fit(streams(shards), [KeepLast(tmp_path / "x", 99)], checkpoint, **options) == whole, checkpoint.name
    done = fit(streams(shards), [KeepLast(tmp_path / "x", 99)], kept[-1], **options)
    assert done == whole[: len(done)] and {note[0] for note in whole[len(done) :]} <= {"epoch ends"}


@pytest.mark.parametrize(
    "name", ["max_steps alone", "val_check_interval int", "limit_train_batches float", "accumulation"]
)
def test_a_run_that_crashes_again_and_again_ends_like_one_that_does_not(shards, tmp_path, name):
    options = OPTIONS[name]
    whole = fit(streams(shards), [KeepLast(tmp_path, 2)], **options)
    (tmp_path / "last.ckpt").unlink()
    crashes, between = 0, 6 if "accumulate_grad_batches" in options else 4  # at least a checkpoint between two crashes
    while True:
        last = tmp_path / "last.ckpt"
        try:
            survived = fit(
                streams(shards),
                [KeepLast(tmp_path, 2), Crash(between + crashes % 2)],
                last if last.exists() else None,
                **options,
            )
            break
        except ConnectionError:
            crashes += 1
    assert survived == whole and crashes >= 1


@pytest.mark.parametrize("estimates", [True, False], ids=["estimated_stepping_batches", "no schedule"])
def test_the_best_checkpoint_can_be_resumed_too(shards, tmp_path, estimates):
    """They are written when a validation ends: within an epoch and at its end."""
    for options in ({"val_check_interval": 2}, {"max_steps": 9}):
        folder = tmp_path / str(options)
        best = KeepBest(folder, "score", save_top_k=-1)
        whole = fit(streams(shards), [best, KeepLast(folder, 100)], module=Recorder(estimates), **options)
        kept = sorted(folder.glob("best-step=*.ckpt"))
        assert len(kept) >= 2
        for checkpoint in kept:
            keep = [KeepBest(tmp_path / "x", "score"), KeepLast(tmp_path / "x", 9)]
            again = fit(streams(shards), keep, checkpoint, Recorder(estimates), **options)
            assert again == whole[: len(again)], (options, checkpoint.name)
            assert {note[0] for note in whole[len(again) :]} <= {"epoch ends"}


def test_a_run_can_be_made_longer(shards, tmp_path):
    """max_steps reached within an epoch is no end of it."""

    def steps(notes):
        return [[*note[1:5], *note[6:]] for note in notes if note[0] == "step"]

    longer = steps(fit(streams(shards), max_steps=12, max_epochs=-1))
    for first in (3, 5, 7):
        fit(streams(shards), [KeepLast(tmp_path, 100)], max_steps=first, max_epochs=-1)
        again = fit(streams(shards), [KeepLast(tmp_path, 100)], tmp_path / "last.ckpt", max_steps=12, max_epochs=-1)
        assert steps(again) == longer


def validated(notes: list[list[Any]]) -> list[int]:
    return [note[2] for note in notes if note[0] == "validated"]


RARELY = {
    "fewer epochs than between validations": ({"max_epochs": 2}, [10]),
    "max_steps between validations": ({"max_steps": 8}, [8]),
    "both": ({"max_steps": 8, "check_val_every_n_epoch": 1}, [5, 8]),
    "at the same step": ({"max_epochs": 2, "check_val_every_n_epoch": 2}, [10]),
    "accumulation": ({"max_steps": 3, "accumulate_grad_batches": 2}, [3]),
    "limited": ({"max_epochs": 2, "limit_train_batches": 3}, [6]),
    "switched off": ({"max_epochs": 1, "limit_val_batches": 0}, []),
}


@pytest.mark.parametrize(("options", "expected"), RARELY.values(), ids=RARELY)
def test_training_ends_with_a_validation(shards, tmp_path, options, expected):
    """Once, whatever the interval; it counts for the best checkpoint, and a resumed run does the same."""
    options = {"check_val_every_n_epoch": 10, "max_epochs": -1, **options}
    best = KeepBest(tmp_path, "score")
    whole = fit(streams(shards), [best, KeepAll(tmp_path, 1)], **options)
    assert validated(whole) == expected
    assert best.last_score == (expected[-1] if expected else None)
    assert [path.name for path in tmp_path.glob("best*")] == [f"best-step={step}.ckpt" for step in expected[-1:]]
    for checkpoint in sorted(tmp_path.glob("0*.ckpt"))[::3]:
        again = fit(
            streams(shards), [KeepBest(tmp_path / "x", "score"), KeepLast(tmp_path / "x", 99)], checkpoint, **options
        )
        assert again == whole[: len(again)], checkpoint.name
        assert {note[0] for note in whole[len(again) :]} <= {"epoch ends"}


class Stop(Callback):
    """Stops training as other callbacks do, within or at the end of an epoch."""

    def __init__(self, step: int, at_epoch_end: bool) -> None:
        self.step, self.at_epoch_end = step, at_epoch_end

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        trainer.should_stop |= trainer.global_step == self.step and not self.at_epoch_end

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop |= trainer.global_step == self.step and self.at_epoch_end


@pytest.mark.parametrize(("step", "at_epoch_end"), [(3, False), (5, False), (5, True), (7, False)])
def test_a_run_that_is_stopped_is_validated_and_can_be_continued(shards, tmp_path, step, at_epoch_end):
    options = {"check_val_every_n_epoch": 10, "max_epochs": 3}
    best = KeepBest(tmp_path, "score")
    notes = fit(streams(shards), [Stop(step, at_epoch_end), best, KeepLast(tmp_path, 99)], **options)
    assert validated(notes) == [step] and best.last_score == step
    expected = [note for note in fit(streams(shards), **options) if note[0] == "step"]
    for name in ("last", f"best-step={step}"):
        keep = [KeepBest(tmp_path / "x", "score"), KeepLast(tmp_path / "x", 99)]
        again = fit(streams(shards), keep, tmp_path / f"{name}.ckpt", **options)
        assert [note for note in again if note[0] == "step"] == expected, name
        assert validated(again) == [step, 15]


ENDS = {
    "within an epoch": (2, {"max_steps": 3, "max_epochs": -1}),
    "at its end": (4, {"max_epochs": 1}),
    "later": (6, {"max_steps": 7}),
}


@pytest.mark.parametrize(("place", "end"), ENDS.values(), ids=ENDS)
def test_a_run_that_has_nothing_left_to_train_is_validated_once(shards, tmp_path, place, end):
    """What it writes can be resumed as what it read."""
    options = {"check_val_every_n_epoch": 10, "max_epochs": 2}
    expected = fit(streams(shards), [KeepAll(tmp_path, 1)], **options)
    early, step = sorted(tmp_path.glob("0*.ckpt"))[place], place + 1
    folder = tmp_path / "a"
    for checkpoint in (early, folder / f"best-step={step}.ckpt", folder / "last.ckpt"):
        best = KeepBest(folder, "score")
        notes = fit(streams(shards), [best, KeepLast(folder, 99)], checkpoint, **{**options, **end})
        assert validated(notes) == [step] and best.last_score == step
    for checkpoint in (folder / f"best-step={step}.ckpt", folder / "last.ckpt"):
        longer = fit(streams(shards), [KeepLast(tmp_path / "c", 99)], checkpoint, **options)
        assert [note for note in longer if note[0] == "step"] == [note for note in expected if note[0] == "step"]


def test_steps_are_counted_on_where_the_end_was_validated(shards, tmp_path):
    """Loggers count a step when its validation is over; a checkpoint is written before."""

    class Counts(Callback):
        def __init__(self) -> None:
            self.steps: list[int] = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.steps.append(trainer.fit_loop.epoch_loop._batches_that_stepped)

    for first in (3, 5, 7):
        keep = [KeepBest(tmp_path / str(first), "score"), KeepLast(tmp_path / str(first), 99)]
        fit(streams(shards), keep, max_steps=first, check_val_every_n_epoch=10, max_epochs=-1)
        for name in ("last", f"best-step={first}"):
            counts, checkpoint = Counts(), tmp_path / str(first) / f"{name}.ckpt"
            keep = [counts, KeepBest(tmp_path / "x", "score"), KeepLast(tmp_path / "x", 99)]
            fit(streams(shards), keep, checkpoint, max_steps=12, check_val_every_n_epoch=10, max_epochs=-1)
            assert counts.steps == list(range(first, 12)), (first, name)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"batch_size": 2}, "must stay 4"),
        ({"seed": 3}, "taken in another order"),
        ({"shards": slice(1)}, "taken in 18 samples, now there are 13"),
        ({"shards": slice(None, None, -1)}, "taken in another order"),
    ],
)
def test_a_run_on_other_data_is_not_resumed(shards, tmp_path, other, sentence):
    fit(streams(shards), [KeepLast(tmp_path, 2)], max_steps=2)
    of = shards[other.pop("shards", slice(None))]
    with pytest.raises(UserError, match=sentence):
        fit(streams(of, **other), [KeepLast(tmp_path, 2)], tmp_path / "last.ckpt")


def test_a_number_of_steps_that_makes_no_sense(tmp_path):
    with pytest.raises(UserError, match="every_n_train_steps"):
        KeepLast(tmp_path, 0)
