"""The Metric equals ranks on the whole suite, on one process and on two real ones with uneven, doubled parts."""

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


def _rank(rank, folder, cases):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    for name, split in cases.items():
        metric = RetrievalRecall(LANGUAGES)
        feed(metric, *split[rank])
        Path(folder, f"{name}.{rank}.json").write_text(json.dumps(metric.compute()))
    distributed.destroy_process_group()


def test_two_processes_with_uneven_and_doubled_parts_equal_one(tmp_path):
    """Rank 1 gets a third, padded with items of rank 0; in the second case it sees no text at all."""
    padded = torch.cat([torch.arange(28, N), torch.arange(9)])
    cases = {
        "uneven": [(torch.arange(28), torch.arange(50)), (padded, torch.arange(44, 75))],
        "empty": [(torch.arange(5), torch.arange(75)), (torch.arange(5, N), torch.arange(0))],
    }
    multiprocessing.set_forkserver_preload(["mmcs.retrieval.metric"])  # import torchmetrics once, not once per rank
    mp.start_processes(_rank, (str(tmp_path), cases), nprocs=2, start_method="forkserver")
    for name in cases:
        for rank in range(2):
            assert json.loads((tmp_path / f"{name}.{rank}.json").read_text()) == expected()


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
