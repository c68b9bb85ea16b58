"""Scores of queries against a gallery: checked, in float32 whatever is set around us, the same for the same embeddings.

Pure functions on embeddings; what is a positive, and what is counted, stands in ``positives``, ``counting`` and
``ranks``, which calls this.

Shapes: ``N`` queries, ``M`` gallery items, ``D`` width, ``R`` rows of one chunk, ``T`` repeated rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmcs.errors import DataError
from mmcs.retrieval.strips import alone, in_strips

CHUNK = 1 << 24  # scores made at once, 64 MiB: large enough for a fast product, small beside the embeddings
ROWS = 32  # at least, of a chunk: with fewer a product takes as long. Against a huge gallery a chunk is linear in M
TILE = 1 << 18  # scores that one pass looks at: they and what is made of them, 1 MiB each, stay in a core's own cache


@dataclass(frozen=True)
class Items:
    """Queries or a gallery, looked through once, whatever they are scored against.

    Attributes:
        embeddings: (N, D) as they were given.
        longest: the largest norm of a row.
        again, first: (T,) int64, places of the rows that repeat an earlier row bit for bit, and of those rows.
    """

    embeddings: Tensor
    longest: float
    again: Tensor
    first: Tensor


def look_through(name: str, embeddings: Tensor) -> Items:
    """What scoring must know of ``embeddings`` (N, D), of any floating type.

    Raises:
        DataError: they are no matrix, or not finite; ``name`` says which they are.
    """
    if embeddings.ndim != 2:
        raise DataError(f"the {name} of a retrieval need embeddings (N, D), but have shape {tuple(embeddings.shape)}.")
    looked = in_strips(_norm_and_keys, embeddings)
    longest = max(norm for norm, _ in looked)
    if not math.isfinite(longest):
        finite = torch.isfinite(embeddings).all(1)
        if not finite.all():
            row = int((~finite).nonzero()[0, 0])
            raise DataError(
                f"{int((~finite).sum())} of {len(embeddings)} embeddings of the {name} are not finite (the first is "
                f"row {row}): the model has diverged or read damaged input; no rank is counted on them."
            )
        longest = float(torch.linalg.vector_norm(embeddings, dim=1, dtype=torch.float64).max())
    return Items(embeddings, longest, *_repeated(embeddings, torch.cat([keys for _, keys in looked])))


def check(queries: Items, gallery: Items) -> None:
    """Raises ``DataError`` unless these are of one space, there is a gallery, and every score is finite."""
    widths = queries.embeddings.shape[1], gallery.embeddings.shape[1]
    if widths[0] != widths[1]:
        raise DataError(f"queries have width {widths[0]} and the gallery {widths[1]}: not one space.")
    if len(gallery.embeddings) == 0:
        raise DataError("the gallery of a retrieval is empty: nothing can be ranked.")
    # No number is larger than its row's norm, no score than the product of two norms.
    if not max(queries.longest, gallery.longest, queries.longest * gallery.longest) < torch.finfo(torch.float32).max:
        raise DataError(
            f"embeddings of norms up to {queries.longest:.3g} (queries) and {gallery.longest:.3g} (gallery) have scores "
            "beyond float32: normalise them, or scale them down."
        )


def scored(
    queries: Items, gallery: Items, chunk: int | None = None, room: Tensor | None = None
) -> Iterator[tuple[int, Tensor]]:
    """Dot products in float32, ``chunk`` queries at a time.

    Gallery rows that are equal bit for bit score equal for every query. A product alone does not ensure it: BLAS may
    sum the edges of a matrix, or a matrix of few rows, in another order than the rest.

    Args:
        queries: N of width D.
        gallery: M of them, on the same device.
        chunk: by default as many as fit ``CHUNK`` scores, and ``ROWS`` at least.
        room: where the scores go, (chunk or more, M) float32; by default new memory.

    Yields:
        the first query of the chunk and the scores (R, M), which the next chunk overwrites.
    """
    asking, columns = queries.embeddings, gallery.embeddings.float().T
    rows = chunk or max(ROWS, CHUNK // columns.shape[1])
    if room is None:
        room = empty_scores(min(rows, len(asking)), columns.shape[1], asking.device)
    for start in range(0, len(asking), rows):
        part = asking[start : start + rows].float()
        scores = room[: len(part)]
        with _full_precision(part.device.type):
            torch.mm(part, columns, out=scores)
        if len(gallery.again):
            for tile in scores.split(tile_rows(columns.shape[1], scores.device)):
                tile[:, gallery.again] = tile[:, gallery.first]
        yield start, scores


def scored_both_ways(rows: Items, columns: Items, room: Tensor) -> Tensor:
    """All the scores of ``rows`` (N, D) and ``columns`` (M, D), (N, M) float32 in ``room`` (N or more, M): equal rows have
    equal rows of scores as well, so that either side may be the gallery.
    """
    _, scores = next(scored(rows, columns, len(rows.embeddings), room))
    step = tile_rows(scores.shape[1], scores.device)
    for again, first in zip(rows.again.split(step), rows.first.split(step), strict=True):
        scores[again] = scores[first]
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


def _norm_and_keys(embeddings: Tensor) -> tuple[float, Tensor]:
    """The largest norm of the rows, which nothing that is not finite survives, and a key (N,) int32 of each row's bits."""
    wide = embeddings.float()
    keys = wide.view(torch.int32).sum(1, dtype=torch.int32)  # overflows, which a key may
    return float(torch.linalg.vector_norm(wide, dim=1).max()) if len(wide) else 0.0, keys


@alone()
def _repeated(embeddings: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """``Items.again`` and ``first``: equal keys are looked at whole."""
    _, inverse, count = keys.unique(return_inverse=True, return_counts=True)
    alike = (count[inverse] > 1).nonzero()[:, 0]
    if len(alike) == 0:
        return alike, alike
    kinds, inverse = embeddings[alike].float().unique(dim=0, return_inverse=True)
    first = alike.new_full((len(kinds),), len(embeddings)).scatter_reduce_(0, inverse, alike, "amin")[inverse]
    return alike[first < alike], first[first < alike]


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
