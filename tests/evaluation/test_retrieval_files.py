"""Protocols, TREC files and results.json: figures recomputed from the files by an independent reader agree."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmcs.errors import DataError, UserError
from mmcs.evaluation.protocols import METRICS, retrieve
from mmcs.evaluation.results import read_results, write_results
from mmcs.evaluation.suite import Embedded, Texts
from mmcs.evaluation.trec import (
    escape_id,
    read_queries,
    read_run,
    strictly_decreasing,
    unescape_id,
    write_rankings,
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
        )
    ids = [f"src/0000 {i}.tar/{i}" for i in range(90)]
    return Embedded("toy", "test", ids, groups, torch.ones_like(images) if constant else images, texts)


def outside(folder, stem, metric):
    """Reads run and qrels as trec_eval does: by score as float32, ties by document id, success at k or MRR."""
    relevant = defaultdict(set)
    for line in (folder / f"{stem}.qrels").read_text().splitlines():
        query, _, document, grade = line.split()
        assert grade == "1"
        relevant[query].add(document)
    found = defaultdict(list)
    with gzip.open(folder / f"{stem}.run.gz", "rt") as lines:
        for line in lines:
            query, _, document, _, score, _ = line.split()
            found[query].append((np.float32(score), document))
    figures = []
    for query, documents in relevant.items():
        order = [document for _, document in sorted(found[query], reverse=True)]
        place = next((place for place, name in enumerate(order, start=1) if name in documents), 10**9)
        k = int(metric.split("@")[1])
        figures.append(float(place <= k) if metric.startswith("recall") else (1 / place if place <= k else 0))
    return np.mean(figures), len(relevant)


@pytest.mark.parametrize("constant", [False, True])
def test_every_figure_is_recomputed_from_the_trec_files(tmp_path, constant):
    rows, rankings = retrieve(embedded(constant), seen=["de"], resamples=50)
    write_rankings(tmp_path, rankings)
    single = [row for row in rows if "languages" not in row]
    assert len(single) == 3 * 2 * len(METRICS)
    for row in single:
        value, queries = outside(tmp_path, f"toy.test.{row['language']}.{row['task']}", row["metric"])
        assert row["value"] == pytest.approx(value) and row["n_queries"] == queries
        if constant and row["n_gallery"] > 10:
            assert row["value"] == 0
        else:
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
    assert means["en"]["setting"] == "MoIR"
    assert {ranking.language for ranking in rankings} == {"en", "de", "hi"}


def test_the_scale_of_embeddings_and_a_second_run_change_nothing(tmp_path):
    once = embedded()
    twice = replace(once, images=once.images * 2.0 ** torch.randint(-3, 4, (90, 1)))
    assert retrieve(once)[0] == retrieve(once)[0]
    assert [row["value"] for row in retrieve(once, resamples=9)[0]] == [
        row["value"] for row in retrieve(twice, resamples=9)[0]
    ]
    for name in ("a", "b"):
        write_rankings(tmp_path / name, retrieve(once, resamples=9)[1])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_queries_and_runs_read_back(tmp_path):
    _, rankings = retrieve(embedded(), resamples=9)
    write_rankings(tmp_path, rankings)
    assert len(list(tmp_path.iterdir())) == 3 * len(rankings)
    for ranking in rankings:
        stem = f"toy.test.{ranking.language}.{ranking.task}"
        queries = read_queries(tmp_path / f"{stem}.queries.tsv")
        assert (queries.ids, queries.groups) == (ranking.query_ids, ranking.query_groups)
        assert np.array_equal(queries.ranks, ranking.ranks)
        assert queries.texts == [" ".join(text.split()) for text in ranking.query_texts]
        run = read_run(tmp_path / f"{stem}.run.gz")
        assert run[ranking.query_ids[0]] == [ranking.gallery_ids[place] for place in ranking.indices[0]]


def test_damaged_files_are_refused(tmp_path):
    _, rankings = retrieve(embedded(), resamples=9)
    write_rankings(tmp_path, rankings)
    table = tmp_path / "toy.test.de.image_retrieval.queries.tsv"
    table.write_text(table.read_text()[:-3])
    with pytest.raises(DataError, match="not a whole queries file"):
        read_queries(table)
    table.write_text("query\tgroup\trank\ttext\nq\tg\tfirst\tt\n")
    with pytest.raises(DataError, match="line 2"):
        read_queries(table)
    run = tmp_path / "toy.test.de.image_retrieval.run.gz"
    run.write_bytes(run.read_bytes()[:-40])
    with pytest.raises(DataError, match="damaged"):
        read_run(run)
    with pytest.raises(UserError, match="letters"):
        write_rankings(tmp_path, [replace(rankings[0], suite="a/b")])


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
