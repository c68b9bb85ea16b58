"""Shards as users name them: every notation finds the same files, every mistake is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmcs.errors import DataError, UserError
from mmcs.stream.remote import Access
from mmcs.stream.shard_sizes import known_sizes, sizes
from mmcs.stream.sources import expand


def names(shards):
    return [(shard.source, shard.name) for shard in shards]


def test_every_notation_finds_the_same_shards(make_shards, tmp_path):
    shards = make_shards([2, 1, 3])
    folder = tmp_path / "set" / "train"
    assert names(shards) == [("set/train", "00000"), ("set/train", "00001"), ("set/train", "00002")]
    for given in (
        f"{folder}",
        f"{folder}/{{00000..00002}}.tar",
        f"{folder}/*.tar",
        f"{folder}/00000.tar::{folder}/0000[12].tar",
        [f"{folder}/00000.tar", f"{folder}/{{00001,00002}}.tar"],
        f"{tmp_path}/set/../set/train",
    ):
        assert expand(given) == shards


def test_relative_and_absolute_names_give_the_same_identity(make_shards, tmp_path, monkeypatch):
    shards = make_shards([1])
    monkeypatch.chdir(tmp_path / "set")
    assert expand("train") == expand("./train/../train/*.tar") == shards


def test_source_does_not_depend_on_where_the_folder_lies(make_shards):
    here, there = make_shards([1], "here/set/train"), make_shards([1], "there/set/train")
    assert names(here) == names(there)


def test_two_folders_of_one_name_are_told_apart_in_the_order_of_listing(make_shards, tmp_path):
    make_shards([1], "here/set/train")
    make_shards([1], "there/set/train")
    shards = expand([str(tmp_path / "there/set/train"), str(tmp_path / "here/set/train")])
    assert [shard.source for shard in shards] == ["set/train", "set/train~2"]
    assert "there" in shards[0].path


def test_links_keep_the_name_that_the_user_gave(make_shards, tmp_path):
    make_shards([1], "blobs/0f3a")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/train").symlink_to(tmp_path / "blobs/0f3a")
    assert expand(tmp_path / "set/train")[0].source == "set/train"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("nowhere/{00000..00009}.tar", r"nowhere/00000\.tar does not exist \(nor do 9 more of the 10"),
        ("nowhere/*.tar", r"nowhere/\*\.tar does not exist"),
        ("a/{00000..00009.tar", "do not close"),
        ("pipe:cat a.tar", "shell command"),
        ("https://example.org/a{.tar", "do not close"),
        ("nowhere.txt", r"list of shards nowhere\.txt does not exist"),
        ("", "No shards are named"),
        ([], "No shards are named"),
    ],
)
def test_mistakes_are_one_sentence(given, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence):
        expand(given)


def test_addresses_are_taken_at_their_word():
    """Nothing is asked of the network; a source is named by its last two folders, and a query is no part of a name."""
    shards = expand(["s3://bucket/laion/train/{00000..00002}.tar", "https://host/laion/train/9.tar?key=a*b"])
    assert [shard.path for shard in shards[:3]] == [f"s3://bucket/laion/train/0000{n}.tar" for n in range(3)]
    assert names(shards) == [
        ("laion/train", "00000"),
        ("laion/train", "00001"),
        ("laion/train", "00002"),
        ("laion/train~2", "9"),
    ]
    assert all(shard.remote for shard in shards)


def test_a_command_is_a_shard_only_where_it_is_allowed():
    shards = expand("pipe:aws s3 cp s3://b/{0..1}.tar - :: cat", Access(allow_pipe=True))
    assert [shard.path for shard in shards] == [f"pipe:aws s3 cp s3://b/{n}.tar - :: cat" for n in range(2)]
    assert [shard.name[:2] for shard in shards] == ["0-", "1-"] and len({shard.label for shard in shards}) == 2


def test_a_list_in_a_file(make_shards, tmp_path):
    """Relative to the list, whatever the current folder; every notation, remarks and empty lines in it."""
    shards = make_shards([1, 1, 1])
    (tmp_path / "set/shards.txt").write_text("# some\n\ntrain/{00000,00001}.tar\n" + shards[2].path + "\n")
    assert expand(tmp_path / "set/shards.txt") == shards
    assert expand(str(tmp_path / "set/shards.txt") + "::" + str(make_shards([1], "other/train")[0].path))[:3] == shards
    (tmp_path / "set/again.txt").write_text("shards.txt\n")
    with pytest.raises(UserError, match=r"again\.txt, line 1: a list of shards cannot name another list"):
        expand(tmp_path / "set/again.txt")
    (tmp_path / "set/none.list").write_text("# nothing\n")
    with pytest.raises(UserError, match="names none"):
        expand(tmp_path / "set/none.list")


def test_a_folder_without_shards_names_those_inside_it(make_shards, tmp_path):
    make_shards([1], "set/train")
    make_shards([1], "set/val")
    with pytest.raises(UserError, match="did you mean one of its folders train, val"):
        expand(tmp_path / "set")


def test_a_shard_listed_twice_is_refused(make_shards, tmp_path):
    make_shards([1, 1])
    with pytest.raises(UserError, match=r"00001\.tar is listed twice"):
        expand([str(tmp_path / "set/train"), str(tmp_path / "set/train/00001.tar")])


def test_sizes_come_from_the_file_or_a_count(make_shards, tmp_path, capsys):
    shards = make_shards([2, 1, 3])
    assert sizes(shards) == [2, 1, 3]
    path = Path(shards[0].path).parent / "sizes.json"
    path.write_text(json.dumps({"00000.tar": 7}))
    assert sizes(shards) == [7, 1, 3], "the file is believed where it speaks"
    path.unlink()
    assert sizes(shards) == [2, 1, 3]
    assert capsys.readouterr().out == "", "progress goes to standard error"


def test_sizes_come_from_img2dataset(make_shards):
    """Its statistics are believed where there is no sizes.json; a shard without a number in them is counted."""
    shards = make_shards([2, 1, 3])
    folder = Path(shards[0].path).parent
    (folder / "00000_stats.json").write_text('{"count": 9, "successes": 8}')
    (folder / "00001_stats.json").write_text('{"count": 9}')
    assert known_sizes(shards) == [2, 1, 3], "sizes.json comes first"
    (folder / "sizes.json").unlink()
    assert known_sizes(shards) == [8, None, None]
    assert sizes(shards) == [8, 1, 3]


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.mark.parametrize("content", [LFS, "{", "[1]", '{"00000.tar": "2"}', '{"00000.tar": -1}', '{"00000.tar": true}'])
def test_a_broken_sizes_json_is_refused(make_shards, content):
    shards = make_shards([1])
    (Path(shards[0].path).parent / "sizes.json").write_text(content)
    with pytest.raises(DataError, match=r"sizes\.json is not"):
        sizes(shards)
