"""Strategies against METHOD's definitions, on lexicons written in the test, each held against a naive implementation."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lexicon_table import WORDS, Table

from mmcs.codeswitch.controls import WordDrop
from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.languages import LanguageDraw
from mmcs.codeswitch.lexicon import normalise
from mmcs.codeswitch.lookup import Lookup
from mmcs.codeswitch.schedule import Schedule
from mmcs.codeswitch.segment import segment
from mmcs.codeswitch.stage import ChooseCaption, SwitchCaption
from mmcs.codeswitch.strategy import Caption
from mmcs.codeswitch.translate import Translate
from mmcs.codeswitch.words import Bilingual, Dictionary, Multilingual, Phrases
from mmcs.errors import UserError


def switch(text, strategy, *key, epoch=0):
    return strategy(Caption(text, {}, epoch), Draw(*key))


def german(**options):
    return Bilingual(Lookup(Table(), ["de"]), **options)


def both(**options):
    return Multilingual(Lookup(Table()), **options)


def test_every_known_word_is_replaced_at_p_1_and_everything_else_comes_back():
    switched = switch("A dog's  red ball, (ARTPARTY) – Dog!", german(p=1.0))
    assert switched.text == "Ein Hund's  rot Ball, (ARTPARTY) – Hund!"
    assert switched.original == "A dog's  red ball, (ARTPARTY) – Dog!"
    assert switched.words == 6
    assert switched.languages() == ["de"] * 5
    assert "".join(text for text, _ in switched.pieces()) == switched.text
    assert [text for text, language in switched.pieces() if language] == ["Ein", "Hund", "rot", "Ball", "Hund"]


def test_a_replacement_is_never_replaced_again_and_never_inside_a_word():
    # "Hund" is itself an entry, and "art" stands inside "party": two mistakes of the study's code.
    assert switch("dog party", german(p=1.0)).text == "Hund party"


def test_a_word_that_the_drawn_language_lacks_stays():
    texts = {switch("cat", both(p=1.0), i).text for i in range(50)}
    assert texts == {"cat", "kissa"}


def test_language_is_drawn_per_token_or_once_per_caption():
    text = " ".join(["dog"] * 30)
    assert set(switch(text, both(p=1.0), 1).languages()) == {"de", "fi"}
    seen = [switch(text, both(p=1.0, language_per="caption"), i).languages() for i in range(20)]
    assert all(len(set(languages)) == 1 for languages in seen)
    assert {languages[0] for languages in seen} == {"de", "fi"}


def test_a_share_of_captions_is_switched_whole_into_one_language():
    strategy = both(p=0.0, whole_captions=0.5)
    texts = [switch("red dog", strategy, i).text for i in range(1000)]
    assert set(texts) == {"red dog", "rot Hund", "punainen koira"}
    assert 400 < sum(text == "red dog" for text in texts) < 600


def test_rates_and_languages_match_their_probabilities():
    """20,000 words at p = 0.3 in two languages: 15 % each, within 5 standard deviations."""
    languages = switch(" ".join(["dog"] * 20_000), both(p=0.3), "rates").languages()
    for language in ("de", "fi"):
        share = languages.count(language) / 20_000
        assert abs(share - 0.15) < 5 * (0.15 * 0.85 / 20_000) ** 0.5


def test_rare_languages_can_be_raised():
    languages = switch(" ".join(["dog"] * 20_000), both(p=1.0, language_weights={"fi": 3}), "weights").languages()
    assert abs(languages.count("fi") / 20_000 - 0.75) < 5 * (0.75 * 0.25 / 20_000) ** 0.5
    assert set(switch("dog " * 1000, both(p=1.0, language_weights={"fi": 0}), 0).languages()) == {"de"}


@given(st.lists(st.floats(0, 10), min_size=1, max_size=20).filter(lambda weights: sum(weights) > 1e-3))
def test_every_number_draws_a_language_that_has_weight(weights):
    languages = [f"l{i}" for i in range(len(weights))]
    draw = LanguageDraw(languages, dict(zip(languages, weights, strict=True)))
    for number in (0, 1, 2**31, 2**32 - 1, *range(0, 2**32, 2**28 + 1)):
        assert weights[draw(number)] > 0


def test_a_curriculum_is_linear_between_its_points_and_follows_the_epoch_alone():
    schedule = Schedule("p", [[2, 0.2], [4, 0.6]])
    assert [round(schedule.at(epoch), 9) for epoch in (0, 2, 3, 4, 9, 3)] == [0.2, 0.2, 0.4, 0.6, 0.6, 0.4]
    strategy = both(p=[[0, 0.0], [1, 1.0]])
    assert switch("red dog", strategy, 0, epoch=0).text == "red dog"
    assert len(switch("red dog", strategy, 0, epoch=1).replacements) == 2
    assert not strategy.constant and both(p=0.3).constant


def test_a_larger_p_switches_what_a_smaller_switches_and_more():
    few, many = (switch("dog " * 500, both(p=p), "nested").replacements for p in (0.2, 0.7))
    assert {first for first, _, _ in few} < {first for first, _, _ in many}


TEXTS = st.text(max_size=120) | st.lists(
    st.sampled_from(
        [
            "dog",
            "Red",
            "BALL",
            "hot",
            "new",
            "york",
            "city",
            "cat",
            "a",
            "hund",
            "狗",
            "สี",
            "👩‍🚀",
            "कुत्ता",
            "'s",
            "http://x.de/dog",
        ]
    ),
    max_size=12,
).map(" ".join)
EVERY = [
    lambda p: both(p=p),
    lambda p: both(p=p, language_per="caption"),
    lambda p: Phrases(Lookup(Table()), p=p),
    lambda p: Phrases(Lookup(Table()), p=p, language_per="token"),
    lambda p: Dictionary(Lookup(Table()), p=p),
    lambda p: Translate(["de"], p=p),
]


@given(TEXTS)
@pytest.mark.parametrize("make", EVERY)
def test_p_0_gives_the_text_back_byte_for_byte(make, text):
    switched = switch(text, make(0.0), text)
    assert switched.text == text and switched.replacements == []


@given(TEXTS)
@pytest.mark.parametrize("make", EVERY[:5])
def test_what_is_not_replaced_comes_back_and_what_is_replaced_is_known(make, text):
    """In scripts with spaces nothing but the replaced words changes; every replacement stands in the lexicon."""
    table = Table()
    switched = switch(text, make(1.0), text)
    rebuilt = list(switched.parts)
    for first, last, language in switched.replacements:
        phrase = normalise("".join(switched.parts[first : last + 1]))
        assert table.candidates(phrase, language), "only what the lexicon knows is replaced"
        new = "".join(switched.out[first : last + 1])
        assert new.casefold() == table.candidates(phrase, language)[0].text.casefold()
        rebuilt[first : last + 1] = [new, *[""] * (last - first)]
    assert "".join(rebuilt) == switched.text
    assert switched.original == text


@given(TEXTS)
@pytest.mark.parametrize("make", EVERY[:5])
def test_nothing_changes_without_a_match(make, text):
    empty = Lookup(Table({"de": {"zzz": "yyy"}, "fi": {}}))
    strategy = make(1.0)
    strategy.lookup, strategy.languages = empty, empty.languages
    assert switch(text, strategy, text).text == text


def test_the_studys_mode_is_that_of_an_independent_naive_switcher():
    """METHOD's ML-CS, written again: tokens at spaces, lower-cased, looked up in plain dictionaries; the same numbers."""

    def naive(text, p, draw):
        tokens = text.split(" ")
        out = []
        for token, number in zip(tokens, draw.numbers(2 + len(tokens))[2:], strict=True):
            u = number / 2**32
            language = ["de", "fi"][int(u / p * 2)] if u < p else "de"
            switched = u < p and token.lower() in WORDS[language]
            out.append(WORDS[language][token.lower()] if switched else token)
        return " ".join(out)

    generator = random.Random(0)
    for i in range(500):
        text = " ".join(
            generator.choices(["hot", "dog", "red", "cat", "zebra", "ball", "party"], k=generator.randint(1, 12))
        )
        p = generator.choice([0.25, 0.5, 0.75, 1.0])
        assert switch(text, both(p=p, max_tokens=1), i).text == naive(text, p, Draw(i))


def test_phrases_are_those_of_a_naive_search_for_the_longest_first():
    """Wiki-CS, written again: all windows of 3, 2, 1 words from the left, in the caption's language; a word belongs to one."""
    vocabulary = ["a", "b", "c", "d"]
    generator = random.Random(1)
    for i in range(400):
        phrases = {
            " ".join(generator.choices(vocabulary, k=generator.randint(1, 4))) for _ in range(generator.randint(1, 12))
        }
        table = {"de": {phrase: phrase.replace(" ", "_").upper() for phrase in phrases}}
        words = generator.choices(vocabulary, k=generator.randint(1, 10))
        out, free = list(words), [True] * len(words)
        for n in (3, 2, 1):
            for at in range(len(words) - n + 1):
                phrase = " ".join(words[at : at + n])
                if phrase in phrases and all(free[at : at + n]):
                    out[at : at + n] = [table["de"][phrase]] + [""] * (n - 1)
                    free[at : at + n] = [False] * n
        switched = switch(" ".join(words), Phrases(Lookup(Table(table)), max_tokens=3), i)
        assert switched.text == " ".join(filter(None, out))
        assert len(switched.languages()) == len(words) - sum(free)


def test_a_phrase_is_found_in_any_capitals_and_spacing_but_not_across_punctuation():
    strategy = Phrases(Lookup(Table(), ["de"]))
    assert (
        switch("Hot  dogs? A hot dog in New York\tCity!", strategy).text
        == "Hot  dogs? Ein Hotdog in Die Stadt New York!"
    )
    assert switch("hot, dog", strategy).text == "hot, Hund"
    assert (
        switch("hot dog in new york city", Phrases(Lookup(Table(), ["de"]), max_tokens=2)).text
        == "Hotdog in new york Stadt"
    )


def test_a_kept_phrase_is_no_part_of_a_match():
    strategy = Phrases(Lookup(Table(), ["de"], keep=["York City"]))
    assert switch("hot dog, New York City, city", strategy).text == "Hotdog, New York City, Stadt"


def test_dictionary_puts_whole_captions_into_one_language():
    strategy = Dictionary(Lookup(Table()), p=0.5)
    texts = [switch("A red dog", strategy, i).text for i in range(1000)]
    assert set(texts) == {"A red dog", "Ein rot Hund", "A punainen koira"}
    assert 400 < texts.count("A red dog") < 600


def test_word_drop_drops_exactly_what_would_be_switched():
    assert switch("The red ball and a dog, here", WordDrop(german(p=1.0))).text == "The and, here"
    assert switch("red ball lies", WordDrop(german(p=1.0))).text == "lies"
    assert switch("red ball", WordDrop(german(p=1.0))).text == "red ball", "nothing would be left"
    assert switch("a hot dog lies", WordDrop(Phrases(Lookup(Table(), ["de"])))).text == "lies"
    assert switch("red ball lies", WordDrop(german(p=1.0))).languages() == ["de", "de"], (
        "the rate is that of the strategy"
    )


def test_translate_draws_among_the_languages_that_the_sample_has():
    strategy = Translate(["de", "fi", "sw"])
    captions = {"de": ["Hund"], "sw": ["mbwa", "jibwa"], "fr": ["chien"]}
    texts = {strategy(Caption("dog", captions), Draw(i)).text for i in range(60)}
    assert texts == {"Hund", "mbwa", "jibwa"}
    assert strategy(Caption("dog", {"fr": ["chien"]}), Draw(0)).text == "dog"
    assert strategy(Caption("👍", captions), Draw(0)).text in {"Hund", "mbwa", "jibwa"}, "a caption without words, too"


def test_translate_falls_back_as_configured_in_the_drawn_language():
    by_dictionary = Translate(["de", "fi", "sw"], fallback={"fi": Dictionary(Lookup(Table(), ["fi"]))})
    texts = {by_dictionary(Caption("a dog", {"de": ["Ein Hund"]}), Draw(i)).text for i in range(60)}
    assert texts == {"Ein Hund", "a koira", "a dog"}, "de translated, fi word by word, sw has neither"
    stays = Translate(["de", "fi"], fallback={})
    texts = {stays(Caption("a dog", {"de": ["Ein Hund"]}), Draw(i)).text for i in range(60)}
    assert texts == {"Ein Hund", "a dog"}


def sample(epoch=0, identity="stamps/00000/1", english=("a red dog",), **captions):
    return {"epoch": epoch, "pass": epoch, "identity": identity, "captions": {"en": list(english), **captions}}


def texts_of(stages, **fields):
    current = sample(**fields)
    for stage in stages:
        current = stage(current)
    return current["texts"]


def test_a_sample_depends_on_seed_epoch_and_identity_alone():
    def stages(seed, variants=0):
        return [
            ChooseCaption(seed=seed, variants=variants),
            SwitchCaption(both(), seed=seed, views=("english", "switched")),
        ]

    captions = ["a red dog", "a red ball", "a cat and a dog"]
    places = [(epoch, str(i)) for epoch in range(4) for i in range(20)]
    first = {place: texts_of(stages(1), epoch=place[0], identity=place[1], english=captions) for place in places}
    shared = stages(1)  # one object for all, in another order: nothing is carried over
    again = {place: texts_of(shared, epoch=place[0], identity=place[1], english=captions) for place in reversed(places)}
    assert first == again
    assert first != {p: texts_of(stages(2), epoch=p[0], identity=p[1], english=captions) for p in places}
    assert [first[0, str(i)] for i in range(20)] != [first[1, str(i)] for i in range(20)], "epochs differ"
    cyclic = [[texts_of(stages(1, 2), epoch=e, identity=str(i)) for i in range(20)] for e in range(4)]
    assert cyclic[0] == cyclic[2] and cyclic[1] == cyclic[3] and cyclic[0] != cyclic[1]


def test_a_curriculum_goes_on_where_versions_repeat():
    stages = [ChooseCaption(seed=0, variants=1), SwitchCaption(german(p=[[0, 0.0], [3, 1.0]]), seed=0)]
    switched = [sum(texts_of(stages, epoch=e, identity=str(i)) != ["a red dog"] for i in range(50)) for e in range(4)]
    assert switched[0] == 0 and switched[3] == 50 and switched == sorted(switched)


def test_each_switched_view_is_a_draw_of_its_own_and_the_first_is_what_one_alone_would_be():
    caption = "a dog and a red ball and a dog and a red ball"
    sample = {"texts": [caption], "captions": {}, "identity": "x", "caption_index": 0, "epoch": 0, "version": 3}
    one = SwitchCaption(both(), seed=0, views=("english", "switched"))(sample)
    three = SwitchCaption(both(), seed=0, views=("english", "switched", "switched", "switched"))(sample)
    assert three["texts"][:2] == one["texts"]
    assert len(set(three["texts"])) == 4, "four different texts"
    assert three == SwitchCaption(both(), seed=0, views=("english", "switched", "switched", "switched"))(sample)
    assert three["words"] == 3 * one["words"] and len(three["replaced"]) > len(one["replaced"])
    stays = SwitchCaption(both(), seed=0, views=("switched", "switched"), keep_english=1.0)(sample)
    assert stays["texts"] == [caption, caption] and stays["unchanged"] and not stays["replaced"]


def test_views_and_keep_english_and_what_is_counted():
    choose = ChooseCaption(seed=0)
    two = SwitchCaption(german(p=1.0), seed=0, views=("english", "switched"))
    assert texts_of([choose, two]) == ["a red dog", "ein rot Hund"]
    half = SwitchCaption(german(p=1.0), seed=0, keep_english=0.5)
    done = [half(choose(sample(identity=str(i)))) for i in range(1000)]
    kept = [one for one in done if one["texts"] == ["a red dog"]]
    assert 400 < len(kept) < 600
    assert all(one["unchanged"] and one["replaced"] == [] and one["words"] == 3 for one in kept)
    assert all(not one["unchanged"] and one["replaced"] == ["de"] * 3 for one in done if one not in kept)


def test_captions_of_another_source_language_are_read():
    table = Table({"en": {"hund": "dog", "rot": "red"}}, source_language="de")
    stages = [ChooseCaption(seed=0, source_language="de"), SwitchCaption(Bilingual(Lookup(table), p=1.0), seed=0)]
    assert texts_of(stages, de=["Hund ist rot"]) == ["Dog ist red"]


def test_ten_thousand_words_and_none():
    long = "dog red zebra " * 3_334
    switched = switch(long, both(p=1.0, language_per="caption"), 0)
    assert switched.words == len(segment(long)) // 2 == 10_002
    assert len(switched.replacements) == 6_668
    assert switch("", both(p=1.0), 0).text == "" and switch("👍🏽 🎉", both(p=1.0), 0).text == "👍🏽 🎉"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: both(p=1.5), "codeswitch.p is a probability between 0 and 1"),
        (lambda: both(p=[[0, 0.5], [0, 1.0]]), "whole numbers that rise"),
        (lambda: both(p=[0.5, 1.0]), r"a list of points \[epoch, p\]"),
        (lambda: both(p=[[0, 2.0]]), "between 0 and 1"),
        (lambda: both(language_per="word"), "one of token, caption"),
        (lambda: both(language_weights={"sw": 1}), "names sw, which is not switched into"),
        (lambda: both(language_weights={"de": -1}), "numbers from 0 on"),
        (lambda: both(language_weights={"de": 0, "fi": 0}), "are all 0"),
        (lambda: Lookup(Table(), candidates="best"), "one of first, weighted, uniform"),
        (lambda: Phrases(Lookup(Table()), max_tokens=0), "codeswitch.max_tokens"),
        (lambda: Bilingual(Lookup(Table())), "takes one language"),
        (lambda: SwitchCaption(Translate(["de"]), seed=0, views=()), "codeswitch.views is empty"),
        (lambda: ChooseCaption(seed=0, variants=-1), "codeswitch.variants"),
        (lambda: Translate([]), "needs codeswitch.languages"),
    ],
)
def test_mistakes_are_one_sentence(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()
