"""The training step against open_clip's own trainer: same model, batch, precision and shards; and two processes against one.

Each measurement is a process of its own (``step_jobs.py``); ours and the peer take turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import wordfreq

from benchmarks.loader import webdataset_of_the_peer
from benchmarks.pictures import write_shards
from benchmarks.switch import captions
from benchmarks.timing import job
from benchmarks.timing import rates as as_row

PEER = "open_clip's trainer (open_clip_train.train.train_one_epoch)"
JOBS = "benchmarks.step_jobs"
ROUNDS = 3
#: Small enough that two cores take some steps a minute; the proportions are those of ViT-B-32.
MODEL = {
    "embed_dim": 256,
    "vision_cfg": {"image_size": 224, "layers": 6, "width": 384, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 256, "heads": 4, "layers": 6},
}
#: Towers that cost next to nothing: what is left is reading and decoding.
LIGHT = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 224, "layers": 1, "width": 64, "head_width": 32, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1},
}
#: name -> (model, pictures, job arguments)
STEP = {"batch_size": 32, "steps": 8, "workers": 0, "chunks": 1}
ROWS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "step_vs_open_clip": ("model", "small", {**STEP, "precision": "fp32"}),
    "step_vs_open_clip_bf16": ("model", "small", {**STEP, "precision": "bf16"}),
    "step_chunks_vs_accum_freq": ("model", "small", {**STEP, "precision": "fp32", "chunks": 4}),
    "step_end_to_end_1_worker": ("light", "large", {**STEP, "precision": "fp32", "steps": 24, "workers": 1}),
    "step_end_to_end_2_workers": ("light", "large", {**STEP, "precision": "fp32", "steps": 36, "workers": 2}),
}


def measure() -> list[dict[str, Any]]:
    """The rows of this group."""
    webdataset = webdataset_of_the_peer()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        texts = captions(wordfreq.top_n_list("en", 20_000))
        for kind in ("small", "large"):
            write_shards(folder / kind, kind, 1_536, 8, texts)
        (folder / "model.json").write_text(json.dumps(MODEL))
        (folder / "light.json").write_text(json.dumps(LIGHT))
        rows = [_row(folder, name, webdataset) for name in ROWS]
        return [*rows, _two_processes(folder)]


def _row(folder: Path, name: str, webdataset: Path) -> dict[str, Any]:
    model, kind, settings = ROWS[name]
    arguments = {"folder": str(folder / kind), "model": str(folder / f"{model}.json"), "out": str(folder / "run")}
    rates: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        mine = job(JOBS, "ours", arguments | settings)
        rates.append((mine, job(JOBS, "open_clip", arguments | settings, webdataset)))
        print(f"  {name}: {rates[-1][0]:.1f} against {rates[-1][1]:.1f} samples/s", file=sys.stderr, flush=True)
    return as_row(
        name, *zip(*rates, strict=True), PEER if settings["chunks"] == 1 else f"{PEER}, accum_freq={settings['chunks']}"
    )


def _two_processes(folder: Path) -> dict[str, Any]:
    """Two processes with half of the batch and of the cores each against one with the whole: ``mmcs-train`` on this machine."""
    cores = os.cpu_count() or 2
    rates = []
    for number in range(ROUNDS):
        speeds = []
        for processes in (2, 1):
            run = folder / f"processes-{number}-{processes}"
            command = [sys.executable, "-m", "mmcs.train", *_command(folder, run, processes)]
            environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, cores // processes))}
            subprocess.run(command, env=environment, check=True, capture_output=True)
            speeds.append(json.loads((run / "status.json").read_text())["samples_per_second"])
        rates.append((speeds[0], speeds[1]))
    return as_row("step_two_processes", *zip(*rates, strict=True), "one process, the same global batch, the same cores")


def _command(folder: Path, run: Path, processes: int) -> list[str]:
    several = ["trainer=ddp", "trainer.accelerator=cpu", f"trainer.devices={processes}"] if processes > 1 else []
    return [
        "data=shards",
        f"data.train_shards={folder}/small",
        f"data.batch_size={32 // processes}",
        "data.num_workers=0",
        "model=open_clip",
        f"model.name={folder}/model.json",
        "model.lock_image=false",
        "codeswitch=none",
        "eval=suites",
        *several,
        "trainer.max_steps=8",
        f"hydra.run.dir={run}",
    ]
