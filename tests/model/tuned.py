"""A small training, in this process, of tiny towers tuned as a test asks: what several tests of tuning share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning import Trainer

from mmcs.assemble import build_loss
from mmcs.callbacks.ema import AverageWeights
from mmcs.callbacks.reseed import Reseed
from mmcs.config import compose_config, resolve
from mmcs.model.build import build_towers
from mmcs.model.module import ContrastiveModule
from mmcs.model.towers import Towers
from mmcs.resume import WholeCheckpoints

OPTIM = {"lr": 1e-2, "weight_decay": 0.1, "betas": [0.9, 0.98], "eps": 1e-6, "warmup": 0, "schedule": "constant"}
TEXTS = ["a dog", "a cat", "the house", "red snow", "two cats", "black"]


def lora(**settings: Any) -> dict[str, Any]:
    """``model.lora`` with both towers' usual modules, but for ``settings``."""
    return {"r": 2, "alpha": 4, "dropout": 0.0, "image": True, "text": True, **settings}


def pictures(n: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=generator)


def batch(towers: Towers, seed: int = 0) -> dict[str, Any]:
    """Six pictures with six captions in two views."""
    tokens = towers.tokenise.encode(TEXTS)
    labels = {"group": torch.arange(6), "caption": torch.arange(6), "text_id": [torch.arange(6), torch.arange(6)]}
    return {"image": pictures(seed=seed), "tokens": [tokens, tokens], **labels, "position": torch.arange(6)}


def embeddings(towers: Towers) -> torch.Tensor:
    """Of six pictures and six captions (12, D), in eval mode."""
    towers.eval()
    with torch.no_grad():
        return torch.cat([towers.embed_images(pictures()), towers.embed_texts(towers.tokenise.encode(TEXTS))])


def trained(
    folder: Path,
    model: dict[str, Any],
    *,
    epochs: int = 2,
    ema: float | None = None,
    chunk_size: int | None = None,
    optim: dict[str, Any] | None = None,
    resume: Path | None = None,
    module: type[ContrastiveModule] = ContrastiveModule,
    **trainer: Any,
) -> tuple[ContrastiveModule, Path]:
    """Trains three steps an epoch; the module and its last checkpoint."""
    towers = build_towers(**model)
    loss = build_loss(resolve(compose_config(["data=shards", "data.train_shards=x"])))
    own = module(
        towers,
        loss,
        {**OPTIM, "chunk_size": chunk_size, **(optim or {})},
        {"model": model},
        batch_size=6,
        global_batch=6,
    )
    loader = torch.utils.data.DataLoader([batch(towers, seed) for seed in range(3)], batch_size=None)
    runner = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        callbacks=[Reseed(3), AverageWeights(ema)],
        plugins=[WholeCheckpoints()],
        **trainer,
    )
    runner.fit(own, loader, ckpt_path=resume, weights_only=True)
    runner.save_checkpoint(folder / "last.ckpt")
    return own, folder / "last.ckpt"
