"""The losses against open_clip's, forward and backward, on one process: time, and memory at growing batch.

``python -m benchmarks.loss NAME SAMPLES`` prints the KiB that one pass takes beyond what is there before it; a process of its
own per figure, since a process gives little memory back.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from open_clip.loss import ClipLoss, SigLipLoss
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.memory import growth
from benchmarks.timing import side_by_side
from mmcs.losses.info_nce import info_nce
from mmcs.losses.siglip import siglip

WIDTH = 512
Loss = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
LOSSES: dict[str, Loss] = {  # of images, texts, labels, scale, bias
    "infonce": lambda images, texts, labels, scale, bias: info_nce(images, texts, labels, scale),
    "siglip": siglip,
    "open_clip ClipLoss": lambda images, texts, labels, scale, bias: ClipLoss()(images, texts, scale),
    "open_clip SigLipLoss": lambda images, texts, labels, scale, bias: SigLipLoss()(images, texts, scale, bias),
}
PEERS = {"infonce": "open_clip ClipLoss", "siglip": "open_clip SigLipLoss"}


def measure() -> list[dict[str, Any]]:
    """The rows of this group."""
    return [
        *(_time(name, thousands) for name in PEERS for thousands in (2, 8)),
        *(_memory(name, thousands) for name in PEERS for thousands in (2, 8, 16)),
    ]


def _pass(name: str, samples: int) -> Callable[[], None]:
    generator = torch.Generator().manual_seed(0)
    images, texts = (
        normalize(torch.randn(samples, WIDTH, generator=generator), dim=1).requires_grad_() for _ in range(2)
    )
    scale, bias = (torch.tensor(value, requires_grad=True) for value in (20.0, -10.0))
    labels = torch.arange(samples)[:, None]
    return lambda: LOSSES[name](images, texts, labels, scale, bias).backward()


def _time(name: str, thousands: int) -> dict[str, Any]:
    ours, peer = (_pass(which, thousands * 1024) for which in (name, PEERS[name]))
    return side_by_side(f"{name}_{thousands}k_time", ours, peer, PEERS[name], repeats=5 if thousands < 8 else 3)


def _memory(name: str, thousands: int) -> dict[str, Any]:
    mine, theirs = (_measured(which, thousands * 1024) / 1024 for which in (name, PEERS[name]))
    return {
        "name": f"{name}_{thousands}k_memory",
        "ours": mine,
        "peer": theirs,
        "unit": "MiB",
        "ratio": theirs / mine,
        "peer_name": PEERS[name],
    }


def _measured(name: str, samples: int) -> int:
    command = [sys.executable, "-m", "benchmarks.loss", name, str(samples)]
    ran = subprocess.run(command, cwd=Path(__file__).parents[1], check=True, stdout=subprocess.PIPE, text=True)
    return int(ran.stdout)


def _own_memory(name: str, samples: int) -> int:
    _pass(name, 64)()  # libraries set themselves up
    return growth(_pass(name, samples))


if __name__ == "__main__":
    print(_own_memory(sys.argv[1], int(sys.argv[2])))
