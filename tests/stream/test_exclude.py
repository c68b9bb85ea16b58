"""What stands in a list is left out: samples, captions; all else stays, and every one left out is counted."""

from __future__ import annotations

import pytest
from stream_shards import shard_of

from mmcs.errors import DataError, UserError
from mmcs.stream.exclude import LeaveOut
from mmcs.stream.loader import StreamLoader
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import ReadSample


@pytest.fixture
def shard(tmp_path):
    files = {}
    for key in ("a", "b", "c"):
        files[f"{key}.txt"] = f"The  first of {key}.".encode()
        files[f"{key}.json"] = f'{{"captions": {{"en": ["Second of {key}"], "de": ["Satz {key}"]}}}}'.encode()
    return shard_of(tmp_path / "0.tar", files)


def read(shard, *lists, languages=None):
    stages = [ReadSample(extensions=["txt", "json"]), ParseSample(languages), LeaveOut(lists)]
    (batch,) = StreamLoader([shard], [3], stages, batch_size=8)
    return batch


def test_samples_and_captions_are_left_out(shard, tmp_path):
    first, second = tmp_path / "one.txt", tmp_path / "two.txt"
    first.write_text("# audit of a suite\n\ns/0/b\ns/1/a\nelsewhere/0/c\n")
    second.write_text("caption\tthe FIRST of a.\ncaption\tsatz c\n")
    batch = read(shard, str(first), str(second))
    assert batch["key"] == ["a", "c"]
    assert batch["captions"] == [
        {"en": ["Second of a"], "de": ["Satz a"]},
        {"en": ["The  first of c.", "Second of c"]},
    ]
    assert batch["caption"] == ["Second of a", "The  first of c."]
    assert [drop[:3] for drop in batch["dropped"]] == [("excluded", "s/0", "b")]


def test_a_sample_all_of_whose_captions_are_listed_is_left_out(shard, tmp_path):
    (tmp_path / "list.txt").write_text("caption\tThe first of a.\r\ncaption\tsecond of a\n")
    (drop,) = read(shard, str(tmp_path / "list.txt"))["dropped"]
    assert drop[:3] == ("excluded", "s/0", "a")


def test_mistakes_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"data\.exclude: there is no file nowhere\.txt"):
        LeaveOut("nowhere.txt")
    (tmp_path / "list.txt").write_text("s/0/b\nA dog on a beach\n")
    with pytest.raises(DataError, match=r"line 2: 'A dog on a beach' names neither a sample"):
        LeaveOut(str(tmp_path / "list.txt"))
    (tmp_path / "latin.txt").write_bytes(b"caption\t\xe9\n")
    with pytest.raises(DataError, match="not UTF-8"):
        LeaveOut([str(tmp_path / "latin.txt")])
