"""``mmcs evaluate`` end to end on a small model: all settings in one run, the cache of embeddings, mistakes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from mmcs.cli import main
from mmcs.evaluation.embedding import embed_suite
from mmcs.evaluation.embedding_cache import EmbeddingCache
from mmcs.evaluation.suites import open_suites
from mmcs.lexicons.invert import invert_lexicon
from mmcs.model.build import build_towers
from mmcs.prepare.records import Tally


def same(one, other):
    return (
        torch.equal(one.images, other.images)
        and one.image_ids == other.image_ids
        and one.texts.keys() == other.texts.keys()
        and all(
            torch.equal(own.embeddings, other.texts[language].embeddings)
            and (own.ids, own.groups, own.captions, own.numbers)
            == (other.texts[language].ids, other.texts[language].groups, other.texts[language].captions, other.texts[language].numbers)
            for language, own in one.texts.items()
        )
    )  # fmt: skip


def test_all_settings_in_one_run_write_figures_that_name_their_files(world, tmp_path, capsys):
    invert_lexicon(world / "words.lex", "de", tmp_path / "de-en.lex", Tally())
    command = [
        "evaluate",
        str(world / "model.json"),
        "--suite",
        f"toy={world / 'test'}",
        "--out",
        str(tmp_path / "out"),
    ]
    command += ["--protocol", "first_caption", "--protocol", "all_captions", "--mixed", "--matrix", "--seen", "de"]
    command += ["--switched-queries", "0.5", "--lexicon", str(world / "words.lex"), "--no-cache"]
    command += ["--translate-test", str(tmp_path / "de-en.lex"), "--translate-command", "de=cat"]
    assert main(command) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    rows = results["rows"]
    assert {row["setting"] for row in rows if "languages" not in row} == {"MoIR", "CLIR", "MLIR"}
    transforms = {None, "switched:0", "switched:0.5", "translate_test:dictionary", "translate_test:cat"}
    assert {row["query_transform"] for row in rows} == transforms
    assert {row["protocol"] for row in rows} == {"first_caption", "all_captions"}
    files = {Path(own["file"]).name for own in results["rankings"]}
    assert len(files) == len(results["rankings"])
    for row in rows:
        if "file" in row:
            assert row["file"] in files
            for ending in (".run.gz", ".qrels", ".queries.tsv"):
                assert (tmp_path / "out" / "retrieval" / f"{row['file']}{ending}").is_file()
    assert results["suites"]["toy"]["shards"] == [str(world / "test" / "00000.tar")]
    printed = capsys.readouterr().out
    assert "switched:0.5" in printed and "mixed → mixed" in printed and "seen" in printed


def test_notes_and_protocols_of_a_manifest_stand_beside_every_figure(world, tmp_path, capsys):
    shutil.copytree(world / "test", tmp_path / "noted")
    note = "About 800 of its pictures are training pictures of COCO."
    manifest = {"evaluation": {"protocols": ["first_caption"], "notes": [note]}}
    (tmp_path / "noted" / "manifest.json").write_text(json.dumps(manifest))
    out = tmp_path / "out"
    assert main(["evaluate", str(world / "model.json"), "--suite", f"n={tmp_path / 'noted'}", "--out", str(out)]) == 0
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert {row["protocol"] for row in rows} == {"first_caption"} and all(row["notes"][0] == note for row in rows)
    assert note in capsys.readouterr().out


def test_embeddings_are_kept_by_weights_and_data(world, tmp_path, capsys):
    shutil.copytree(world / "test", tmp_path / "data" / "test")
    towers = build_towers(str(world / "model.json")).eval()
    cache = EmbeddingCache(tmp_path / "cache")

    def embedded(towers=towers, languages=None):
        (suite,) = open_suites({"toy": str(tmp_path / "data" / "test")}, "test", languages)
        found, dropped = cache.embed(towers, suite)
        return found, len(list((tmp_path / "cache").iterdir())), "embeddings of" in capsys.readouterr().out, dropped

    first, entries, reused, dropped = embedded()
    assert (entries, reused, dropped) == (1, False, {})
    again, entries, reused, _ = embedded()
    assert (entries, reused) == (1, True) and same(first, again)
    (suite,) = open_suites({"toy": str(tmp_path / "data" / "test")}, "test")
    assert same(first, embed_suite(towers, suite, cache=False)[0])
    assert embedded(languages=["en", "fi"])[1:3] == (2, False)
    changed = build_towers(str(world / "model.json")).eval()
    changed.load_state_dict(towers.state_dict())  # the same weights: the same entry
    assert embedded(changed)[1:3] == (2, True)
    with torch.no_grad():
        next(iter(changed.clip.visual.parameters())).add_(0.01)
    assert embedded(changed)[1:3] == (3, False)
    with (tmp_path / "data" / "test" / "00000.tar").open("ab") as tar:
        tar.write(b"\0" * 512)
    assert embedded()[1:3] == (4, False)


def test_a_damaged_entry_is_computed_anew_and_old_ones_make_room(world, tmp_path, capsys):
    towers = build_towers(str(world / "model.json")).eval()
    cache = EmbeddingCache(tmp_path / "cache")
    (suite,) = open_suites({"toy": str(world / "test")}, "test")
    first, _ = cache.embed(towers, suite)
    (entry,) = (tmp_path / "cache").iterdir()
    whole = (entry / "embeddings.safetensors").read_bytes()
    for damaged in (whole[:-100], b"", b"\x00" * 64):
        (entry / "embeddings.safetensors").write_bytes(damaged)
        capsys.readouterr()
        assert same(first, cache.embed(towers, suite)[0]) and "embeddings of" not in capsys.readouterr().out
    (english,) = open_suites({"toy": str(world / "test")}, "test", ["en"])
    small = EmbeddingCache(tmp_path / "cache", room=1)
    small.embed(towers, english)
    assert [path.name for path in (tmp_path / "cache").iterdir()] != [entry.name]
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "nothing to evaluate on"),
        (["--suite", "a=S", "--suite", "a=S"], "two suites are called 'a'"),
        (
            ["--suite", "S", "--protocol", "frist"],
            "there is no protocol 'frist'; known are all_captions, first_caption",
        ),
        (["--suite", "S", "--lexicon", "x.lex"], "--lexicon goes with --switched-queries"),
        (["--suite", "S", "--switched-queries", "much"], "probabilities such as 0.25,0.5,1"),
        (["--suite", "S", "--switched-queries", "0.5"], "no lexicon"),
        (
            ["--suite", "S", "--switched-queries", "2", "--lexicon", "L"],
            "codeswitch.p is a probability between 0 and 1",
        ),
        (["--suite", "S", "--translate-test", "L"], "needs a lexicon into English"),
        (["--suite", "S", "--translate-command", "apertium"], "is LANGUAGE=COMMAND"),
        (["--suite", "S", "--mixed-draw", "nowhere.tsv"], "there is no draw of languages"),
        (["--suite", "S", "--languages", "yo"], "has captions in"),
        (["--suite", "S", "--languages", "en,xx"], "'xx' is not a language tag"),
        (["--suite", "S", "--translate-command", "yo=cat"], "no suite has captions in yo"),
        (["--suite", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_sentence(world, tmp_path, capsys, options, sentence):
    places = {"S": str(world / "test"), "a=S": f"a={world / 'test'}", "L": str(world / "words.lex")}
    given = [places.get(option, option) for option in options]
    code = main(["evaluate", str(world / "model.json"), *given, "--out", str(tmp_path / "out"), "--no-cache"])
    error = capsys.readouterr().err
    assert code == 2 and sentence in error and error.count("\n") == 1
    assert not (tmp_path / "out" / "results.json").exists()
