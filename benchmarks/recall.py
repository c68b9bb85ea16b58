"""Retrieval figures of a suite of XM3600's size against the bare matrix product, and against torchmetrics.

3,600 images and 7,250 texts in each of 36 languages (261,000), embeddings of 512 numbers. Per language both directions: the
texts ask for images, the images for texts of that language. ``python -m benchmarks.recall memory {}`` prints the KiB that all
languages take beyond their embeddings.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torchmetrics import MetricCollection
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMRR, RetrievalNormalizedDCG

from benchmarks.memory import growth
from benchmarks.timing import job
from mmcs.retrieval.ranks import Found, find_both, median_rank, mrr_at, recall_at
from mmcs.retrieval.scores import empty_scores

LANGUAGES, TEXTS, IMAGES, WIDTH = 36, 7_250, 3_600, 512
ROUNDS = 3
FEW = 200  # queries of each direction that torchmetrics is given: it takes them one by one
KS = (1, 5, 10)
GROUPS = torch.arange(TEXTS) % IMAGES, torch.arange(IMAGES)


def measure() -> list[dict[str, Any]]:
    """The rows of this group."""
    images, texts = _embeddings()
    ours, product = _all_languages(images, texts)
    peer = _torchmetrics(texts[0], images)
    memory = job("benchmarks.recall", "memory", {}) / 1024
    whole = LANGUAGES * TEXTS * IMAGES * 4 / 2**20
    cores = f"{torch.get_num_threads()} threads"
    return [
        _row("recall_vs_matmul", ours, product, "s", f"the matrix product alone, once per language, {cores}"),
        _row(
            "recall_vs_torchmetrics", ours / LANGUAGES, peer, "s", f"torchmetrics, {FEW} queries scaled to one language"
        ),
        _row("recall_memory", memory, whole, "MiB", "the full score matrix (computed, not measured)"),
    ]


def figures(found: Found) -> dict[str, float]:
    """Every figure of one direction."""
    recalls = {f"recall@{k}": recall_at(found.ranks, k) for k in KS}
    return {
        **recalls,
        "mean_recall": statistics.mean(recalls.values()),
        "mrr@10": mrr_at(found.ranks, 10),
        "ndcg@10": float(found.ndcg.mean()),
        "median_rank": median_rank(found.ranks),
    }


def _embeddings() -> tuple[Tensor, Tensor]:
    """Images (M, D) and texts (languages, N, D) near them."""
    generator = torch.Generator().manual_seed(0)
    images = normalize(torch.randn(IMAGES, WIDTH, generator=generator), dim=1)
    texts = torch.empty(LANGUAGES, TEXTS, WIDTH)
    for own in texts:
        own[:] = normalize(images[GROUPS[0]] + 0.2 * torch.randn(TEXTS, WIDTH, generator=generator), dim=1)
    return images, texts


def _ours(texts: Tensor, images: Tensor) -> list[dict[str, float]]:
    return [figures(found) for found in find_both(texts, images, *GROUPS)]


def _all_languages(images: Tensor, texts: Tensor) -> tuple[float, float]:
    """Seconds for all languages, ours and the product alone: in turns, language by language, of each the best of the rounds."""
    room = empty_scores(TEXTS, IMAGES, images.device)

    def product(own: Tensor, rows: int) -> None:
        for start in range(0, TEXTS, rows):
            torch.mm(own[start : start + rows], images.T, out=room[start : start + rows])

    rows = min((512, 1024, 2048, TEXTS), key=lambda rows: min(_seconds(product, texts[0], rows) for _ in range(3)))
    _ours(texts[0], images)
    best = [[float("inf")] * LANGUAGES for _ in range(2)]
    for number in range(ROUNDS):
        for language, own in enumerate(texts):
            for taken, seconds in zip(best, (_seconds(_ours, own, images), _seconds(product, own, rows)), strict=True):
                taken[language] = min(taken[language], seconds)
        print(f"  round {number + 1}: {sum(best[0]):.2f} s against {sum(best[1]):.2f} s", file=sys.stderr, flush=True)
    return sum(best[0]), sum(best[1])


def _torchmetrics(texts: Tensor, images: Tensor) -> float:
    """Seconds that the same figures (no median rank) would take it for one language, from a part of its queries."""
    (text_groups, image_groups), total = GROUPS, 0.0
    for queries, gallery, groups, others in (
        (texts, images, text_groups, image_groups),
        (images, texts, image_groups, text_groups),
    ):
        few = min(_seconds(_their_figures, queries[:FEW], gallery, groups[:FEW], others) for _ in range(ROUNDS))
        total += few * len(queries) / FEW
    return total


def _their_figures(queries: Tensor, gallery: Tensor, groups: Tensor, others: Tensor) -> dict[str, Tensor]:
    metrics = MetricCollection(
        {
            **{f"recall@{k}": RetrievalHitRate(top_k=k) for k in KS},
            "mrr@10": RetrievalMRR(top_k=10),
            "ndcg@10": RetrievalNormalizedDCG(top_k=10),
        }
    )
    index = torch.arange(len(queries)).repeat_interleave(len(gallery))
    result: dict[str, Tensor] = metrics(
        (queries @ gallery.T).flatten(), (groups[:, None] == others).flatten(), indexes=index
    )
    return result


def _seconds(function: Callable[..., Any], *arguments: Any) -> float:
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def _row(name: str, ours: float, peer: float, unit: str, peer_name: str) -> dict[str, Any]:
    return {"name": name, "ours": ours, "peer": peer, "unit": unit, "ratio": peer / ours, "peer_name": peer_name}


def _own_memory() -> int:
    images, texts = _embeddings()
    find_both(texts[0, :64], images[:64], GROUPS[0][:64], GROUPS[1][:64])  # libraries set themselves up
    return growth(lambda: [_ours(own, images) for own in texts])


if __name__ == "__main__":
    print(_own_memory())
