"""Ranks equal a naive count over the full score matrix, ties never help, and open_clip agrees where it applies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip_train.train import get_clip_metrics

from mmcs.errors import DataError
from mmcs.retrieval import ranks as module
from mmcs.retrieval.ranks import median_rank, mrr_at, ranks, recall_at, top_k


def naive_ranks(queries, gallery, query_groups, gallery_groups):
    """The definition, item by item."""
    found = []
    for query, group in zip(queries.tolist(), query_groups.tolist(), strict=True):
        scores = [sum(a * b for a, b in zip(query, item, strict=True)) for item in gallery.tolist()]
        own = [score for score, other in zip(scores, gallery_groups.tolist(), strict=True) if other == group]
        rest = [score for score, other in zip(scores, gallery_groups.tolist(), strict=True) if other != group]
        found.append(1 + sum(score >= max(own) for score in rest) if own else 0)
    return found


@st.composite
def problems(draw):
    """Small whole numbers as embeddings: products are exact and ties frequent; groups repeat or are missing."""
    n, m, d = draw(st.integers(1, 12)), draw(st.integers(1, 15)), draw(st.integers(1, 3))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    few = draw(st.integers(1, 8))
    return (
        torch.tensor(random.integers(-2, 3, (n, d)), dtype=torch.float32),
        torch.tensor(random.integers(-2, 3, (m, d)), dtype=torch.float32),
        torch.tensor(random.integers(0, few, n)),
        torch.tensor(random.integers(0, few, m)),
    )


@settings(max_examples=150, deadline=None)
@given(problems(), st.sampled_from([None, 1, 2, 5]))
def test_ranks_equal_the_naive_count_with_ties_and_any_number_of_positives(problem, chunk):
    assert ranks(*problem, chunk=chunk).tolist() == naive_ranks(*problem)


@settings(max_examples=150, deadline=None)
@given(problems(), st.integers(1, 16), st.sampled_from([None, 1, 4]))
def test_top_k_equals_a_full_sort_and_agrees_with_ranks(problem, k, chunk):
    queries, gallery, query_groups, gallery_groups = problem
    indices, scores = top_k(*problem, k=k, chunk=chunk)
    full = queries @ gallery.T
    for row in range(len(queries)):
        positive = (gallery_groups == query_groups[row]).tolist()
        order = sorted(range(len(gallery)), key=lambda item: (-float(full[row, item]), positive[item], item))
        assert indices[row].tolist() == order[:k]
        assert torch.equal(scores[row], full[row, indices[row]])
    first = [
        next((p for p, i in enumerate(r, 1) if gallery_groups[i] == g), 0)
        for r, g in zip(indices, query_groups, strict=True)
    ]
    found = ranks(*problem).tolist()
    assert first == [rank if rank <= k else 0 for rank in found]


def test_single_captions_without_ties_agree_with_open_clip():
    torch.manual_seed(0)
    images = torch.nn.functional.normalize(torch.randn(300, 32), dim=1)
    texts = torch.nn.functional.normalize(images + 0.4 * torch.randn(300, 32), dim=1)
    theirs = get_clip_metrics(images, texts, torch.tensor(100.0))
    ids = torch.arange(300)
    for name, found in (
        ("image_to_text", ranks(images, texts, ids, ids)),
        ("text_to_image", ranks(texts, images, ids, ids)),
    ):
        for k in (1, 5, 10):
            assert recall_at(found, k) == pytest.approx(theirs[f"{name}_R@{k}"])
        assert found.double().mean().item() == pytest.approx(theirs[f"{name}_mean_rank"])


@pytest.mark.parametrize("n", [1, 2, 3, 17, 130])
@pytest.mark.parametrize("width", [7, 256, 640])
def test_a_constant_model_finds_nothing(n, width):
    """Equal embeddings must score equal on every path through BLAS, or rounding would hand out hits."""
    vector = torch.nn.functional.normalize(torch.randn(1, width, generator=torch.Generator().manual_seed(n)), dim=1)
    gallery = 331
    found = ranks(
        vector.expand(n, -1).contiguous(),
        vector.expand(gallery, -1).contiguous(),
        torch.arange(n),
        torch.arange(gallery),
        chunk=n - 1 or 1,
    )
    assert found.tolist() == [gallery] * n
    assert recall_at(found, 10) == mrr_at(found, 10) == 0


def test_low_precision_around_us_changes_nothing():
    torch.manual_seed(0)
    queries, gallery, ids = torch.randn(50, 16), torch.randn(80, 16), torch.arange(80)
    plain = ranks(queries, gallery, ids[:50], ids)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ranks(queries, gallery, ids[:50], ids), plain)


def test_memory_is_bounded_by_the_chunk(monkeypatch):
    """However many queries, scores are made a bounded number at a time."""
    monkeypatch.setattr(module, "SCORES_AT_ONCE", 400)
    seen = [len(scores) * scores.shape[1] for _, scores in module._scored(torch.randn(90, 4), torch.randn(40, 4), None)]
    assert max(seen) <= 400 and sum(seen) == 3600


def test_figures_of_ranks():
    found = torch.tensor([1, 2, 11, 0])
    assert recall_at(found, 1) == 0.25 and recall_at(found, 10) == 0.5
    assert mrr_at(found, 10) == pytest.approx((1 + 0.5) / 4)
    assert median_rank(torch.tensor([1, 2, 11, 5])) == 3.5


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(value):
    broken = torch.ones(3, 2)
    broken[1, 1] = value
    ids = torch.arange(3)
    with pytest.raises(DataError, match=r"1 of 3 embeddings of the gallery are not finite .* row 1"):
        ranks(torch.ones(3, 2), broken, ids, ids)


def test_shapes_that_do_not_fit_are_refused():
    ids = torch.arange(3)
    with pytest.raises(DataError, match="not one space"):
        ranks(torch.ones(3, 2), torch.ones(3, 4), ids, ids)
    with pytest.raises(DataError, match="gallery of a retrieval is empty"):
        ranks(torch.ones(3, 2), torch.ones(0, 2), ids, ids[:0])
    with pytest.raises(DataError, match="groups"):
        ranks(torch.ones(3, 2), torch.ones(3, 2), ids[:2], ids)
