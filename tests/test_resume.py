"""Going on with a run: which checkpoint, one that is whole whatever happens while it is written, and the metrics so far."""

from __future__ import annotations

import csv
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch

from mmcs.errors import DataError, UserError
from mmcs.metrics_file import MetricsFile
from mmcs.model.resumed_optimizer import Schedule, keep_settings
from mmcs.resume import WholeCheckpoints, check_resume, checkpoint_of


def content(step: int = 6, ready: int = 6, epochs: int = 0, **more: object) -> dict:
    progress = {"current": {"ready": ready}, "is_last_batch": False}
    extras = {"format": 1, "config": {"model": {"lock_image": False, "lora": {"r": 0}}, "loss": {"logit_scale": {}}}}
    epoch = {"current": {"processed": epochs}}
    loops = {"fit_loop": {"epoch_loop.batch_progress": progress, "epoch_progress": epoch, "state_dict": {}}}
    weights = {"state_dict": {"towers.w": torch.ones(3)}, "optimizer_states": []}
    return {"global_step": step, "loops": loops, "mmcs": extras, **weights, **more}


def write(path: Path, **more: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    WholeCheckpoints().save_checkpoint(content(**more), path)
    return path


def config(**trainer: object) -> dict:
    return {"model": {"lock_image": False, "lora": {"r": 0}}, "trainer": trainer, "loss": {"logit_scale": {}}}


def test_what_a_run_goes_on_from(tmp_path):
    last = tmp_path / "run/checkpoints/last.ckpt"
    assert checkpoint_of(None, tmp_path / "run") is None
    assert checkpoint_of("auto", tmp_path / "run") is None
    with pytest.raises(UserError, match=r"has no checkpoints/last\.ckpt yet"):
        checkpoint_of(str(tmp_path), tmp_path / "run")
    with pytest.raises(UserError, match=r"nowhere\.ckpt does not exist"):
        checkpoint_of("nowhere.ckpt", tmp_path / "run")
    write(last)
    for resume in ("auto", str(tmp_path / "run"), str(last)):
        assert checkpoint_of(resume, tmp_path / "run") == last


SPOILT = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "a bit flipped": lambda path: path.write_bytes(flipped(path.read_bytes())),
    "NaN": lambda path: write(path, step=9, state_dict={"towers.w": torch.tensor([1.0, float("nan")])}),
    "gone": lambda path: path.unlink(),
}


def flipped(data: bytes) -> bytes:
    place = data.index(torch.ones(3).numpy().tobytes())
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_damaged_last_checkpoint_is_passed_over_for_the_newest_good_one(tmp_path, spoil):
    folder = tmp_path / "checkpoints"
    last = write(folder / "last.ckpt", step=9)
    for step in (3, 6):
        write(folder / f"best-step={step}.ckpt", step=step)
    (folder / "best-step=8.ckpt").write_bytes(b"")
    (folder / "best-wise_ft.ckpt").write_bytes((folder / "best-step=6.ckpt").read_bytes())
    spoil(last)
    told: list[str] = []
    assert checkpoint_of("auto", tmp_path, told.append) == folder / "best-step=6.ckpt"
    assert len(told) == 1 and str(last) in told[0] and "best-step=6.ckpt (step 6)" in told[0]
    if last.exists():
        with pytest.raises(
            DataError, match=r"last\.ckpt .*Good ones: resume=\S+best-step=6\.ckpt \(step 6\), resume=\S+=3"
        ):
            checkpoint_of(str(last), tmp_path)


def test_a_run_whose_only_checkpoint_is_damaged_does_not_begin_anew_unasked(tmp_path):
    write(tmp_path / "checkpoints/last.ckpt").write_bytes(b"")
    with pytest.raises(DataError, match=r"the file is empty.*no other checkpoint .*remove it to begin anew"):
        checkpoint_of("auto", tmp_path)


def test_the_step_of_a_checkpoint_that_can_be_resumed(tmp_path):
    path = write(tmp_path / "a.ckpt")
    assert check_resume(path, config())["global_step"] == 6
    assert check_resume(path, config(accumulate_grad_batches=2))["global_step"] == 6
    with pytest.raises(UserError, match="between the batches of one accumulated step"):
        check_resume(path, config(accumulate_grad_batches=4))
    weights = {key: value for key, value in content().items() if key != "optimizer_states"}
    WholeCheckpoints().save_checkpoint(weights, path)
    with pytest.raises(UserError, match="weights only"):
        check_resume(path, config())
    with pytest.raises(DataError, match="place in training"):
        check_resume(write(path, loops={"fit_loop": 3}), config())


@pytest.mark.parametrize(
    ("trainer", "sentence"),
    [
        ({"max_epochs": 2}, "step 6 .2 epochs done., past trainer.max_epochs=2: set trainer.max_epochs to at least 3"),
        ({"max_steps": 5}, "past trainer.max_steps=5: set trainer.max_steps to at least 6"),
        ({"max_epochs": 3, "max_steps": -1}, None),
        ({"max_epochs": -1, "max_steps": 6}, None),
        ({"max_epochs": None}, None),
    ],
)
def test_a_run_that_would_end_before_its_checkpoint_is_refused(tmp_path, trainer, sentence):
    path = write(tmp_path / "a.ckpt", epochs=2)
    if sentence is None:
        check_resume(path, config(**trainer))
    else:
        with pytest.raises(UserError, match=sentence):
            check_resume(path, config(**trainer))


def test_settings_that_decide_what_the_weights_are_cannot_change(tmp_path):
    old, new = tmp_path / "old/model.json", tmp_path / "new/model.json"
    new.parent.mkdir()
    new.touch()
    before = {"name": str(old), "lock_image": False, "lora": {"r": 0, "dropout": 0.0}, "text_dropout": 0.0}
    before_loss = {
        "terms": {"image_text": {"_target_": "a.InfoNCE", "weight": 1.0}},
        "logit_scale": {"init": None, "max": 100},
    }
    extras = {"format": 1, "config": {"model": before, "loss": before_loss, "optim": {"lr": 1.0}}}
    path = write(tmp_path / "a.ckpt", mmcs=extras)

    def now(model: dict, loss: dict) -> dict:
        return {"trainer": {}, "model": {**before, **model}, "loss": {**before_loss, **loss}, "optim": {"lr": 2.0}}

    free = {"text_dropout": 0.5, "lora": {"r": 0, "dropout": 0.5}, "image_size": 64, "name": str(new)}
    weight = {
        "terms": {"image_text": {"_target_": "a.InfoNCE", "weight": 2.0}},
        "logit_scale": {"init": None, "max": 50},
    }
    check_resume(path, now(free, weight))
    for model, loss, told in (
        ({"lora": {"r": 2}}, {}, r"model\.lora\.r=2 \(was 0\)"),
        ({"lock_image": True}, {}, r"model\.lock_image=true \(was false\)"),
        ({"name": "ViT-B-32"}, {}, r"model\.name=ViT-B-32"),
        (
            {},
            {"terms": {"image_text": {"_target_": "a.SigLIP", "weight": 1.0}}},
            r"_target_=a\.SigLIP \(was a\.InfoNCE\)",
        ),
        ({}, {"logit_scale": {"init": 10, "max": 100}}, r"loss\.logit_scale\.init=10 \(was null\)"),
    ):
        with pytest.raises(UserError, match=rf"resume cannot change .*{told}.* model\.pretrained="):
            check_resume(path, now(model, loss))


def test_an_optimiser_and_its_schedule_are_resumed_with_the_settings_of_now(tmp_path):
    def made(lr: float, betas: tuple[float, float], weights: int = 2):
        optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3)) for _ in range(weights)], lr=lr, betas=betas)
        keep_settings(optimizer)
        return optimizer, Schedule(optimizer, lambda step: 1 / (1 + step))

    def stepped(optimizer, schedule):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.ones(3)
        optimizer.step()
        schedule.step()

    first, schedule = made(1.0, (0.9, 0.98))
    stepped(first, schedule)
    states = first.state_dict(), schedule.state_dict()
    for lr, betas in ((1.0, (0.9, 0.98)), (0.5, (0.5, 0.6))):
        again, its_schedule = made(lr, betas)
        again.load_state_dict(states[0])
        its_schedule.load_state_dict(states[1])
        group = again.param_groups[0]
        assert (group["lr"], group["betas"]) == (lr / 2, betas) and its_schedule.get_last_lr() == [lr / 2]
        assert torch.equal(again.state_dict()["state"][0]["exp_avg"], states[0]["state"][0]["exp_avg"])
        stepped(again, its_schedule)
        assert group["lr"] == lr * (1 / 3)
    other, _ = made(1.0, (0.9, 0.98), weights=3)
    with pytest.raises(UserError, match=r"groups of \[3\] weights, in the checkpoint they are of \[2\]"):
        other.load_state_dict(states[0])


def _killed_while_saving(path: Path) -> None:
    class Deadly:
        def __reduce__(self):
            os.kill(os.getpid(), signal.SIGKILL)

    WholeCheckpoints().save_checkpoint(content(7, weights=torch.zeros(10**6), last=Deadly()), path)


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path):
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint(content(), path)
    process = multiprocessing.get_context("spawn").Process(target=_killed_while_saving, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert check_resume(path, config())["global_step"] == 6 and len(list(tmp_path.iterdir())) == 2
    WholeCheckpoints().save_checkpoint(content(8), path)
    assert check_resume(path, config())["global_step"] == 8 and list(tmp_path.iterdir()) == [path], (
        "what the killed one left is gone"
    )


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def test_metrics_go_on_where_the_checkpoint_was_taken(tmp_path):
    first = MetricsFile(tmp_path)
    for step in range(4):
        first.log_metrics({"loss": 4.0 - step}, step)
        first.save()
    first.log_metrics({"recall": 0.5}, 3)
    first.save()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("1.2")  # a line that a kill cut off
    again = MetricsFile(tmp_path, first_step=3)
    again.log_metrics({"loss": 1.0, "other": 7}, 3)
    again.save()
    assert rows(tmp_path) == [
        {"loss": "4.0", "step": "0"},
        {"loss": "3.0", "step": "1"},
        {"loss": "2.0", "step": "2"},
        {"loss": "1.0", "other": "7", "step": "3"},
    ]
    anew = MetricsFile(tmp_path)
    assert len(rows(tmp_path)) == 4, "nothing is lost before there is something new"
    anew.log_metrics({"loss": 9.0}, 0)
    anew.save()
    assert rows(tmp_path) == [{"loss": "9.0", "step": "0"}]
