"""What one subprocess of the step's benchmark measures: ``python -m benchmarks.step_jobs JOB JSON`` prints samples per second.

Each job is a process of its own. Ours is a run as a user gets it, assembled from a configuration; the peer is open_clip's own
``train_one_epoch`` with its own loader, loss and parameter groups. Called by ``step.py``.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

#: Steps before the clock starts.
WARM_UP = 2
PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed"}


class Timed:
    """The batches of so many ``steps``, ``accumulated`` to a step, and when each step began; one batch over and over if it is
    kept in memory. ``warm_up``: steps before the clock starts; a GPU's peak of memory begins there, too. A GPU is waited for
    where the clock starts and stops, and nowhere else.
    """

    def __init__(
        self, batches: Iterable[Any], steps: int, *, in_memory: bool, accumulated: int = 1, warm_up: int = WARM_UP
    ) -> None:
        self.batches, self.in_memory, self.accumulated, self.warm_up = batches, in_memory, accumulated, warm_up
        self.steps = steps
        self.began: list[float] = []
        # What the callbacks of a run and open_clip's trainer read of a loader.
        self.waited = 0.0
        self.num_batches = self.num_samples = steps * accumulated

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[Any]:
        source = iter(self.batches)
        first = next(source)
        batches = itertools.repeat(first) if self.in_memory else itertools.chain([first], source)
        for number, batch in enumerate(itertools.islice(batches, self.num_batches)):
            if number % self.accumulated == 0:
                if len(self.began) in (self.warm_up, self.steps - 1) and torch.cuda.is_available():
                    torch.cuda.synchronize()
                    if len(self.began) == self.warm_up:
                        torch.cuda.reset_peak_memory_stats()
                self.began.append(time.perf_counter())
            yield batch

    def per_second(self, samples: int) -> float:
        """Samples per second of steps of so many, from the end of the warm-up to the beginning of the last."""
        return samples * (self.steps - 1 - self.warm_up) / (self.began[-1] - self.began[self.warm_up])


def ours(
    folder: str, model: str, batch_size: int, steps: int, precision: str, workers: int, chunks: int, out: str
) -> float:
    """A run of mmcs with its callbacks and loggers; without ``workers`` its first batch stays in memory."""
    from mmcs.assemble import assemble
    from mmcs.config import compose_config, resolve

    config = resolve(
        compose_config(
            [
                "data=shards",
                f"data.train_shards={folder}",
                f"data.batch_size={batch_size}",
                f"data.num_workers={workers}",
                "model=open_clip",
                f"model.name={model}",
                "model.lock_image=false",
                "codeswitch=none",
                "eval=suites",
                f"optim.chunk_size={batch_size // chunks}",
                f"trainer.max_steps={steps}",
                f"trainer.precision={PRECISION[precision]}",
            ]
        )
    )
    parts = assemble({**config, "experiment": "bench"}, Path(out))
    loader = Timed(parts.datamodule.train_dataloader(), steps, in_memory=not workers)
    parts.datamodule.train_dataloader = lambda: loader  # type: ignore[method-assign]
    parts.trainer.fit(parts.module, parts.datamodule)
    return loader.per_second(batch_size)


def open_clip(
    folder: str, model: str, batch_size: int, steps: int, precision: str, workers: int, chunks: int, out: str
) -> float:
    """open_clip's trainer on the same model, shards and settings."""
    from open_clip import add_model_config, create_model, get_tokenizer
    from open_clip.transform import image_transform

    sys.modules["pandas"] = ModuleType("pandas")  # for CSV data sets alone; it need not be installed to read shards
    from open_clip_train.data import get_wds_dataset

    del sys.modules["pandas"]
    add_model_config(Path(model))
    clip = create_model(Path(model).stem)
    settings = SimpleNamespace(
        train_data=f"{folder}/{{00000..{len(list(Path(folder).glob('*.tar'))) - 1:05}}}.tar",
        train_data_upsampling_factors=None,
        train_num_samples=steps * batch_size,
        dataset_resampled=False,
        seed=0,
        batch_size=batch_size // chunks,
        workers=max(1, workers),
        world_size=1,
    )
    data = get_wds_dataset(
        settings, image_transform(224, is_train=True), is_train=True, tokenizer=get_tokenizer(Path(model).stem)
    )
    loader = Timed(data.dataloader, steps, in_memory=not workers, accumulated=chunks)
    train_open_clip(clip, loader, batch_size, precision)
    return loader.per_second(batch_size)


def train_open_clip(
    clip: Any, loader: Timed, batch_size: int, precision: str, device: str = "cpu", compiled: bool = False
) -> None:
    """One epoch of ``loader`` with what open_clip's ``main`` gives its ``train_one_epoch``."""
    from open_clip.loss import ClipLoss
    from open_clip_train.scheduler import cosine_lr
    from open_clip_train.train import train_one_epoch

    settings = SimpleNamespace(
        batch_size=batch_size // loader.accumulated,
        world_size=1,
        device=device,
        precision={"fp32": "fp32", "bf16": "amp_bf16"}[precision],
        distill=False,
        accum_freq=loader.accumulated,
        skip_scheduler=False,
        grad_clip_norm=None,
        horovod=False,
        log_every_n_steps=10,
        rank=0,
        local_rank=0,
        wandb=False,
        save_logs=False,
    )
    plain = [p for name, p in clip.named_parameters() if _undecayed(name, p)]
    decayed = [p for name, p in clip.named_parameters() if not _undecayed(name, p)]
    optimizer = torch.optim.AdamW(
        [{"params": plain, "weight_decay": 0.0}, {"params": decayed, "weight_decay": 0.2}], 1e-3, (0.9, 0.98), 1e-6
    )
    epoch = SimpleNamespace(dataloader=loader, set_epoch=lambda number: None)
    schedule = cosine_lr(optimizer, 1e-3, 0, loader.steps)
    # Its model as its main makes it: the forward gives a dictionary.
    clip.output_dict = True
    model = torch.compile(clip) if compiled else clip
    train_one_epoch(model, {"train": epoch}, ClipLoss(), 0, optimizer, None, schedule, None, settings)


def _undecayed(name: str, parameter: torch.Tensor) -> bool:
    return parameter.ndim < 2 or any(part in name for part in ("bn", "ln", "bias", "logit_scale"))


if __name__ == "__main__":
    job = {"ours": ours, "open_clip": open_clip}[sys.argv[1]]
    print(json.dumps(job(**json.loads(sys.argv[2]))))
