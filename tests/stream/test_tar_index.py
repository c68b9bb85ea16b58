"""The index of a shard against tarfile and webdataset, and its notes on damage."""

from __future__ import annotations

import io
import os
import random
import tarfile
import tracemalloc
from pathlib import Path

import pytest
import webdataset

from mmcs.stream import tar_headers
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


def test_links_are_marked_and_folders_are_no_samples(tmp_path):
    """A link in the place of a picture makes its sample unusable; nothing is looked for where it points."""
    kinds = (
        ("d.d/", tarfile.DIRTYPE),
        ("d.e", tarfile.DIRTYPE),
        ("0.txt", tarfile.SYMTYPE),
        ("1.txt", tarfile.LNKTYPE),
    )
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, kind in (*kinds, ("2.jpg", tarfile.CHRTYPE), ("3.jpg", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        for name in ("2.txt", "4.txt"):
            info = tarfile.TarInfo(name)
            info.size = 2
            tar.addfile(info, io.BytesIO(b"ok"))
    index = index_shard(tmp_path / "a.tar")
    assert index.keys == ["0", "1", "2", "3", "4"]
    assert index.damage == dict.fromkeys(range(4), "not a plain file")


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


@pytest.mark.parametrize(("mode", "told"), [("w:gz", "gzip"), ("w:bz2", "bzip2"), ("w:xz", "xz")])
def test_a_compressed_tar_is_said_to_be_one(tmp_path, mode, told):
    with tarfile.open(tmp_path / "a.tar", mode) as tar:
        tar.addfile(tarfile.TarInfo("0.txt"))
    index = index_shard(tmp_path / "a.tar")
    assert index.damage == {0: "not an archive"} and f"compressed with {told}" in index.details[0]


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


# ---------------------------------------------------------------- after the end


def tar_of(tmp_path: Path, *names: str, form: int = tarfile.USTAR_FORMAT) -> bytes:
    return write_tar(tmp_path / "part.tar", [(name, b"x") for name in names], form).read_bytes()


@pytest.mark.parametrize("padding", [0, 512, 20_480, 3 << 20], ids=["none", "block", "record", "megabytes"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_concatenated_archives_are_read_on(tmp_path, form, padding):
    """As ``tar -i`` does; an empty archive between them is nothing."""
    names = ["0.txt", f"{LONG}/{'f' * 40}.txt", "2.txt"]
    parts = [tar_of(tmp_path, name, form=form) for name in names]
    path = tmp_path / "a.tar"
    path.write_bytes(parts[0] + bytes(padding) + parts[1] + bytes(10_240) + parts[2] + bytes(padding))
    index = index_shard(path)
    assert index.keys == [name.removesuffix(".txt") for name in names]
    assert (index.damage, index.ending) == ({}, None)
    assert [files for _, files in contents(path)] == [{"txt": b"x"}] * 3


def test_a_key_of_two_concatenated_archives_is_a_duplicate(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_of(tmp_path, "0.txt") + tar_of(tmp_path, "0.txt", "1.txt"))
    index = index_shard(tmp_path / "a.tar")
    assert index.keys == ["0", "0", "1"] and index.damage == {1: "duplicate key"}


@pytest.mark.parametrize("rest", [b"<html>", b"\0" * 700 + b"x" * 1000, b"\x1f\x8b" + b"z" * 5000, b"y" * 512])
def test_bytes_after_the_end_that_are_no_tar_are_said(tmp_path, rest):
    """Their number begins at the first block that holds something."""
    (tmp_path / "a.tar").write_bytes(tar_of(tmp_path, "0.txt") + rest)
    index = index_shard(tmp_path / "a.tar")
    assert (index.keys, index.damage, index.ending) == (["0", ""], {1: "bytes after the end"}, "bytes after the end")
    left = len(rest) - (len(rest) - len(rest.lstrip(b"\0"))) // 512 * 512
    assert index.details[1] == f"{left:,} bytes after the end of the archive are no tar"


def test_zeros_after_the_end_are_nothing(tmp_path):
    for zeros in (0, 1, 511, 512, 100_000):
        (tmp_path / "a.tar").write_bytes(tar_of(tmp_path, "0.txt") + bytes(zeros))
        index = index_shard(tmp_path / "a.tar")
        assert (index.keys, index.ending) == (["0"], None)


def test_zeros_between_many_members_are_passed_in_small_steps(tmp_path, monkeypatch):
    path = raw_tar(tmp_path / "a.tar", *[member(b"%d.txt" % number) + bytes(512) for number in range(300)])
    read = 0
    pread = os.pread

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        nonlocal read
        data = pread(descriptor, size, offset)
        read += len(data)
        return data

    monkeypatch.setattr(os, "pread", counting)
    assert len(index_shard(path)) == 300
    assert read < 20 * path.stat().st_size


# ---------------------------------------------------------------- dots in file names

PHOTOS = [f"IMG_v1.{number}" for number in range(6)]


@pytest.mark.parametrize("text", ["txt", "json"])
def test_samples_that_share_a_key_because_of_dots_are_all_counted(tmp_path, text):
    names = [name for photo in PHOTOS for name in (f"{photo}.jpg", f"{photo}.{text}")]
    index = index_shard(write_tar(tmp_path / "a.tar", [(name, b"x") for name in ("0.jpg", "0.txt", *names)]))
    assert index.keys == ["0", "IMG_v1"] and index.damage == {1: "dots in file names"}
    assert [key for key, _ in index.lost] == PHOTOS[1:]


def test_a_whole_sample_beside_dotted_names_stays(tmp_path):
    names = ("IMG.jpg", "IMG.txt", "IMG.1.jpg", "IMG.1.txt", "IMG.final.2.JPG", "IMG.final.2.txt")
    index = index_shard(write_tar(tmp_path / "a.tar", [(name, b"x") for name in names]))
    assert (index.keys, index.damage) == (["IMG"], {})
    assert [key for key, _ in index.lost] == ["IMG.1", "IMG.final.2"]


def test_dotted_names_of_two_concatenated_archives_are_all_counted(tmp_path):
    part = tar_of(tmp_path, *(f"{photo}.{extension}" for photo in PHOTOS for extension in ("jpg", "txt")))
    (tmp_path / "a.tar").write_bytes(part + part)
    index = index_shard(tmp_path / "a.tar")
    assert index.damage == {0: "dots in file names", 1: "duplicate key"}
    assert len(index.damage) + len(index.lost) == 2 * len(PHOTOS)


@pytest.mark.parametrize(
    "names",
    [
        ("0.jpg", "0.txt", "0.mask.png", "0.mask.json"),
        ("0.input.jpg", "0.outputs.txt"),
        ("0.left.jpg", "0.right.jpg", "0.txt"),
        ("0.jpg", "0.seg.png", "0.en.txt", "0.de.txt"),
    ],
)
def test_several_files_of_one_sample_are_not_several_samples(tmp_path, names):
    index = index_shard(write_tar(tmp_path / "a.tar", [(name, b"x") for name in names]))
    assert (index.keys, index.damage, index.lost) == (["0"], {}, [])


# ---------------------------------------------------------------- names


UNSAFE = [
    "/abs", "../up", "a/../../up", "a/..", "..", "C:evil", "c:/evil", "a\\b", "\\\\host\\x", "a\x1b[2Jb", "a\nb", "a\x7fb", "a\x9bb",
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(UNSAFE)))
def test_a_name_that_leads_elsewhere_is_unsafe(tmp_path, number):
    """Both files of the sample are one sample; its neighbours are untouched."""
    name = UNSAFE[number]
    pair = [(f"{name}/evil.jpg", b"a"), (f"{name}/evil.txt", b"b")]
    index = index_shard(write_tar(tmp_path / "a.tar", [("0.txt", b"x"), *pair, ("1.txt", b"y")], tarfile.PAX_FORMAT))
    assert len(index) == 3 and index.damage == {1: "unsafe name"}
    assert (index.keys[0], index.keys[2]) == ("0", "1") and index.keys[1].isprintable()


@pytest.mark.parametrize(
    "name", ["a..b/c.txt", "...txt/d.txt", "..a/c.txt", "./e.txt", "a b/f,g+h=i.txt", "né/ω.txt", "ab:c.txt"]
)
def test_a_name_that_only_looks_like_it_is_not(tmp_path, name):
    assert index_shard(write_tar(tmp_path / "a.tar", [(name, b"x")])).damage == {}


def test_an_unsafe_name_that_is_no_sample_takes_no_place_before_the_others(tmp_path):
    members = [("../../etc/passwd", b"x"), ("0.txt", b"x"), ("/etc/shadow", b"x"), ("1.txt", b"y")]
    index = index_shard(write_tar(tmp_path / "a.tar", members, tarfile.PAX_FORMAT))
    assert index.keys == ["0", "1", "../../etc/passwd", "/etc/shadow"]
    assert index.damage == {2: "unsafe name", 3: "unsafe name"}


def raw_tar(path: Path, *blocks: bytes) -> Path:
    path.write_bytes(b"".join(blocks) + bytes(1024))
    return path


def member(name: bytes, data: bytes = b"x", kind: bytes = b"0", size: int | None = None) -> bytes:
    """A header and its data as bytes, whatever nonsense they say."""
    length = len(data) if size is None else size
    field = b"%011o\0" % length if length < 8**11 else b"\x80" + length.to_bytes(11, "big")
    header = bytearray(name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + field + b"0" * 11 + b"\0")
    header += b" " * 8 + kind + bytes(100) + b"ustar\x0000" + bytes(247)
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data + bytes(-len(data) % 512)


def pax(**fields: bytes) -> bytes:
    lines = b""
    for key, value in fields.items():
        body = b" " + key.encode() + b"=" + value + b"\n"
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length += 1
        lines += str(length).encode() + body
    return member(b"pax", lines, b"x")


def test_names_that_are_no_text_or_hold_a_nul_are_unsafe(tmp_path):
    long = b"d/" * 3000 + b"l.txt"
    path = raw_tar(
        tmp_path / "a.tar",
        member(b"\xff\xfe.txt"),
        pax(path=b"a\0b.txt"), member(b"p.txt"),
        member(b"@", b"c\0d.txt\0", b"L"), member(b"q.txt"),
        member(b"@", long + b"\0", b"L"), member(b"r.txt"),
        member(b"0.txt"),
    )  # fmt: skip
    index = index_shard(path)
    assert [index.keys[number] for number in range(len(index)) if number not in index.damage] == ["0"]
    assert list(index.damage.values()) == ["unsafe name"] * 4
    assert all(key.isprintable() and len(key) <= 200 for key in index.keys)


@pytest.mark.parametrize("extension", ["tar", "tar.gz", "TGZ", "zip", "gz", "bz2", "xz", "zst", "7z", "rar", "jpg.gz"])
def test_an_archive_in_an_archive_spoils_its_sample(tmp_path, extension):
    members = [("0.jpg", b"a"), (f"0.{extension}", b"b"), ("1.txt", b"c"), (f"2.{extension}", b"d")]
    index = index_shard(write_tar(tmp_path / "a.tar", members))
    assert (index.keys, index.damage) == (["0", "1", "2"], {0: "archive in archive", 2: "archive in archive"})


# ---------------------------------------------------------------- numbers that lie, and bounds


@pytest.mark.parametrize("size", [2**31, 2**63 - 1, 2**63, 2**80])
def test_absurd_sizes_end_the_shard(tmp_path, size):
    index = index_shard(raw_tar(tmp_path / "a.tar", member(b"0.txt"), member(b"1.txt", size=size), member(b"2.txt")))
    assert (index.keys, index.damage, index.ending) == (["0", "1"], {1: "truncated archive"}, "truncated archive")


@pytest.mark.parametrize(
    ("size", "cause"),
    [(b"99999999999999999999", "truncated archive"), (b"9" * 5000, None), (b"600", "damaged archive"), (b"-5", None)],
    ids=["huge", "digits", "wrong", "negative"],
)
def test_a_pax_header_that_lies_about_the_size(tmp_path, size, cause):
    """What makes no number is passed over; a wrong number leads to no header, or past the end."""
    path = raw_tar(tmp_path / "a.tar", member(b"0.txt"), pax(size=size), member(b"1.txt", b"y" * 512), member(b"2.txt"))
    index = index_shard(path)
    assert index.ending == cause
    assert index.keys[:2] == ["0", "1"] and 0 not in index.damage


def test_headers_that_describe_headers_for_ever_end_the_shard(tmp_path):
    for kind in (b"L", b"K", b"x", b"g"):
        index = index_shard(raw_tar(tmp_path / "a.tar", member(b"0.txt"), *[member(b"@", b"n.txt\0", kind)] * 2000))
        assert (index.keys, index.ending) == (["0", ""], "damaged archive")
    huge = index_shard(raw_tar(tmp_path / "a.tar", member(b"0.txt"), member(b"@", b"x" * (2 << 20), b"L")))
    assert huge.ending == "damaged archive"


def test_a_key_that_comes_back_much_later_is_a_duplicate(tmp_path):
    members = [(f"{number:04d}.txt", b"x") for number in range(300)]
    index = index_shard(write_tar(tmp_path / "a.tar", [*members, ("0003.TXT", b"y"), ("0004.json", b"{}")]))
    assert len(index) == 301 and index.damage == {300: "duplicate key"}
    assert set(index.members(4)) == {"txt", "json"}


def test_memory_is_a_fraction_of_the_archive(tmp_path):
    """10,000 empty files: 5 MB of headers."""
    path = raw_tar(tmp_path / "a.tar", *[member(b"%09d.txt" % number, b"") for number in range(10_000)])
    tracemalloc.start()
    try:
        index = index_shard(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(index) == 10_000 and peak < path.stat().st_size / 1.5


def test_a_shard_of_too_many_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tar_headers, "MOST_FILES", 50)
    index = index_shard(raw_tar(tmp_path / "a.tar", *[member(b"%d.txt" % number) for number in range(60)]))
    assert (len(index), index.ending) == (51, "damaged archive")


def test_an_open_descriptor_is_read_and_left_open(make_shards):
    path = make_shards([5])[0].path
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.lseek(descriptor, 100, os.SEEK_SET)
        assert index_shard(descriptor).keys == index_shard(path).keys
        assert os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def test_cut_at_every_byte_of_the_first_blocks_and_at_many_later_ones(make_shards):
    """Whatever is whole is kept, and what is cut is said to be."""
    path = Path(make_shards([2])[0].path)
    data = path.read_bytes()
    end = data.rindex(b"ustar") + 1024
    for cut in (*range(1, 1200), *range(1200, end, 41)):
        path.write_bytes(data[:cut])
        index = index_shard(path)
        whole = [number for number in range(len(index)) if number not in index.damage]
        assert all(sum(place) <= cut for number in whole for place in index.members(number).values())
        if cut % 512:
            assert index.ending == ("truncated archive" if cut > 512 else "not an archive"), cut
