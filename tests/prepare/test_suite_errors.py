"""What is wrong with a suite's files ends in one sentence that says where; what is allowed to be missing is counted."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from suite_folders import (
    COCO_SMALL,
    KARPATHY_PARTS,
    M30K_SIZES,
    M30K_TASK2_SIZES,
    XFLICKR_PARTS,
    XM_PARTS,
    XTD_IMAGES,
    XTD_PARTS,
    images,
    json_lines,
    karpathy,
    karpathy_image,
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

from mmcs.errors import DataError, UserError
from mmcs.prepare import suite_files
from mmcs.prepare.karpathy import prepare_karpathy
from mmcs.prepare.layout import SuiteLayout
from mmcs.prepare.multi30k import prepare_multi30k
from mmcs.prepare.shards import Prepared
from mmcs.prepare.suites import Part, Request
from mmcs.prepare.xflickrco import prepare_xflickrco
from mmcs.prepare.xm3600 import prepare_xm3600
from mmcs.prepare.xtd10 import prepare_xtd10

Make = Callable[..., Prepared]


def made(prepare: Make, folder: Path, **options) -> str:
    """The sentence that a preparation ends with; whatever it is, nothing is left behind."""
    with pytest.raises((UserError, DataError)) as caught:
        prepare(folder, **options)
    assert not (folder / "out").exists() and not list(folder.glob(".out*"))
    sentence = str(caught.value)
    assert "\n" not in sentence and len(sentence) < 2000
    return sentence.replace(f"{folder}/", "")


def of_xm3600(folder: Path, **options) -> Prepared:
    return prepare_xm3600(request(folder, **options), folder / "out", parts=XM_PARTS)


def of_xtd10(folder: Path, **options) -> Prepared:
    return prepare_xtd10(request(folder, **options), folder / "out", parts=XTD_PARTS)


def of_multi30k(folder: Path, **options) -> Prepared:
    return prepare_multi30k(request(folder, **options), folder / "out", sizes=M30K_SIZES)


def of_task2(folder: Path, **options) -> Prepared:
    return prepare_multi30k(request(folder, **options), folder / "out", task=2, sizes=M30K_TASK2_SIZES)


def of_xflickrco(folder: Path, **options) -> Prepared:
    return prepare_xflickrco(request(folder, **options), folder / "out", parts=XFLICKR_PARTS)


def of_karpathy(folder: Path, **options) -> Prepared:
    return prepare_karpathy(COCO_SMALL, request(folder, **options), folder / "out")


def test_paths_that_do_not_exist(tmp_path):
    xm3600(tmp_path)
    assert made(lambda folder: prepare_xm3600(Request([folder / "no"], [folder]), folder / "out"), tmp_path) == (
        "--images no does not exist."
    )
    assert made(lambda folder: prepare_xm3600(Request([folder], [folder / "no"]), folder / "out"), tmp_path) == (
        "--captions no does not exist."
    )
    file = tmp_path / "captions/captions.jsonl"
    assert made(lambda folder: prepare_xm3600(Request([file], [folder]), folder / "out"), tmp_path) == (
        "--images captions/captions.jsonl is not a folder."
    )


@pytest.mark.parametrize(
    ("prepare", "what"),
    [
        (of_xm3600, "no captions.jsonl"),
        (of_xtd10, "no test_image_names.txt"),
        (of_multi30k, "no train.txt"),
        (of_task2, "no train_images.txt"),
        (of_xflickrco, "no LANGUAGE/test.jsonl"),
        (of_karpathy, "no dataset_coco.json"),
    ],
)
def test_a_folder_without_the_files_is_told_which(prepare, what, tmp_path):
    write(tmp_path / "captions/readme.txt", "nothing")
    images(tmp_path / "images", "a.jpg")
    assert what in made(prepare, tmp_path)


def test_missing_pictures_are_counted_and_the_first_few_named(tmp_path):
    xtd10(tmp_path)
    (tmp_path / "images/train2014" / XTD_IMAGES[0]).unlink()
    (tmp_path / "images/val2014" / XTD_IMAGES[1]).unlink()
    assert made(of_xtd10, tmp_path) == (
        f"XTD10 is not complete: images missing (2): {XTD_IMAGES[0]}, {XTD_IMAGES[1]}. Get what is missing, or go on with what "
        "is there with --allow-incomplete."
    )
    prepared = of_xtd10(tmp_path, allow_incomplete=True)
    assert [each["url"] for each in samples(tmp_path / "out/test")] == [XTD_IMAGES[2]]
    assert prepared.manifest["dropped"]["images missing"] == {"count": 2, "examples": list(XTD_IMAGES[:2])}
    assert prepared.manifest["evaluation"]["notes"][-1].startswith("This is not all of XTD10: images missing (2): COCO")


def test_languages_without_a_file_and_lines_that_do_not_match(tmp_path):
    xtd10(tmp_path)
    (tmp_path / "captions/STAIR/test_1kcaptions_jp.txt").unlink()
    write(tmp_path / "captions/MIC/test_1kcaptions_de.txt", "ein Zebra\neine Katze\n")
    sentence = made(of_xtd10, tmp_path)
    assert (
        "languages missing (2): de (test_1kcaptions_de.txt has 2 lines, test_image_names.txt 3), "
        "ja (no test_1kcaptions_jp.txt)." in sentence
    )
    prepared = of_xtd10(tmp_path, allow_incomplete=True)
    assert prepared.manifest["captions"] == {"en": 3, "ru": 3}, "lines that may belong to other images are not used"
    assert prepared.manifest["evaluation"]["incomplete"]["languages missing"]["count"] == 2


def test_without_english_nothing_is_made(tmp_path):
    xtd10(tmp_path)
    (tmp_path / "captions/XTD10/test_1kcaptions_en.txt").unlink()
    sentence = made(of_xtd10, tmp_path, allow_incomplete=True)
    assert sentence == "There is no English caption, which every sample needs (no test_1kcaptions_en.txt)."


def test_a_language_missing_from_one_split_alone_is_told(tmp_path):
    multi30k(tmp_path)
    (tmp_path / "captions/data/task1/raw/val.cs.gz").unlink()
    sentence = made(of_multi30k, tmp_path)
    assert "languages missing (1): cs in val (no val.cs)." in sentence
    assert "leave its split out with --splits (train, val, test)" in sentence
    assert of_multi30k(tmp_path, splits=("train", "test")).manifest["captions"] == {"cs": 3, "de": 3, "en": 3}


def test_one_of_five_caption_files_missing(tmp_path):
    multi30k(tmp_path)
    (tmp_path / "captions/data/task2/raw/train.3.de.gz").unlink()
    assert "languages missing (1): de in train (no train.3.de)." in made(of_task2, tmp_path)


def test_splits_and_test_sets_that_do_not_exist(tmp_path):
    multi30k(tmp_path)
    assert made(of_multi30k, tmp_path, splits=("dev",)) == (
        "Multi30k (task 1) has no split 'dev' (--splits); it has: train, val, test."
    )
    with pytest.raises(
        UserError, match=r"no test set 'test_2019' \(--test-set\); it has: test_2016_flickr, test_2017_mscoco"
    ):
        prepare_multi30k(request(tmp_path), tmp_path / "out", test_set="test_2019", sizes=M30K_SIZES)


def test_numbers_that_differ_from_the_official_ones(tmp_path):
    """Where the number of images differs, that of captions follows from it and is not told again."""
    rows = xm_rows()
    rows[1]["de"]["caption"].append("noch eins")
    xm3600(tmp_path, rows)
    assert "not complete: number of captions (1): 6 instead of 5 in de. Get" in made(of_xm3600, tmp_path)
    xm3600(tmp_path, rows[1:])
    assert "not complete: number of images (1): 2 instead of 3 in test. Get" in made(of_xm3600, tmp_path)
    prepared = of_xm3600(tmp_path, allow_incomplete=True)
    assert prepared.manifest["samples"] == 2
    note = prepared.manifest["evaluation"]["notes"][0]
    assert note == "This is not all of XM3600: number of images (1): 2 instead of 3 in test."


def test_an_image_without_english_is_left_out_when_that_is_allowed(tmp_path):
    rows = xm_rows()
    rows[2]["en"]["caption"] = [" ", ""]
    xm3600(tmp_path, rows)
    assert "images without an English caption (1): 0c." in made(of_xm3600, tmp_path)
    prepared = of_xm3600(tmp_path, allow_incomplete=True)
    assert [each["url"] for each in samples(tmp_path / "out/test")] == ["0a", "0b"]
    assert prepared.manifest["left_out"]["blank captions"]["examples"] == ["0c in en"]


def test_pictures_that_cannot_be_read_are_found_before_figures_are_taken(tmp_path):
    xm3600(tmp_path)
    write(tmp_path / "images/0b.jpg", photograph(1)[:700])
    assert made(of_xm3600, tmp_path) == (
        "1 of 3 pictures cannot be used (damaged image: 1 (such as 0b)); fix them, or allow more with --allow-incomplete."
    )
    prepared = of_xm3600(tmp_path, allow_incomplete=True)
    assert "not all of XM3600: damaged image (1): 0b." in prepared.manifest["evaluation"]["notes"][0]
    split = json.loads((tmp_path / "out/test/manifest.json").read_text())
    assert split["evaluation"] == prepared.manifest["evaluation"]


def test_json_lines_say_file_and_line(tmp_path):
    xm3600(tmp_path)
    path = tmp_path / "captions/captions.jsonl"
    good = json_lines(*xm_rows())
    for bad, sentence in {
        '{"image/key": "0d", "en"': "captions/captions.jsonl line 4 is not JSON",
        "[1]": "captions/captions.jsonl line 4 holds list, where an object is wanted.",
        "[" * 100_000: "captions/captions.jsonl line 4 is not JSON",
        '{"en": {"caption": ["x"]}}': "captions/captions.jsonl line 4 (image/key) names no picture.",
        '{"image/key": 7}': "captions/captions.jsonl line 4 (image/key) names no picture.",
        '{"image/key": "0d", "en": {}}': "captions/captions.jsonl line 4 (en, caption) is not a list of texts.",
        '{"image/key": "0d", "en": {"caption": "x"}}': "line 4 (en, caption) is not a list of texts.",
        '{"image/key": "0d", "en": {"caption": [3]}}': "line 4 (en, caption) is not a list of texts.",
        '{"image/key": "0d", "en": {"caption": ["\\ud800"]}}': "line 4 (en, caption) holds half a surrogate pair",
        '{"image/key": "0d", "english": {"caption": ["x"]}}': "line 4: 'english' is not a language tag",
        '{"image/key": "../0a"}': "line 4 (image/key): '../0a.jpg' leads out of the pictures' folder; it is refused.",
        '{"image/key": "0a"}': "0a is listed twice: captions/captions.jsonl line 1, captions/captions.jsonl line 4; remove",
    }.items():
        path.write_text(good + bad + "\n")
        assert sentence in made(of_xm3600, tmp_path, allow_incomplete=True), bad[:60]


def test_what_is_not_utf_8_or_damaged_or_too_large(tmp_path, monkeypatch):
    xtd10(tmp_path)
    write(tmp_path / "captions/MIC/test_1kcaptions_de.txt", "ein Zebra\nein Hund\nein Bär\n".encode("latin-1"))
    assert made(of_xtd10, tmp_path) == "captions/MIC/test_1kcaptions_de.txt is not UTF-8 (line 3)."
    multi30k(tmp_path / "m")
    raw = tmp_path / "m/captions/data/task1/raw"
    whole = (raw / "train.en.gz").read_bytes()
    for damaged in (whole[:-12], b"plain text", whole[:12] + b"\xff\xff\xff" + whole[15:]):
        write(raw / "train.en.gz", damaged)
        assert re.match(
            r"captions/data/task1/raw/train.en.gz is damaged \(.+\); fetch it again\.",
            made(of_multi30k, tmp_path / "m"),
        )
    write(raw / "train.en.gz", gzip.compress(b"a\n" * 2_000_000))
    monkeypatch.setattr(suite_files, "MAX_TEXT_BYTES", 2**20)
    assert (
        made(of_multi30k, tmp_path / "m")
        == "captions/data/task1/raw/train.en.gz holds more than 1 MiB; it is not read."
    )


def test_lists_that_name_an_image_twice_or_lead_elsewhere(tmp_path):
    xtd10(tmp_path)
    index = tmp_path / "captions/XTD10/test_image_names.txt"
    index.write_text(f"{XTD_IMAGES[0]}\nb.jpg\n{XTD_IMAGES[0]}\n")
    assert made(of_xtd10, tmp_path, allow_incomplete=True) == (
        f"{XTD_IMAGES[0]} is listed twice: captions/XTD10/test_image_names.txt line 1, "
        "captions/XTD10/test_image_names.txt line 3; remove one of them."
    )
    for name in ("../secret.jpg", "/etc/passwd", "C:\\x.jpg", "a/../../b.jpg"):
        index.write_text(f"{XTD_IMAGES[0]}\n{name}\nc.jpg\n")
        assert f"line 2: {name!r} leads out of the pictures' folder" in made(of_xtd10, tmp_path, allow_incomplete=True)
    index.write_text(f"{XTD_IMAGES[0]}\n\nc.jpg\n")
    assert made(of_xtd10, tmp_path) == "captions/XTD10/test_image_names.txt line 2 names no picture."


def test_two_files_of_one_name_must_be_the_same(tmp_path):
    xtd10(tmp_path)
    write(tmp_path / "captions/copy/test_1kcaptions_de.txt", "ein Zebra\nein Hund\neine Katze\n")
    assert of_xtd10(tmp_path).manifest["samples"] == 3
    write(tmp_path / "captions/copy/test_1kcaptions_de.txt", "ein Zebra\nein Hund\nein Kater\n")
    with pytest.raises(DataError, match=r"copy/test_1kcaptions_de.txt differ; name the right one with --captions\."):
        prepare_xtd10(request(tmp_path), tmp_path / "other", parts=XTD_PARTS)


def test_pictures_of_one_name_in_several_folders_must_be_the_same(tmp_path):
    xm3600(tmp_path)
    (tmp_path / "images/0a.jpg").rename(write(tmp_path / "images/one/x", "").parent / "0a.jpg")
    write(tmp_path / "images/two/0a.jpg", photograph(0))
    assert of_xm3600(tmp_path).manifest["samples"] == 3
    write(tmp_path / "images/two/0a.jpg", photograph(9))
    with pytest.raises(
        DataError, match=r"images/one/0a.jpg and .*images/two/0a.jpg differ; name the right one with --images"
    ):
        prepare_xm3600(request(tmp_path), tmp_path / "other", parts=XM_PARTS)


def test_links_are_followed_and_do_not_go_round_for_ever(tmp_path):
    xm3600(tmp_path)
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/all").symlink_to(tmp_path / "elsewhere")
    assert of_xm3600(tmp_path).manifest["samples"] == 3


def test_xflickrco_refuses_paths_and_shapes(tmp_path):
    xflickrco(tmp_path)
    path = tmp_path / "captions/datasets/xFlickrCO/annotations/de/test.jsonl"
    for row, sentence in (
        ({"sentences": ["x"], "img_path": "../100.jpg"}, "line 1 (img_path): '../100.jpg' leads out"),
        ({"sentences": ["x"]}, "line 1 (img_path) names no picture."),
        ({"sentences": "x", "img_path": "100.jpg"}, "line 1 (sentences) is not a list of texts."),
    ):
        path.write_text(json_lines(row))
        assert sentence in made(of_xflickrco, tmp_path)
    path.write_text(json_lines(*[{"sentences": ["x"], "img_path": "100.jpg"}] * 2))
    assert "100.jpg is listed twice" in made(of_xflickrco, tmp_path)
    path.unlink()
    assert "languages missing (1): de (no de/test.jsonl)." in made(of_xflickrco, tmp_path)


def test_karpathy_refuses_other_sets_and_shapes(tmp_path):
    karpathy(tmp_path, dataset="flickr30k")
    assert made(of_karpathy, tmp_path) == (
        "captions/dataset_coco.json is of flickr30k, not of coco; name dataset_coco.json with --captions."
    )
    image = karpathy_image("test", 1, "A man.")
    for rows, sentence in (
        ([image, image], "listed twice: captions/dataset_coco.json image 0, captions/dataset_coco.json image 1"),
        ([image | {"split": "dev"}], "image 0 is in the split 'dev'; known are train, restval, val, test."),
        ([image | {"filepath": "../.."}], "image 0 (filepath): '../../COCO_val2014_000000000001.jpg' leads out"),
        ([image | {"filename": "../x.jpg"}], "image 0 (filename): '../x.jpg' leads out"),
        ([image | {"sentences": [{"raw": 1}]}], "image 0 (sentences, raw) is not a list of texts."),
        ([image | {"sentences": None}], "image 0 has no list 'sentences'."),
        ([3], "image 0 holds int, where an object is wanted."),
    ):
        write(tmp_path / "captions/dataset_coco.json", json.dumps({"images": rows}))
        assert sentence in made(of_karpathy, tmp_path)
    write(tmp_path / "captions/dataset_coco.json", "{}")
    assert "has no list 'images'" in made(of_karpathy, tmp_path)


def test_an_image_in_two_splits_is_refused(tmp_path):
    multi30k(tmp_path)
    write(tmp_path / "captions/data/task1/image_splits/val.txt", "1.jpg\n")
    assert made(of_multi30k, tmp_path) == "1.jpg stands in two splits, train and val; remove one of them."


def test_sizes_out_of_range(tmp_path):
    with pytest.raises(UserError, match="--size is 8; give the shorter side in pixels, 16 to 4096"):
        SuiteLayout(8)
    with pytest.raises(UserError, match="--samples-per-shard is 0; give 1 to 10000"):
        SuiteLayout(samples_per_shard=0)


def test_counts_are_compared_with_those_of_the_set(tmp_path):
    """The same files are complete by one set's counts, and not by another's."""
    karpathy(tmp_path)
    assert of_karpathy(tmp_path).manifest["samples"] == 4
    known = replace(COCO_SMALL, parts=KARPATHY_PARTS | {"val": Part(2, {"en": 2})})
    with pytest.raises(DataError, match=r"number of images \(1\): 1 instead of 2 in val"):
        prepare_karpathy(known, request(tmp_path), tmp_path / "other")
