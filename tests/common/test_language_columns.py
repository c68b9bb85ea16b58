"""Which columns of a table are languages: by name, by what their cells hold, and by the options."""

from __future__ import annotations

import pytest

from mmcs.common.language_columns import find_language_columns, parse_mapping, tag_of
from mmcs.errors import UserError

ENGLISH = [
    "A red car in front of a house",
    "A dog chases a ball",
    "Two cats on a sofa",
    "A woman reads a book",
    "An old man with a hat",
    "Three children on a beach",
]


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("de", "de"), ("DE", "de"), ("De", "de"), ("iw", "he"), ("pt-BR", "pt-BR"), ("pt_BR", "pt-BR"), ("pt-br", "pt-BR"),
        ("zh-Hans", "zh-Hans"), ("zh_Hant_TW", "zh-Hant"), ("de_DE", "de"), ("de_DE.UTF-8", "de"), ("sr@latin", "sr-Latn"),
        ("es-419", "es-419"), ("en_GB", "en"), ("deu_Latn", "de"), ("caption_de", "de"), ("title-fr", "fr"),
        ("my_id", ""), ("is_ad", ""), ("ad_id", ""), ("is_ok", ""), ("id_no", ""), ("to_id", ""), ("url", ""), ("key", ""),
        ("cat", ""), ("fil", ""), ("img_id", ""), ("user_id", ""), ("Beschreibung", ""), ("", ""), ("x", ""), ("zz", ""),
    ],
)  # fmt: skip
def test_the_name_of_a_language_column_is_a_tag_in_the_usual_form(name, tag):
    assert tag_of(name) == tag


@pytest.mark.parametrize(
    ("name", "cells", "reason"),
    [
        ("Nr", ["1", "2", "3", "4", "5", "6"], "numbers, such as 1"),
        ("no", ["No.1", "No.2", "No.3", "No.4", "No.5", "No.6"], "codes"),
        ("ht", ["72 cm", "80 cm", "1,5 m", "2 m", "3 m", "9 cm"], "numbers"),
        ("Nr", ["Nr. 1", "No. 2", "#3", "Art. 12-b", "EUR 9.99", "Q1 2024"], "codes"),
        ("id", ["T-1001", "T-1002", "A17", "SKU_9", "e0a1-77", "IMG_0"], "codes, such as T-1001"),
        ("it", ["yes", "no", "yes", "yes", "n/a", "no"], "yes/no values, such as yes"),
        ("is", ["true", "FALSE", "true", "true", "False", "true"], "yes/no values"),
        ("be", ["", " ", "", "", "", ""], "empty"),
        ("am", ["5 Jan 2024", "January 6, 2024", "Mon, 8 Jan 2024", "9. Januar 2024", "10 de enero de 2024", "-"], "dates"),
        ("in", ["https://x.org/a b", "www.x.org", "a@b.org", "http://y", "s3://a/b", "http://z"], "addresses"),
        ("st", ["a.jpg", "b.png", "c/d/e.jpg", "d.tif", "e.webp", "f.gif"], "file names"),
        ("to", ["Berlin"] * 6, "1 distinct value, such as Berlin"),
        ("co", ["Acme Inc", "Foo Ltd"] * 3, "2 distinct values"),
        ("to", ["Berlin", "Paris", "Rome", "Madrid", "Lisbon", "London"], "single words"),
        ("as", ENGLISH, "Latin script"),
        ("price", ["cheap"] * 6, "not a language tag"),
        ("DE", ["DE", "FR", "IT", "ES", "PT", "AT"], "codes"),
    ],
)  # fmt: skip
def test_cells_that_are_no_text_make_no_language(name, cells, reason):
    found = find_language_columns({name: cells}, ENGLISH, where="t.csv")
    assert not found.languages and reason in found.left_out[name]
    assert any(name in line and reason in line for line in found.lines())


@pytest.mark.parametrize(
    ("name", "cells", "tag"),
    [
        ("it", ["Un'auto rossa", "", "", "Una donna legge", "", ""], "it"),
        ("id", ["Mobil merah", "Anjing mengejar bola", "Dua kucing", "Seorang wanita", "Kakek", "Tiga anak"], "id"),
        ("no", ["En rød bil", "En hund", "To katter", "En kvinne leser", "En gammel mann", "Tre barn"], "no"),
        ("ja", ["家の前の赤い車", "犬", "猫", "女", "老人", "子供 3人"], "ja"),
        ("th", ["รถสีแดง", "สุนัข", "แมวสองตัว", "ผู้หญิง", "ชายชรา", "เด็ก"], "th"),
        ("my", ["အိမ်ရှေ့က ကားနီ", "ခွေး", "ကြောင်", "", "", ""], "my"),
        ("DE", [f"Wort {n}" for n in range(6)], "de"),
        ("fi", ["HUND", "KATZE", "Auto", "C#", "T-Shirt", "5 Rosen"], "fi"),
        ("de", ["ein Bild"] * 6, "de"),
        ("de", ["3D-Drucker", "4K-Fernseher", "35-mm-Film", "100-Euro-Schein", "Haus", "Hund"], "de"),
        ("en_US", ENGLISH, "en"),
    ],
)
def test_text_in_any_script_makes_a_language(name, cells, tag):
    assert find_language_columns({name: cells}, ENGLISH, where="t.csv").languages == {name: tag}


def test_single_words_are_text_where_the_source_has_single_words():
    words = {
        "id": ["anjing", "kucing", "rumah", "merah"],
        "no": ["hund", "katt", "hus", "rød"],
        "nr": ["1", "2", "3", "4"],
    }
    found = find_language_columns(words, ["dog", "cat", "house", "red"], where="t.csv")
    assert found.languages == {"id": "id", "no": "no"}
    answers = {"de": ["ja", "nein"], "fr": ["oui", "non"]}
    assert list(find_language_columns(answers, ["yes", "no"], where="t.csv").languages) == ["de", "fr"]


def test_options_override_what_is_found():
    columns = {"de": ["ein Hund"], "DE_AT": ["ein Hunderl"], "Nr": ["1"], "Beschreibung": ["Hund"], "fil": ["aso"]}

    def find(**options) -> dict[str, str]:
        return find_language_columns(columns, ["a dog"], where="t.csv", **options).languages

    assert find() == {"de": "de", "DE_AT": "de-AT"}
    assert find(ignored=["DE_AT"]) == {"de": "de"}
    assert find(languages=["fil", "nr"]) == {"fil": "fil", "Nr": "nr"}
    assert find(languages=["FIL"]) == {"fil": "fil"}
    assert find(languages=["de-at"]) == {"DE_AT": "de-AT"}
    assert find(languages=[], mapping=parse_mapping(["Beschreibung=DE"])) == {"Beschreibung": "de"}
    for options, sentence in (
        ({"ignored": ["fr"]}, r"t.csv has no column 'fr' \(--ignore-columns\); it has: de, DE_AT, Nr"),
        ({"languages": ["sv"]}, r"no column 'sv' \(--languages\)"),
        ({"languages": ["Preis"]}, r"no column 'Preis' \(--languages\)"),
        ({"mapping": {"x": "de"}}, r"no column 'x' \(--column\)"),
    ):
        with pytest.raises(UserError, match=sentence):
            find(**options)
    for pair in ("DE", "=de", "DE=", "DE=german!"):
        with pytest.raises(UserError, match=r"NAME=TAG|not a language tag"):
            parse_mapping([pair])
