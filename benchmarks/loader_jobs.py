"""What one subprocess of the loader's benchmark measures: ``python -m benchmarks.loader_jobs JOB JSON`` prints samples/s.

Each job is a process of its own, so that neither loader warms the other's imports, caches or memory. Called by
``loader.py``.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

SIZE = 224
#: Batches of each worker before the clock starts: shuffle buffers are full, caches are warm.
WARM_UP = 3


def ours(folder: str, workers: int, batches: int, batch_size: int, model: str, lexicon: str | None = None) -> float:
    """Samples per second of the datamodule's own list of stages; a lexicon puts the switch among them."""
    from datamodules.image_text import ImageTextDataModule
    from mmcs.codeswitch.lexicon import Lexicon
    from mmcs.codeswitch.lookup import Lookup
    from mmcs.codeswitch.stage import ChooseCaption, SwitchCaption
    from mmcs.codeswitch.words import Multilingual
    from mmcs.model.build import build_towers

    captions: Any = (ChooseCaption(seed=0),)
    if lexicon is not None:
        captions += (SwitchCaption(Multilingual(Lookup(Lexicon.open(Path(lexicon)))), seed=0),)
    data = ImageTextDataModule(
        build_towers(model),
        captions,
        [],
        seed=0,
        train_shards=folder,
        batch_size=batch_size,
        num_workers=workers,
        cache_features=False,
    )
    loader = data.train_dataloader()
    return _samples_per_second(loader, lambda batch: len(batch["image"]), workers, batches)


def open_clip(folder: str, workers: int, batches: int, batch_size: int) -> float:
    """Samples per second of open_clip's own training loader with its own transform and tokeniser."""
    from open_clip import get_tokenizer
    from open_clip.transform import image_transform

    # open_clip_train imports pandas for its CSV data sets alone; it need not be installed to read shards.
    sys.modules["pandas"] = ModuleType("pandas")
    from open_clip_train.data import get_wds_dataset

    del sys.modules["pandas"]

    random.seed(0)
    shards = sorted(Path(folder).glob("*.tar"))
    arguments = SimpleNamespace(
        train_data=f"{folder}/{{00000..{len(shards) - 1:05}}}.tar",
        train_data_upsampling_factors=None,
        train_num_samples=batches * batch_size,
        dataset_resampled=False,
        seed=0,
        batch_size=batch_size,
        workers=workers,
        world_size=1,
    )
    transform = image_transform(SIZE, is_train=True)
    data = get_wds_dataset(arguments, transform, is_train=True, tokenizer=get_tokenizer("ViT-B-32"))
    return _samples_per_second(data.dataloader, lambda batch: len(batch[0]), workers, batches)


def decode(folder: str, batches: int, batch_size: int) -> float:
    """Samples per second of simplejpeg alone on one core: full size, to RGB, from memory."""
    import simplejpeg

    from benchmarks.pictures import pictures_of

    pictures = itertools.cycle(pictures_of(Path(folder), 1_000))
    for content in itertools.islice(pictures, batch_size):
        simplejpeg.decode_jpeg(content, "RGB")
    count = batches * batch_size
    started = time.perf_counter()
    for content in itertools.islice(pictures, count):
        simplejpeg.decode_jpeg(content, "RGB")
    return count / (time.perf_counter() - started)


def _samples_per_second(loader: Iterable[Any], count: Callable[[Any], int], workers: int, batches: int) -> float:
    """From the end of the warm-up to the last full batch."""
    samples, started = 0, 0.0
    for number, batch in enumerate(itertools.islice(loader, batches), 1):
        if number > WARM_UP * workers:
            samples += count(batch)
        elif number == WARM_UP * workers:
            started = time.perf_counter()
    return samples / (time.perf_counter() - started)


if __name__ == "__main__":
    torch.set_num_threads(1)
    job = {"ours": ours, "open_clip": open_clip, "decode": decode}[sys.argv[1]]
    print(json.dumps(job(**json.loads(sys.argv[2]))))
