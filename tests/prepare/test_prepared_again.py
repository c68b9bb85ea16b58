"""A finished set is reused only when nothing it was made of changed; what changed is said, and the set stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image
from suite_folders import XM_PARTS, request, xm3600

from mmcs.cli import main
from mmcs.errors import UserError
from mmcs.prepare.emoji import prepare_emoji
from mmcs.prepare.layout import Layout
from mmcs.prepare.stamps import prepare_stamps
from mmcs.prepare.xm3600 import prepare_xm3600


@pytest.fixture
def pictures(tmp_path) -> Path:
    folder = tmp_path / "pics"
    folder.mkdir()
    for number in range(6):
        Image.new("RGB", (20, 10), (number * 40, 0, 0)).save(folder / f"p{number}.jpg")
    rows = "".join(f"p{number}.jpg;picture {number};Bild {number}\n" for number in range(7))
    (tmp_path / "t.csv").write_text(f"image;caption;de\n{rows}")
    return folder


@pytest.fixture
def prepare(pictures, tmp_path, capsys):
    def run(*options: str) -> tuple[int, str]:
        given = ["--images", str(pictures), "--captions", str(tmp_path / "t.csv"), "--out", str(tmp_path / "out")]
        code = main(["data", "prepare", "table", *given, "--val", "0", "--max-dropped", "0.2", *options])
        told = capsys.readouterr()
        return code, told.out + told.err

    return run


def test_pictures_that_were_missing_or_changed_are_noticed(prepare, pictures, tmp_path):
    assert prepare()[0] == 0
    assert "complete already, reused (6 samples" in prepare()[1]
    (pictures / "unnamed.jpg").write_bytes(b"in no row")
    assert "reused" in prepare()[1]
    before = (tmp_path / "out/manifest.json").read_bytes()

    def refused(sentence: str) -> None:
        code, told = prepare()
        assert code == 2 and sentence in told and "remove the folder or name another with --out" in told
        assert (tmp_path / "out/manifest.json").read_bytes() == before

    Image.new("RGB", (20, 10), "blue").save(pictures / "p6.jpg")
    refused("made with other pictures (6 files of")
    refused("1 missing; now 7 files of")
    (pictures / "p6.jpg").unlink()
    assert "reused" in prepare()[1]
    time = (pictures / "p0.jpg").stat().st_mtime_ns
    os.utime(pictures / "p0.jpg", ns=(time, time + 1))
    refused("names or times changed")


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--max-dropped", "0"], 3, "1 of 7 pictures cannot be used (missing file: 1 (such as p6.jpg))"),
        (["--licence", "CC0"], 2, "made with licence not stated (asked for: CC0)"),
        (["--size", "32"], 2, "made with size 256 (asked for: 32)"),
        (["--ignore-columns", "de"], 2, "made with columns languages {'de': 'de'} (asked for: {})"),
        (["--quote", "none"], 2, "made with dialect"),
        (["--val", "0.5"], 2, "made with val 0.0"),
    ],
)
def test_options_that_changed_are_noticed(prepare, options, code, sentence):
    prepare()
    found, told = prepare(*options)
    assert found == code and sentence in told
    assert "reused" in prepare()[1], "the set stays"


def test_captions_that_changed_are_noticed(prepare, tmp_path):
    prepare()
    with (tmp_path / "t.csv").open("a") as handle:
        handle.write("p0.jpg;another;noch eins\n")
    assert "made with other captions (the contents of --captions changed)" in prepare()[1]


def test_pictures_of_a_suite_that_changed_are_noticed(tmp_path):
    xm3600(tmp_path)
    prepare_xm3600(request(tmp_path), tmp_path / "out", parts=XM_PARTS)
    picture = next((tmp_path / "images").glob("*.jpg"))
    os.utime(picture, ns=(0, 0))
    with pytest.raises(UserError, match=r"other pictures .*: names or times changed"):
        prepare_xm3600(request(tmp_path), tmp_path / "out", parts=XM_PARTS)
    picture.unlink()
    with pytest.raises(UserError, match=r"other pictures .*, 1 missing"):
        prepare_xm3600(request(tmp_path, allow_incomplete=True), tmp_path / "out", parts=XM_PARTS)


def test_stamps_and_emoji_of_another_source_are_noticed(tmp_path):
    for number in range(3):
        (tmp_path / f"s/{number}.png").parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9), "red").save(tmp_path / f"s/{number}.png")
        (tmp_path / f"s/{number}.txt").write_text(f"Thing {number}.")
    prepare_stamps(tmp_path / "stamps", tmp_path / "s")
    assert prepare_stamps(tmp_path / "stamps", tmp_path / "s").reused
    (tmp_path / "s/0.txt").write_text("Another thing.")
    with pytest.raises(UserError, match="other pictures"):
        prepare_stamps(tmp_path / "stamps", tmp_path / "s")

    layout = Layout(val=0.0, test=0.0, size=16)
    prepare_emoji(tmp_path / "emoji", layout=layout, only=["🦓", "🐢"])
    with pytest.raises(UserError, match="made with --only"):
        prepare_emoji(tmp_path / "emoji", layout=layout)
    manifest = tmp_path / "emoji/manifest.json"
    manifest.write_text(manifest.read_text().replace("OpenMoji ", "OpenMoji 0."))
    with pytest.raises(UserError, match=r"made of OpenMoji 0\..*now: OpenMoji"):
        prepare_emoji(tmp_path / "emoji", layout=layout, only=["🦓", "🐢"])
