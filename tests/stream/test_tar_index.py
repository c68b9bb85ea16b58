"""The index of a shard against tarfile and webdataset, and its notes on damage."""

from __future__ import annotations

import io
import random
import tarfile
from pathlib import Path

import pytest
import webdataset

from mmcs.stream.tar import index_shard


def contents(path: Path) -> list[tuple[str, dict[str, bytes]]]:
    """(key, files) of every sample, read at the places that the index gives."""
    data, index = path.read_bytes(), index_shard(path)
    assert not index.damage
    return [
        (key, {name: data[offset : offset + size] for name, (offset, size) in index.members(number).items()})
        for number, key in enumerate(index.keys)
    ]


def by_webdataset(path: Path) -> list[tuple[str, dict[str, bytes]]]:
    found = []
    for sample in webdataset.WebDataset(str(path), shardshuffle=False):
        found.append((sample["__key__"], {name: data for name, data in sample.items() if not name.startswith("__")}))
    return found


def write_tar(path: Path, members: list[tuple[str, bytes]], form: int = tarfile.USTAR_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


LONG = "d" * 70 + "/" + "e" * 60
MEMBERS = [
    ("0001.jpg", b"i" * 700),
    ("0001.txt", b"one"),
    ("0001.json", b""),
    ("a.b/0002.JPG", b"j" * 512),
    ("a.b/0002.seg.png", b"k" * 1025),
    ("./0003.txt", b"three"),
    ("ünï/ключ.txt", "Grüße".encode()),
    ("README", b"no sample"),
    ("__meta__/0.json", b"no sample"),
    ("0004.txt", b"four"),
]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_samples_are_webdatasets(tmp_path, form):
    more = [(f"{LONG}/{'f' * (40 if form == tarfile.USTAR_FORMAT else 300)}.txt", b"long")]
    path = write_tar(tmp_path / "a.tar", MEMBERS + more, form)
    assert contents(path) == by_webdataset(path)
    assert len(contents(path)) == 6


def test_samples_of_webdatasets_own_writer(make_shards):
    path = Path(make_shards([25], with_images=True)[0].path)
    assert contents(path) == by_webdataset(path)


def test_places_are_tarfiles(make_shards):
    path = Path(make_shards([25], with_images=True)[0].path)
    index = index_shard(path)
    ours = [place for number in range(len(index)) for place in index.members(number).values()]
    with tarfile.open(path) as tar:
        assert sorted(ours) == sorted((member.offset_data, member.size) for member in tar)


def test_links_and_folders_are_no_samples(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, kind, size in (
            ("d.d/", tarfile.DIRTYPE, 0),
            ("0.txt", tarfile.SYMTYPE, 0),
            ("1.txt", tarfile.LNKTYPE, 9),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, "/etc/passwd", size
            tar.addfile(info)
        info = tarfile.TarInfo("2.txt")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"ok"))
    assert contents(tmp_path / "a.tar") == [("2", {"txt": b"ok"})]


def test_hidden_files_are_no_samples(tmp_path):
    """Those that macOS puts beside every file, for example."""
    members = [("._0.txt", b"x"), ("0.txt", b"ok"), ("folder/._1.txt", b"x"), ("folder/1.txt", b"ok")]
    assert contents(write_tar(tmp_path / "a.tar", members)) == [("0", {"txt": b"ok"}), ("folder/1", {"txt": b"ok"})]


def test_sizes_in_base_256_and_in_pax_are_read(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("0.txt", b"x" * 600), ("1.txt", b"y")])
    data = bytearray(path.read_bytes())
    data[124:136] = b"\x80" + (600).to_bytes(11, "big")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    path.write_bytes(data)
    assert contents(path) == [("0", {"txt": b"x" * 600}), ("1", {"txt": b"y"})]


def test_files_of_a_key_need_not_stand_together(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("0.jpg", b"a"), ("1.jpg", b"b"), ("0.txt", b"c"), ("1.txt", b"d")])
    assert contents(path) == [("0", {"jpg": b"a", "txt": b"c"}), ("1", {"jpg": b"b", "txt": b"d"})]


def test_a_key_that_comes_twice_is_damage_of_the_second(tmp_path):
    pair = [("0.jpg", b"a"), ("0.txt", b"b")]
    index = index_shard(write_tar(tmp_path / "a.tar", [*pair, ("1.txt", b"c"), *pair]))
    assert index.keys == ["0", "1", "0"]
    assert index.damage == {2: "duplicate key"}


def test_a_truncated_archive_keeps_what_is_whole(make_shards):
    path = Path(make_shards([10])[0].path)
    whole = contents(path)
    data = path.read_bytes()
    for cut in range(0, 24 * 512, 100):
        path.write_bytes(data[:cut])
        index = index_shard(path)
        good = [key for number, key in enumerate(index.keys) if number not in index.damage]
        assert good == [key for key, _ in whole[: len(good)]]
        if cut % 512 or not cut:
            assert set(index.damage.values()) == {"truncated archive" if cut >= 512 else "not an archive"}
            assert index.ending in index.damage.values()


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff" + b"x" * 5000, b"hello", b"\x1f\x8b" + b"\1" * 4000])
def test_what_is_no_tar_is_said_to_be_none(tmp_path, content):
    (tmp_path / "a.tar").write_bytes(content)
    index = index_shard(tmp_path / "a.tar")
    assert index.damage == {0: "not an archive"}


def test_a_broken_header_ends_the_shard(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("0.txt", b"a"), ("1.txt", b"b"), ("2.txt", b"c")])
    data = bytearray(path.read_bytes())
    data[1024 + 3] ^= 1
    path.write_bytes(data)
    index = index_shard(path)
    assert index.keys == ["0", ""]
    assert (index.damage, index.ending) == ({1: "damaged archive"}, "damaged archive")


def test_an_empty_archive_holds_nothing(tmp_path):
    index = index_shard(write_tar(tmp_path / "a.tar", []))
    assert (len(index), index.ending) == (0, None)


def test_random_damage_never_raises_nor_runs_on(make_shards):
    """Every damaged shard has an index whose places lie inside the file or whose samples are marked."""
    path = Path(make_shards([8])[0].path)
    data, draw = path.read_bytes(), random.Random(0)
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(draw.randrange(1, 6)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged[: draw.randrange(len(damaged))] if draw.random() < 0.3 else damaged)
        index = index_shard(path)
        for number in set(range(len(index))) - set(index.damage):
            assert all(offset + size <= path.stat().st_size for offset, size in index.members(number).values())
