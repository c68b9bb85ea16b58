"""A run's folder as training leaves it, without the training: every weight that may move has moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mmcs.model.build import build_towers
from mmcs.model.checkpoint import checkpoint_extras, trainable_state

LORA = {"r": 2, "alpha": 4, "dropout": 0.1, "image": True, "text": True}


def save_run(folder: Path, model: str, dtype: torch.dtype = torch.float32, **options: Any) -> Path:
    """``folder`` with a configuration and ``checkpoints/last.ckpt`` in ``dtype``; ``options`` are those of ``build_towers``."""
    arguments = {"name": model, "pretrained": None, **options}
    towers = build_towers(**arguments)
    with torch.no_grad():
        for parameter in towers.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.linspace(-0.1, 0.1, parameter.numel()).view_as(parameter))
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text("")
    state = {
        f"towers.{name}": value.to(dtype) if value.is_floating_point() else value
        for name, value in trainable_state(towers).items()
    }
    extras = checkpoint_extras(towers, {"model": arguments})
    torch.save({"state_dict": state, "mmcs": extras}, folder / "checkpoints" / "last.ckpt")
    return folder
