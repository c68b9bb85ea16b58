"""What may take a word's place: capitals, candidate choice, kept words, base forms; and how scripts stand beside each other."""

from __future__ import annotations

from collections import Counter

import pytest
from lexicon_table import Table

from mmcs.codeswitch import lookup as lookup_module
from mmcs.codeswitch.capitals import agree
from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.joining import join
from mmcs.codeswitch.lookup import Choice, Lookup
from mmcs.codeswitch.strategy import Caption
from mmcs.codeswitch.words import Bilingual, Multilingual
from mmcs.errors import UserError


@pytest.mark.parametrize(
    ("word", "candidate", "language", "expected"),
    [
        ("dog", "Hund", "de", "Hund"),
        ("Red", "rot", "de", "Rot"),
        ("RED", "rot", "de", "ROT"),
        ("I", "ich", "de", "Ich"),
        ("Big", "groß", "de", "Groß"),
        ("BIG", "groß", "de", "GROSS"),
        ("Light", "ışık", "tr", "Işık"),
        ("ROPE", "ip", "tr", "İP"),
        ("Rope", "ip", "tr", "İp"),
        ("DOG", "σκύλος", "el", "ΣΚΥΛΟΣ"),
        ("Ice", "ijs", "nl", "IJs"),
        ("Dog", "ძაღლი", "ka", "ძაღლი"),
        ("DOG", "狗", "zh", "狗"),
        ("Dog", "كلب", "ar", "كلب"),
        ("Dog", "कुत्ता", "hi", "कुत्ता"),
    ],
)
def test_capitals_follow_the_replaced_word_as_the_language_writes_them(word, candidate, language, expected):
    assert agree(word, candidate, language) == expected


def test_a_turkish_capital_i_is_found_without_its_dot():
    """ "IŞIK" is the dotless word for light, "İP" the dotted one for rope: case-folding as in English would find neither."""
    table = Table({"en": {"ışık": "light", "ip": "rope"}}, source_language="tr")
    strategy = Bilingual(Lookup(table), p=1.0)
    assert strategy(Caption("IŞIK, ışık, İP, ip", {}), Draw(0)).text == "LIGHT, light, ROPE, rope"


def test_greek_final_sigma_and_german_sharp_s_are_found_in_capitals():
    greek = Bilingual(Lookup(Table({"en": {"σκύλος": "dog"}}, "el")), p=1.0)
    assert greek(Caption("ΣΚΎΛΟΣ σκύλος", {}), Draw(0)).text == "DOG dog"
    german = Bilingual(Lookup(Table({"en": {"straße": "street"}}, "de")), p=1.0)
    assert german(Caption("STRASSE Straße", {}), Draw(0)).text == "STREET Street"


def test_candidates_are_the_first_or_drawn_by_weight_or_evenly():
    table = Table({"de": {"dog": [("Hund", 0.8), ("Köter", 0.2)]}})

    def counts(candidates):
        strategy = Bilingual(Lookup(table, candidates=candidates), p=1.0)
        return Counter(strategy(Caption("dog " * 20_000, {}), Draw("choice")).text.split())

    assert counts("first") == {"Hund": 20_000}
    five_deviations = 5 * (20_000 * 0.2 * 0.8) ** 0.5
    assert abs(counts("weighted")["Köter"] - 4_000) < five_deviations
    assert abs(counts("uniform")["Köter"] - 10_000) < 5 * 5_000**0.5


def test_a_choice_covers_all_numbers():
    choice = Choice(("a", "b"), (2**31, 2**32 - 1))
    assert [choice.pick(number) for number in (0, 2**31 - 1, 2**31, 2**32 - 1)] == ["a", "a", "b", "b"]


def test_kept_words_and_phrases_stay_in_any_capitals():
    strategy = Bilingual(Lookup(Table(), ["de"], keep=["BALL", "Red Dog"]), p=1.0)
    assert strategy(Caption("Dog ball RED dog, red", {}), Draw(0)).text == "Hund ball RED dog, rot"


def test_function_words_stay_where_they_are_skipped():
    strategy = Bilingual(Lookup(Table(), ["de"], skip=["a"]), p=1.0)
    assert strategy(Caption("A red dog", {}), Draw(0)).text == "A rot Hund"


def test_base_forms_are_tried_only_where_the_language_lacks_the_word():
    bases = {"dogs": ["dog"], "red": ["dog"], "cats": ["cat"]}
    lookup = Lookup(Table(), lemmas=lambda word: bases.get(word, []))
    strategy = Multilingual(lookup, p=1.0, language_per="caption")
    texts = {strategy(Caption("Red dogs, cats", {}), Draw(i)).text for i in range(50)}
    assert texts == {"Rot Hund, cats", "Punainen koira, kissa"}


def test_what_is_remembered_is_bounded_and_never_wrong(monkeypatch):
    monkeypatch.setattr(lookup_module, "REMEMBERED", 64)
    table = Table({"de": {f"w{i}": f"x{i}" for i in range(500)}})
    lookup = Lookup(table)
    strategy = Bilingual(lookup, p=1.0)
    for i in (*range(500), *range(500)):
        assert strategy(Caption(f"w{i}", {}), Draw(0)).text == f"x{i}"
        assert len(lookup.known[0]) <= 64


def test_an_unknown_language_is_one_sentence():
    with pytest.raises(UserError, match="xx, which no lexicon holds"):
        Lookup(Table(), ["de", "xx"])


CHINESE = {
    "zh": {"dog": "狗", "red": "红色", "a": "一只"},
    "ja": {"dog": "イヌ"},
    "th": {"red": "แดง", "dog": "หมา"},
    "ko": {"dog": "개", "red": "빨간"},
}


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("zh", "一只红色狗, runs 狗."),
        ("ja", "A redイヌ, runs 狗."),
        ("th", "A แดงหมา, runs 狗."),
        ("ko", "A 빨간 개, runs 狗."),
    ],
)
def test_spaces_between_scripts(language, expected):
    """None before Chinese or Japanese, none within Thai; Korean has its own; the original's own stay as they are."""
    strategy = Bilingual(Lookup(Table(CHINESE), [language]), p=1.0)
    assert strategy(Caption("A red dog, runs 狗.", {}), Draw(0)).text == expected


def test_words_of_scripts_with_spaces_do_not_grow_together():
    table = Table({"en": {"红色": "red", "狗": "dog", "大象": "elephant"}}, source_language="zh")
    strategy = Bilingual(Lookup(table), p=1.0)
    assert strategy(Caption("一只红色狗和大象。", {}), Draw(0)).text == "一只red dog和elephant。"


def test_runs_are_cut_at_the_longest_words_that_the_lexicon_knows():
    lookup = Lookup(Table({"en": {"大": "big", "大象": "elephant", "แมว": "cat", "ดำ": "black"}}, source_language="zh"))
    assert lookup.split(list("一大象大小")) == ["一", "大象", "大", "小"]
    strategy = Bilingual(lookup, p=1.0)
    assert strategy(Caption("แมวสีดำ", {}), Draw(0)).text == "catสีblack"


def test_join_touches_only_what_stands_beside_a_replacement():
    out = ["", "a", " ", "狗", "", "b", "", "c", ""]
    join(out, [(5, 5, "de")], (), every=True)
    assert out == ["", "a", " ", "狗", "", "b", " ", "c", ""]
