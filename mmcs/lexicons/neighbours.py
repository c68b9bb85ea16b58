"""Exact nearest neighbours by inner product between two sets of vectors, in blocks: 200k x 200k words fit in 4 GB.

``nearest`` does the work, ``search`` is plain retrieval or CSLS upon it. The builder (``embeddings``) and the mapping
(``align``) call them; reading vectors and what words mean are no matter of this module.

The shape of it, per block of queries: a product with all keys in the machine's fastest arithmetic, the maxima of groups
of keys, the few groups that can hold one of the k best, and exact scores (float64) of the few keys in them that can.
"Can" is a proven bound on the rounding error of the fast product, so that the arithmetic never shows in the result; a
query for which too many keys come that close is done again in float32, whole.

Letters: N queries, M keys, D width, B queries of a block, C keys of a tile, G keys of a group, K neighbours.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from mmcs.progress import track

LOCAL = 10  # neighbours over which CSLS takes the mean similarity (Conneau et al. 2018)
GROUP = 32  # G
WIDTH = 32  # D is filled up to a multiple of it: what a processor's tiles take at a time
TILE = 2048  # C on a CPU: a tile of a block stays in the cache of a core
BLOCK = {"cpu": 512, "cuda": 2048}  # B
_EXACT_ROWS = 64  # B of queries that are done again
_PAIRS = 1 << 15  # exact scores at a time

# Half a unit in the last place: what rounding to bfloat16 changes a number by at most, relatively; the same for float32.
_BF16, _F32 = 2.0**-9, 2.0**-24


class Ask(NamedTuple):
    """What is asked about every query: its ``k`` best keys by inner product, plus ``bias`` (M) of the key if given."""

    k: int
    bias: Tensor | None = None


class Found(NamedTuple):
    """Scores (N K, float64) and numbers (N K) of the best keys, best first; of equal scores the lower number first."""

    scores: Tensor
    keys: Tensor


def nearest(
    queries: Tensor,
    keys: Tensor,
    asks: Sequence[Ask],
    *,
    device: str = "cpu",
    about: str = "",
    block: int | None = None,
) -> list[Found]:
    """For each ask the best keys of every query; all asks share the products.

    Args:
        queries, keys: (N D) and (M D), float32.
        asks: at least one; K is ``ask.k``, or M where there are fewer keys.
        device: ``cpu`` or ``cuda``.
        about: stands before the progress bar.
        block: B, for tests; the result does not depend on it.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")  # no TF32: the bounds below are float32's
    try:
        return _nearest(queries, _Keys.of(keys, asks, device), asks, about, block)
    finally:
        torch.set_float32_matmul_precision(before)


def _nearest(queries: Tensor, table: _Keys, asks: Sequence[Ask], about: str, block: int | None) -> list[Found]:
    starts = range(0, len(queries), block or BLOCK[table.device.type])

    def one(start: int) -> list[Found]:
        return table.best(queries[start : start + starts.step], asks)

    blocks = list(track(_mapped(one, starts, table.device), about, len(starts)))
    empty = Found(torch.empty(0, 0, dtype=torch.float64), torch.empty(0, 0, dtype=torch.int64))
    return [Found(*map(torch.cat, zip(*found, strict=True))) for found in zip(*blocks, strict=True)] or [empty] * len(
        asks
    )


def search(
    source: Tensor, target: Tensor, *, csls: bool, top: int, mutual: bool = False, device: str = "cpu"
) -> tuple[Found, Tensor]:
    """The best targets of every source word, and which of them (N K, bool) are kept.

    Args:
        source, target: (N D) and (M D), float32, in one space; of unit length where a cosine is meant.
        csls: cross-domain similarity local scaling: 2 x.y - r_T(x) - r_S(y) instead of x.y, where r is the mean
            product with the ``LOCAL`` nearest vectors of the other language (Conneau et al. 2018, section 2.3).
        top: K.
        mutual: keep a target only where the source word is its own best, by the same score.
    """
    near = bias = back = None
    if csls:
        (local,) = nearest(target, source, [Ask(LOCAL)], device=device, about="mean similarity of targets")
        bias = -local.scores.mean(1) / 2
        near, best = nearest(source, target, [Ask(LOCAL), Ask(top, bias)], device=device, about="neighbours")
        back = -near.scores.mean(1) / 2
    else:
        (best,) = nearest(source, target, [Ask(top)], device=device, about="neighbours")
    kept = torch.ones_like(best.keys, dtype=torch.bool)
    if mutual and best.keys.numel():
        wanted, place = best.keys.unique(return_inverse=True)
        (own,) = nearest(target[wanted], source, [Ask(1, back)], device=device, about="mutual neighbours")
        kept = own.keys[:, 0][place] == torch.arange(len(source))[:, None]
    if back is not None:
        best = Found(2 * (best.scores + back[:, None]), best.keys)
    return best, kept


def _mapped(work: Callable[[int], list[Found]], starts: Iterable[int], device: torch.device) -> Iterable[list[Found]]:
    """``work`` over all blocks, in order. On a CPU one block per core: no barrier at which one core waits for another."""
    if device.type != "cpu":
        yield from map(work, starts)
        return
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(work, starts)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def fast_type(device: torch.device) -> torch.dtype:
    """The arithmetic of the products: bfloat16 where the processor has tiles for it, else float32."""
    tiles = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return torch.bfloat16 if device.type == "cpu" and tiles is not None and tiles() else torch.float32


@dataclass
class _Keys:
    """The keys, laid out for products."""

    keys: Tensor  # M D, float32
    tiles: Tensor  # M/C D C, of the fast type, zero beyond M
    biases: list[Tensor | None]  # per ask M, float64
    fast_biases: list[Tensor | None]  # per ask M/C C, of the fast type
    longest: float  # norm
    rounding: float  # norm of what the fast type has cut off a key, at most
    rooms: threading.local = field(default_factory=threading.local)

    @classmethod
    def of(cls, keys: Tensor, asks: Sequence[Ask], device: str, fast: torch.dtype | None = None) -> _Keys:
        place = torch.device(device)
        fast = fast or fast_type(place)
        m, d = keys.shape
        c = min(TILE if place.type == "cpu" else 8 * TILE, max(1, -(-m // GROUP)) * GROUP)
        count = max(1, -(-m // c))
        keys = keys.to(place, torch.float32)
        tiles = torch.zeros(count, d + -d % WIDTH, c, dtype=fast, device=place)
        rounding = 0.0
        for i in range(count):
            part = keys[i * c : (i + 1) * c]
            tiles[i, :d, : len(part)] = part.T
            if len(part):
                cut = tiles[i, :d, : len(part)].float().T - part
                rounding = max(rounding, float(cut.norm(dim=1).max()))
        biases = [None if ask.bias is None else ask.bias.to(place, torch.float64) for ask in asks]
        fast_biases: list[Tensor | None] = []
        for bias in biases:
            padded = torch.zeros(count * c, dtype=fast, device=place)
            if bias is not None:
                padded[:m] = bias
            fast_biases.append(None if bias is None else padded.view(count, c))
        longest = float(keys.norm(dim=1).max()) if m else 0.0
        return cls(keys, tiles, biases, fast_biases, longest, rounding)

    @property
    def device(self) -> torch.device:
        return self.keys.device

    def best(self, queries: Tensor, asks: Sequence[Ask]) -> list[Found]:
        """Of one block of queries."""
        exact = queries.to(self.device, torch.float32)
        products, maxima = self._products(pad(exact, (0, -exact.shape[1] % WIDTH)).to(self.tiles.dtype))
        error = self._error(exact)
        return [self._best(i, ask.k, exact, products, maxima[i], error) for i, ask in enumerate(asks)]

    def _error(self, exact: Tensor) -> Tensor:
        """How far a fast product may lie from the exact one, per query (B): Cauchy and Schwarz on what was cut off."""
        fast = exact.to(self.tiles.dtype).float()
        norm, cut = exact.norm(dim=1), (fast - exact).norm(dim=1)
        summing = 2 * exact.shape[1] * _F32 * (norm + cut) * (self.longest + self.rounding)
        error = cut * self.longest + (norm + cut) * self.rounding + summing
        return error + self._stored((norm + cut) * (self.longest + self.rounding))

    def _stored(self, size: Tensor) -> Tensor:
        """What storing a number of that size may change it by."""
        return size * (_BF16 if self.tiles.dtype == torch.bfloat16 else _F32)

    def _buffer(self, size: int) -> Tensor:
        """Room for the products of a block, one per thread: fresh memory for every block would cost more than its sums."""
        kept: Tensor | None = getattr(self.rooms, "kept", None)
        if kept is None or len(kept) < size:
            kept = self.rooms.kept = torch.empty(size, dtype=self.tiles.dtype, device=self.device)
        return kept[:size]

    def _products(self, fast: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Products of a block with all keys (M/C B C), and per ask the maxima of the groups (B M/G) with its bias."""
        count, _, c = self.tiles.shape
        products = self._buffer(count * len(fast) * c).view(count, len(fast), c)
        maxima = [
            torch.empty(count, len(fast), c // GROUP, dtype=torch.float32, device=self.device) for _ in self.biases
        ]
        for i in range(count):
            torch.mm(fast, self.tiles[i], out=products[i])
            for of_ask, bias in zip(maxima, self.fast_biases, strict=True):
                of_ask[i] = _group_maxima(products[i] if bias is None else products[i] + bias[i])
        for of_ask in maxima:  # groups of the last tile that hold no key
            of_ask[-1, :, len(self.keys) - (count - 1) * c :] = -torch.inf
        return products, [of_ask.transpose(0, 1).flatten(1) for of_ask in maxima]

    def _best(self, i: int, k: int, exact: Tensor, products: Tensor, maxima: Tensor, error: Tensor) -> Found:
        bias, k = self.biases[i], min(k, len(self.keys))
        groups = maxima.topk(min(2 * k + 16, maxima.shape[1]), sorted=False)
        columns, near = self._members(groups.indices, products, bias)
        kth = near.topk(k, sorted=False).values.amin(1) if k else near.new_zeros(len(near))
        row, at = (near >= (kth - 2 * error)[:, None]).nonzero(as_tuple=True)
        found = self._ranked(exact, row, columns[row, at], k, bias)
        if groups.indices.shape[1] < maxima.shape[1]:
            biggest = 0.0 if bias is None else float(bias.abs().max())
            of_group = (
                error
                if bias is None
                else error
                + self._stored(error.new_tensor(2 * biggest))
                + self._stored(exact.norm(dim=1) * (self.longest + self.rounding) * 1.01 + biggest)
            )
            # A group that was not looked into may hold one of the k best after all.
            again = (groups.values.amin(1) >= kth - error - of_group).nonzero()[:, 0]
            for rows in again.split(_EXACT_ROWS):
                scores, keys = self._whole(exact[rows], k, bias)
                found.scores[rows.cpu()], found.keys[rows.cpu()] = scores, keys
        return found

    def _members(self, groups: Tensor, products: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """Of groups (B n): the numbers of their keys (B n*G) and their fast products, -inf beyond the last key."""
        _, b, c = products.shape
        width = c // GROUP  # the groups of a tile interleave: key j of a tile is in group j % width
        tile, first = groups // width, groups % width
        inside = (first[:, :, None] + torch.arange(0, c, width, device=groups.device)).flatten(1)
        tile = tile.repeat_interleave(GROUP, dim=1)
        columns = tile * c + inside
        rows = torch.arange(b, device=groups.device)[:, None]
        near = products.view(-1)[tile * (b * c) + rows * c + inside].float()
        valid = columns < len(self.keys)
        if bias is not None:
            near += bias[columns.clamp_max(len(self.keys) - 1)].float()
        return columns, near.masked_fill(~valid, -torch.inf)

    def _whole(self, exact: Tensor, k: int, bias: Tensor | None) -> Found:
        """The best of queries whose neighbours stand too close together for the fast product."""
        near = exact @ self.keys.T
        if bias is not None:
            near += bias.float()
        size = exact.norm(dim=1) * self.longest + (0.0 if bias is None else float(bias.abs().max()))
        error = 2 * (exact.shape[1] + 2) * _F32 * size
        kth = near.topk(k, sorted=False).values.amin(1)
        row, column = (near >= (kth - 2 * error)[:, None]).nonzero(as_tuple=True)
        return self._ranked(exact, row, column, k, bias)

    def _ranked(self, exact: Tensor, row: Tensor, column: Tensor, k: int, bias: Tensor | None) -> Found:
        """The k best of pairs (query of the block, key) that are sorted by query and hold at least k of each."""
        parts = [
            (exact[r].double() * self.keys[c].double()).sum(1)
            for r, c in zip(row.split(_PAIRS), column.split(_PAIRS), strict=True)
        ]
        score = torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64, device=self.device)
        if bias is not None:
            score += bias[column]
        order = column.argsort(stable=True)
        order = order[score[order].argsort(stable=True, descending=True)]
        order = order[row[order].argsort(stable=True)]
        row, column, score = row[order], column[order], score[order]
        first = torch.searchsorted(row, torch.arange(len(exact), device=row.device))
        take = first[:, None] + torch.arange(k, device=row.device)
        return Found(score[take].cpu(), column[take].cpu())


def _group_maxima(products: Tensor) -> Tensor:
    """Maxima of the groups of a tile: (B C) to (B C/G), float32; where the greatest is negative, 0 may stand for it."""
    b, c = products.shape
    if products.dtype != torch.bfloat16:
        return products.view(b, GROUP, c // GROUP).amax(1)
    # Positive numbers are in the order of their bits, and whole numbers of 16 bits compare several times faster.
    return products.view(torch.int16).view(b, GROUP, c // GROUP).amax(1).clamp_min_(0).view(torch.bfloat16).float()
