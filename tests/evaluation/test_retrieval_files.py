"""Protocols, TREC files and results.json: figures recomputed from the files by an independent reader agree."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import ir_measures
import numpy as np
import pytest
import torch
from ir_measures import RR, Success, nDCG

from mmcs.errors import DataError, UserError
from mmcs.evaluation.protocols import PROTOCOLS, rank_suite, retrieve, suite_rows, under_protocol
from mmcs.evaluation.results import read_results, write_results
from mmcs.evaluation.rows import MEDIAN_RANK, METRICS
from mmcs.evaluation.suite import Embedded, Texts
from mmcs.evaluation.trec import (
    escape_id,
    read_queries,
    read_run,
    strictly_decreasing,
    unescape_id,
    write_ranking,
)


def embedded(constant=False, seed=0):
    """90 images in 60 groups, some pictures doubled to the bit; two captions per group in German, few in Hindi."""
    draw = torch.Generator().manual_seed(seed)
    groups = [f"concept {i % 60}" for i in range(90)]
    images = torch.randn(90, 6, generator=draw)
    images[80:] = images[10:20]
    images[60:70] = images[30:40]
    texts = {}
    for language, chosen in (("en", range(60)), ("de", [i % 60 for i in range(120)]), ("hi", [*range(0, 60, 7), 99])):
        own = torch.stack([images[i % 60] for i in chosen]) + torch.randn(len(chosen), 6, generator=draw)
        texts[language] = Texts(
            ids=[f"{language} text\t{place}%" for place in range(len(chosen))],
            groups=[f"concept {i}" for i in chosen],
            embeddings=torch.ones_like(own) if constant else own,
            captions=[f"caption\n{place}" for place in range(len(chosen))],
            numbers=[place // 60 for place in range(len(chosen))],
        )
    ids = [f"src/0000 {i}.tar/{i}" for i in range(90)]
    return Embedded("toy", "test", ids, groups, torch.ones_like(images) if constant else images, texts)


def write_all(folder, rankings):
    for ranking in rankings:
        write_ranking(folder, ranking)


def outside(folder, stem):
    """What trec_eval makes of a ranking's files: success@k, reciprocal rank cut at 10, nDCG cut at 10; and its queries."""
    with gzip.open(folder / f"{stem}.run.gz", "rt") as lines:
        run = list(ir_measures.read_trec_run(lines))
    qrels = list(ir_measures.read_trec_qrels(str(folder / f"{stem}.qrels")))
    wanted = {
        "recall@1": Success @ 1,
        "recall@5": Success @ 5,
        "recall@10": Success @ 10,
        "mrr@10": RR @ 10,
        "ndcg@10": nDCG @ 10,
    }
    found = ir_measures.calc_aggregate([*wanted.values()], qrels, run)
    figures = {name: found[measure] for name, measure in wanted.items()}
    figures["mean_recall"] = sum(figures[f"recall@{k}"] for k in (1, 5, 10)) / 3
    return figures, len({qrel.query_id for qrel in qrels})


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_figure_is_recomputed_from_the_trec_files(tmp_path, constant, protocol):
    rankings = list(rank_suite(under_protocol(embedded(constant), protocol), protocol))
    rows = suite_rows(rankings, seen=["de"], resamples=50)
    write_all(tmp_path, rankings)
    single = [row for row in rows if "languages" not in row and row["metric"] != MEDIAN_RANK]
    assert len(single) == 3 * 2 * len(METRICS)
    for row in single:
        figures, queries = outside(tmp_path, row["file"])
        assert row["value"] == pytest.approx(figures[row["metric"]], abs=1e-6) and row["n_queries"] == queries
        assert row["protocol"] == protocol
        if constant and row["n_gallery"] > 10:
            assert row["value"] == 0
        else:
            assert row["ci95"][0] - 1e-9 <= row["value"] <= row["ci95"][1] + 1e-9


def test_the_first_caption_protocol_leaves_one_caption_an_image_and_language():
    whole = embedded()
    first = under_protocol(whole, "first_caption")
    assert {language: len(texts.ids) for language, texts in first.texts.items()} == {"en": 60, "de": 60, "hi": 10}
    assert first.texts["de"].captions == whole.texts["de"].captions[:60]
    with pytest.raises(UserError, match="known are all_captions, first_caption"):
        under_protocol(whole, "frist")


def test_the_median_rank_is_that_of_the_ranks():
    rows, rankings = retrieve(embedded(), resamples=50)
    for ranking in rankings:
        (row,) = [row for row in rows if row.get("file") == ranking.about.file and row["metric"] == MEDIAN_RANK]
        assert row["value"] == np.median(ranking.ranks)
        assert row["ci95"][0] <= row["value"] <= row["ci95"][1]


def test_rows_name_protocol_languages_and_what_was_left_out():
    rows, rankings = retrieve(embedded(), seen=["de"], resamples=50)
    row = next(row for row in rows if row["language"] == "hi" and row["task"] == "text_retrieval")
    assert (row["setting"], row["query_language"], row["gallery_language"]) == ("CLIR", "image", "hi")
    assert (row["n_queries"], row["n_excluded"], row["n_gallery"]) == (14, 76, 10)
    row = next(row for row in rows if row["language"] == "hi" and row["task"] == "image_retrieval")
    assert (row["n_queries"], row["n_excluded"], row["n_gallery"], row["protocol"]) == (9, 1, 90, "all_captions")
    means = {row["language"]: row for row in rows if row["metric"] == "recall@10" and row["task"] == "image_retrieval"}
    assert means["seen"]["languages"] == ["de"] and means["seen"]["value"] == means["de"]["value"]
    assert means["seen"]["ci95"] == means["de"]["ci95"]
    assert means["non_english"]["value"] == pytest.approx((means["de"]["value"] + means["hi"]["value"]) / 2)
    assert means["en"]["setting"] == "MoIR" and means["all"]["setting"] == "MoIR+CLIR"
    assert {ranking.about.language for ranking in rankings} == {"en", "de", "hi"}


def test_the_scale_of_embeddings_and_a_second_run_change_nothing(tmp_path):
    once = embedded()
    twice = replace(once, images=once.images * 2.0 ** torch.randint(-3, 4, (90, 1)))
    assert retrieve(once)[0] == retrieve(once)[0]
    assert [row["value"] for row in retrieve(once, resamples=9)[0]] == [
        row["value"] for row in retrieve(twice, resamples=9)[0]
    ]
    for name in ("a", "b"):
        write_all(tmp_path / name, retrieve(once, resamples=9)[1])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_queries_and_runs_read_back(tmp_path):
    _, rankings = retrieve(embedded(), resamples=9)
    write_all(tmp_path, rankings)
    assert len(list(tmp_path.iterdir())) == 3 * len(rankings)
    for ranking in rankings:
        queries = read_queries(tmp_path / f"{ranking.about.file}.queries.tsv", ranking.about)
        assert (queries.ids, queries.groups) == (ranking.query_ids, ranking.query_groups)
        assert np.array_equal(queries.ranks, ranking.ranks) and np.allclose(queries.ndcg, ranking.ndcg, atol=1e-8)
        assert queries.texts == [" ".join(text.split()) for text in ranking.query_texts]
        run = read_run(tmp_path / f"{ranking.about.file}.run.gz")
        assert run[ranking.query_ids[0]] == [ranking.gallery_ids[place] for place in ranking.indices[0]]


def test_damaged_files_are_refused(tmp_path):
    _, rankings = retrieve(embedded(), resamples=9)
    write_all(tmp_path, rankings)
    about = next(one.about for one in rankings if one.about.language == "de" and one.about.task == "image_retrieval")
    table = tmp_path / f"{about.file}.queries.tsv"
    table.write_text(table.read_text()[:-3])
    with pytest.raises(DataError, match="not a whole queries file"):
        read_queries(table, about)
    table.write_text("query\tgroup\trank\tndcg@10\ttext\nq\tg\tfirst\t0.5\tt\n")
    with pytest.raises(DataError, match="line 2"):
        read_queries(table, about)
    table.unlink()
    with pytest.raises(DataError, match="missing"):
        read_queries(table, about)
    run = tmp_path / f"{about.file}.run.gz"
    run.write_bytes(run.read_bytes()[:-40])
    with pytest.raises(DataError, match="damaged"):
        read_run(run)
    with pytest.raises(UserError, match="letters"):
        write_ranking(tmp_path, replace(rankings[0], about=replace(about, suite="a/b")))


def test_ids_survive_the_escape():
    for name in ("a b", "50%", "x\ty\nz", "図\u3000鑑", "plain/00.tar/7"):
        assert unescape_id(escape_id(name)) == name
        assert not any(letter.isspace() for letter in escape_id(name))


def test_scores_fall_strictly():
    scores = np.array([[0.5, 0.5, 0.5, 0.1], [0, 0, -0.0, 0]], np.float32)
    assert (np.diff(strictly_decreasing(scores)) < 0).all()


def test_suites_that_cannot_be_told_apart_are_refused():
    whole = embedded()
    with pytest.raises(DataError, match="stands 2 times"):
        replace(whole, image_ids=["same", "same", *whole.image_ids[2:]])
    with pytest.raises(DataError, match="90 ids, 89 groups"):
        replace(whole, image_groups=whole.image_groups[1:])
    with pytest.raises(DataError, match="no text whose group has an image"):
        retrieve(replace(whole, image_groups=[f"other {i}" for i in range(90)]))


def test_results_round_trip(tmp_path):
    rows, _ = retrieve(embedded(), resamples=9)
    write_results(tmp_path, "lite0_e5", "two_view", 3, {"optim": {"lr": 1e-3}}, rows, extra={"seen_languages": ["de"]})
    content = read_results(tmp_path)
    assert content["rows"] == rows and content["seen_languages"] == ["de"] and content["schema"] == 1
    assert (content["model"], content["experiment"], content["seed"]) == ("lite0_e5", "two_view", 3)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_results_that_cannot_be_read_are_answered_with_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"has no results\.json"):
        read_results(tmp_path)
    with pytest.raises(UserError, match="is not a folder"):
        read_results(tmp_path / "nowhere")
    target = tmp_path / "results.json"
    good = {"schema": 1, "model": "m", "experiment": "e", "seed": 0, "config": {}, "rows": []}
    for content, sentence in (
        ('{"schema": 1, "mod', "damaged"),
        ("[]", "not a results file"),
        (json.dumps({**good, "schema": 2}), "update mmcs"),
        (json.dumps({**good, "rows": None}), "'rows' is missing"),
        (json.dumps({**good, "rows": [{"suite": "x"}]}), "row 0 is damaged: 'split'"),
    ):
        target.write_text(content)
        with pytest.raises(DataError, match=sentence):
            read_results(tmp_path)
