"""Evaluation suites out of files in the official shapes: captions in their order, pictures untouched, splits as named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from suite_folders import (
    COCO_SMALL,
    M30K_SIZES,
    M30K_TASK2_SIZES,
    XFLICKR_PARTS,
    XM_KEYS,
    XM_PARTS,
    XTD_IMAGES,
    XTD_PARTS,
    images,
    karpathy,
    multi30k,
    photograph,
    request,
    samples,
    write,
    xflickrco,
    xm3600,
    xm_rows,
    xtd10,
)

from mmcs.cli import main
from mmcs.evaluation.suites import open_suites
from mmcs.prepare.images import keep
from mmcs.prepare.inspect import inspect_shards
from mmcs.prepare.karpathy import COCO, FLICKR, prepare_karpathy
from mmcs.prepare.layout import SuiteLayout
from mmcs.prepare.multi30k import SIZES, prepare_multi30k
from mmcs.prepare.shards import Prepared
from mmcs.prepare.xflickrco import PARTS as XFLICKR_OFFICIAL
from mmcs.prepare.xflickrco import prepare_xflickrco
from mmcs.prepare.xm3600 import PARTS as XM_OFFICIAL
from mmcs.prepare.xm3600 import prepare_xm3600
from mmcs.prepare.xtd10 import PARTS as XTD_OFFICIAL
from mmcs.prepare.xtd10 import prepare_xtd10


def test_xm3600_keeps_order_keys_and_every_byte_of_the_pictures(tmp_path):
    xm3600(tmp_path)
    prepared = prepare_xm3600(request(tmp_path), tmp_path / "out", parts=XM_PARTS)
    found = samples(tmp_path / "out/test")
    assert [each["url"] for each in found] == [each["group"] for each in found] == list(XM_KEYS)
    assert found[0]["txt"] == "z first of 0a", "the first caption is that of the file, not of the alphabet"
    assert found[0]["captions"] == {"en": ["a second of 0a"], "de": ["Bild 0a", "Foto 0a"], "zh-Hans": ["图 0a"]}
    for each in found:
        assert each["jpg"] == (tmp_path / "images" / f"{each['url']}.jpg").read_bytes()
        assert (each["width"], each["height"], each["original_width"]) == (60, 40, 60)
    assert prepared.manifest["captions"] == {"de": 5, "en": 6, "zh-Hans": 3}
    assert list(prepared.manifest["splits"]) == ["test"] and not (tmp_path / "out/train").exists()


def test_xtd10_reads_the_languages_from_where_the_repository_has_them(tmp_path):
    """Only line feeds end a line: a caption with U+2028 in it stays one, as does one with an ideographic space."""
    xtd10(tmp_path)
    prepare_xtd10(request(tmp_path), tmp_path / "out", parts=XTD_PARTS)
    found = samples(tmp_path / "out/test")
    assert [each["url"] for each in found] == list(XTD_IMAGES)
    assert found[1]["captions"] == {"de": ["ein Hund"], "ja": ["犬\u3000です"], "ru": ["собака\u2028она спит"]}
    assert [each["group"] for each in found] == [name.removesuffix(".jpg") for name in XTD_IMAGES]
    assert found[2]["jpg"] == (tmp_path / "images/train2014" / XTD_IMAGES[2]).read_bytes()


def test_multi30k_keeps_its_splits(tmp_path):
    multi30k(tmp_path)
    prepared = prepare_multi30k(request(tmp_path), tmp_path / "out", sizes=M30K_SIZES)
    by_split = {
        split: [each["url"] for each in samples(tmp_path / "out" / split)] for split in ("train", "val", "test")
    }
    assert by_split == {"train": ["1.jpg", "2.jpg"], "val": ["3.jpg"], "test": ["4.jpg"]}
    assert samples(tmp_path / "out/train")[1]["captions"] == {"cs": ["cs of 2.jpg"], "de": ["de of 2.jpg"]}
    assert prepared.manifest["arguments"]["test_set"] == "test_2016_flickr"


def test_multi30k_of_another_year_has_the_languages_of_that_year(tmp_path):
    multi30k(tmp_path)
    prepared = prepare_multi30k(
        request(tmp_path, splits=("test",)), tmp_path / "out", test_set="test_2017_mscoco", sizes=M30K_SIZES
    )
    assert [(each["url"], sorted(each["captions"])) for each in samples(tmp_path / "out/test")] == [("5.jpg", ["de"])]
    assert not (tmp_path / "out/train").exists(), "what is not asked for need not be there"
    assert "trained on COCO has seen most of them" in prepared.manifest["evaluation"]["notes"][0]


def test_multi30k_task_2_has_five_captions_in_the_order_of_their_files(tmp_path):
    multi30k(tmp_path)
    prepare_multi30k(request(tmp_path), tmp_path / "out", task=2, sizes=M30K_TASK2_SIZES)
    (test,) = samples(tmp_path / "out/test")
    assert [test["txt"], *test["captions"]["en"]] == [f"en {number} of 4.jpg" for number in (5, 4, 3, 2, 1)]
    assert test["captions"]["de"] == [f"de {number} of 4.jpg" for number in (5, 4, 3, 2, 1)]


def test_multi30k_takes_plain_files_too(tmp_path):
    for split, name in {"train": "1.jpg", "val": "3.jpg", "test_2016_flickr": "4.jpg"}.items():
        write(tmp_path / "captions" / f"{split}.txt", f"{name}\n")
        write(tmp_path / "captions" / f"{split}.en", f"of {name}\n")
    images(tmp_path / "images", "1.jpg", "3.jpg", "4.jpg")
    sizes = dict.fromkeys(("train", "val", "test_2016_flickr"), (1, ("en",)))
    prepared = prepare_multi30k(request(tmp_path), tmp_path / "out", sizes=sizes)
    assert prepared.manifest["captions"] == {"en": 3}


def test_xflickrco_is_joined_by_image_and_told_apart_from_its_neighbours(tmp_path):
    """Languages list images in different orders, another set has ``test.jsonl``, COCO lies under its names of 2017."""
    xflickrco(tmp_path)
    prepared = prepare_xflickrco(request(tmp_path), tmp_path / "out", parts=XFLICKR_PARTS)
    flickr, coco = samples(tmp_path / "out/test")
    assert (flickr["url"], flickr["txt"], flickr["captions"]) == ("100.jpg", "A man.", {"de": ["Ein Mann."]})
    assert (coco["url"], coco["captions"]) == (
        "COCO_val2014_000000000007.jpg",
        {"de": ["Essen."], "zh-Hans": ["食物"]},
    )
    assert coco["group"] == "COCO_val2014_000000000007"
    assert prepared.manifest["left_out"] == {"blank captions": {"count": 1, "examples": ["100.jpg in zh-Hans"]}}
    assert prepared.manifest["evaluation"]["incomplete"] == {}, "the official files have blank captions themselves"


def test_karpathy_puts_restval_into_training_and_keeps_every_caption(tmp_path):
    """A caption that stands twice counts twice, as everywhere; line breaks and spaces at the ends go."""
    karpathy(tmp_path)
    prepared = prepare_karpathy(COCO_SMALL, request(tmp_path), tmp_path / "out")
    train, val, test = (samples(tmp_path / "out" / split) for split in ("train", "val", "test"))
    assert [each["txt"] for each in train] == ["A cat", "A dog"] and train[0]["captions"] == {"en": ["Another cat"]}
    assert (test[0]["txt"], test[0]["captions"]) == ("A man on a moped.", {"en": ["A man.", "A man."]})
    assert [each["url"] for each in (*val, *test)] == [
        "COCO_val2014_000000000004.jpg",
        "COCO_val2014_000000000001.jpg",
    ]
    assert {split: each["captions"]["en"] for split, each in prepared.manifest["splits"].items()} == {
        "train": 3,
        "val": 1,
        "test": 3,
    }


def all_suites(folder: Path) -> dict[str, Prepared]:
    """Every suite, made in a folder of its own."""
    return {
        "xm3600": prepare_xm3600(request(xm3600(folder / "xm")), folder / "xm/out", parts=XM_PARTS),
        "xtd10": prepare_xtd10(request(xtd10(folder / "xtd")), folder / "xtd/out", parts=XTD_PARTS),
        "multi30k": prepare_multi30k(request(multi30k(folder / "m30k")), folder / "m30k/out", sizes=M30K_SIZES),
        "xflickrco": prepare_xflickrco(request(xflickrco(folder / "xf")), folder / "xf/out", parts=XFLICKR_PARTS),
        "coco-karpathy": prepare_karpathy(COCO_SMALL, request(karpathy(folder / "coco")), folder / "coco/out"),
    }


def test_every_suite_repeats_byte_for_byte_and_is_read_by_those_who_evaluate(tmp_path):
    once, again = all_suites(tmp_path / "a"), all_suites(tmp_path / "b")
    for name, prepared in once.items():
        shards = sorted(prepared.folder.rglob("*.tar"))
        assert shards
        for shard in shards:
            twin = again[name].folder / shard.relative_to(prepared.folder)
            assert shard.read_bytes() == twin.read_bytes(), name
        report = inspect_shards(str(prepared.folder))
        assert report.usable == report.samples == prepared.manifest["samples"] == len(report.groups), name
        assert not report.problems.counts, name
        (suite,) = open_suites({name: str(prepared.folder / "test")}, "test")
        split = json.loads((prepared.folder / "test/manifest.json").read_text())
        assert list(suite.protocols) == split["evaluation"]["protocols"] == prepared.manifest["evaluation"]["protocols"]
        assert list(suite.notes) == split["evaluation"]["notes"] == prepared.manifest["evaluation"]["notes"]
        assert set(suite.languages) == set(split["captions"])
    assert once["xm3600"].manifest["evaluation"]["protocols"] == ["first_caption", "all_captions"]
    for name in ("xtd10", "multi30k", "xflickrco", "coco-karpathy"):
        assert once[name].manifest["evaluation"]["protocols"] == ["all_captions"]
    assert "COCO's train2014" in once["xtd10"].manifest["evaluation"]["notes"][0]
    assert all(each.manifest["licence"] and each.manifest["source"] for each in once.values())


def test_a_suite_is_found_again_unless_something_about_it_changed(tmp_path):
    xm3600(tmp_path)
    prepare_xm3600(request(tmp_path), tmp_path / "out", parts=XM_PARTS)
    before = (tmp_path / "out/manifest.json").read_bytes()
    assert prepare_xm3600(request(tmp_path), tmp_path / "out", parts=XM_PARTS).reused
    assert (tmp_path / "out/manifest.json").read_bytes() == before
    with pytest.raises(ValueError, match=r"made with size original \(asked for: 224\)"):
        prepare_xm3600(request(tmp_path, layout=SuiteLayout(224)), tmp_path / "out", parts=XM_PARTS)
    rows = xm_rows()
    rows[0]["de"]["caption"][0] = "Ein anderes Bild"
    xm3600(tmp_path, rows)
    with pytest.raises(ValueError, match="made with other captions"):
        prepare_xm3600(request(tmp_path), tmp_path / "out", parts=XM_PARTS)


def test_pictures_stay_unless_they_are_no_jpeg_or_a_size_is_asked_for():
    """The shorter side is what counts: towers crop a square out of the picture."""
    jpeg = photograph(0, (64, 48))
    assert keep(jpeg, None).jpeg == keep(jpeg, 48).jpeg == jpeg
    smaller = keep(jpeg, 24)
    assert (smaller.width, smaller.height, smaller.original_width, smaller.original_height) == (32, 24, 64, 48)
    for size in ((500, 333), (333, 500), (640, 427), (101, 100)):
        made = keep(photograph(1, size), 96)
        assert min(made.width, made.height) == 96, size
    png = keep(photograph(2, (30, 20), "PNG"), 512)
    assert (png.jpeg[:2], png.width, png.height) == (b"\xff\xd8", 30, 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = photograph(3, (30, 20), exif=exif)
    assert keep(turned, None).jpeg == turned, "rotation is not applied, as OpenCLIP does not"


def test_what_is_official_is_what_is_known():
    """The sums and names that papers give."""
    assert sum(XM_OFFICIAL["test"].captions.values()) == 261_375 and len(XM_OFFICIAL["test"].captions) == 36
    assert XM_OFFICIAL["test"].images == 3600
    assert len(XTD_OFFICIAL["test"].captions) == 11 and set(XTD_OFFICIAL["test"].captions.values()) == {1000}
    assert len(XFLICKR_OFFICIAL["test"].captions) == 8
    assert sum(part.images for part in COCO.parts.values()) == 123_287
    assert sum(part.captions["en"] for part in COCO.parts.values()) == 616_767
    assert sum(part.images for part in FLICKR.parts.values()) == 31_014
    assert sum(part.captions["en"] for part in FLICKR.parts.values()) == 5 * 31_014
    assert [SIZES[1][split][0] for split in ("train", "val", "test_2016_flickr")] == [29_000, 1014, 1000]


def test_the_command_makes_a_suite_made_elsewhere(tmp_path, capsys):
    """End to end: three images in the shape of XM3600 are not XM3600, and are used when the user says so."""
    xm3600(tmp_path)
    command = ["data", "prepare", "xm3600", "--out", str(tmp_path / "out")]
    command += ["--images", str(tmp_path / "images"), "--captions", str(tmp_path / "captions/captions.jsonl")]
    assert main(command) == 3
    error = capsys.readouterr().err
    assert error.startswith("mmcs: error: XM3600 is not complete: number of images (1): 3 instead of 3,600 in test; ")
    assert "languages missing (33): ar, bn, cs, da, el, es," in error and "uk, vi. Get what" in error
    assert error.count("\n") == 1
    assert "--allow-incomplete" in error and not (tmp_path / "out").exists()
    assert main([*command, "--allow-incomplete", "--size", "32"]) == 0
    told = capsys.readouterr().out
    assert "3 samples, 3 groups" in told
    assert "figures are quoted by: first_caption, all_captions" in told
    assert "note: This is not all of XM3600: number of images (1): 3 instead of 3,600 in test; languages" in told
    assert main(["data", "inspect", str(tmp_path / "out")]) == 0
    assert "3 samples (3 usable)" in capsys.readouterr().out
    assert main(command) == 2, "a part is not taken for the whole later"
    assert "made with" in capsys.readouterr().err
