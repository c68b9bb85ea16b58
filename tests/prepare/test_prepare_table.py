"""``mmcs data prepare table`` and ``inspect`` end to end: real pictures, a real CSV, real processes."""

from __future__ import annotations

import hashlib
import io
import json
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import webdataset
from PIL import Image

from mmcs.cli import main
from mmcs.errors import DataError, UserError
from mmcs.prepare.layout import Layout
from mmcs.prepare.records import split_of
from mmcs.prepare.table import Table, prepare_table

ALL_IN_TRAIN = Layout(val=0.0, test=0.0, size=64)


def paint(path: Path, colour: object, kind: str = "JPEG", mode: str = "RGB", **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (80, 40), colour).save(path, kind, **options)


@pytest.fixture
def photos(tmp_path) -> Path:
    """Good pictures of several kinds, a damaged one, a text called .jpg."""
    folder = tmp_path / "photos"
    paint(folder / "cat.jpg", "orange")
    paint(folder / "in/dog.png", (0, 0, 0, 0), "PNG", "RGBA")
    paint(folder / "print.jpg", (0, 255, 0, 0), mode="CMYK")
    exif = Image.Exif()
    exif[0x0112] = 8
    paint(folder / "phone.jpg", "blue", exif=exif)
    for number in range(30):
        paint(folder / f"{number}.jpg", (number * 8, 0, 0))
    whole = io.BytesIO()
    Image.effect_noise((80, 80), 50).save(whole, "JPEG")
    (folder / "damaged.jpg").write_bytes(whole.getvalue()[:700])
    (folder / "text.jpg").write_text("not a picture")
    return folder


def write_csv(path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def samples(folder: Path) -> dict[str, dict]:
    """url → sample, read by webdataset, which users trust."""
    shards = sorted(str(path) for path in folder.glob("*.tar"))
    found = webdataset.WebDataset(shards, shardshuffle=False, empty_check=False)
    return {json.loads(each["json"])["url"]: each | {"meta": json.loads(each["json"])} for each in found}


def numbered(*lines: str) -> list[str]:
    return [*lines, *(f"{number}.jpg,red number {number},," for number in range(30))]


def test_pictures_and_captions_arrive_and_losses_are_counted(photos, tmp_path):
    table = write_csv(
        tmp_path / "captions.csv",
        *numbered(
            "image,caption,de,zh_CN",
            "cat.jpg,A cat.,Eine Katze.,猫",
            "cat.jpg,An orange cat,,",
            "in/dog.png,A dog,Ein Hund.,",
            "print.jpg,A print,,",
            "phone.jpg,A phone,,",
            "damaged.jpg,Damaged,,",
            "text.jpg,Text,,",
            "gone.jpg,Gone,,",
            "../secret.jpg,Secret,,",
            "7.jpg,,Nummer sieben,",
        ),
        encoding="utf-8-sig",
    )
    prepared = prepare_table(Table(photos, table), tmp_path / "out", layout=ALL_IN_TRAIN, max_dropped=0.2)
    found = samples(tmp_path / "out/train")
    assert len(found) == prepared.manifest["samples"] == 34
    assert set(json.loads((tmp_path / "out/train/sizes.json").read_text()).items()) == {("00000.tar", 34)}
    cat = found["cat.jpg"]
    assert cat["txt"].decode() == "A cat."
    assert cat["meta"]["captions"] == {"en": ["An orange cat"], "de": ["Eine Katze."], "zh-Hans": ["猫"]}
    assert cat["meta"]["group"] == "cat"
    assert (cat["meta"]["width"], cat["meta"]["height"]) == (64, 32)
    assert (found["phone.jpg"]["meta"]["width"], found["phone.jpg"]["meta"]["height"]) == (32, 64)
    assert np.asarray(Image.open(io.BytesIO(found["in/dog.png"]["jpg"]))).min() > 250
    assert found["7.jpg"]["meta"]["captions"] == {"de": ["Nummer sieben"]}
    assert prepared.manifest["captions"] == {"de": 3, "en": 35, "zh-Hans": 1}
    assert {cause: each["count"] for cause, each in prepared.manifest["dropped"].items()} == {
        "damaged image": 1,
        "not read: a text file; convert it": 1,
        "missing file": 1,
        "path that leads out of the images' folder": 1,
    }
    assert not (tmp_path / "out/val").exists(), "a split without samples has no folder"


def test_too_many_losses_stop_and_leave_nothing(photos, tmp_path):
    table = write_csv(tmp_path / "t.csv", "filename;title", "cat.jpg;a cat", "text.jpg;a text")
    with pytest.raises(
        DataError,
        match=r"1 of 2 pictures cannot be used, more than 10% \(not read: a text file; convert it: 1 .*text.jpg",
    ):
        prepare_table(Table(photos, table), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "t.csv"]


def test_groups_stay_in_one_split_and_where_they_were(photos, tmp_path):
    """Shared captions and equal files make one group; the split is the hash's, and more rows do not change it."""
    (photos / "copy.jpg").write_bytes((photos / "cat.jpg").read_bytes())
    lines = ["image\tcaption", *(f"{number}.jpg\tred number {number}" for number in range(30))]
    lines += ["cat.jpg\tA cat", "copy.jpg\tAnother name", "print.jpg\tthe print", "phone.jpg\tPrint!"]
    layout = Layout(val=0.2, test=0.3, size=32, samples_per_shard=4)
    first = prepare_table(Table(photos, write_csv(tmp_path / "a.csv", *lines[:25])), tmp_path / "a", layout=layout)
    second = prepare_table(Table(photos, write_csv(tmp_path / "b.csv", *lines)), tmp_path / "b", layout=layout)
    split_by_name: dict[str, dict[str, str]] = {}
    for out in ("a", "b"):
        for split in ("train", "val", "test"):
            for url, sample in samples(tmp_path / out / split).items():
                split_by_name.setdefault(out, {})[url] = split
                assert split_of(sample["meta"]["group"], 0.2, 0.3) == split
                assert sample["__key__"] == sample["meta"]["key"] and len(sample["__key__"]) == 9
    assert len(split_by_name["b"]) == 34
    assert split_by_name["a"].items() <= split_by_name["b"].items()
    everything = {url: s for split in ("train", "val", "test") for url, s in samples(tmp_path / "b" / split).items()}
    assert everything["cat.jpg"]["meta"]["group"] == everything["copy.jpg"]["meta"]["group"] == "another name"
    assert everything["print.jpg"]["meta"]["group"] == everything["phone.jpg"]["meta"]["group"] == "print"
    assert (first.manifest["groups"], second.manifest["groups"]) == (24, 32)


def test_a_named_group_wins(photos, tmp_path):
    table = write_csv(
        tmp_path / "t.csv", "image,caption,sku", "cat.jpg,a cat,K1", "phone.jpg,a phone,K1", "1.jpg,a cat,K2"
    )
    prepare_table(Table(photos, table, group="sku"), tmp_path / "out", layout=ALL_IN_TRAIN)
    groups = {url: sample["meta"]["group"] for url, sample in samples(tmp_path / "out/train").items()}
    assert groups == {"cat.jpg": "K1", "phone.jpg": "K1", "1.jpg": "K2"}


def test_columns_that_look_like_languages_but_are_not(photos, tmp_path):
    table = write_csv(
        tmp_path / "t.csv", "id,url,image,caption,sw,fil", "17,x.org/a b,cat.jpg,a cat,paka,pusa", "18,y,1.jpg,red,,"
    )
    plain = prepare_table(Table(photos, table), tmp_path / "plain", layout=ALL_IN_TRAIN)
    assert plain.manifest["captions"] == {"en": 2, "sw": 1}
    assert list(plain.manifest["arguments"]["columns"]["left_out"]) == ["id", "url", "fil"]
    named = prepare_table(Table(photos, table, languages=["sw", "fil"]), tmp_path / "named", layout=ALL_IN_TRAIN)
    assert named.manifest["captions"] == {"en": 2, "fil": 1, "sw": 1}


def test_captions_are_cleaned_and_columns_of_one_language_are_joined(photos, tmp_path):
    table = write_csv(
        tmp_path / "t.csv",
        "image,caption,DE,de-DE,zh,zh_CN,de_AT,en-GB,Nr",
        "cat.jpg,Tom &amp; Jerry,ein &quot;Kater&quot;,eine Katze,猫,小猫,ein Katzerl,a grey cat,17",
        "1.jpg,red &#39;one&#39;,rot,rot,红,,,,18",
    )
    prepared = prepare_table(Table(photos, table), tmp_path / "out", layout=ALL_IN_TRAIN)
    found = samples(tmp_path / "out/train")
    assert found["cat.jpg"]["txt"].decode() == "Tom & Jerry"
    assert found["cat.jpg"]["meta"]["captions"] == {
        "en": ["a grey cat"],
        "de": ['ein "Kater"', "eine Katze"],
        "de-AT": ["ein Katzerl"],
        "zh-Hans": ["猫", "小猫"],
    }
    assert found["1.jpg"]["meta"]["captions"] == {"de": ["rot"], "zh-Hans": ["红"]}
    assert list(prepared.manifest["arguments"]["columns"]["left_out"]) == ["Nr"]
    lone = write_csv(tmp_path / "u.csv", "image,caption,de_AT", "cat.jpg,a cat,ein Katzerl")
    assert prepare_table(Table(photos, lone), tmp_path / "u").manifest["captions"] == {"de": 1, "en": 1}


def test_the_command_prints_what_was_taken_and_options_change_it(photos, tmp_path, capsys):
    table = write_csv(tmp_path / "t.csv", "image|Text|Beschreibung|Nr|fil", "cat.jpg| a cat|eine Katze|1|pusa")
    given = [
        "data",
        "prepare",
        "table",
        "--images",
        str(photos),
        "--captions",
        str(table),
        "--out",
        str(tmp_path / "o"),
    ]
    assert main([*given, "--caption-column", "Text", "--languages", "FIL", "--column", "Beschreibung=DE"]) == 0
    told = capsys.readouterr().out
    assert "  Beschreibung: de\n" in told and "  fil: fil\n" in told and "Nr: left out (not among --languages)" in told
    assert "captions: de 1, en 1, fil 1" in told
    assert "note: Fewer than 50 concepts in val (0), train (1): too few" in told
    assert main([*given[:-1], str(tmp_path / "p"), "--ignore-columns", "preis"]) == 2
    assert "has no column 'preis' (--ignore-columns); it has: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"caption_column": "alt", "mapping": {"caption": "de"}}, None),
        ({"mapping": {"caption": "de", "alt": "en"}}, None),
        ({"mapping": {"caption": "de"}}, "no column named title or text"),
    ],
)
def test_a_caption_column_may_be_mapped_to_another_language(photos, tmp_path, options, sentence):
    table = Table(photos, write_csv(tmp_path / "t.csv", "image,caption,alt", "cat.jpg,eine Katze,a cat"), **options)
    if sentence is not None:
        with pytest.raises(UserError, match=r"no column named"):
            prepare_table(table, tmp_path / "out", layout=ALL_IN_TRAIN)
        return
    prepare_table(table, tmp_path / "out", layout=ALL_IN_TRAIN)
    cat = samples(tmp_path / "out/train")["cat.jpg"]
    assert (cat["txt"], cat["meta"]["captions"]) == (b"a cat", {"de": ["eine Katze"]})


def test_file_names_with_dots_are_samples_of_their_own(photos, tmp_path):
    names = ["IMG_v1.0.jpg", "IMG_v1.1.jpg", "IMG_v1.jpg", "IMG.v1.0.tar.jpg", ".hidden.jpg"]
    for number, name in enumerate(names):
        paint(photos / name, (0, number * 40, 0))
    table = write_csv(tmp_path / "t.csv", "image,caption", *(f"{name},picture {name}" for name in names))
    prepare_table(
        Table(photos, table), tmp_path / "out", layout=Layout(val=0.0, test=0.0, size=64, samples_per_shard=2)
    )
    found = samples(tmp_path / "out/train")
    assert sorted(found) == sorted(names)
    keys = [sample["__key__"] for sample in found.values()]
    assert len(set(keys)) == len(names) and all(key.isdecimal() for key in keys)


def test_pictures_of_other_kinds_are_read_or_named(photos, tmp_path):
    (photos / "drawing.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle r="4"/></svg>'
    )
    (photos / "deep.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg">' + "<g>" * 20_000)
    (photos / "scan.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99))
    names = ["cat.jpg", "drawing.svg", "deep.svg", "scan.jp2", "https://x.org/y.jpg"]
    table = write_csv(tmp_path / "t.csv", "image,caption", *(f"{name},a {number}" for number, name in enumerate(names)))
    prepared = prepare_table(Table(photos, table), tmp_path / "out", layout=ALL_IN_TRAIN, max_dropped=0.7)
    assert sorted(samples(tmp_path / "out/train")) == ["cat.jpg", "drawing.svg"]
    causes = " | ".join(prepared.manifest["dropped"])
    assert "SVG nested" in causes and "JPEG 2000 picture; convert it" in causes and "img2dataset" in causes


def test_the_same_call_gives_the_same_bytes_and_a_second_one_reuses(photos, tmp_path):
    table = write_csv(tmp_path / "t.csv", *numbered("image,caption,de,fr"))

    def digests(out: str) -> list[str]:
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((tmp_path / out).rglob("*.*"))]

    assert not prepare_table(Table(photos, table), tmp_path / "a").reused
    assert not prepare_table(Table(photos, table), tmp_path / "b").reused
    assert digests("a") == digests("b")
    before = [path.stat().st_mtime_ns for path in sorted((tmp_path / "a").rglob("*"))]
    assert prepare_table(Table(photos, table), tmp_path / "a").reused
    assert before == [path.stat().st_mtime_ns for path in sorted((tmp_path / "a").rglob("*"))]
    with pytest.raises(UserError, match=r"made with val 0.1 \(asked for: 0.4\); remove the folder or name another"):
        prepare_table(Table(photos, table), tmp_path / "a", layout=Layout(val=0.4, test=0.0))
    with table.open("a") as handle:
        handle.write("cat.jpg,new row,,\n")
    with pytest.raises(UserError, match="other captions"):
        prepare_table(Table(photos, table), tmp_path / "a")
    manifest = tmp_path / "a" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema": 2', '"schema": 1'))
    with pytest.raises(UserError, match="was made by another version of mmcs"):
        prepare_table(Table(photos, table), tmp_path / "a")


@pytest.mark.parametrize(
    ("content", "error", "sentence"),
    [
        (b"picture,caption\ncat.jpg,a\n", UserError, "no column named image or filename.*it has: picture, caption"),
        (b"image,alt\ncat.jpg,a\n", UserError, "no column named caption or title.*--caption-column"),
        ("image,caption\ncat.jpg,é\n".encode("latin-1"), DataError, r"not UTF-8 .line 2.; save it as CSV"),
        (b"image,caption\ncat.jpg,a,b\n", DataError, "line 2 has more values than the header has columns"),
        (b'image,caption\ncat.jpg,"a"b\n', DataError, "line 2: its quotation marks do not match.*--quote none"),
        (b"image,caption,image\ncat.jpg,a,b\n", DataError, "two columns named 'image'"),
        (b"image,caption\n", DataError, "no rows"),
        (b"", DataError, "is empty"),
        (b"PK\x03\x04....", DataError, "spreadsheet"),
        (b"image,caption\0\n", DataError, "zero bytes"),
    ],
)
def test_a_table_that_cannot_be_read_gets_one_sentence(photos, tmp_path, content, error, sentence):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(error, match=sentence):
        prepare_table(Table(photos, tmp_path / "t.csv"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


RUN = "import sys, argparse; from mmcs.prepare.command import register; p = argparse.ArgumentParser(); \
register(p.add_subparsers()); a = p.parse_args(); a.run(a)"


def test_a_killed_prepare_leaves_nothing_that_looks_finished_and_can_be_repeated(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(folder / "0.png")
    for number in range(1, 400):
        (folder / f"{number}.png").hardlink_to(folder / "0.png")
    table = write_csv(tmp_path / "t.csv", "image,caption", *(f"{number}.png,picture {number}" for number in range(400)))
    arguments = ["data", "prepare", "table", "--images", str(folder), "--captions", str(table), "--out"]
    process = subprocess.Popen([sys.executable, "-c", RUN, *arguments, str(tmp_path / "sets/out")])
    while not (written := list(tmp_path.glob("sets/.*/*/*.tar"))) or written[0].stat().st_size == 0:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "sets/out").exists()
    prepared = prepare_table(
        Table(folder, write_csv(tmp_path / "u.csv", "image,caption", "1.png,a", "2.png,b")), tmp_path / "sets/out"
    )
    assert prepared.manifest["samples"] == 2


@pytest.mark.parametrize("name", ["/etc/passwd", "a/../../b.jpg", "..\\b.jpg", "C:\\b.jpg"])
def test_no_path_leads_out_of_the_folder(photos, tmp_path, name):
    table = write_csv(tmp_path / "t.csv", "image,caption", f"{name},out", "cat.jpg,a cat")
    prepared = prepare_table(Table(photos, table), tmp_path / "out", layout=ALL_IN_TRAIN, max_dropped=0.5)
    assert prepared.manifest["samples"] == 1
    assert list(prepared.manifest["dropped"]) == ["path that leads out of the images' folder"]


def test_inspect_counts_what_is_there_and_names_what_is_damaged(photos, tmp_path, capsys):
    from mmcs.prepare.inspect import inspect_shards, print_report

    table = write_csv(tmp_path / "t.csv", *numbered("image,caption,de,fr", "cat.jpg,a cat,eine Katze,"))
    prepare_table(Table(photos, table), tmp_path / "out", layout=Layout(0.3, 0.0, 64, 10))
    report = inspect_shards(str(tmp_path / "out"))
    assert (report.samples, report.usable, len(report.groups)) == (31, 31, 31)
    assert report.as_dict()["captions"]["de"] == {"texts": 1, "samples": 1}
    assert report.as_dict()["image_longer_side"] == {"smallest": 64, "median": 64, "largest": 64}

    shard = tmp_path / "bad" / "00000.tar"
    shard.parent.mkdir()
    good = io.BytesIO()
    Image.new("RGB", (9, 9)).save(good, "JPEG")
    members = {
        "0.jpg": good.getvalue(),
        "0.txt": b"fine",
        "1.jpg": b"no picture",
        "1.txt": b"x",
        "2.txt": b"no picture at all",
        "3.jpg": good.getvalue(),
        "4.jpg": good.getvalue(),
        "4.txt": b" ",
        "5.jpg": good.getvalue(),
        "5.txt": b"x",
        "5.json": b"{",
        "6.jpg": good.getvalue(),
        "6.txt": b"cut off",
    }
    with tarfile.open(shard, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(str(PurePosixPath(name)))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    whole = shard.read_bytes()
    shard.write_bytes(whole[: whole.index(b"6.txt") + 100])
    report = inspect_shards(str(shard))
    assert report.usable == 1
    assert set(report.problems.counts) == {
        "undecodable image",
        "no image",
        "no caption",
        "empty caption",
        "bad json",
        "truncated archive",
    }
    print_report(report)
    printed = capsys.readouterr().out
    assert "  undecodable image\t1\t" in printed and "/bad/00000/1 (" in printed


def test_the_command_line_ends_as_it_should(photos, tmp_path, capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["data", *arguments])
        return (code, *capsys.readouterr())

    table = write_csv(tmp_path / "t.csv", *numbered("image,caption,de,fr"))
    prepare = ("prepare", "table", "--images", str(photos), "--captions", str(table), "--out", str(tmp_path / "o"))
    code, out, _ = run(*prepare)
    assert (code, "written (30 samples, 30 groups)" in out) == (0, True)
    assert "reused" in run(*prepare)[1]
    assert json.loads(run("inspect", str(tmp_path / "o"), "--json")[1])["usable"] == 30
    assert run("inspect", str(tmp_path / "nothing"))[0] == 2
    (tmp_path / "junk.tar").write_bytes(b"junk" * 1000)
    code, _, err = run("inspect", str(tmp_path / "junk.tar"))
    assert (code, err.count("mmcs: error:")) == (3, 1)
