"""Sets in BEIR's format: what is read, what is refused, and figures that a naive count and trec_eval find as well."""

from __future__ import annotations

import gzip
import json
import math

import ir_measures
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import pytrec_eval
import torch
from ir_measures import RR, R, nDCG
from small_world import COLOURS, SHAPES, write_shard
from tiny_models import write_hf_model, write_own_model
from torch.nn.functional import normalize

import mmcs.evaluation.beir_files as reading
import mmcs.evaluation.beir_ranking as beir_ranking
from mmcs.cli import main
from mmcs.errors import DataError, UserError
from mmcs.evaluation.beir import open_beir
from mmcs.evaluation.beir_ranking import METRICS, beir_retrieval, judged_pairs, search
from mmcs.evaluation.embedding import CaptionEncoder
from mmcs.evaluation.results import read_results
from mmcs.evaluation.trec import read_qrels, read_queries, read_run, write_ranking
from mmcs.model.build import build_towers

DOCUMENTS = [
    {"_id": 7, "title": "The cat", "text": "in the snow"},
    {"_id": "d 2", "title": None, "text": "a red house"},
    {"_id": "q1", "text": "two black dogs"},
    {"_id": "d#4", "title": "", "text": ""},
    {"_id": "d5", "title": math.nan, "text": " кошка и дом ", "metadata": {"url": "x"}},
]
QUERIES = [
    {"_id": "q1", "text": "black dogs", "metadata": {}},
    {"_id": 2, "text": "cats"},
    {"_id": "other split", "text": "x"},
    {"_id": "nothing relevant", "text": "y"},
]
JUDGMENTS = [
    ("q1", "7", 2),
    ("q1", "q1", 1),
    ("q1", "gone", 3),
    ("2", "d 2", 1),
    ("2", "7", 0),
    ("nobody", "7", 1),
    ("nothing relevant", "d5", -1),
]


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def write_parquet(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: [None if each[name] != each[name] else each[name] for each in records] for name in records[0]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def write_set(folder, documents=DOCUMENTS, queries=QUERIES, judgments=JUDGMENTS, qrels="test.tsv", packed=""):
    write(folder / f"corpus.jsonl{packed}", map(json.dumps, documents))
    write(folder / f"queries.jsonl{packed}", map(json.dumps, queries))
    if ".tsv" in qrels:
        lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, one)) for one in judgments)]
    else:
        keys = ("query-id", "corpus-id", "score")
        lines = [json.dumps(dict(zip(keys, (q, d, float(g)), strict=True))) for q, d, g in judgments]
    write(folder / "qrels" / f"{qrels}{packed}", lines)
    return folder


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("qrels", ["test.tsv", "test.jsonl"])
def test_every_variant_reads_alike(tmp_path, qrels, packed):
    found = open_beir(write_set(tmp_path, qrels=qrels, packed=packed), "x")
    assert found.queries == {"q1": "black dogs", "2": "cats", "nothing relevant": "y"}
    assert found.judgments == {
        "q1": {"7": 2, "q1": 1, "gone": 3},
        "2": {"d 2": 1, "7": 0},
        "nothing relevant": {"d5": -1},
    }
    assert found.document_ids == ["7", "d 2", "q1", "d#4", "d5"]
    assert list(found.document_texts()) == ["The cat in the snow", "a red house", "two black dogs", "", "кошка и дом"]
    assert found.counts == {
        "unjudged_queries": 1,
        "unknown_queries": 1,
        "unknown_documents": 1,
        "own_documents": 1,
        "queries_without_relevant": 1,
        "empty_documents": 1,
    }
    assert len(found.notes()) == 5 and found.notes()[0].startswith("1 judged queries stand in no queries file")
    assert (found.query_language, found.document_language) == ("en", "en")


@pytest.mark.parametrize(
    ("corpus", "queries", "qrels"),
    [
        (["corpus.parquet"], "queries.parquet", "qrels/test.parquet"),
        (
            ["corpus-00000-of-00002.parquet", "corpus-00001-of-00002.parquet"],
            "queries-0.parquet",
            "qrels/test-0.parquet",
        ),
        (["corpus/set-corpus.parquet"], "queries/set-queries.parquet", "qrels/test/0000.parquet"),
        (["corpus/train-0.parquet", "corpus/train-1.parquet"], "queries/train-0.parquet", "data/test-0.parquet"),
        (["corpus/test-0.parquet", "corpus/test-1.parquet"], "queries/queries/0.parquet", "qrels/test.tsv"),
    ],
)
def test_parquet_as_hubs_lay_it_out_is_read(tmp_path, corpus, queries, qrels):
    wanted = open_beir(write_set(tmp_path / "x"), "x")
    folder = tmp_path / "parquet"
    documents = [{"_id": str(each["_id"]), "title": each.get("title"), "text": each["text"]} for each in DOCUMENTS]
    for number, name in enumerate(corpus):
        write_parquet(folder / name, documents[number * 2 : None if number + 1 == len(corpus) else 2])
    if "test-0" in corpus[0]:
        write_parquet(folder / "corpus/dev-0.parquet", documents)  # of another split
    write_parquet(folder / queries, [{"_id": str(each["_id"]), "text": each["text"]} for each in QUERIES])
    if qrels.endswith(".tsv"):
        write_set(tmp_path / "y", qrels="test.tsv")
        (folder / "qrels").mkdir()
        (tmp_path / "y/qrels/test.tsv").rename(folder / qrels)
    else:
        keys = ("query-id", "corpus-id", "score")
        write_parquet(folder / qrels, [dict(zip(keys, each, strict=True)) for each in JUDGMENTS])
    found = open_beir(folder, "x")
    assert (found.queries, found.judgments, found.document_ids) == (
        wanted.queries,
        wanted.judgments,
        wanted.document_ids,
    )
    assert list(found.document_texts()) == list(wanted.document_texts()) and found.counts == wanted.counts


def test_files_that_are_not_what_their_names_say_are_named(tmp_path):
    folder = write_set(tmp_path)
    (folder / "corpus.jsonl").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    with pytest.raises(DataError, match=r"Git LFS pointer.*git lfs pull"):
        open_beir(folder, "x")
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"corpus.parquet is a damaged Parquet file"):
        open_beir(folder, "x")
    (folder / "corpus.parquet").unlink()
    with pytest.raises(UserError, match=r"holds no corpus.jsonl or corpus.parquet; see docs"):
        open_beir(folder, "x")


def test_other_names_of_keys_byte_order_marks_and_tables_without_a_header_are_read(tmp_path):
    write(
        tmp_path / "corpus.jsonl", ["\ufeff" + json.dumps({"id": "a", "text": "x"}), "", '{"_id": "b", "text": "y"}\r']
    )
    write(tmp_path / "queries.jsonl", ['{"id": 1, "text": "x"}'])
    write(tmp_path / "qrels" / "dev.tsv", ["1\ta\t1\r", '1\t"b"\t2.0'])
    assert open_beir(tmp_path, "x", "dev").judgments == {"1": {"a": 1, "b": 2}}
    write(tmp_path / "qrels" / "test.jsonl", ['{"query_id": 1, "corpus_id": "a", "score": 1}'])
    assert open_beir(tmp_path, "x", "test").judgments == {"1": {"a": 1}}


def test_languages_come_from_the_manifest_or_the_user(tmp_path):
    folder = write_set(tmp_path)
    assert open_beir(folder, "x", languages=("hi", "en")).query_language == "hi"
    (folder / "manifest.json").write_text('{"query_language": "de", "document_language": "fi"}')
    found = open_beir(folder, "x")
    assert (found.query_language, found.document_language) == ("de", "fi")
    assert open_beir(folder, "x", languages=("de", "fi")) == found
    with pytest.raises(UserError, match="queries in de and documents in fi, asked for were hi,hi"):
        open_beir(folder, "x", languages=("hi", "hi"))


@pytest.mark.parametrize(
    ("file", "line", "sentence"),
    [
        ("corpus.jsonl", '{"_id": "d6"}', r"line 6: there is no 'text' \(but _id\)"),
        ("corpus.jsonl", '{"_id": "d5", "text": "again"}', r"line 6: the document id 'd5' stands twice"),
        ("corpus.jsonl", '{"_id": "d6", "text": 3}', "line 6: 'text' is int"),
        ("corpus.jsonl", '{"_id": true, "text": "x"}', "line 6: '_id' is True"),
        ("corpus.jsonl", '{"text": "x"}', "line 6: '_id' is missing"),
        ("corpus.jsonl", '{"_id": "d6", "text": "\\ud800"}', "line 6: half a surrogate pair"),
        ("corpus.jsonl", '{"_id": "d6", "text": "x', "line 6 is not JSON"),
        ("corpus.jsonl", "[" * 100_000, "line 6 is not JSON"),
        ("corpus.jsonl", '["d6"]', "line 6 is list"),
        ("corpus.jsonl", '{"_id": "d6", "text": "' + 2000 * "x" + '"}', "line 6 is longer than"),
        ("queries.jsonl", '{"_id": 2, "text": "again"}', "line 5: the query id '2' stands twice"),
        ("qrels/test.tsv", "q1\t7", "line 9: expected query-id, corpus-id and score between tabs, found 2"),
        ("qrels/test.tsv", "q1 0 7 1", "line 9: expected query-id, corpus-id and score between tabs, found 1"),
        ("qrels/test.tsv", "q1\t7\t1", "line 9: 'q1' and '7' were judged 2 before, 1 here"),
        ("qrels/test.tsv", "q1\td5\thigh", "line 9: the score is 'high'"),
        ("qrels/test.tsv", "q1\td5\t0.5", "line 9: the score is '0.5'"),
        ("qrels/test.tsv", "\td5\t1", "line 9: an id is missing"),
    ],
)
def test_a_bad_line_is_named(tmp_path, monkeypatch, file, line, sentence):
    if "longer" in sentence:
        monkeypatch.setattr(reading, "LONGEST", 1500)
    folder = write_set(tmp_path)
    with (folder / file).open("a", encoding="utf-8") as handle:
        handle.write(line + "\n")
    with pytest.raises(DataError, match=sentence) as error:
        open_beir(folder, "x")
    assert file in str(error.value)


def test_bytes_that_are_no_text_and_damaged_gzip_are_named(tmp_path):
    folder = write_set(tmp_path / "a")
    with (folder / "corpus.jsonl").open("ab") as handle:
        handle.write(b'{"_id": "x", "text": "\xff"}\n')
    with pytest.raises(DataError, match=r"corpus\.jsonl, line 6: not UTF-8"):
        open_beir(folder, "x")
    folder = write_set(tmp_path / "b", packed=".gz")
    corpus = folder / "corpus.jsonl.gz"
    corpus.write_bytes(corpus.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"corpus\.jsonl\.gz, after line \d+: damaged gzip"):
        open_beir(folder, "x")


def test_what_is_missing_is_said_with_what_there_is(tmp_path):
    folder = write_set(tmp_path / "sets" / "tiny")
    with pytest.raises(UserError, match="nowhere is not a folder"):
        open_beir(tmp_path / "nowhere", "x")
    with pytest.raises(UserError, match="did you mean one of its folders tiny"):
        open_beir(tmp_path / "sets", "x")
    with pytest.raises(UserError, match="has judgments for test, not for the split 'dev'"):
        open_beir(folder, "x", "dev")
    with pytest.raises(UserError, match="would be called 'a b'"):
        open_beir(folder, "a b")
    write_set(folder, judgments=[("nobody", "7", 1)])
    with pytest.raises(DataError, match="judges none of the 4 queries"):
        open_beir(folder, "x")
    write_set(folder, documents=[])
    with pytest.raises(DataError, match="holds no document"):
        open_beir(folder, "x")


def random_set(folder, seed, n_queries=40, n_documents=300):
    """Grades from −1 to 3, some documents unknown, queries 0 … 9 named like documents."""
    draw = np.random.default_rng(seed)
    documents = [{"_id": f"{'q' if i < 10 else 'd'}{i}", "text": f"text {i}"} for i in range(n_documents)]
    queries = [{"_id": f"q{i}", "text": f"query {i}"} for i in range(n_queries)]
    judgments = []
    for i in range(n_queries):
        chosen = draw.choice(n_documents, draw.integers(1, 9), replace=False)
        judgments += [(f"q{i}", documents[j]["_id"], int(draw.integers(-1, 4))) for j in chosen]
        judgments += [(f"q{i}", "unknown", 2)] * (i % 7 == 0)
    return open_beir(write_set(folder, documents, queries, judgments), "x")


def tied_embeddings(n, seed, width=8):
    """Unit rows out of few kinds, so that many score alike."""
    draw = torch.Generator().manual_seed(seed)
    kinds = normalize(torch.randn(n // 6, width, generator=draw), dim=1)
    return kinds[torch.randint(len(kinds), (n,), generator=draw)]


def naive_order(scores, own, grades, depth):
    """Column numbers by score, then grade, then number, by sorting in Python."""
    left = [column for column in range(len(scores)) if column != own]
    return sorted(left, key=lambda column: (-scores[column], grades.get(column, 0), column))[:depth]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_documents", [40, 300])
def test_search_equals_a_sort_of_all_scores(tmp_path, seed, n_documents):
    beir = random_set(tmp_path, seed, n_documents=n_documents)
    queries, documents = tied_embeddings(len(beir.queries), seed), tied_embeddings(n_documents, seed + 9)
    judged = judged_pairs(beir)
    for depth in (7, 100):
        hits = search(queries, documents, judged, depth)
        scores = beir_ranking.scored(queries, documents)
        table = torch.cat([part.clone() for _, part in scores])
        for row, (query, own) in enumerate(beir.judgments.items()):
            grades = {beir.document_ids.index(d): max(g, 0) for d, g in own.items() if d in beir.document_ids}
            column = beir.document_ids.index(query) if query in beir.document_ids else -1
            expected = naive_order(table[row].tolist(), column, grades, len(beir.document_ids))
            kept = min(depth, n_documents)
            padded = expected[:kept] + [-1] * (kept - len(expected[:kept]))
            assert hits.indices[row].tolist() == padded
            assert hits.grades[row].tolist() == [grades.get(one, 0) if one >= 0 else 0 for one in padded]
            places = [place for place, one in enumerate(expected, start=1) if grades.get(one)]
            best = max((float(table[row, expected[place - 1]]) for place in places), default=None)
            others = (
                sum(float(table[row, one]) >= best for one in expected if not grades.get(one))
                if places
                else max(n_documents, 100)
            )
            assert hits.ranks[row] == 1 + others


def outside(folder, stem):
    """Per query what pytrec_eval and ir_measures find in the files, in the order of ``METRICS``."""
    with gzip.open(folder / f"{stem}.run.gz", "rt") as lines:
        run = pytrec_eval.parse_run(lines)
    with (folder / f"{stem}.qrels").open() as lines:
        qrels = pytrec_eval.parse_qrel(lines)
    wanted = {"ndcg_cut.10", "recall.100", "recall.10"}
    found = pytrec_eval.RelevanceEvaluator(qrels, wanted).evaluate(run)
    measures = [nDCG @ 10, RR @ 10, R @ 100, R @ 10]
    reciprocal = {one.query_id: one.value for one in ir_measures.iter_calc([RR @ 10], qrels, run)}
    per = {q: [one["ndcg_cut_10"], reciprocal[q], one["recall_100"], one["recall_10"]] for q, one in found.items()}
    means = ir_measures.calc_aggregate(measures, qrels, run)
    return per, [means[measure] for measure in measures]


class Given:
    """Encodes by a table; stands where a model would, so that ties can be had."""

    class towers:
        embed_dim = 8

        class tokenizer:
            context_length = 3

        class tokenise:
            @staticmethod
            def lengths(texts):
                return [len(text.split()) for text in texts]

    def __init__(self, table):
        self.table = table

    def __call__(self, texts, description=""):
        return torch.stack([self.table[text] for text in texts])


@pytest.mark.parametrize("n_documents", [40, 300])
@pytest.mark.parametrize("constant", [False, True])
def test_figures_are_those_of_trec_eval_on_the_files_written(tmp_path, monkeypatch, n_documents, constant):
    monkeypatch.setattr(beir_ranking, "BLOCK", 16)
    beir = random_set(tmp_path / "set", 5, n_documents=n_documents)
    texts = [*beir.queries.values(), *beir.document_texts()]
    embeddings = tied_embeddings(len(texts), 3)
    table = dict(zip(texts, torch.ones_like(embeddings) if constant else embeddings, strict=True))
    ranking, rows = beir_retrieval(beir, Given(table), "cpu", resamples=50)
    write_ranking(tmp_path, ranking)
    per, means = outside(tmp_path, ranking.about.file)
    values = {row["metric"]: row for row in rows}
    assert list(values) == [*METRICS, "truncated", "truncated_queries"]
    for metric, mean in zip(METRICS, means, strict=True):
        row = values[metric]
        assert row["value"] == pytest.approx(mean, abs=1e-7)
        assert row["ci95"][0] <= row["value"] <= row["ci95"][1]
        assert (row["protocol"], row["task"], row["setting"]) == ("beir_format", "text_to_text", "MoIR")
        assert (row["n_queries"], row["n_gallery"]) == (40, n_documents)
    expected = np.array([per[query] for query in ranking.query_ids])
    assert np.allclose(ranking.ndcg, expected[:, 0], atol=1e-7)
    assert np.allclose(np.where(ranking.ranks <= 10, 1 / ranking.ranks, 0), expected[:, 1])
    if constant and n_documents == 300:
        assert values["recall@100"]["value"] == values["mrr@10"]["value"] == 0, "equal scores never help"
    queries = read_queries(tmp_path / f"{ranking.about.file}.queries.tsv", ranking.about)
    assert np.array_equal(queries.ranks, ranking.ranks) and queries.texts == list(beir.queries.values())
    positives = read_qrels(tmp_path / f"{ranking.about.file}.qrels")
    assert positives == {q: r for q, own in beir.judgments.items() if (r := {d for d, g in own.items() if g > 0})}


def test_the_document_of_the_querys_own_id_is_never_found(tmp_path):
    beir = open_beir(write_set(tmp_path / "set"), "x")
    texts = [*beir.queries.values(), *beir.document_texts()]
    table = dict.fromkeys(texts, torch.eye(8)[0])
    ranking, _ = beir_retrieval(beir, Given(table), "cpu", resamples=5)
    write_ranking(tmp_path, ranking)
    run = read_run(tmp_path / f"{ranking.about.file}.run.gz")
    assert run["q1"] == ["d 2", "d#4", "d5", "7"], "the relevant one last, since all score alike"
    assert run["2"] == ["7", "q1", "d#4", "d5", "d 2"]


@pytest.mark.parametrize("write_model", [write_own_model, write_hf_model])
def test_the_truncated_share_is_exact_and_block_size_changes_nothing(tmp_path, monkeypatch, write_model):
    towers = build_towers(write_model(tmp_path))
    length = towers.tokenizer.context_length
    documents = [{"_id": str(i), "text": "the " * i} for i in range(1, 25)]
    plain = getattr(towers.tokenizer, "tokenizer", None)  # of transformers; in open_clip's own "the" is one token
    long = sum((len(plain(" ".join(["the"] * i))["input_ids"]) if plain else i + 2) > length for i in range(1, 25))
    queries = [{"_id": "q", "text": "the " * 30}, {"_id": "r", "text": "the"}]
    beir = open_beir(write_set(tmp_path / "set", documents, queries, [("q", "1", 1), ("r", "2", 1)]), "x")
    encode = CaptionEncoder(towers, cache=False)
    ranking, rows = beir_retrieval(beir, encode, "cpu", resamples=5)
    values = {row["metric"]: row["value"] for row in rows}
    assert 0 < long < len(documents) and values["truncated"] == long / len(documents)
    assert values["truncated_queries"] == 0.5
    monkeypatch.setattr(beir_ranking, "LETTERS", 50)
    again, _ = beir_retrieval(beir, encode, "cpu", resamples=5)
    assert np.allclose(ranking.scores, again.scores, atol=1e-5)


def test_the_command_evaluates_beside_a_suite_or_alone(tmp_path, world, capsys, monkeypatch):
    monkeypatch.setenv("MMCS_CACHE", str(tmp_path / "cache"))
    write_shard(tmp_path / "shapes" / "test" / "00000.tar", [16])
    folder = write_set(tmp_path / "sets" / "tiny", qrels="test.jsonl")
    model = write_own_model(tmp_path)
    out = tmp_path / "out"
    command = [
        "evaluate",
        model,
        "--beir",
        str(folder),
        "--beir-languages",
        "hi,en",
        "--out",
        str(out),
        "--device",
        "cpu",
    ]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "sets_tiny: 1 judged queries stand in no queries file" in told and "ndcg@10" in told
    results = read_results(out)
    assert results["beir"]["sets_tiny"]["counts"]["unknown_documents"] == 1
    assert {row["setting"] for row in results["rows"]} == {"CLIR"}
    (ranking,) = results["rankings"]
    per, means = outside(out / "retrieval", ranking["file"])
    assert len(per) == 3
    assert [row["value"] for row in results["rows"]][:4] == pytest.approx(means, abs=1e-7)
    both = tmp_path / "both"
    command = ["evaluate", model, "--beir", f"tiny={folder}", "--suite", f"s={tmp_path / 'shapes/test'}"]
    assert main([*command, "--out", str(both), "--device", "cpu"]) == 0
    assert {row["suite"] for row in read_results(both)["rows"]} == {"tiny", "s"}
    command[command.index("--suite") + 1] = f"tiny={tmp_path / 'shapes/test'}"
    assert main([*command, "--out", str(tmp_path / "third")]) == 2
    assert "both called 'tiny'" in capsys.readouterr().err


def test_a_suites_captions_become_a_set_in_beirs_format(tmp_path, world, capsys):
    write_shard(tmp_path / "test" / "00000.tar", [16, 20])
    out = tmp_path / "de_en"
    command = ["data", "prepare", "beir-format", str(tmp_path / "test"), "--query-language", "de"]
    assert main([*command, "--document-language", "en", "--out", str(out)]) == 0
    assert "40 queries in de, 40 documents in en, 80 judgments (test)" in capsys.readouterr().out
    beir = open_beir(out, "x")
    assert (beir.query_language, beir.document_language, beir.notes()) == ("de", "en", [])
    texts = dict(zip(beir.document_ids, beir.document_texts(), strict=True))
    for query, own in beir.judgments.items():
        colour, shape = beir.queries[query].split()
        english = next(
            f"A {c} {s}."
            for c, (de, *_) in COLOURS.items()
            for s, (of, _) in SHAPES.items()
            if (de, of) == (colour, shape)
        )
        assert own == {one: 1 for one, text in texts.items() if text == english} and len(own) == 2
    assert main([*command, "--document-language", "de", "--out", str(tmp_path / "de_de")]) == 0
    beir = open_beir(tmp_path / "de_de", "x")
    assert all(len(own) == 1 and query not in own for query, own in beir.judgments.items())
    assert set(beir.queries) == set(beir.document_ids), "a query's own document has its id, and is never found"
    assert main([*command, "--document-language", "sw", "--out", str(tmp_path / "x")]) == 2
    assert "has captions in de, en, fi, none in 'sw'" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
