"""The Metric equals ranks on the whole suite, on one process and on several real ones with uneven, doubled parts."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch import distributed

from mmcs.errors import DataError
from mmcs.retrieval.languages import language_means, language_sets
from mmcs.retrieval.metric import RetrievalRecall
from mmcs.retrieval.ranks import ranks, recall_at

LANGUAGES = ["en", "de", "hi"]
N, D = 40, 8


def suite():
    """40 images in 30 groups; texts in three languages, the last covering half of the groups."""
    random = torch.Generator().manual_seed(3)
    image_groups = torch.arange(N) % 30
    images = torch.randn(N, D, generator=random)
    text_groups = torch.cat([torch.arange(30), torch.arange(30), torch.arange(0, 30, 2)])
    codes = torch.cat([torch.full((30,), 0), torch.full((30,), 1), torch.full((15,), 2)])
    texts = images[text_groups] + torch.randn(75, D, generator=random)
    return images, image_groups, texts, text_groups, codes


def expected():
    images, image_groups, texts, text_groups, codes = suite()
    images, texts = torch.nn.functional.normalize(images, dim=1), torch.nn.functional.normalize(texts, dim=1)
    result = {}
    for code, language in enumerate(LANGUAGES):
        own = codes == code
        forward = ranks(texts[own], images, text_groups[own], image_groups)
        back = ranks(images, texts[own], image_groups, text_groups[own])
        result[language] = {f"image_retrieval_recall@{k}": recall_at(forward, k) for k in (1, 5, 10)}
        result[language] |= {f"text_retrieval_recall@{k}": recall_at(back[back > 0], k) for k in (1, 5, 10)}
    return result


def feed(metric, image_places, text_places):
    images, image_groups, texts, text_groups, codes = suite()
    ids = torch.arange(1000)
    for place in image_places.split(7):
        metric.update("image", images[place], image_groups[place], ids[place])
    for place in text_places.split(11):
        metric.update("text", texts[place], text_groups[place], ids[place], codes[place])


def test_one_process_equals_the_pure_functions_and_doubles_count_once():
    metric = RetrievalRecall(LANGUAGES)
    everything = torch.arange(N), torch.arange(75)
    feed(metric, *everything)
    feed(metric, everything[0][:13], everything[1][50:])
    assert metric.compute() == expected()
    metric.reset()
    feed(metric, *everything)
    assert metric.compute() == expected()


def listed(metric):
    """All queries of a metric, in plain lists."""
    found = metric.retrieval().queries
    return {"/".join(key): [values.tolist() for values in queries] for key, queries in found.items()}


def test_queries_are_given_one_by_one_in_the_order_of_their_ids():
    images, image_groups, texts, text_groups, codes = suite()
    images, texts = torch.nn.functional.normalize(images, dim=1), torch.nn.functional.normalize(texts, dim=1)
    metric = RetrievalRecall(LANGUAGES)
    feed(metric, torch.arange(N).flip(0), torch.arange(75).flip(0))
    for code, language in enumerate(LANGUAGES):
        own = codes == code
        for task, asking, asked in (
            ("image_retrieval", (texts[own], text_groups[own], torch.arange(75)[own]), (images, image_groups)),
            ("text_retrieval", (images, image_groups, torch.arange(N)), (texts[own], text_groups[own])),
        ):
            scores = asking[0] @ asked[0].T
            right = asking[1][:, None] == asked[1]
            best = scores.masked_fill(~right, -2).max(1, keepdim=True).values
            found = 1 + ((scores >= best) & ~right).sum(1)
            is_query = right.any(1)
            queries = metric.retrieval().queries[language, task]
            assert queries.ids.tolist() == asking[2][is_query].tolist()
            assert queries.groups.tolist() == asking[1][is_query].tolist()
            assert queries.ranks.tolist() == found[is_query].tolist()


def test_a_single_query_stays_a_list_of_one():
    metric = RetrievalRecall(["en"])
    metric.update("image", torch.eye(3), torch.arange(3), torch.arange(3))
    metric.update("text", torch.eye(3)[:1], torch.tensor([2]), torch.tensor([9]), torch.tensor([0]))
    assert metric.compute()["en"]["image_retrieval_recall@1"] == 0.0  # it lies at the first image; the second ties
    assert listed(metric) == {"en/image_retrieval": [[9], [2], [3]], "en/text_retrieval": [[2], [2], [1]]}


def test_the_first_images_of_a_text_stand_at_the_place_that_its_rank_says():
    images, image_groups, texts, text_groups, _ = suite()
    images, texts = torch.nn.functional.normalize(images, dim=1), torch.nn.functional.normalize(texts, dim=1)
    metric = RetrievalRecall(LANGUAGES)
    feed(metric, torch.arange(N), torch.arange(75))
    asked = [47, 30, 59]  # all German
    for number, best in zip(asked, metric.retrieval().best("de", asked, k=7), strict=True):
        order = (images @ texts[number]).argsort(descending=True)[:7]
        assert best.ids == order.tolist()
        assert best.right == (image_groups[order] == text_groups[number]).tolist()
        assert best.rank == best.right.index(True) + 1 if any(best.right) else best.rank > 7
    assert len(metric.retrieval().best("de", asked, k=99)[0].ids) == N
    with pytest.raises(KeyError, match="queries in de"):
        metric.retrieval().best("de", [2], k=7)  # English


def test_ranks_are_counted_once_and_forgotten_with_their_items():
    metric = RetrievalRecall(LANGUAGES)
    feed(metric, torch.arange(N), torch.arange(75))
    first = metric.retrieval()
    assert metric.compute() == expected() and metric.retrieval() is first
    metric.reset()
    feed(metric, torch.arange(N), torch.arange(60))
    assert metric.retrieval() is not first and {language for language, _ in metric.retrieval().queries} == {"en", "de"}


def _rank(rank, folder, cases, processes):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=processes)
    for name, split in cases.items():
        metric = RetrievalRecall(LANGUAGES)
        feed(metric, *split[rank])
        Path(folder, f"{name}.{rank}.json").write_text(json.dumps([metric.compute(), listed(metric)]))
    distributed.destroy_process_group()


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_with_uneven_and_doubled_parts_equal_one(tmp_path, processes):
    """One rank's part is padded with items of another; in the second case one rank sees no text, and another no image."""
    padded = torch.cat([torch.arange(28, N), torch.arange(9)])
    nothing = torch.arange(0)
    cases = {
        "uneven": [(torch.arange(28), torch.arange(50)), (padded, torch.arange(44, 75))],
        "empty": [(torch.arange(5), torch.arange(75)), (torch.arange(5, N), nothing)],
    }
    if processes == 3:  # one more between the two, and one that sees nothing at all
        cases["uneven"].insert(1, (torch.arange(25, 31), torch.arange(48, 49)))
        cases["empty"].insert(0, (nothing, nothing))
    multiprocessing.set_forkserver_preload(["mmcs.retrieval.metric"])  # import torchmetrics once, not once per rank
    arguments = (str(tmp_path), cases, processes)
    mp.start_processes(_rank, arguments, nprocs=processes, start_method="forkserver")
    one = RetrievalRecall(LANGUAGES)
    feed(one, torch.arange(N), torch.arange(75))
    for name in cases:
        for rank in range(processes):
            assert json.loads((tmp_path / f"{name}.{rank}.json").read_text()) == [expected(), listed(one)]


def test_languages_without_texts_are_left_out_and_misuse_is_refused():
    metric = RetrievalRecall([*LANGUAGES, "sw"])
    feed(metric, torch.arange(N), torch.arange(60))
    assert list(metric.compute()) == ["en", "de"]
    with pytest.raises(ValueError, match="of kind 'text' with languages"):
        metric.update("text", torch.ones(1, D), torch.zeros(1).long(), torch.zeros(1).long())
    metric.update("image", torch.ones(1, D), torch.tensor([5]), torch.tensor([0]))  # id 0 lies in group 0 already
    with pytest.raises(DataError, match="different groups"):
        metric.compute()


def test_means_over_sets_of_languages():
    assert language_sets(["en", "de", "he"], ["de"]) == {
        "all": ["en", "de", "he"],
        "seen": ["de"],
        "unseen": ["he"],
        "non_english": ["de", "he"],
    }
    means = language_means({"en": {"r": 1.0}, "de": {"r": 0.5}, "fi": {"r": 0.0}}, seen=["de", "fi"])
    assert means == {"all": {"r": 0.5}, "seen": {"r": 0.25}, "non_english": {"r": 0.25}}
