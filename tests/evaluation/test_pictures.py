"""Pictures by id: the bytes that lie in the shards, from local and remote ones, opened only when asked; None otherwise."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from small_world import add, write_shard

from mmcs.evaluation.pictures import Pictures
from mmcs.stream.remote import Access
from mmcs.stream.sources import expand


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards of ``set/val``: keys with a slash, a second file of one name, a sample without a picture, an archive."""
    shards = tmp_path / "set" / "val"
    shards.mkdir(parents=True)
    with tarfile.open(shards / "00000.tar", "w") as tar:
        for name, content in (
            ("a.jpg", b"first"),
            ("a.txt", b"caption"),
            ("deep/er/b.PNG", b"second"),
            ("c.txt", b"no picture"),
            ("a.jpg", b"again"),
            ("d.jpg.gz", b"archive"),
        ):
            add(tar, name, content)
    with tarfile.open(shards / "00001.tar", "w") as tar:
        add(tar, "a.webp", b"third")
    return shards


def test_each_id_gives_its_own_bytes(folder):
    pictures = Pictures(expand(str(folder)))
    assert pictures("set/val/00000/a") == b"first"
    assert pictures("set/val/00000/deep/er/b") == b"second"
    assert pictures("set/val/00001/a") == b"third"


@pytest.mark.parametrize("name", ["c", "d", "x", "", "../00001/a"])
def test_what_is_no_picture_is_none(folder, name):
    assert Pictures(expand(str(folder)))(f"set/val/00000/{name}") is None
    assert Pictures(expand(str(folder)))(name) is None


def test_only_shards_that_are_asked_for_are_opened(folder):
    pictures = Pictures(expand(str(folder)))
    (folder / "00000.tar").unlink()
    assert pictures("set/val/00001/a") == b"third"
    assert pictures("set/val/00000/a") is None


def test_shards_that_lie_elsewhere(folder):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/pictures/set/val/00000.tar", (folder / "00000.tar").read_bytes())
    shards = expand("memory://pictures/set/val/{00000..00001}.tar")
    pictures = Pictures(shards, Access(retries=0))
    assert pictures("set/val/00000/a") == b"first"
    assert pictures("set/val/00001/a") is None  # not there


def test_captions_of_an_image_by_language(tmp_path):
    folder = tmp_path / "set" / "val"
    write_shard(folder / "00000.tar", [16])
    pictures = Pictures(expand(str(folder)))
    assert pictures.captions("set/val/00000/000000000") == {
        "en": ["A red circle."],
        "de": ["rot Kreis"],
        "fi": ["punainen ympyrä"],
    }
    assert pictures.captions("set/val/00000/000000099") == pictures.captions("elsewhere/0/1") == {}
