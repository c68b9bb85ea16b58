"""``mmcs embed``: rows are the towers' own embeddings, in the order of the ids, found by FAISS, kept when a run is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tarfile
import time

import faiss
import numpy as np
import pytest
import torch
from small_world import add, picture, write_shard
from tiny_models import write_hf_model, write_own_model

import mmcs.evaluation.embed as embedding
from mmcs.cli import main
from mmcs.errors import DataError, UserError
from mmcs.evaluation.embed import Wanted, embed_shards
from mmcs.evaluation.embedding import embed_suite
from mmcs.evaluation.suites import open_suites
from mmcs.evaluation.trec import unescape_id
from mmcs.evaluation.unfinished import GrowingRows, unfinished_folder
from mmcs.model.build import build_towers
from mmcs.stream.sources import expand

FILES = ("images.npy", "image_ids.txt", "texts.npy", "texts.tsv", "manifest.json")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """60 samples in two shards: one without a caption, one that is no picture, one key with a space."""
    folder = tmp_path_factory.mktemp("shapes") / "all"
    write_shard(folder / "00000.tar", [12, 20])
    with tarfile.open(folder / "00001.tar", "w") as tar:
        for number in range(20):
            key = f"{number:04d}" if number else "00 00"
            content = b"no picture" if number == 7 else picture((number * 9, 99, 200 - number * 7), "circle", 20)
            add(tar, f"{key}.jpg", content)
            if number != 5:
                add(tar, f"{key}.txt", f"circle\tnumber {number}\n".encode())
            add(tar, f"{key}.json", json.dumps({"captions": {"de": ["Kreis", f"Nr. {number}"]}}).encode())
    return folder


def wanted(shards, **options):
    return Wanted(expand(str(shards)), **{"languages": ("en", "de"), **options})


def lines(path):
    text = path.read_text("utf-8")
    assert text.endswith("\n")
    return text[:-1].split("\n")


@pytest.mark.parametrize("write_model", [write_own_model, write_hf_model])
def test_rows_are_the_towers_own_embeddings_in_the_order_of_the_ids(tmp_path, shards, write_model):
    towers = build_towers(write_model(tmp_path))
    manifest = embed_shards(towers, wanted(shards), tmp_path / "out", model="tiny", batch_size=7)
    images, texts = (np.load(tmp_path / "out" / f"{name}.npy") for name in ("images", "texts"))
    assert images.dtype == texts.dtype == np.float16 and images.shape == (59, 24)
    (suite,) = open_suites({"x": str(shards)}, "test")
    embedded, _ = embed_suite(towers, suite, cache=False)
    ids = [unescape_id(one) for one in lines(tmp_path / "out" / "image_ids.txt")]
    place = {one: number for number, one in enumerate(ids)}
    assert (
        len(place) == 59 and "shapes/all/00001/00 00" not in place and any(one.endswith("00001/00 00") for one in ids)
    )
    found = images[[place[one] for one in embedded.image_ids]]
    assert np.allclose(found, embedded.images, atol=1e-3)
    assert np.allclose(np.linalg.norm(images.astype(np.float32), axis=1), 1, atol=2e-3)
    rows = [line.split("\t") for line in lines(tmp_path / "out" / "texts.tsv")]
    names = {(unescape_id(name), language): number for number, (name, language, _) in enumerate(rows)}
    for language, own in embedded.texts.items():
        if language == "fi":
            continue
        at = [names[name, language] for name in own.ids]
        assert np.allclose(texts[at], own.embeddings, atol=1e-3)
        assert [rows[i][2] for i in at] == [" ".join(text.split()) for text in own.captions]
    assert json.loads(json.dumps(manifest)) == json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["images"] == {"rows": 59, "samples": 60, "dropped": {"undecodable image": 1}}
    assert manifest["texts"]["languages"] == {"en": 59, "de": 40 + 2 * 19} and manifest["texts"]["rows"] == len(rows)
    assert manifest["texts"]["dropped"] == {"no caption": 1}


def test_faiss_finds_what_an_exact_search_finds(tmp_path, shards):
    towers = build_towers(write_own_model(tmp_path))
    asked = ["a red circle", "", "ein blaues Quadrat"]
    embed_shards(towers, wanted(shards, queries=asked), tmp_path / "out", model="tiny")
    images, queries = (np.load(tmp_path / "out" / f"{name}.npy").astype("float32") for name in ("images", "queries"))
    index = faiss.IndexFlatIP(images.shape[1])
    index.add(images)
    scores, rows = index.search(queries, 10)
    with torch.inference_mode():
        own = towers.embed_texts(towers.tokenise.encode(asked)).numpy()
    assert np.allclose(queries, own, atol=1e-3)
    exact = queries @ images.T
    assert np.allclose(scores, -np.sort(-exact, axis=1)[:, :10], atol=1e-6)
    assert np.allclose(np.take_along_axis(exact, rows, 1), scores, atol=1e-6)


def test_workers_and_a_second_time_give_the_same_bytes(tmp_path, shards):
    towers = build_towers(write_own_model(tmp_path))
    for name, workers in (("a", 0), ("b", 2)):
        embed_shards(towers, wanted(shards), tmp_path / name, model="tiny", batch_size=16, num_workers=workers)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert {path.name for path in (tmp_path / "a").iterdir()} == set(FILES)


class Interrupted(Exception):
    """As whatever ends a run from outside."""


@pytest.mark.parametrize("after", [2, 10, 14])
def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(tmp_path, shards, capsys, monkeypatch, after):
    """After 2 of 10 batches of images, at the first captions, and amid them."""
    monkeypatch.setattr(embedding, "SAVED_EVERY", 0)
    towers = build_towers(write_own_model(tmp_path))
    batches = iter(range(after))

    def end(*_):
        if next(batches, None) is None:
            raise Interrupted

    hooks = [towers.clip.visual.register_forward_hook(end), towers.clip.transformer.register_forward_hook(end)]
    with pytest.raises(Interrupted):
        embed_shards(towers, wanted(shards), tmp_path / "out", model="tiny", batch_size=6)
    for hook in hooks:
        hook.remove()
    assert not (tmp_path / "out").exists()
    with (tmp_path / ".out.unfinished" / "image_ids.txt").open("a") as handle:
        handle.write("written, but not told to be" * (after < 10))
    with pytest.raises(UserError, match="begun with another batch size and choice of images, languages or queries"):
        embed_shards(towers, wanted(shards, languages=["en"]), tmp_path / "out", model="tiny", batch_size=3)
    embed_shards(towers, wanted(shards), tmp_path / "out", model="tiny", batch_size=6)
    assert f"images: {12 if after == 2 else 59} rows of a run before are kept" in capsys.readouterr().out
    embed_shards(towers, wanted(shards), tmp_path / "whole", model="tiny", batch_size=6)
    for name in FILES:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name
    assert not (tmp_path / ".out.unfinished").exists()


KILLED = """
import sys
from pathlib import Path
import mmcs.evaluation.embed as embedding
from mmcs.model.build import build_towers
from mmcs.stream.sources import expand
model, shards, out = sys.argv[1:]
embedding.SAVED_EVERY = 0
wanted = embedding.Wanted(expand(shards), languages=("en", "de"))
embedding.embed_shards(build_towers(model), wanted, Path(out), model="tiny", batch_size=2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0, 0.05, 0.2])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path, shards, delay):
    model = write_own_model(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", KILLED, model, str(shards), str(tmp_path / "out")])
    while not (tmp_path / ".out.unfinished" / "progress.json").is_file() and process.poll() is None:
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    towers = build_towers(model)
    if not (tmp_path / "out").exists():
        embed_shards(towers, wanted(shards), tmp_path / "out", model="tiny", batch_size=2)
    embed_shards(towers, wanted(shards), tmp_path / "whole", model="tiny", batch_size=2)
    for name in FILES:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name


def test_images_alone_need_no_captions_and_captions_alone_no_images(tmp_path, shards):
    towers = build_towers(write_own_model(tmp_path))
    embed_shards(towers, wanted(shards, languages=()), tmp_path / "images", model="tiny")
    assert {path.name for path in (tmp_path / "images").iterdir()} == {"images.npy", "image_ids.txt", "manifest.json"}
    embed_shards(towers, wanted(shards, images=False), tmp_path / "texts", model="tiny")
    assert {path.name for path in (tmp_path / "texts").iterdir()} == {"texts.npy", "texts.tsv", "manifest.json"}
    with pytest.raises(DataError, match="there are no captions in sw to embed"):
        embed_shards(towers, wanted(shards, images=False, languages=["sw"]), tmp_path / "x", model="tiny")


def test_a_diverged_model_leaves_nothing(tmp_path, shards):
    towers = build_towers(write_own_model(tmp_path))
    with torch.no_grad():
        towers.clip.visual.conv1.weight.fill_(torch.nan)
    with pytest.raises(DataError, match="embeddings of images are not finite"):
        embed_shards(towers, wanted(shards), tmp_path / "out", model="tiny")
    assert not list(tmp_path.glob("*out*")) and not list(tmp_path.glob(".*"))


def test_two_processes_do_not_write_one_folder(tmp_path):
    first, second = (unfinished_folder(tmp_path / "out", {"a": 1}) for _ in range(2))
    with first, pytest.raises(UserError, match="another process is writing"), second:
        pass
    with pytest.raises(UserError, match="exists already"), unfinished_folder(tmp_path, {}):
        pass


def test_arrays_grow_and_are_cut_back_to_their_mark(tmp_path):
    draw = np.random.default_rng(0)
    rows = GrowingRows(tmp_path, "x", 3, "x.txt")
    first, second = draw.random((2, 1000, 3), np.float32)
    rows.append(first, [f"ä{i}" for i in range(1000)])
    mark = rows.mark()
    rows.append(second, ["lost"] * 1000)
    rows.close()
    rows = GrowingRows(tmp_path, "x", 3, "x.txt", mark)
    rows.append(second[:7], ["kept"] * 7)
    with pytest.raises(ValueError, match="do not belong"):
        rows.append(second[:7], ["kept"] * 6)
    rows.close()
    assert np.array_equal(np.load(tmp_path / "x.npy"), np.concatenate([first, second[:7]]).astype(np.float16))
    assert np.load(tmp_path / "x.npy", mmap_mode="r").shape == (1007, 3)
    assert lines(tmp_path / "x.txt") == [f"ä{i}" for i in range(1000)] + ["kept"] * 7


def test_the_command_says_what_stands_where(tmp_path, shards, capsys):
    model, out = write_own_model(tmp_path), tmp_path / "out"
    queries = tmp_path / "queries.txt"
    queries.write_text("a dog\r\n\r\nein Hund\u2028zwei", encoding="utf-8")
    command = ["embed", model, str(shards), "--languages", "en,sw", "--queries", str(queries), "--device", "cpu"]
    assert main([*command, "--out", str(out), "--num-workers", "1"]) == 0
    told = capsys.readouterr().out
    assert "images.npy: 59 × 24" in told and "texts.npy: 59 × 24 (en 59, sw 0)" in told
    assert "images: 1 of 60 samples dropped (1.7%): 1 undecodable image" in told
    assert np.load(out / "queries.npy").shape == (3, 24)
    assert main(["embed", model, "--queries", str(queries), "--out", str(tmp_path / "q"), "--device", "cpu"]) == 0
    assert np.array_equal(np.load(tmp_path / "q" / "queries.npy"), np.load(out / "queries.npy"))
    capsys.readouterr()
    for arguments, code, sentence in (
        (["embed", model, "--out", "x"], 2, "nothing to embed"),
        ([*command, "--out", str(out)], 2, "holds embeddings already"),
        (["embed", model, "--queries", str(tmp_path / "none.txt"), "--out", "x"], 2, "is not a file"),
        (["embed", model, "nowhere", "--out", str(tmp_path / "x")], 2, "nowhere"),
        ([*command, "--batch-size", "0", "--out", "x"], 2, "must be 1 and 0 at least"),
    ):
        assert main(arguments) == code
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and sentence in told
    assert json.loads((out / "manifest.json").read_text())["format"] == embedding.FORMAT
