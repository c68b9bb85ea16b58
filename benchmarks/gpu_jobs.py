"""What one process of the GPU's benchmark measures: ``python -m benchmarks.gpu_jobs JOB JSON`` prints a JSON object, which says
``out_of_memory`` alone where that was not enough. Called by ``gpu.py``; nothing here needs a hub, a tokeniser's files or a data set.

Ours is a run as a user gets it, assembled from a configuration; the peer is open_clip's own ``train_one_epoch``. Both get one
batch of made pixels and tokens over and over, from ordinary memory, as their loaders give it, or from the device's.
"""

from __future__ import annotations

import gc
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.pictures import write_shards
from benchmarks.step_jobs import Timed, train_open_clip

#: Samples of the shards from which a batch of any size is made.
SAMPLES = 8


@dataclass(frozen=True)
class Setting:
    """What is trained how. ``model``: an open_clip configuration (.json); ``length``: tokens of the longest caption, which the
    peer pads to the context length; ``chunk``: samples that pass through the towers at a time, None: all; ``resident``: the batch
    lies on the device.
    """

    model: str
    device: str
    batch_size: int
    steps: int
    warm_up: int = 0
    length: int | None = None
    chunk: int | None = None
    compiled: bool = False
    resident: bool = False

    @property
    def chunks(self) -> int:
        """Into how many parts a batch is cut."""
        return 1 if self.chunk is None else math.ceil(self.batch_size / self.chunk)

    @property
    def text(self) -> dict[str, Any]:
        """The model's ``text_cfg``."""
        return json.loads(Path(self.model).read_text())["text_cfg"]

    @property
    def context(self) -> int:
        """Tokens that a caption is padded to."""
        return self.text.get("context_length", 77)


# --- the step -------------------------------------------------------------------------------------------------------


def ours(setting: Setting) -> dict[str, Any]:
    """Samples per second of a run of mmcs, and the GiB at its peak (None without a GPU)."""
    from lightning.pytorch.callbacks import Checkpoint

    with tempfile.TemporaryDirectory() as scratch:
        parts, batch = _assembled(setting, Path(scratch))
        if setting.resident:
            batch = parts.module.transfer_batch_to_device(batch, torch.device(setting.device), 0)
        loader = Timed([batch], setting.steps, in_memory=True, warm_up=setting.warm_up)
        parts.datamodule.train_dataloader = lambda: loader
        # Gigabytes of checkpoints would be written, after the clock has stopped.
        parts.trainer.callbacks = [one for one in parts.trainer.callbacks if not isinstance(one, Checkpoint)]
        parts.trainer.fit(parts.module, parts.datamodule)
        gib = parts.trainer.callback_metrics.get("memory/gpu_peak_gib")
    return {"per_second": loader.per_second(setting.batch_size), "gib": None if gib is None else float(gib)}


def open_clip(setting: Setting) -> dict[str, Any]:
    """The same of open_clip's trainer."""
    from open_clip import add_model_config, create_model

    _as_trained()
    torch.backends.cudnn.benchmark = True  # as its main does
    add_model_config(Path(setting.model))
    clip: Any = create_model(Path(setting.model).stem, device=setting.device, pretrained_text=False)
    size = setting.batch_size // setting.chunks
    tokens = _tokens(setting, size)
    full = torch.ones(size, setting.context, dtype=torch.int64)  # 1: what pads XLM-R's captions
    full[:, : tokens.shape[1]] = tokens
    batch = torch.randn(size, 3, *clip.visual.image_size), full
    if setting.resident:
        batch = batch[0].to(setting.device), batch[1].to(setting.device)
    loader = Timed([batch], setting.steps, in_memory=True, accumulated=setting.chunks, warm_up=setting.warm_up)
    train_open_clip(clip, loader, setting.batch_size, "bf16", setting.device, setting.compiled)
    gib = torch.cuda.max_memory_allocated() / 2**30 if setting.device == "cuda" else None
    return {"per_second": loader.per_second(setting.batch_size), "gib": gib}


def _assembled(setting: Setting, folder: Path) -> tuple[Any, dict[str, Any]]:
    """A run's parts, and a batch for it."""
    from mmcs.assemble import assemble
    from mmcs.config import compose_config, resolve

    _as_trained()
    write_shards(folder / "shards", "small", SAMPLES, 1, [f"a picture, number {number}" for number in range(SAMPLES)])
    chosen = [
        "data=shards",
        f"data.train_shards={folder}/shards",
        f"data.batch_size={SAMPLES}",
        "data.num_workers=0",
        "model=open_clip",
        f"model.name={setting.model}",
        "model.lock_image=false",
        f"model.compile={str(setting.compiled).lower()}",
        "codeswitch=none",
        "eval=suites",
        f"trainer={'gpu' if setting.device == 'cuda' else 'cpu'}",
        "trainer.precision=bf16-mixed",
        f"trainer.max_steps={setting.steps}",
    ]
    parts = assemble({**resolve(compose_config(chosen)), "experiment": "bench"}, folder / "run")
    parts.module.chunks = setting.chunks
    return parts, _enlarged(next(iter(parts.datamodule.train_dataloader())), setting)


def _enlarged(batch: dict[str, Any], setting: Setting) -> dict[str, Any]:
    """``batch`` over and over up to ``batch_size``, every sample with an identity and tokens of its own."""
    rows = [number % len(batch["position"]) for number in range(setting.batch_size)]
    numbers = torch.arange(setting.batch_size)

    def repeated(value: Any) -> Any:
        return value[rows] if isinstance(value, Tensor) else [value[row] for row in rows]

    left = {"epoch", "dropped", "texts", "text_id", "tokens"}
    large = {key: value if key in left else repeated(value) for key, value in batch.items()}
    large["texts"] = [repeated(view) for view in batch["texts"]]
    own = {"tokens": [_tokens(setting, setting.batch_size)], "text_id": [numbers], "group": numbers, "caption": numbers}
    return large | own


def _tokens(setting: Setting, samples: int) -> Tensor:
    """int64 (samples, length), none of them a special token but the last: what open_clip's own text tower pools."""
    words = 49408
    if "hf_model_name" in setting.text:
        words = json.loads((Path(setting.text["hf_model_name"]) / "config.json").read_text())["vocab_size"]
    tokens = torch.randint(4, words - 2, (samples, setting.length or setting.context))
    tokens[:, -1] = words - 1
    return tokens


def _as_trained() -> None:
    torch.set_float32_matmul_precision("high")  # TF32: the default of mmcs, and what open_clip's main sets


# --- how much of the machine ----------------------------------------------------------------------------------------


def flops(setting: Setting) -> dict[str, Any]:
    """Floating-point operations of a step per sample: matrix products and attention, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    with tempfile.TemporaryDirectory() as scratch:
        parts, batch = _assembled(replace(setting, compiled=False), Path(scratch))
    module = parts.module.to(setting.device).train()
    there = parts.module.transfer_batch_to_device(batch, torch.device(setting.device), 0)
    with FlopCounterMode(display=False) as counter:
        with torch.autocast(setting.device, torch.bfloat16):
            loss = module.losses(there)[0]["loss"]
        loss.backward()
    return {"per_sample": counter.get_total_flops() / setting.batch_size}


def peak(device: str, size: int) -> dict[str, Any]:
    """TFLOP/s of the product of two square bfloat16 matrices."""
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = _seconds(lambda: left @ right, device, repeats=20)
    return {"tflops": 2 * size**3 / seconds / 1e12}


def _seconds(once: Callable[[], Any], device: str, repeats: int) -> float:
    taken = []
    for _ in range(repeats + 2):  # the first two warm up
        _wait(device)
        began = time.perf_counter()
        once()
        _wait(device)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[2:])


def _measured(once: Callable[[], Any], device: str, repeats: int) -> dict[str, Any]:
    """Its seconds, and the GiB that it takes beyond what is there before it (None without a GPU)."""
    seconds = _seconds(once, device, repeats)
    if device != "cuda":
        return {"seconds": seconds, "gib": None}
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    once()
    return {"seconds": seconds, "gib": (torch.cuda.max_memory_allocated() - before) / 2**30}


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


# --- what fits ------------------------------------------------------------------------------------------------------


def largest_of_ours(setting: Setting, most: int) -> dict[str, Any]:
    """The largest batch, up to ``most``, of which two steps fit."""
    return {"batch": largest(lambda size: _fits(ours, replace(setting, batch_size=size)), setting.batch_size, most)}


def largest_of_open_clip(setting: Setting, most: int) -> dict[str, Any]:
    """The same of open_clip's trainer."""
    return {
        "batch": largest(lambda size: _fits(open_clip, replace(setting, batch_size=size)), setting.batch_size, most)
    }


def largest(fits: Callable[[int], bool], start: int, most: int) -> int:
    """The largest size that fits: ``start`` doubled until one does not or ``most`` is reached, then to an eighth of the last that
    did; 0 if ``start`` does not fit.
    """
    size = 0
    while (following := size * 2 or start) <= most:
        if not fits(following):
            break
        size = following
    else:
        return size
    for more in (size // 2, size // 4, size // 8):
        if more and fits(size + more):
            size += more
    return size


def _fits(job: Callable[[Setting], Any], setting: Setting) -> bool:
    try:
        job(setting)
    except RuntimeError as error:
        if not _lacks_memory(error):
            raise
        return False
    finally:
        gc.collect()
        torch.cuda.empty_cache()
    return True


def _lacks_memory(error: RuntimeError) -> bool:
    # The libraries under torch, which allocate for themselves, say it in words of their own.
    said = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in said)


# --- the loss -------------------------------------------------------------------------------------------------------


def loss(whose: str, samples: int, width: int, device: str, autocast: bool) -> dict[str, Any]:
    """Seconds of the loss ("ours" or "open_clip") of ``samples`` pairs, forward and backward, and the GiB that it takes beyond
    its arguments and their gradients (None without a GPU).
    """
    from open_clip.loss import ClipLoss

    from mmcs.losses.info_nce import info_nce

    _as_trained()
    images, texts = (normalize(torch.randn(samples, width, device=device), dim=1).requires_grad_() for _ in range(2))
    scale = torch.tensor(14.3, device=device, requires_grad=True)
    labels = torch.arange(samples, device=device)[:, None].expand(-1, 3).contiguous()

    def once() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=autocast):
            value = info_nce(images, texts, labels, scale) if whose == "ours" else ClipLoss()(images, texts, scale)
        value.backward()

    return _measured(once, device, repeats=5)


def recall(whose: str, languages: int, texts: int, images: int, width: int, device: str) -> dict[str, Any]:
    """Seconds of all figures of both directions in every language ("ours"), or of the bare product of the scores, and the GiB
    that it takes beyond the embeddings (None without a GPU).
    """
    from mmcs.retrieval.ranks import find_both

    draw = torch.Generator(device).manual_seed(0)
    rows = (texts * languages, images)
    captions, pictures = (normalize(torch.randn(n, width, device=device, generator=draw), dim=1) for n in rows)
    owners, owned = torch.arange(texts, device=device) % images, torch.arange(images, device=device)

    def once() -> None:
        for own in captions.split(texts):
            if whose == "ours":
                find_both(own, pictures, owners, owned)
            else:
                own @ pictures.T

    torch.set_float32_matmul_precision("highest")
    return _measured(once, device, repeats=3)


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    job.__name__: job for job in (ours, open_clip, flops, peak, largest_of_ours, largest_of_open_clip, loss, recall)
}


def do(job: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What a job measures; ``out_of_memory`` where the GPU's was not enough."""
    if "setting" in arguments:
        arguments = arguments | {"setting": Setting(**arguments["setting"])}
    try:
        return JOBS[job](**arguments)
    except RuntimeError as error:
        if not _lacks_memory(error):
            raise
        return {"out_of_memory": True}


if __name__ == "__main__":
    print(json.dumps(do(sys.argv[1], json.loads(sys.argv[2]))))
