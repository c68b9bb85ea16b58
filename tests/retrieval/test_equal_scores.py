"""Equal embeddings score equal, at every place, in matrices of every size, on any number of threads."""

from __future__ import annotations

import math

import pytest
import torch

from mmcs.retrieval.ranks import find, find_both, mrr_at, recall_at
from mmcs.retrieval.scores import scored, scored_both_ways


@pytest.fixture(params=[1, 2, 4])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def unit(rows, width, seed):
    draw = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, width, generator=draw), dim=1)


SIZES = [1, 2, 3, 5, 8, 13, 18, 19, 33, 34, 65, 70]  # among them those at which a bare product fails


@pytest.mark.parametrize("width", [7, 256, 640, 1000])
def test_three_vectors_repeated_score_equal_in_matrices_of_every_size(threads, width):
    texts, images = unit(3, width, 0), unit(3, width, 1)
    for n in SIZES:
        for m in SIZES:
            scores = scored_both_ways(texts[torch.arange(n) % 3], images[torch.arange(m) % 3])
            pattern = scores[:3, :3].repeat(24, 24)[:n, :m]
            assert torch.equal(scores, pattern), (n, m)


@pytest.mark.parametrize(("n", "m"), [(119, 209), (118, 449), (500, 81), (2049, 700)])
@pytest.mark.parametrize("width", [512, 768, 1000])
def test_images_doubled_at_random_places_score_equal(threads, n, m, width):
    draw = torch.Generator().manual_seed(n)
    kinds = torch.randint(m // 2, (m,), generator=draw)
    texts, images = unit(n, width, 0), unit(m, width, 1)[kinds]
    for _, scores in scored(texts, images, chunk=100):
        for kind in kinds.unique():
            same = scores[:, kinds == kind]
            assert torch.equal(same, same[:, :1].expand_as(same))


@pytest.mark.parametrize("n", [1, 2, 3, 17, 130])
@pytest.mark.parametrize("width", [7, 256, 640])
def test_a_constant_model_finds_nothing(n, width):
    vector, gallery = unit(1, width, n), 331
    texts, images = vector.expand(n, -1), vector.expand(gallery, -1).contiguous()
    both = find_both(texts, images, torch.arange(n), torch.arange(gallery), k=10)
    alone = find(texts, images, torch.arange(n), torch.arange(gallery), k=10, chunk=n - 1 or 1)
    for found in (both[0], alone):
        assert found.ranks.tolist() == [gallery] * n
        assert recall_at(found.ranks, 10) == mrr_at(found.ranks, 10) == float(found.ndcg.sum()) == 0
        for query, items in enumerate(found.indices.tolist()):
            assert items == [item for item in range(12) if item != query][:10]
    assert both[1].ranks.tolist() == [n] * n + [0] * (gallery - n)


def test_positives_stand_behind_every_equal_negative():
    """Images 0 and 3 are one picture: each caption of the one is as near to the other."""
    images = unit(5, 64, 0)[[0, 1, 2, 0, 4]]
    groups = torch.tensor([0, 3, 1, 0])
    of_texts, of_images = find_both(images[groups], images, groups, torch.arange(5))
    assert of_texts.ranks.tolist() == [2, 2, 1, 2]
    assert of_images.ranks.tolist() == [2, 1, 0, 3, 0]
    second, third = 1 / math.log2(3), 1 / math.log2(4)
    assert of_images.ndcg.tolist() == pytest.approx([(second + third) / (1 + second), 1, 0, third, 0])


def test_a_repeated_vector_among_others_of_the_same_key_is_told_apart():
    """The key by which repeated rows are looked for does not see the order of numbers in a row."""
    row = torch.arange(1.0, 9.0)
    gallery = torch.stack([row, row.flip(0), row, row.roll(1), row.flip(0)])
    _, scores = next(scored(torch.eye(8), gallery))
    assert torch.equal(scores, gallery.T)
