"""The figures are those of the tools that people trust: CLIP_benchmark, open_clip, torchmetrics, trec_eval."""

from __future__ import annotations

import math

import ir_measures
import pytest
import pytrec_eval
import torch
from clip_benchmark.metrics.zeroshot_retrieval import recall_at_k
from naive_retrieval import suite
from open_clip_train.train import get_clip_metrics
from torchmetrics import retrieval

from mmcs.retrieval.ranks import find, find_both, median_rank, mrr_at, ranks, recall_at

KS = (1, 5, 10)


def with_ties(seed, n_images=60, n_texts=150):
    """A suite of several images and several texts per group, some of either without the other, and coarse numbers: every
    query meets equal scores. Products are exact.
    """
    draw = torch.Generator().manual_seed(seed)
    image_groups = torch.randint(0, n_images // 2, (n_images,), generator=draw)
    text_groups = torch.randint(0, n_images // 2 + 5, (n_texts,), generator=draw)
    means = torch.randn(n_images // 2 + 5, 6, generator=draw)
    images, texts = (
        (2 * (means[groups] + 0.7 * torch.randn(len(groups), 6, generator=draw))).round()
        for groups in (image_groups, text_groups)
    )
    return texts, images, text_groups, image_groups


def directed(problem):
    texts, images, text_groups, image_groups = problem
    return (problem, (images, texts, image_groups, text_groups))


def run_and_qrels(problem):
    """What a TREC run of depth 100 and its qrels say; scores fall strictly in the order of the list."""
    queries, _, query_groups, gallery_groups = problem
    found = find(*problem, k=100)
    run = {
        str(query): {str(item): float(-place) for place, item in enumerate(items)}
        for query, items in enumerate(found.indices.tolist())
    }
    relevant = (query_groups[:, None] == gallery_groups).tolist()
    qrels = {
        str(query): {str(item): 1 for item, own in enumerate(relevant[query]) if own}
        for query in range(len(queries))
        if any(relevant[query])
    }
    return run, qrels


@pytest.mark.parametrize("n_texts", [150, 700])  # 700: most positives of images lie beyond the depth of the run
@pytest.mark.parametrize("seed", [0, 1])
def test_trec_eval_finds_the_same_in_the_lists_with_ties_and_several_positives(seed, n_texts):
    problem = with_ties(seed, n_texts=n_texts)
    for ours, sides in zip(find_both(*problem), directed(problem), strict=True):
        run, qrels = run_and_qrels(sides)
        assert 0 < len(qrels) <= len(run)
        theirs = pytrec_eval.RelevanceEvaluator(qrels, {"success_1,5,10", "ndcg_cut_10", "recip_rank"}).evaluate(run)
        for query, rank in enumerate(ours.ranks.tolist()):
            if rank == 0:
                assert str(query) not in qrels
                continue
            measured = theirs[str(query)]
            assert ours.ndcg[query] == pytest.approx(measured["ndcg_cut_10"], abs=1e-9)
            assert [float(rank <= k) for k in KS] == [measured[f"success_{k}"] for k in KS]
            assert (1 / rank if rank <= 100 else 0) == pytest.approx(measured["recip_rank"])


def test_ir_measures_finds_the_same_means():
    problem = with_ties(2)
    for ours, sides in zip(find_both(*problem), directed(problem), strict=True):
        run, qrels = run_and_qrels(sides)
        first = {query: dict(list(items.items())[:10]) for query, items in run.items()}
        wanted = [ir_measures.nDCG @ 10, *(ir_measures.Success @ k for k in KS)]
        theirs = ir_measures.pytrec_eval.calc_aggregate(wanted, qrels, run)
        asked = ours.ranks > 0
        assert float(ours.ndcg[asked].mean()) == pytest.approx(theirs[wanted[0]])
        for k, measure in zip(KS, wanted[1:], strict=True):
            assert recall_at(ours.ranks[asked], k) == pytest.approx(theirs[measure])
        cut = ir_measures.pytrec_eval.calc_aggregate([ir_measures.RR], qrels, first)
        assert mrr_at(ours.ranks[asked], 10) == pytest.approx(cut[ir_measures.RR])


def test_single_captions_without_ties_agree_with_open_clip():
    texts, images, ids, _ = suite(300, 300)
    theirs = get_clip_metrics(images, texts, torch.tensor(100.0))
    for name, found in zip(("text_to_image", "image_to_text"), find_both(texts, images, ids, ids), strict=True):
        for k in KS:
            assert recall_at(found.ranks, k) == pytest.approx(theirs[f"{name}_R@{k}"])
        assert found.ranks.double().mean().item() == pytest.approx(theirs[f"{name}_mean_rank"])
        assert math.floor(median_rank(found.ranks)) == theirs[f"{name}_median_rank"]


def test_several_captions_per_image_agree_with_clip_benchmark():
    texts, images, text_groups, image_groups = suite(80, 310)
    scores, positive = texts @ images.T, text_groups[:, None] == image_groups
    of_texts, of_images = find_both(texts, images, text_groups, image_groups)
    for found, pair in ((of_texts, (scores, positive)), (of_images, (scores.T, positive.T))):
        for k in KS:
            theirs = (recall_at_k(*pair, k=k) > 0).double().mean().item()
            assert recall_at(found.ranks, k) == pytest.approx(theirs)


def test_figures_without_ties_agree_with_torchmetrics():
    texts, images, text_groups, image_groups = suite(60, 170)
    for sides in directed((texts, images, text_groups, image_groups)):
        queries, gallery, query_groups, gallery_groups = sides
        found = find(*sides)
        relevant = (query_groups[:, None] == gallery_groups).flatten()
        index = torch.arange(len(queries)).repeat_interleave(len(gallery))
        given = (queries @ gallery.T).flatten(), relevant, index
        for k in KS:
            assert recall_at(found.ranks, k) == pytest.approx(float(retrieval.RetrievalHitRate(top_k=k)(*given)))
        assert mrr_at(found.ranks, 10) == pytest.approx(float(retrieval.RetrievalMRR(top_k=10)(*given)))
        ndcg = float(retrieval.RetrievalNormalizedDCG(top_k=10)(*given))
        assert float(found.ndcg.mean()) == pytest.approx(ndcg, abs=1e-6)
        assert torch.equal(found.ranks, ranks(*sides))
