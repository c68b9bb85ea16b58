"""The map between two languages: a rotation that was hidden is found again, from seeds or from words spelt alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from torch import Tensor
from torch.nn.functional import normalize

from mmcs.errors import DataError, UserError
from mmcs.lexicons.align import align, dictionary_pairs, identical, procrustes, seed_pairs


def rotated(n: int, d: int, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors, the same turned and with noise, and the rotation."""
    generator = torch.Generator().manual_seed(0)
    source = normalize(torch.randn(n, d, generator=generator) * torch.linspace(1, 0.3, d))
    rotation, _ = torch.linalg.qr(torch.randn(d, d, generator=generator))
    return source, normalize(source @ rotation + noise * torch.randn(n, d, generator=generator)), rotation


def test_procrustes_recovers_a_rotation_and_agrees_with_scipy() -> None:
    source, target, rotation = rotated(200, 12, 0.0)
    assert torch.allclose(procrustes(source, target), rotation, atol=1e-5)
    _, noisy, _ = rotated(200, 12, 0.1)
    found = procrustes(source, noisy)
    assert np.allclose(found, orthogonal_procrustes(source.double().numpy(), noisy.double().numpy())[0], atol=1e-5)
    assert torch.allclose(found @ found.T, torch.eye(12), atol=1e-5)


def test_refinement_mends_wrong_seeds() -> None:
    """A third of the seeds is wrong; mutual neighbours come nearer to the rotation than the seeds did."""
    source, target, rotation = rotated(800, 20, 0.03)
    pairs = [(i, i) for i in range(40)] + [(i, 799 - i) for i in range(40, 60)]
    errors = []
    for refine in (0, 3):
        found, used = align(source, target, pairs, refine=refine, device="cpu", origin="seeds")
        errors.append(float((found - rotation).norm()))
        assert used[0] == 60 and len(used) == refine + 1
    assert used[-1] > 700
    assert errors[1] < errors[0] / 5


def test_too_few_seeds_and_seeds_that_lead_nowhere() -> None:
    source, target, _ = rotated(300, 20, 0.05)
    with pytest.raises(UserError, match=r"seeds of x\.txt give 3 pairs .* need 4"):
        align(source, target, [(0, 0), (1, 1), (2, 2)], refine=0, device="cpu", origin="seeds of x.txt")
    lone = normalize(torch.ones(40, 20) + 1e-3 * target[:40])
    with pytest.raises(DataError, match="does not hold"):
        align(
            source[:1].expand(40, 20).contiguous(),
            lone,
            [(i, i) for i in range(40)],
            refine=1,
            device="cpu",
            origin="x",
        )


def test_identical_words() -> None:
    assert identical(["a", "2001", "b", "Rom"], ["Rom", "c", "2001"]) == [(1, 2), (3, 0)]


def test_seed_dictionary(tmp_path: Path) -> None:
    path = tmp_path / "en-de.txt"
    path.write_text("\ufeffDog Hund\ndog\tRüde\nDOG hund\r\ncat Katze\nbird Vogel\nno\n" + "x y\n" * 9, "utf-8")
    assert list(dictionary_pairs(path, ("en", "de"), []))[:3] == [("dog", "hund"), ("dog", "rüde"), ("dog", "hund")]
    # Each pair once, and only where both sides have a vector.
    assert seed_pairs(path, ("en", "de"), {"dog": 5, "cat": 6}, {"hund": 1, "rüde": 2, "vogel": 3}, []) == [
        (5, 1),
        (5, 2),
    ]
    path.write_text("source target\ndog Hund\n")
    notes: list[str] = []
    assert list(dictionary_pairs(path, ("en", "de"), notes)) == [("dog", "hund")]
    assert notes == ["line 1 (source, target) is a header, not an entry"]
    path.write_text("one\ntwo words here\ndog Hund\n")
    with pytest.raises(DataError, match="2 of 3"):
        list(dictionary_pairs(path, ("en", "de"), []))
