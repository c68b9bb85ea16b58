"""Further settings in a comparison: mixed, switched and translated queries, pairs of captions, sets in BEIR's format."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from toy_runs import make_run

from mmcs.codeswitch.strategy import Caption
from mmcs.evaluation.beir_ranking import PROTOCOL
from mmcs.evaluation.caption_pairs import CaptionPairs
from mmcs.evaluation.mixed import MixedLanguages
from mmcs.evaluation.ranking import TEXT_TO_TEXT, About, Ranking
from mmcs.evaluation.results import write_results
from mmcs.evaluation.switched_queries import SwitchedQueries
from mmcs.evaluation.translate_test import TranslateTest
from mmcs.evaluation.trec import write_ranking
from mmcs.report.compare import compare

NOISE = {"zero_shot": {"en": 1.2, "de": 2.4, "hi": 2.5}, "two_view": {"en": 1.2, "de": 1.9, "hi": 2.2}}


def encoder(part):
    known = {
        text: embedding
        for own in part.texts.values()
        for text, embedding in zip(own.captions, own.embeddings, strict=True)
    }
    return lambda captions: torch.stack([known[caption] for caption in captions])


def mixed(seed=0):
    return lambda part, folder: (MixedLanguages(folder / "retrieval", seed=seed), encoder(part))


def pairs(part, folder):
    return CaptionPairs(), encoder(part)


def switched(part, folder):
    def strategy(p):
        return lambda caption, draw: Caption(
            caption.text.replace("en ", "de ") if draw.uniform() < p else caption.text, {}
        )

    return SwitchedQueries(strategy, [0.5, 1.0]), encoder(part)


def translated(part, folder):
    def into_english(language):
        return lambda texts: [text.replace(f"{language} ", "en ") for text in texts]

    return TranslateTest("toy", {language: into_english(language) for language in ("de", "hi")}), encoder(part)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("settings")
    settings = (mixed(), pairs, switched, translated)
    return [make_run(root / name, name, noise, n=60, settings=settings) for name, noise in NOISE.items()]


@pytest.fixture(scope="module")
def part(runs):
    return compare(runs).suites[0]


def row(folder, **wanted):
    rows = json.loads((folder / "results.json").read_text())["rows"]
    (found,) = [own for own in rows if all(own.get(key) == value for key, value in wanted.items())]
    return found


def of(part, kind, **wanted):
    chosen = [own for own in part.further if own.kind == kind]
    (found,) = [
        own
        for own in chosen
        if all(getattr(own, key, getattr(own.about, key, None)) == value for key, value in wanted.items())
    ]
    return found


def test_plain_figures_are_not_touched_by_further_settings(runs, part, tmp_path):
    bare = [make_run(tmp_path / name, name, noise, n=60) for name, noise in NOISE.items()]
    other = compare(bare).suites[0]
    assert other.cells == part.cells and other.claims == part.claims and other.verdicts == part.verdicts
    assert other.further == [] and other.matrices == {}


def test_mixed_languages_are_compared_by_the_same_draw(runs, part, tmp_path):
    found = [own for own in part.further if own.kind == "mixed"]
    assert [(own.about.query_language, own.about.gallery_language) for own in found] == [
        ("mixed", "image"),
        ("image", "mixed"),
        ("mixed", "mixed"),
    ]
    for own in found:
        wanted = {"setting": "MLIR", "task": own.about.task, "metric": "recall@10"}
        values = [row(folder, **wanted)["value"] for folder in runs]
        assert [own.values[label][0] for label in ("English only", "two views")] == pytest.approx(values)
        assert own.differences["two views"].value == pytest.approx(values[1] - values[0])
        assert own.n_queries == row(runs[0], **wanted)["n_queries"] and own.effects == {} and own.plain == {}
    drawn = make_run(tmp_path / "other", "ml_cs", NOISE["two_view"], n=60, settings=(mixed(seed=1),))
    other = compare([runs[0], drawn]).suites[0]
    assert all(own.differences == {} and len(own.values) == 2 for own in other.further if own.kind == "mixed")


def test_shares_of_languages_stand_beside_their_shares_of_the_gallery(runs, part):
    found = [own for own in part.further if own.kind == "language_share"]
    assert len(found) == 6 and {own.language for own in found} == {"en", "de", "hi"}
    for own in found:
        theirs = row(runs[1], metric=own.metric, language=own.language, task=own.about.task)
        assert own.values["two views"] == (theirs["value"], *theirs["ci95"])
        assert own.in_gallery == theirs["share_in_gallery"]


def test_switched_queries_lose_what_the_rows_say_and_tell_their_cosine(runs, part):
    for p in ("0", "0.5", "1"):
        transform = f"switched:{p}"
        own = of(part, "switched", query_transform=transform, metric="recall@10")
        for label, folder in (("English only", runs[0]), ("two views", runs[1])):
            lost = row(folder, query_transform=transform, metric="loss_of_recall@10")
            assert own.values[label][0] == pytest.approx(
                row(folder, query_transform=transform, metric="recall@10")["value"]
            )
            assert own.effects[label].value == pytest.approx(-lost["value"])
            assert own.plain[label] == part.cells["image_retrieval"][label]["en"].figures["recall@10"]
        cosine = of(part, "switched", query_transform=transform, metric="cosine_to_original")
        assert cosine.values["two views"][0] == row(runs[1], query_transform=transform, metric=cosine.metric)["value"]
        assert cosine.differences == {} and cosine.effects == {}
    whole = of(part, "switched", query_transform="switched:1", metric="recall@10")
    assert whole.values["two views"][0] == pytest.approx(  # every query became the German one
        part.cells["image_retrieval"]["two views"]["de"].figures["recall@10"][0]
    )


def test_translated_queries_stand_beside_the_plain_ones_per_language(part):
    cells = part.cells["image_retrieval"]
    for language in ("de", "hi"):
        own = of(part, "translate_test", language=language)
        for label in ("English only", "two views"):
            assert own.values[label][0] == pytest.approx(cells[label]["en"].figures["recall@10"][0])  # a perfect one
            assert own.plain[label][0] == pytest.approx(cells[label][language].figures["recall@10"][0])
            assert own.effects[label].value == pytest.approx(own.values[label][0] - own.plain[label][0])
    mean = of(part, "translate_test", language="seen")
    assert mean.languages == ["de", "hi"] and mean.n_queries == 120 and mean.about.query_language == "seen"
    assert mean.differences["two views"].value == pytest.approx(
        mean.values["two views"][0] - mean.values["English only"][0]
    )


def test_the_matrix_has_each_pair_of_languages_without_its_diagonal(runs, part):
    assert list(part.matrices) == ["English only", "two views"]
    matrix = part.matrices["two views"]
    assert set(matrix) == {(a, b) for a in NOISE["zero_shot"] for b in NOISE["zero_shot"] if a != b}
    for (query, gallery), value in matrix.items():
        wanted = {"task": TEXT_TO_TEXT, "query_language": query, "gallery_language": gallery, "setting": "CLIR"}
        assert value == row(runs[1], metric="recall@10", **wanted)["value"]
    assert not any(own.about.task == TEXT_TO_TEXT and own.about.setting == "CLIR" for own in part.further)


def test_a_setting_of_one_system_alone_is_shown_without_differences(runs, tmp_path):
    plain = make_run(tmp_path / "plain", "ml_cs", NOISE["two_view"], n=60)
    part = compare([runs[0], plain]).suites[0]
    own = of(part, "translate_test", language="de")
    assert list(own.values) == ["English only"] and own.differences == {} and list(part.matrices) == ["English only"]
    part = compare([plain, runs[1]], baseline=plain).suites[0]
    assert of(part, "translate_test", language="de").differences == {}


def test_sets_of_text_alone_are_compared_by_ndcg(tmp_path):
    folders = []
    about = About("texts", "test", PROTOCOL, "CLIR", None, TEXT_TO_TEXT, "hi", "en")
    draw = np.random.default_rng(0)
    for name, best in (("zero_shot", 40), ("two_view", 12)):
        folder = tmp_path / name
        ranks = draw.integers(1, best, 50)
        ranking = Ranking(
            about=about,
            query_ids=[f"q{number}" for number in range(50)],
            query_groups=[f"q{number}" for number in range(50)],
            query_texts=[""] * 50,
            gallery_ids=[f"q{number}" for number in range(50)],
            gallery_groups=[f"q{number}" for number in range(50)],
            ranks=ranks,
            ndcg=np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0),
            indices=np.zeros((50, 1), np.int32),
            scores=np.zeros((50, 1), np.float32),
            n_excluded=0,
        )
        write_ranking(folder / "retrieval", ranking)
        truncated = {
            **about.as_dict(),
            "language": "hi",
            "metric": "truncated",
            "value": 0.25,
            "ci95": [0.25, 0.25],
            "notes": ["3 are empty."],
        }
        rows = [{**truncated, "n_queries": 50, "n_gallery": 50}]
        files = {"rankings": [{**about.as_dict(), "file": about.file}]}
        folders.append(write_results(folder, "m", name, 0, {}, rows, extra=files).parent)
    comparison = compare(folders, out=tmp_path / "report.html")
    assert comparison.suites == [] and (tmp_path / "report.html").is_file()
    assert [own.metric for own in comparison.texts] == ["ndcg@10", "mrr@10", "truncated"]
    assert comparison.text_notes == ["texts: 3 are empty."]
    own = comparison.texts[0]
    assert own.differences["two views"].value == pytest.approx(
        own.values["two views"][0] - own.values["English only"][0]
    )
    assert own.differences["two views"].low > 0
