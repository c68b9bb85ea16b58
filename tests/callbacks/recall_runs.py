"""Training runs whose validation suite is small and uneven, in this process or in several real gloo processes."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from small_world import COLOURS, SHAPES, add, picture

SIZES = (5, 1, 3)  # samples of the suite's shards; the one in the middle has no picture that can be read


def write_suite(folder: Path) -> Path:
    """Shapes with captions in en, de, fi, he and hi (each second one); Swahili stands at the damaged picture alone."""
    folder.mkdir(parents=True)
    hebrew, hindi = ("עיגול אדום", "ריבוע ירוק", "קו כחול"), ("लाल वृत्त", "हरा वर्ग", "नीली रेखा")
    number = 0
    for shard, size in enumerate(SIZES):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
            for _ in range(size):
                (colour, (de, fi, rgb)), (shape, names) = [
                    list(words.items())[number % len(words)] for words in (COLOURS, SHAPES)
                ]
                captions = {"de": [f"{de} {names[0]}", f"ein {de} {names[0]}"], "fi": [f"{fi} {names[1]}"]}
                captions["he"] = [hebrew[number % 3]]
                if number % 2 == 0:
                    captions["hi"] = [hindi[number % 3]]
                if shard == 1:
                    captions["sw"] = ["duara"]
                add(tar, f"{number}.jpg", b"damaged" if shard == 1 else picture(rgb, shape, 10 + 3 * number))
                add(tar, f"{number}.txt", f"A {colour} {shape}.".encode())
                add(tar, f"{number}.json", json.dumps({"captions": captions, "group": f"{colour} {shape}"}).encode())
                number += 1
    return folder


def configuration(world: Path, suites: str, *overrides: str) -> dict[str, Any]:
    """Of a run of two epochs, validated after each, that changes no weight: every validation is of the same model."""
    from mmcs.config import compose_config, resolve

    given = [
        *("experiment=two_view", "data=shards", f"data.train_shards={world}/train", "data.num_workers=0"),
        *("data.batch_size=16", "model=open_clip", f"model.name={world}/model.json", "model.lock_image=false"),
        *("eval=suites", f"eval.val={suites}", f"codeswitch.lexicons=[{world}/words.lex]", "codeswitch.languages=[de]"),
        *("trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1", "optim.lr=0.0", "optim.weight_decay=0.0"),
    ]
    return {**resolve(compose_config([*given, *overrides])), "experiment": "two_view"}


def fit(config: dict[str, Any], folder: Path) -> Any:
    """Assembles and trains as ``mmcs-train`` does; returns the trainer."""
    import torch

    from mmcs.assemble import assemble

    torch.manual_seed(0)
    run = assemble(config, folder)
    run.trainer.fit(run.module, run.datamodule, ckpt_path=config["resume"], weights_only=True)
    return run.trainer


def fit_in_processes(config: dict[str, Any], folder: Path, processes: int, told: Callable[[Any], Any]) -> list[Any]:
    """The same in several processes; what ``told`` says of each one's trainer."""
    import torch.multiprocessing as mp

    folder.mkdir(parents=True)
    config = {**config, "trainer": {**config["trainer"], "strategy": "ddp", "devices": processes}}
    multiprocessing.set_forkserver_preload(["mmcs.assemble"])  # imported once, not once per rank
    mp.start_processes(_process, (config, str(folder), processes, told), nprocs=processes, start_method="forkserver")
    return [json.loads((folder / f"told.{rank}.json").read_text()) for rank in range(processes)]


def _process(rank: int, config: dict[str, Any], folder: str, processes: int, told: Callable[[Any], Any]) -> None:
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes), "GROUP_RANK": "0"}
    os.environ |= {"LOCAL_WORLD_SIZE": str(processes), "TORCHELASTIC_RUN_ID": "test"}  # by these Lightning knows them
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=processes)
    trainer = fit(config, Path(folder))
    Path(folder, f"told.{rank}.json").write_text(json.dumps(told(trainer)))
    distributed.destroy_process_group()


def events(folder: Path) -> Any:
    """What TensorBoard reads of a run, all of it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0, "tensors": 0})
    return accumulator.Reload()


def image(event: Any) -> Any:
    """The picture of an image event, (H, W, 3) uint8."""
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(event.encoded_image_string)).convert("RGB"))
