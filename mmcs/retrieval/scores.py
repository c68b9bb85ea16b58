"""Scores of queries against a gallery: checked, in float32 whatever is set around us, the same for the same embeddings.

Pure functions on embeddings; what is a positive, and what is counted, stands in ``positives``, ``counting`` and
``ranks``, which calls this.

Shapes: ``N`` queries, ``M`` gallery items, ``D`` width, ``R`` rows of one chunk, ``T`` repeated rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from mmcs.errors import DataError

CHUNK = 1 << 24  # scores made at once, 64 MiB: large enough for a fast product, small beside the embeddings
ROWS = 32  # at least, of a chunk: with fewer a product takes as long. Against a huge gallery a chunk is linear in M
TILE = 1 << 18  # scores that one pass looks at: they and what is made of them, 1 MiB each, stay in a core's own cache


def check(queries: Tensor, gallery: Tensor) -> None:
    """Raises ``DataError`` unless these are embeddings (N, D) and (M, D) of one space with finite scores, M > 0."""
    norms = []
    for name, embeddings in (("queries", queries), ("gallery", gallery)):
        if embeddings.ndim != 2:
            raise DataError(
                f"the {name} of a retrieval need embeddings (N, D), but have shape {tuple(embeddings.shape)}."
            )
        norms.append(_longest(embeddings, torch.promote_types(embeddings.dtype, torch.float32)))
        if math.isfinite(norms[-1]):
            continue
        finite = torch.isfinite(embeddings).all(1)
        if not finite.all():
            row = int((~finite).nonzero()[0, 0])
            raise DataError(
                f"{int((~finite).sum())} of {len(embeddings)} embeddings of the {name} are not finite (the first is "
                f"row {row}): the model has diverged or read damaged input; no rank is counted on them."
            )
        norms[-1] = _longest(embeddings, torch.float64)
    if queries.shape[1] != gallery.shape[1]:
        raise DataError(f"queries have width {queries.shape[1]} and the gallery {gallery.shape[1]}: not one space.")
    if len(gallery) == 0:
        raise DataError("the gallery of a retrieval is empty: nothing can be ranked.")
    # No number is larger than its row's norm, no score than the product of two norms.
    if not max(*norms, norms[0] * norms[1]) < torch.finfo(torch.float32).max:
        raise DataError(
            f"embeddings of norms up to {norms[0]:.3g} (queries) and {norms[1]:.3g} (gallery) have scores beyond "
            "float32: normalise them, or scale them down."
        )


def scored(queries: Tensor, gallery: Tensor, chunk: int | None = None) -> Iterator[tuple[int, Tensor]]:
    """Dot products in float32, ``chunk`` queries at a time.

    Gallery rows that are equal bit for bit score equal for every query. A product alone does not ensure it: BLAS may
    sum the edges of a matrix, or a matrix of few rows, in another order than the rest.

    Args:
        queries: (N, D), of any floating type.
        gallery: (M, D), on the same device.
        chunk: by default as many as fit ``CHUNK`` scores, and ``ROWS`` at least.

    Yields:
        the first query of the chunk and the scores (R, M), which the next chunk overwrites.
    """
    rows = chunk or max(ROWS, CHUNK // len(gallery))
    gallery = gallery.float()
    again, first = _repeated(gallery)
    buffer = empty_scores(min(rows, len(queries)), len(gallery), queries.device)
    for start in range(0, len(queries), rows):
        part = queries[start : start + rows].float()
        scores = buffer[: len(part)]
        with _full_precision(queries.device.type):
            torch.mm(part, gallery.T, out=scores)
        if len(again):
            for tile in scores.split(tile_rows(len(gallery), scores.device)):
                tile[:, again] = tile[:, first]
        yield start, scores


def scored_both_ways(rows: Tensor, columns: Tensor) -> Tensor:
    """All the scores of ``rows`` (N, D) and ``columns`` (M, D), (N, M) float32: equal rows have equal rows of scores as
    well, so that either side may be the gallery.
    """
    _, scores = next(scored(rows, columns, len(rows)))
    again, first = _repeated(rows.float())
    step = tile_rows(len(columns), scores.device)
    for some, origin in zip(again.split(step), first.split(step), strict=True):
        scores[some] = scores[origin]
    return scores


def tile_rows(columns: int, device: torch.device) -> int:
    """How many rows of so many scores one pass takes at once."""
    return max(1, (TILE if device.type == "cpu" else CHUNK) // max(1, columns))


def empty_scores(rows: int, columns: int, device: torch.device) -> Tensor:
    """(rows, columns) float32, not filled."""
    if device.type != "cpu":
        return torch.empty(rows, columns, device=device)
    # NumPy asks the system for large pages. Without them, touching new memory takes a third of the product's time.
    return torch.from_numpy(np.empty((rows, columns), np.float32))


def _longest(embeddings: Tensor, dtype: torch.dtype) -> float:
    """The largest norm among the rows: one look at each number, and nothing that is not finite survives it."""
    return float(torch.linalg.vector_norm(embeddings, dim=1, dtype=dtype).max()) if len(embeddings) else 0.0


def _repeated(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Places (T,) of the rows of (N, D) that repeat an earlier row bit for bit, and the places (T,) of those rows."""
    key = embeddings.view(torch.int32).sum(1, dtype=torch.int32)  # overflows, which a key may
    with alone():
        _, inverse, count = key.unique(return_inverse=True, return_counts=True)
        alike = (count[inverse] > 1).nonzero()[:, 0]
    if len(alike) == 0:
        return alike, alike
    kinds, inverse = embeddings[alike].unique(dim=0, return_inverse=True)
    first = alike.new_full((len(kinds),), len(embeddings)).scatter_reduce_(0, inverse, alike, "amin")[inverse]
    return alike[first < alike], first[first < alike]


@contextmanager
def alone() -> Iterator[int]:
    """Torch works on this thread alone; gives the number of threads that it had.

    Steps of some thousand numbers gain nothing from more, and where other work holds a core, each of them would wait
    for it: on two busy cores these small steps took twice as long as the product.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _full_precision(device: str) -> Iterator[None]:
    """float32 products, whatever precision training has switched on around us (autocast, TF32)."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
