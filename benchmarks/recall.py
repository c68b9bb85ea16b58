"""Recall of 40,000 texts over 3,600 images: ranks by counting against the bare matrix product, and torchmetrics."""

from __future__ import annotations

from typing import Any

import torch
from torchmetrics.retrieval import RetrievalRecall

from benchmarks.timing import side_by_side
from mmcs.retrieval.ranks import ranks, recall_at

CHUNK = 512


def measure() -> list[dict[str, Any]]:
    """The rows of this group."""
    generator = torch.Generator().manual_seed(0)
    texts, images = (
        torch.nn.functional.normalize(torch.randn(n, 256, generator=generator), dim=1) for n in (40_000, 3_600)
    )
    text_groups, image_groups = torch.arange(40_000) % 3_600, torch.arange(3_600)

    def ours(n: int = 40_000) -> float:
        return recall_at(ranks(texts[:n], images, text_groups[:n], image_groups), 10)

    def product() -> None:
        for chunk in texts.split(CHUNK):
            chunk @ images.T

    few = 1_000

    def theirs() -> float:
        scores = texts[:few] @ images.T
        relevant = text_groups[:few, None] == image_groups
        index = torch.arange(few)[:, None].expand_as(scores)
        return float(RetrievalRecall(top_k=10)(scores.flatten() + 2, relevant.flatten(), index.flatten()))

    return [
        side_by_side("recall_vs_matmul", ours, product, "the matrix product alone", repeats=3),
        side_by_side("recall_vs_torchmetrics", lambda: ours(few), theirs, "torchmetrics RetrievalRecall", repeats=3),
    ]
