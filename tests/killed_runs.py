"""Runs of ``mmcs-train`` that write down what they train on, to be killed and resumed by tests."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from mmcs.callbacks.preview import SwitchPreview

STEPS_PER_EPOCH, GLOBAL_BATCH = 10, 8  # of the small world's 80 samples


class Recorder(SwitchPreview):
    """Appends a line for every batch to ``$RECORDS/{process}``: who read it, step, epoch, samples with their texts."""

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        held = [[*sample] for sample in zip(batch["identity"], *batch["texts"], strict=True)]
        pixels = [int(image.sum()) for image in batch["image"]]
        line = [trainer.global_rank, trainer.global_step, trainer.current_epoch, held, pixels]
        with Path(os.environ["RECORDS"], str(os.getpid())).open("a") as file:
            file.write(json.dumps(line) + "\n")


def arguments(world: Path, folder: Path, ranks: int = 1, workers: int = 0, epochs: int = 6) -> list[str]:
    """Images decoded and cropped, captions switched, dropout on; a checkpoint every three steps; resumed if there is one."""
    several = ["trainer=ddp", "trainer.accelerator=cpu", f"trainer.devices={ranks}"] if ranks > 1 else []
    return [
        "experiment=two_view",
        "data=shards",
        f"data.train_shards={world}/train",
        f"data.batch_size={GLOBAL_BATCH // ranks}",
        f"data.num_workers={workers}",
        "model=open_clip",
        f"model.name={world}/model.json",
        "model.lock_image=false",
        "model.image_dropout=0.1",
        "model.text_dropout=0.1",
        "eval=suites",
        f"eval.val={{shapes: {world}/test}}",
        f"codeswitch.lexicons=[{world}/words.lex]",
        *several,
        f"trainer.max_epochs={epochs}",
        "trainer.check_val_every_n_epoch=2",
        "trainer.log_every_n_steps=1",
        "callbacks.preview._target_=killed_runs.Recorder",
        "callbacks.last.every_n_train_steps=3",
        "resume=auto",
        f"hydra.run.dir={folder}",
    ]


def environment(world: Path, records: Path) -> dict[str, str]:
    """What a run needs, with a folder for its records."""
    records.mkdir(parents=True)
    here = Path(__file__).parent
    paths = os.pathsep.join((str(here.parent), str(here)))
    return {"RECORDS": str(records), "MMCS_CACHE": str(world / "cache"), "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}


def lines(records: Path) -> list[list[Any]]:
    """What the processes of one attempt wrote; a line that a kill cut off is left out."""
    texts = [path.read_text() for path in records.iterdir()] if records.is_dir() else []
    return [json.loads(line) for text in texts for line in text.splitlines(keepends=True) if line.endswith("\n")]


def by_step(records: Path) -> dict[int, list[Any]]:
    """Per step of one attempt: epoch and (identity, texts, pixels), all ranks' together."""
    steps: dict[int, list[Any]] = {}
    for _, step, epoch, held, pixels in lines(records):
        steps.setdefault(step, []).extend([epoch, *sample, sum_] for sample, sum_ in zip(held, pixels, strict=True))
    return {step: sorted(samples) for step, samples in sorted(steps.items())}


def wait_for(records: Path, count: int, alive: Any) -> None:
    """Until rank 0 of an attempt has begun so many batches."""
    while sum(line[0] == 0 for line in lines(records)) < count:
        assert alive(), "the run ended before it could be killed"
        time.sleep(0.01)


def processes_of(records: Path) -> list[int]:
    """The processes of an attempt that still run: those that name its folder in their environment."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                state = (process / "stat").read_text().rsplit(")", 1)[1].split()[0]
                if state != "Z" and f"RECORDS={records}\0".encode() in (process / "environ").read_bytes() + b"\0":
                    found.append(int(process.name))
            except OSError:
                continue
    return found


def attempt(
    world: Path,
    folder: Path,
    records: Path,
    kill_after: int | None,
    how: signal.Signals = signal.SIGKILL,
    **layout: int,
) -> None:
    """Runs until the end, or until so many steps are begun and a signal comes; none of its processes may be left then."""
    command = [sys.executable, "-m", "mmcs.train", *arguments(world, folder, **layout)]
    variables = {**os.environ, **environment(world, records)}
    output = Path(f"{records}.txt")
    with output.open("w") as file:
        process = subprocess.Popen(command, env=variables, stdout=file, stderr=file, cwd=world)
    if kill_after is None:
        assert process.wait(600) == 0, output.read_text()[-3000:]
    else:
        wait_for(records, kill_after, lambda: process.poll() is None)
        process.send_signal(how)  # the launching process alone: the others must notice
        assert process.wait(120) == {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143}[how], output.read_text()
    until = time.monotonic() + 60
    while left := processes_of(records):
        assert time.monotonic() < until, f"processes outlived the run: {left}"
        time.sleep(0.1)


def same_end(one: Path, other: Path) -> None:
    """Two runs' last checkpoints are equal, bitwise, and so are their metrics, each step's once."""
    a, b = (torch.load(folder / "checkpoints/last.ckpt", weights_only=True) for folder in (one, other))
    assert a["global_step"] == b["global_step"] and a["lr_schedulers"] == b["lr_schedulers"]
    assert a["state_dict"].keys() == b["state_dict"].keys()
    for name, value in a["state_dict"].items():
        assert torch.equal(value, b["state_dict"][name]), name
    moments = [content["optimizer_states"][0]["state"] for content in (a, b)]
    assert all(torch.equal(moments[0][i]["exp_avg"], moments[1][i]["exp_avg"]) for i in moments[0])
    assert metrics(one) == metrics(other)


#: What the machine decides, and what the stream drops.
NOT_COMPARED = ("time/", "memory/", "data/")


def metrics(folder: Path) -> list[tuple[str, ...]]:
    """The rows of ``metrics.csv``, save ``NOT_COMPARED``."""
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [tuple(f"{k}={v}" for k, v in row.items() if v and not k.startswith(NOT_COMPARED)) for row in rows]
