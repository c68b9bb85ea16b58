"""Ranks, nDCG and lists equal the definition, item by item; ties never help; what cannot be ranked is refused."""

from __future__ import annotations

from dataclasses import astuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_retrieval import naive_found, naive_order, problems, suite

from mmcs.errors import DataError
from mmcs.retrieval import counting, scores, top
from mmcs.retrieval import ranks as module
from mmcs.retrieval.ranks import find, find_both, median_rank, mrr_at, ranks, recall_at, top_k


def swapped(problem):
    queries, gallery, query_groups, gallery_groups = problem
    return gallery, queries, gallery_groups, query_groups


def assert_naive(found, problem, k=0):
    wanted, ndcg = naive_found(*problem)
    assert found.ranks.dtype == torch.int64 and found.ranks.tolist() == wanted
    assert found.ndcg.tolist() == pytest.approx(ndcg, abs=1e-12)
    assert found.indices.tolist() == [order[:k] for order in naive_order(*problem)]
    assert torch.equal(found.scores, (problem[0] @ problem[1].T).gather(1, found.indices))


@settings(max_examples=150, deadline=None)
@given(problems(), st.sampled_from([0, 3, 100]), st.sampled_from([None, 1, 2, 5]))
def test_one_direction_equals_the_definition_with_ties_and_any_number_of_positives(problem, k, chunk):
    assert_naive(find(*problem, k=k, chunk=chunk), problem, k)


@settings(max_examples=150, deadline=None)
@given(problems(), st.sampled_from([0, 3, 100]))
def test_both_directions_from_one_product_equal_the_definition(problem, k):
    for found, directed in zip(find_both(*problem, k=k), (problem, swapped(problem)), strict=True):
        assert_naive(found, directed, k)


@settings(max_examples=50, deadline=None)
@given(problems(largest=40))
def test_more_than_ten_positives_of_one_query_count_as_ten_in_the_ideal(problem):
    queries, gallery, query_groups, gallery_groups = problem
    few = queries, gallery, query_groups % 2, gallery_groups % 2
    assert_naive(find(*few), few)


def test_suites_larger_than_a_tile_and_a_chunk_equal_the_definition(monkeypatch):
    for place in (counting, scores, top):
        monkeypatch.setattr(place, "TILE" if place is not top else "AT_ONCE", 500)
    monkeypatch.setattr(counting, "WIDEST", 30)
    problem = suite(71, 305)
    for found, directed in zip(find_both(*problem, k=7), (problem, swapped(problem)), strict=True):
        assert_naive_ranks(found, directed)
        assert_naive_ranks(find(*directed, k=7, chunk=100), directed)


def assert_naive_ranks(found, problem):
    """On data without ties, whose float32 scores need not equal double ones to the bit."""
    wanted, ndcg = naive_found(*problem)
    assert found.ranks.tolist() == wanted
    assert found.ndcg.tolist() == pytest.approx(ndcg, abs=1e-12)
    assert found.indices.tolist() == [order[:7] for order in naive_order(*problem)]


def test_scores_that_do_not_fit_at_once_are_made_per_direction_with_the_same_result(monkeypatch):
    problem = suite(50, 120)
    whole = find_both(*problem, k=5)
    monkeypatch.setattr(module, "WHOLE", 50 * 120 - 1)
    monkeypatch.setattr(module, "scored_both_ways", None)
    for one, other in zip(whole, find_both(*problem, k=5), strict=True):
        assert torch.equal(one.ranks, other.ranks) and torch.equal(one.ndcg, other.ndcg)
        assert torch.equal(one.indices, other.indices)
        torch.testing.assert_close(one.scores, other.scores)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_ranked_as_their_float32_values_are(dtype):
    texts, images, text_groups, image_groups = suite(40, 90)
    given = texts.to(dtype), images.to(dtype), text_groups, image_groups
    wide = given[0].float(), given[1].float(), text_groups, image_groups
    for one, other in zip(find_both(*given, k=5), find_both(*wide, k=5), strict=True):
        for tensor, same in zip(astuple(one), astuple(other), strict=True):
            assert torch.equal(tensor, same)
    assert torch.equal(find(*given).ranks, find(*wide).ranks)


def test_embeddings_of_any_length_are_ranked_by_their_dot_products():
    texts, images, text_groups, image_groups = suite(40, 90)
    problem = texts * torch.linspace(1e-3, 1e3, 90)[:, None], images * 7, text_groups, image_groups
    for found, directed in zip(find_both(*problem, k=7), (problem, swapped(problem)), strict=True):
        assert_naive_ranks(found, directed)


def test_one_item_against_one():
    one, group = torch.ones(1, 4), torch.tensor([3])
    for found in (*find_both(one, one, group, group, k=10), find(one, one, group, group, k=10)):
        assert (found.ranks.tolist(), found.ndcg.tolist()) == ([1], [1.0])
        assert (found.indices.tolist(), found.scores.tolist()) == ([[0]], [[4.0]])
    for found in find_both(one, one, group, group + 1, k=10):
        assert (found.ranks.tolist(), found.ndcg.tolist(), found.indices.tolist()) == ([0], [0.0], [[0]])


def test_no_queries_find_nothing():
    found = find(torch.ones(0, 4), torch.ones(3, 4), torch.arange(0), torch.arange(3), k=2)
    assert [tuple(tensor.shape) for tensor in astuple(found)] == [(0,), (0,), (0, 2), (0, 2)]


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_what_training_sets_around_us_changes_nothing(mode):
    problem = suite(300, 1000)
    plain = find_both(*problem, k=5)
    with mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        texts = problem[0].clone().requires_grad_(mode is torch.enable_grad)
        around = find_both(texts, *problem[1:], k=5)
    for one, other in zip(plain, around, strict=True):
        for tensor, same in zip(astuple(one), astuple(other), strict=True):
            assert torch.equal(tensor, same) and not same.requires_grad


def test_ranks_and_lists_alone_are_those_of_find():
    problem = suite(50, 120)
    found = find(*problem, k=100)
    assert torch.equal(ranks(*problem), found.ranks)
    for one, other in zip(top_k(*problem), (found.indices, found.scores), strict=True):
        assert torch.equal(one, other)


def test_figures_of_ranks():
    found = torch.tensor([1, 2, 11, 0])
    assert recall_at(found, 1) == 0.25 and recall_at(found, 10) == 0.5
    assert mrr_at(found, 10) == pytest.approx((1 + 0.5) / 4)
    assert median_rank(torch.tensor([1, 2, 11, 5])) == 3.5
    assert median_rank(torch.tensor([7, 1, 30])) == 7


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(value):
    broken = torch.ones(3, 2)
    broken[1, 1] = value
    ids = torch.arange(3)
    with pytest.raises(DataError, match=r"1 of 3 embeddings of the gallery are not finite .* row 1"):
        ranks(torch.ones(3, 2), broken, ids, ids)
    with pytest.raises(DataError, match=r"1 of 3 embeddings of the queries are not finite .* row 1"):
        find_both(broken, torch.ones(3, 2), ids, ids)


def test_scores_beyond_float32_are_refused():
    ids = torch.arange(3)
    with pytest.raises(DataError, match=r"norms up to 1\.41e\+20 .* beyond float32: normalise them"):
        find_both(torch.full((3, 2), 1e20), torch.full((3, 2), 1e20), ids, ids)
    with pytest.raises(DataError, match="beyond float32"):
        ranks(torch.full((3, 2), 3e38), torch.ones(3, 2), ids, ids)
    with pytest.raises(DataError, match="beyond float32"):
        ranks(torch.full((3, 2), 1e300, dtype=torch.float64), torch.full((3, 2), 1e-300), ids, ids)


def test_shapes_that_do_not_fit_are_refused():
    ids = torch.arange(3)
    with pytest.raises(DataError, match="not one space"):
        ranks(torch.ones(3, 2), torch.ones(3, 4), ids, ids)
    with pytest.raises(DataError, match="gallery of a retrieval is empty"):
        ranks(torch.ones(3, 2), torch.ones(0, 2), ids, ids[:0])
    for texts, images in ((3, 0), (0, 3)):
        with pytest.raises(DataError, match="gallery of a retrieval is empty"):
            find_both(torch.ones(texts, 2), torch.ones(images, 2), ids[:texts], ids[:images])
    with pytest.raises(DataError, match="groups"):
        ranks(torch.ones(3, 2), torch.ones(3, 2), ids[:2], ids)
