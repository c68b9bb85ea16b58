"""``mmcs data inspect``: every sample is counted once, and what is lost is named with its cause."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmcs.cli import main


def jpeg(colour: str = "red") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (32, 24), colour).save(content, "JPEG")
    return content.getvalue()


def shard(path: Path, members: dict[str, bytes | str | dict[str, Any]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, given in members.items():
            content = json.dumps(given) if isinstance(given, dict) else given
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def inspected(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 0) -> dict[str, Any]:
    assert main(["data", "inspect", *map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def sample(key: str, caption: str = "a dog") -> dict[str, bytes | str]:
    return {f"{key}.jpg": jpeg(), f"{key}.txt": caption}


def test_each_sample_lost_to_dots_is_counted(tmp_path, capsys):
    dotted = {name: file for number in range(6) for name, file in sample(f"IMG_v1.{number}").items()}
    path = shard(tmp_path / "a.tar", sample("0") | dotted | sample("1"))
    found = inspected(capsys, path)
    assert (found["samples"], found["usable"]) == (8, 2)
    assert {cause: about["count"] for cause, about in found["unusable"].items()} == {"dots in file names": 6}
    assert main(["data", "inspect", str(path)]) == 0
    assert "the key of a sample ends at the first dot of a file name; rename the files" in capsys.readouterr().out


def test_concatenated_shards_are_read_to_their_end(tmp_path, capsys):
    parts = [shard(tmp_path / f"{key}.part", sample(key)).read_bytes() for key in "abc"]
    (tmp_path / "all.tar").write_bytes(parts[0] + parts[1] + bytes(5120) + parts[2] + b"and a note")
    found = inspected(capsys, tmp_path / "all.tar")
    assert (found["samples"], found["usable"]) == (4, 3)
    assert list(found["unusable"]) == ["bytes after the end"]
    assert "10 bytes after the end of the archive are no tar" in found["unusable"]["bytes after the end"]["examples"][0]


@pytest.mark.parametrize(
    ("files", "options"),
    [
        ({"jpg": jpeg(), "json": {"text": "a dog"}}, ["--caption", "text"]),
        ({"jpg": jpeg(), "json": {"captions": {"blip2": "a dog"}}}, ["--caption", "captions.blip2"]),
        ({"img": jpeg(), "cap": "a dog"}, ["--caption", ".CAP", "--image-extensions", ".Img"]),
        ({"input.jpg": jpeg(), "outputs.txt": "dog"}, ["--caption", ".outputs.txt", "--image-extensions", "input.jpg"]),
        ({"0.jpg": jpeg(), "0.txt": "dog"}, ["--caption", ".0.txt", "--image-extensions", "0.jpg"]),
    ],
)
def test_options_name_what_is_read(tmp_path, capsys, files, options):
    path = shard(tmp_path / "a.tar", {f"k.{extension}": content for extension, content in files.items()})
    before = inspected(capsys, path, code=3)
    ((_, about),) = before["unusable"].items()
    assert "files" in about["examples"][0] or "texts in" in about["examples"][0] or "k.0" in about["examples"][0]
    found = inspected(capsys, path, *options)
    assert (found["usable"], found["captions"]) == (1, {"en": {"texts": 1, "samples": 1}})


def test_lines_languages_and_keys_that_are_none(tmp_path, capsys):
    record = {"captions": {"DE": "Hund", "de_AT": "Hunderl", "blip2": "dog"}, "group": ["dog", "animal"]}
    path = shard(tmp_path / "a.tar", sample("0", "a dog\na puppy") | {"0.json": record})
    found = inspected(capsys, path)
    assert list(found["captions"]) == ["de", "de-AT", "en"] and found["no_language"] == {"captions.blip2": 1}
    assert found["captions"]["en"]["texts"] == 1 and found["captions_with_line_breaks"] == 1
    assert inspected(capsys, path, "--caption-lines")["captions"]["en"]["texts"] == 2
    assert "en" not in inspected(capsys, path, "--text-language", "fr")["captions"]
    assert main(["data", "inspect", str(path)]) == 0
    said = capsys.readouterr().out
    assert "1 samples have captions under captions.blip2, no language" in said and "--caption-lines" in said


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("k.heic", b"\0\0\0\x18ftypheic" + bytes(99), "HEIC"),
        ("k.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing; render it as PNG or JPEG"),
        ("k.jp2", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99), "a JPEG 2000 picture; convert it"),
        ("k.jpg", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        ("k.jpg", "<html>404</html>", "a web page"),
        ("k.npy", b"\x93NUMPY", "its files are .npy, .txt"),
    ],
)
def test_a_picture_that_is_none_is_named(tmp_path, capsys, name, content, said):
    path = shard(tmp_path / "a.tar", {name: content, "k.txt": "a dog"})
    ((_, about),) = inspected(capsys, path, code=3)["unusable"].items()
    assert said in about["examples"][0] and " at 0x" not in about["examples"][0]


@pytest.mark.parametrize("form", ["TIFF", "AVIF", "HEIF", "PPM"])
def test_further_formats_are_read(tmp_path, capsys, form):
    if form == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    content = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(content, form)
    extension = {"TIFF": "tif", "HEIF": "heic"}.get(form, form.lower())
    found = inspected(capsys, shard(tmp_path / "a.tar", {f"k.{extension}": content.getvalue(), "k.txt": "teal"}))
    assert (found["usable"], found["image_formats"]) == (1, {form: 1})


def test_identical_runs_say_the_same(tmp_path, capsys):
    members = {
        "0.jpg": b"no picture",
        "0.txt": "x",
        "1.png": jpeg()[:300],
        "1.txt": "x",
        "2.gif": b"GIF89a",
        "2.txt": "x",
    }
    path = shard(tmp_path / "a.tar", members)
    first, second = (inspected(capsys, path, code=3) for _ in range(2))
    assert first == second and "object at" not in json.dumps(first)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.tar", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "run 'git lfs pull'"),
        ("train.parquet", b"PAR1" + bytes(100), "a Parquet file; convert it to *.tar shards"),
        ("a.tar.gz", b"\x1f\x8b\x08" + bytes(100), "compressed with gzip; unpack it first (gunzip)"),
    ],
)
def test_a_file_that_is_no_shard_is_named(tmp_path, capsys, name, content, told):
    (tmp_path / name).write_bytes(content)
    ((cause, about),) = inspected(capsys, tmp_path / name, code=3)["unusable"].items()
    assert cause == "not an archive" and told in about["examples"][0]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("00000.tar.gz", "3 *.tar.gz: shards are read uncompressed, unpack each with gunzip"),
        ("part-0.parquet", "3 *.parquet: img2dataset makes *.tar shards"),
        ("photo.JPG", "3 *.jpg: 'mmcs data prepare table' makes shards"),
    ],
)
def test_a_folder_without_shards_says_what_it_has(tmp_path, capsys, name, told):
    for number in range(3):
        (tmp_path / f"{number}{name}").write_bytes(b"x")
    assert main(["data", "inspect", str(tmp_path)]) == 2
    assert told in capsys.readouterr().err
