"""The forms in which captions, languages and groups come in a sample's ``.txt`` and ``.json``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mmcs.stream.drops import BadSample
from mmcs.stream.parse import ParseSample


def parsed(
    record: dict[str, Any], txt: str | None = "a dog", languages: list[str] | None = None, **more: Any
) -> dict[str, Any]:
    files = {"json": json.dumps(record).encode()} | ({} if txt is None else {"txt": txt.encode()})
    return ParseSample(languages)({"files": files, "identity": "s/0/k", **more})


def captions(record: dict[str, Any], **more: Any) -> dict[str, list[str]]:
    return parsed(record, **more)["captions"]


# ---------------------------------------------------------------- forms


@pytest.mark.parametrize("given", [["a dog", "a puppy"], "a puppy", ["a puppy", None, " "]])
def test_captions_without_languages_are_in_that_of_the_txt(given):
    assert captions({"captions": given}) == {"en": ["a dog", "a puppy"]}
    assert captions({"captions": given}, txt=None)["en"][-1] == "a puppy"


@pytest.mark.parametrize("given", [["one", "two"], "one", {"en": ["one"]}])
def test_a_key_named_captions_is_read_where_it_is_named(given):
    if isinstance(given, dict):
        with pytest.raises(BadSample, match="bad json: captions holds dict"):
            captions({"captions": given}, caption_field="captions")
    else:
        found = captions({"captions": given}, caption_field="captions")
        assert found == {"en": given if isinstance(given, list) else [given]}


def test_a_path_of_keys_is_read_and_a_key_with_a_dot_comes_first():
    record = {"captions": {"blip2": "a dog on grass", "de": "ein Hund"}, "a.b": "flat", "a": {"b": "deep"}}
    assert captions(record, caption_field="captions.blip2") == {"en": ["a dog on grass"], "de": ["ein Hund"]}
    assert captions(record, caption_field="a.b")["en"] == ["flat"]
    with pytest.raises(BadSample, match="no caption"):
        captions(record, caption_field="a.c")


def test_lines_are_captions_where_the_source_says_so():
    text = "a dog\r\n\na puppy\ra dog\n"
    assert captions({}, txt=text, caption_lines=True) == {"en": ["a dog", "a puppy"]}
    assert captions({}, txt="a long caption\nthat is wrapped") == {"en": ["a long caption\nthat is wrapped"]}
    record = {"captions": {"de": "ein\nHund"}, "alt": ["one\ntwo", "three"]}
    found = captions(record, caption_field="alt", caption_lines=True)
    assert found == {"en": ["one", "two", "three"], "de": ["ein\nHund"]}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"caption_de": "ein Hund", "captions_pt_BR": ["um cachorro"]}, {"de": ["ein Hund"], "pt-BR": ["um cachorro"]}),
        ({"caption-ja": "赤い靴2足"}, {"ja": ["赤い靴2足"]}),
        ({"caption_en": "a puppy"}, {"en": ["a dog", "a puppy"]}),
        ({"captions": {"de": ["Hund"]}, "caption_de": "ein Hund"}, {"de": ["Hund", "ein Hund"]}),
        ({"caption_id": "000123", "caption_no": 7, "caption_is": "True", "caption_to": "T-1001"}, {}),
        ({"caption_it": "https://host/a.jpg", "caption_so": "", "caption_as": None}, {}),
        ({"caption_raw": "a Dog!", "caption_alt": "dog", "caption_blip": "dog", "captioned_de": "Hund"}, {}),
    ],
)
def test_fields_named_after_a_language_are_captions_and_others_are_not(record, expected):
    assert captions(record) == {"en": ["a dog"]} | expected


@pytest.mark.parametrize(
    ("given", "group"),
    [(["dog", "animal"], "dog"), ([None, 7], "7"), ([], "s/0/k"), ([None], "s/0/k"), (["a"], "a")],
)
def test_of_a_list_of_groups_the_first_counts(given, group):
    assert parsed({"group": given})["group"] == group


def test_entities_and_soft_hyphens_are_gone_in_every_language():
    record = {"captions": {"de": ["Fu\u00adß&shy;ball &amp; Tor"]}, "alt": "R&amp;B &quot;live&quot;"}
    assert captions(record, txt="Tom &amp;amp; Jerry&#39;s") == {"en": ["Tom & Jerry's"], "de": ["Fußball & Tor"]}
    assert captions(record, caption_field="alt")["en"] == ['R&B "live"']
    with pytest.raises(BadSample, match="empty caption"):
        captions({}, txt="&nbsp;\u00ad")


# ---------------------------------------------------------------- languages


def test_several_tags_of_one_language_are_joined_once_each():
    record = {
        "captions": {"DE": ["Hund"], "de_DE": ["Hund", "Köter"], "deu": "Hündchen", "en-US": "puppy", "iw": "כלב"}
    }
    assert captions(record) == {"en": ["a dog", "puppy"], "de": ["Hund", "Köter", "Hündchen"], "he": ["כלב"]}
    assert list(captions({"captions": {"zh": "狗", "zh_CN": "狗", "zh-TW": "犬"}})) == ["en", "zh-Hans", "zh-Hant"]


@pytest.mark.parametrize(
    ("keys", "wanted", "served"),
    [
        (["de-AT"], ["de"], {"de": "de-AT"}),
        (["de", "de-AT"], ["de"], {"de": "de"}),
        (["pt", "pt-BR"], ["pt", "pt-BR"], {"pt": "pt", "pt-BR": "pt-BR"}),
        (["pt-BR"], ["pt", "pt-BR"], {"pt-BR": "pt-BR"}),
        (["pt"], ["pt-BR"], {"pt-BR": "pt"}),
        (["pt_BR"], ["pt"], {"pt": "pt_BR"}),
        (["nb"], ["no"], {"no": "nb"}),
        (["zh-TW"], ["zh"], {}),
        (["zh_CN"], ["zh"], {"zh": "zh_CN"}),
        (["de"], ["DE"], {"DE": "de"}),
        (["fr"], ["de"], {}),
    ],
)
def test_a_variant_serves_its_language_where_that_is_wanted(keys, wanted, served):
    found = captions({"captions": {key: f"in {key}" for key in keys}}, languages=wanted)
    assert found == {"en": ["a dog"]} | {language: [f"in {key}"] for language, key in served.items()}


def test_two_variants_serve_their_language_together():
    record = {"captions": {"de-AT": "Paradeiser", "de-CH": "Tomate", "fr-CA": "tomate"}}
    assert captions(record, languages=["de"])["de"] == ["Paradeiser", "Tomate"]


def test_what_is_no_language_is_noted_and_no_caption():
    done = parsed({"captions": {"blip2": "a dog", "original": "dog", "de": "Hund", "": "x"}})
    assert done["captions"] == {"en": ["a dog"], "de": ["Hund"]}
    assert done["noted"] == [("no language", f"captions.{key}") for key in ("blip2", "original", "")]
    assert "noted" not in parsed({"captions": {"de": "Hund"}})
    kinds = parsed({"captions": {"raw": "dog", "alt": "a dog", "Ori": "the dog", "fil": "aso", "quz": "allqu"}})
    assert list(kinds["captions"]) == ["en", "fil", "quz"] and len(kinds["noted"]) == 3


def test_the_language_of_the_txt_has_many_spellings():
    stage = ParseSample(text_language="de_DE")
    files = {"txt": b"ein Hund", "json": json.dumps({"captions": {"DE": ["Hund"], "en": ["dog"]}}).encode()}
    done = stage({"files": files, "identity": "s/0/k"})
    assert done["captions"] == {"de": ["ein Hund", "Hund"], "en": ["dog"]} and done["caption"] == "ein Hund"


def test_the_language_of_the_txt_is_found_under_the_name_that_is_asked_for():
    files = {"txt": b"a dog", "json": json.dumps({"captions": {"en-GB": "a puppy"}}).encode()}
    done = ParseSample(["en-US"], text_language="EN")({"files": files, "identity": "s/0/k"})
    assert done["captions"] == {"en": ["a dog", "a puppy"], "en-US": ["a dog", "a puppy"]}


# ---------------------------------------------------------------- what is missing


@pytest.mark.parametrize(
    ("record", "field", "told"),
    [
        ({"text": "a red car", "url": "https://h/a"}, None, "the .json has texts in text"),
        ({"captions": {"blip2": "a car"}}, None, "the .json has texts in captions.blip2"),
        ({"n": 3}, "text", "its files are"),
    ],
)
def test_a_sample_without_a_caption_says_what_it_has(record, field, told):
    with pytest.raises(BadSample) as caught:
        parsed(record, txt=None, **({} if field is None else {"caption_field": field}))
    assert caught.value.cause == "no caption" and told in caught.value.detail
