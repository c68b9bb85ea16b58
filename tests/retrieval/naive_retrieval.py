"""What retrieval means, item by item in double precision: the tests of ranks compare with it."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import strategies as st


def naive_order(queries, gallery, query_groups, gallery_groups):
    """Per query the gallery places, best first: by score, negatives before positives, then the lower place."""
    scores = queries.double() @ gallery.double().T
    orders = []
    for row, group in zip(scores.tolist(), query_groups.tolist(), strict=True):
        own = [other == group for other in gallery_groups.tolist()]
        orders.append(sorted(range(len(gallery)), key=lambda item: (-row[item], own[item], item)))
    return orders


def naive_found(queries, gallery, query_groups, gallery_groups):
    """Ranks (a list, 0 without a positive) and nDCG@10 (a list)."""
    ranks, ndcg = [], []
    for order, group in zip(naive_order(queries, gallery, query_groups, gallery_groups), query_groups, strict=True):
        relevant = [bool(gallery_groups[item] == group) for item in order]
        ranks.append(relevant.index(True) + 1 if any(relevant) else 0)
        gained = sum(1 / math.log2(place + 2) for place, own in enumerate(relevant[:10]) if own)
        ideal = sum(1 / math.log2(place + 2) for place in range(min(10, sum(relevant))))
        ndcg.append(gained / ideal if ideal else 0.0)
    return ranks, ndcg


@st.composite
def problems(draw, largest=15):
    """Small whole numbers as embeddings: products are exact and ties frequent; groups repeat or are missing."""
    n, m, d = draw(st.integers(1, largest)), draw(st.integers(1, largest)), draw(st.integers(1, 3))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    few = draw(st.integers(1, 8))
    return (
        torch.tensor(random.integers(-2, 3, (n, d)), dtype=torch.float32),
        torch.tensor(random.integers(-2, 3, (m, d)), dtype=torch.float32),
        torch.tensor(random.integers(0, few, n)),
        torch.tensor(random.integers(0, few, m)),
    )


def suite(n_images, n_texts, width=32, noise=0.4, seed=0):
    """Unit embeddings without ties: images, each a group, and texts near theirs, several per image."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.nn.functional.normalize(torch.randn(n_images, width, generator=draw), dim=1)
    groups = torch.arange(n_texts) % n_images
    texts = images[groups] + noise * torch.randn(n_texts, width, generator=draw)
    return torch.nn.functional.normalize(texts, dim=1), images, groups, torch.arange(n_images)
