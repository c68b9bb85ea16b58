"""Neighbours: the blocked search, in whatever arithmetic, gives what a full matrix in float64 gives, ties included."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmcs.lexicons import neighbours
from mmcs.lexicons.neighbours import Ask, Found, nearest, search


def naive(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of every row; of equal ones the first."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), order


def matrix(source: Tensor, target: Tensor) -> np.ndarray:
    # Sums, not a matrix product: there equal columns may come out unequal in the last bit.
    return (source.double().numpy()[:, None] * target.double().numpy()).sum(2)


def naive_csls(source: Tensor, target: Tensor) -> np.ndarray:
    dots = matrix(source, target)
    r_source, r_target = np.sort(dots, 1)[:, -10:].mean(1), np.sort(dots, 0)[-10:].mean(0)
    return 2 * dots - r_source[:, None] - r_target[None]


def same(found: Found, expected: tuple[np.ndarray, np.ndarray]) -> None:
    assert np.allclose(found.scores.numpy(), expected[0], atol=1e-12)
    assert np.array_equal(found.keys.numpy(), expected[1])


def vectors(n: int, d: int, seed: int) -> Tensor:
    return normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)))


def kinds(n: int, m: int, d: int) -> dict[str, tuple[Tensor, Tensor]]:
    x, y = vectors(n, d, 0), vectors(m, d, 1)
    lengths = torch.linspace(0.1, 9, m)[torch.randperm(m, generator=torch.Generator().manual_seed(2))]
    return {
        "unit length": (x, y),
        "all lengths": (x * 3, y * lengths[:, None]),
        "every key twenty times": (x, y[torch.arange(m) % max(1, m // 20)]),
        "small whole numbers, full of ties": ((x * 4).round(), (y * 4).round()),
        "all products negative": (x.abs(), -y.abs()),
        "keys closer than bfloat16 tells apart": (x, y[:1] + y * 1e-4),
    }


@pytest.mark.parametrize("kind", kinds(1, 1, 1))
@pytest.mark.parametrize("arithmetic", [torch.bfloat16, torch.float32])
def test_nearest_is_exact(kind: str, arithmetic: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "fast_type", lambda device: arithmetic)
    for n, m in ((1, 1), (9, 5), (40, 2049), (150, 700)):
        queries, keys = kinds(n, m, 24)[kind]
        bias = -torch.rand(m, generator=torch.Generator().manual_seed(3), dtype=torch.float64) / 3
        scores = matrix(queries, keys)
        for block in (7, 64, None):
            plain, biased = nearest(queries, keys, [Ask(10), Ask(3, bias)], block=block)
            same(plain, naive(scores, 10))
            same(biased, naive(scores + bias.numpy(), 3))


def test_many_keys_in_several_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """More groups than are looked into, so that the bound decides; some queries are done again."""
    again = []
    whole = neighbours._Keys._whole
    monkeypatch.setattr(
        neighbours._Keys, "_whole", lambda self, exact, *rest: (again.append(len(exact)), whole(self, exact, *rest))[1]
    )
    monkeypatch.setattr(neighbours, "fast_type", lambda device: torch.bfloat16)
    queries, keys = vectors(30, 16, 0), vectors(9000, 16, 1)
    (found,) = nearest(queries, keys, [Ask(10)], block=11)
    same(found, naive(matrix(queries, keys), 10))
    easy = sum(again)
    keys[:6000] = keys[:1] + keys[:6000] * 1e-4
    (found,) = nearest(keys[:30], keys, [Ask(10)], block=11)
    same(found, naive(matrix(keys[:30], keys), 10))
    assert easy < 30 <= sum(again) - easy


@pytest.mark.parametrize(("csls", "mutual"), product([True, False], [True, False]))
def test_search_equals_the_full_matrix(csls: bool, mutual: bool) -> None:
    source, target = vectors(300, 12, 0), vectors(250, 12, 1)
    scores = naive_csls(source, target) if csls else matrix(source, target)
    best, kept = search(source, target, csls=csls, top=4, mutual=mutual)
    same(best, naive(scores, 4))
    own = scores.argmax(0)
    expected = own[naive(scores, 4)[1]] == np.arange(300)[:, None] if mutual else np.ones((300, 4), bool)
    assert np.array_equal(kept.numpy(), expected)
    assert kept.any() and (not mutual or not kept.all())


def test_csls_finds_what_hubs_hide() -> None:
    """A word near to all is the nearest neighbour of many, and hardly anybody's by CSLS: the reason why CSLS is there."""
    target = vectors(200, 30, 0)
    source = normalize(target + 0.3 * torch.randn(200, 30, generator=torch.Generator().manual_seed(1)))
    source, target = source + 0.9, target + 0.9
    target = torch.cat([normalize(target), normalize(torch.ones(1, 30))])
    source = normalize(source)
    truth = torch.arange(200)
    plain, _ = search(source, target, csls=False, top=1)
    local, _ = search(source, target, csls=True, top=1)
    assert (plain.keys[:, 0] == 200).float().mean() > 0.2
    assert (local.keys[:, 0] == 200).float().mean() < 0.05
    assert (local.keys[:, 0] == truth).float().mean() > (plain.keys[:, 0] == truth).float().mean() + 0.05


def test_nothing_asked_of_nothing() -> None:
    (found,) = nearest(torch.empty(0, 5), vectors(4, 5, 0), [Ask(2)])
    assert found.keys.numel() == 0


def test_the_caller_keeps_its_settings() -> None:
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        x, y = vectors(40, 50, 0), vectors(90, 50, 1)
        (found,) = nearest(x, y, [Ask(5)])
        same(found, naive(matrix(x, y), 5))
        assert torch.get_float32_matmul_precision() == "medium" and torch.get_num_threads() == threads
    finally:
        torch.set_float32_matmul_precision(precision)
