"""Names of pictures in tables: taken as they are, else in another spelling, and never outside the folder."""

from __future__ import annotations

import os
import unicodedata
from pathlib import PurePosixPath

import pytest

from mmcs.prepare.picture_files import NoPicture, PictureFiles, inventory

NAMES = (
    "p0.jpg",
    "photo  double  space.jpg",
    "Screenshot 9.41.00\u202fAM.png",
    "写真\u3000一.jpg",
    " leading.jpg",
    "trailing.jpg ",
    "back\\slash.jpg",
    "10:30.jpg",
    "a#b%20c&d.jpg",
    "IMG_v1.0.JPG",
    f"{unicodedata.normalize('NFD', 'Küche')}/{unicodedata.normalize('NFD', 'Ñandú')}.jpg",
    "sub/deep/q.jpeg",
)


@pytest.fixture
def pictures(tmp_path) -> PictureFiles:
    for name in NAMES:
        path = tmp_path / "pics" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return PictureFiles(tmp_path / "pics")


def test_every_name_is_found_as_it_is(pictures):
    assert [str(pictures.find(name)) for name in NAMES] == list(NAMES)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("Küche/Ñandú.jpg", NAMES[10]),
        ("Screenshot 9.41.00 AM.png", NAMES[2]),
        ("photo double space.jpg", NAMES[1]),
        ("写真 一.jpg", NAMES[3]),
        ("leading.jpg", " leading.jpg"),
        (" p0.jpg ", "p0.jpg"),
        ("IMG_v1.0.jpg", "IMG_v1.0.JPG"),
        ("sub\\deep\\q.jpeg", "sub/deep/q.jpeg"),
        ("./sub/../p0.jpg", "p0.jpg"),
    ],
)
def test_other_spellings_are_found(pictures, asked, name):
    assert str(pictures.find(asked)) == name


def test_absolute_paths_inside_the_folder_are_found(pictures, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "pics")
    for root in (tmp_path / "pics", tmp_path / "link", tmp_path / "pics/sub/.."):
        for opened in (pictures, PictureFiles(tmp_path / "link")):
            assert opened.find(f"{root}/p0.jpg") == PurePosixPath("p0.jpg")
    assert str(pictures.find(f"file://{tmp_path}/pics/a%23b%2520c%26d.jpg")) == "a#b%20c&d.jpg"


@pytest.mark.parametrize(
    ("asked", "cause"),
    [
        ("gone.jpg", "missing file"),
        ("P0.jpg", "missing file"),
        ("x" * 300 + ".jpg", "missing file"),
        ("sub", "missing file"),
        ("../pics2/p.jpg", "leads out"),
        ("..\\p0.jpg", "leads out"),
        ("C:\\p0.jpg", "leads out"),
        ("/etc/passwd", "leads out"),
        ("file:///etc/passwd", "leads out"),
        ("p0\0.jpg", "leads out"),
        ("https://example.org/p0.jpg", "img2dataset"),
        ("s3://bucket/p0.jpg", "img2dataset"),
        ("data:image/png;base64,AAAA", "inside the table"),
    ],
)
def test_a_name_without_a_picture_has_a_cause(pictures, asked, cause):
    with pytest.raises(NoPicture, match=cause):
        pictures.find(asked)


def test_two_files_that_differ_in_spelling_alone_are_not_guessed(tmp_path):
    for name in ("a b.jpg", "a\u00a0b.jpg"):
        (tmp_path / name).write_bytes(b"x")
    assert str(PictureFiles(tmp_path).find("a\u00a0b.jpg")) == "a\u00a0b.jpg"
    with pytest.raises(NoPicture, match="several files"):
        PictureFiles(tmp_path).find("a  b.jpg")


def test_an_inventory_changes_with_names_sizes_times_and_missing_files(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12")
    first = inventory([("a", path)])
    assert (first, first["files"], first["bytes"]) == (inventory([("a", path)]), 1, 2)

    def differs(*arguments) -> bool:
        return inventory(*arguments) != first

    assert differs([("b", path)]) and differs([("a", path)], 1) and differs([("a", path), ("b", path)])
    os.utime(path, ns=(0, 0))
    assert differs([("a", path)])
