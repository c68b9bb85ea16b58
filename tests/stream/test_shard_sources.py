"""Shards as users name them: every notation finds the same files, every mistake is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmcs.errors import DataError, UserError
from mmcs.stream.sources import expand, sizes


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
        ("s3://bucket/{00000..00009}.tar", "over s3"),
        ("https://example.org/a.tar", "over https"),
        ("", "No shards are named"),
        ([], "No shards are named"),
    ],
)
def test_mistakes_are_one_sentence(given, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence):
        expand(given)


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


@pytest.mark.parametrize("content", ["{", "[1]", '{"00000.tar": "2"}', '{"00000.tar": -1}', '{"00000.tar": true}'])
def test_a_broken_sizes_json_is_refused(make_shards, content):
    shards = make_shards([1])
    (Path(shards[0].path).parent / "sizes.json").write_text(content)
    with pytest.raises(DataError, match=r"sizes\.json is not"):
        sizes(shards)
