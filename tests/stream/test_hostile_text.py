"""Captions and JSON that mean harm, and captions that stand in a field of their own."""

from __future__ import annotations

import json

import pytest

from mmcs.stream.batch import Collate
from mmcs.stream.drops import BadSample
from mmcs.stream.parse import ParseSample


def sample(field: str | None = None, **files: bytes) -> dict:
    given = {"identity": "s/0/k", "position": 0, "epoch": 0, "files": files}
    return given if field is None else given | {"caption_field": field}


def parsed(field: str | None = None, **files: bytes) -> dict:
    return ParseSample()(sample(field, **files))


HOSTILE = {
    "deep list": (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "bad json"),
    "deep object": (b'{"a":' * 100_000, "bad json"),
    "million digits": (b'{"a": ' + b"9" * 1_000_000 + b"}", "bad json"),
    "surrogate in a caption": (b'{"captions": {"de": ["\\ud800"]}}', "bad utf-8"),
    "surrogate in a language": (b'{"captions": {"\\udfff": ["x"]}}', "bad utf-8"),
    "surrogate in the group": (b'{"group": "\\ud83d"}', "bad utf-8"),
    "number as caption": (b'{"captions": {"de": 5}}', "bad json"),
    "object as caption": (b'{"captions": {"de": [{"x": 1}]}}', "bad json"),
    "list in a list as group": (b'{"group": [[1]]}', "bad json"),
    "number as captions": (b'{"captions": 5}', "bad json"),
    "truth as group": (b'{"group": true}', "bad json"),
    "infinite group": (b'{"group": 1e999}', "bad json"),
    "a text": (b'"captions"', "bad json"),
    "nothing": (b"", "bad json"),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_json_that_cannot_be_used_is_dropped(name):
    content, cause = HOSTILE[name]
    with pytest.raises(BadSample) as caught:
        parsed(txt=b"a dog", json=content)
    assert caught.value.cause == cause
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("record", "captions", "group"),
    [
        (b'{"captions": {"de": ["Hund", null, NaN]}, "group": NaN}', {"en": ["a dog"], "de": ["Hund"]}, "s/0/k"),
        (b'{"captions": null, "group": ""}', {"en": ["a dog"]}, "s/0/k"),
        (
            b'{"captions": {"de": "Katze"}, "captions": {"de": "Hund"}, "group": 7}',
            {"en": ["a dog"], "de": ["Hund"]},
            "7",
        ),
        (b'{"width": NaN, "x": 1e999, "group": "g\\u00e9"}', {"en": ["a dog"]}, "gé"),
        (b'{"caption": ["unused \\ud800"]}', {"en": ["a dog"]}, "s/0/k"),
    ],
    ids=["empty cells", "nulls", "a key twice", "odd numbers", "what is not read"],
)
def test_what_tables_and_crawls_leave_is_no_damage(record, captions, group):
    done = parsed(txt=b"a dog", json=record)
    assert (done["captions"], done["group"]) == (captions, group)


def test_what_comes_out_can_be_written_and_hashed():
    done = parsed(txt="a\0 \x1b[2Jdog\x7f\tin\nsnöw 🐕".encode(), json=b'{"captions": {"de": ["\\u0000"]}}')
    assert done["caption"] == "a [2Jdog\tin\nsnöw 🐕"
    assert list(done["captions"]) == ["en"]
    assert Collate()([done])["group"].shape == (1,)


def test_a_caption_of_control_characters_is_empty():
    with pytest.raises(BadSample, match="empty caption"):
        parsed(txt=b"\0\x01 \x02")


@pytest.mark.parametrize("files", [{"txt": b"x" * 10_001}, {"json": b'{"caption": "' + b"x " * 9000 + b'"}'}])
def test_a_caption_has_a_bound(files):
    with pytest.raises(BadSample, match="caption too long: "):
        parsed(**files)
    assert ParseSample(longest_caption=20_000)(sample(**files))["caption"].startswith("x")


# ---------------------------------------------------------------- a field of a source's own

RECORD = {
    "alt_text": "alt",
    "two": ["one", "two", "one"],
    "caption": "copy",
    "captions": {"en": ["more"], "de": ["Hund"]},
}


@pytest.mark.parametrize(
    ("field", "english"), [("alt_text", ["alt"]), ("two", ["one", "two"]), (".cap", ["cap"]), (".txt", ["txt"])]
)
def test_a_field_alone_gives_the_captions(field, english):
    done = parsed(field, txt=b"txt", cap=b" cap\n", json=json.dumps(RECORD).encode())
    assert done["captions"] == {"en": english, "de": ["Hund"]} and done["caption"] == english[0]
    assert "caption_field" not in done and not {"txt", "json"} & done["files"].keys()


@pytest.mark.parametrize(
    ("field", "files", "cause"),
    [
        ("alt_text", {"txt": b"txt"}, "no caption"),
        ("alt_text", {"txt": b"txt", "json": b'{"alt_text": ""}'}, "empty caption"),
        ("alt_text", {"txt": b"txt", "json": b'{"alt_text": {}}'}, "bad json"),
        (".cap", {"txt": b"txt", "json": b'{"captions": {"en": ["x"]}}'}, "no caption"),
        (".cap", {"cap": b" "}, "empty caption"),
        (".cap", {"cap": b"\xff"}, "bad utf-8"),
    ],
)
def test_nothing_stands_in_for_a_field_that_is_not_there(field, files, cause):
    with pytest.raises(BadSample) as caught:
        parsed(field, **files)
    assert caught.value.cause == cause


def test_a_caption_that_people_wrote_twice_counts_twice_but_a_copy_of_the_text_does_not():
    record = {"captions": {"en": ["first", "again", "again", "last"]}}
    files = {"txt": b"first", "json": json.dumps(record).encode()}
    parsed = ParseSample()({"files": files, "identity": "a/b/c"})
    assert parsed["captions"]["en"] == ["first", "again", "again", "last"]
