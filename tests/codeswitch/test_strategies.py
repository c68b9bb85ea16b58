"""Strategies against METHOD's definitions, on lexicons written in the test."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcs.codeswitch.controls import WordDrop
from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.segment import segment
from mmcs.codeswitch.stage import ChooseCaption, SwitchCaption
from mmcs.codeswitch.strategy import Caption, render
from mmcs.codeswitch.translate import Translate
from mmcs.codeswitch.words import Bilingual, Multilingual
from mmcs.errors import UserError

WORDS = {
    "de": {"dog": "Hund", "red": "rot", "ball": "Ball", "art": "Kunst", "hund": "FALSCH", "a": "ein"},
    "fi": {"dog": "koira", "red": "punainen", "cat": "kissa"},
}


class Table:
    """A lexicon in memory with one candidate per word."""

    languages = ("de", "fi")

    def __init__(self, words=WORDS):
        self.words = words

    def candidates(self, phrase, language):
        word = self.words[language].get(phrase)
        return ((word, 1.0),) if word else ()


def switch(text, strategy, *key):
    return strategy(Caption(text, {}), Draw(*key))


def test_every_known_word_is_replaced_at_p_1_and_everything_else_comes_back():
    switched = switch("A dog's  red ball, (ARTPARTY) – Dog!", Bilingual(Table(), ["de"], p=1.0))
    assert switched.text == "Ein Hund's  rot Ball, (ARTPARTY) – Hund!"
    assert switched.words == 6
    assert [replacement.language for replacement in switched.replacements] == ["de"] * 5


def test_a_replacement_is_never_replaced_again_and_never_inside_a_word():
    # "Hund" is itself an entry, and "art" stands inside "party": two mistakes of the study's code.
    assert switch("dog party", Bilingual(Table(), ["de"], p=1.0)).text == "Hund party"


@pytest.mark.parametrize(("text", "expected"), [("dog", "Hund"), ("Dog", "Hund"), ("DOG", "HUND"), ("Red", "Rot")])
def test_capitals_follow_the_replaced_word(text, expected):
    assert switch(text, Bilingual(Table(), ["de"], p=1.0)).text == expected


def test_a_word_that_the_drawn_language_lacks_stays_english():
    texts = {switch("cat", Multilingual(Table(), p=1.0), i).text for i in range(50)}
    assert texts == {"cat", "kissa"}


def test_language_is_drawn_per_token_or_once_per_caption():
    text = " ".join(["dog"] * 30)
    per_token = switch(text, Multilingual(Table(), p=1.0), 1)
    assert {r.language for r in per_token.replacements} == {"de", "fi"}
    for i in range(20):
        per_caption = switch(text, Multilingual(Table(), p=1.0, language_per="caption"), i)
        assert len({r.language for r in per_caption.replacements}) == 1


def test_a_share_of_captions_is_switched_whole_into_one_language():
    strategy = Multilingual(Table(), p=0.0, whole_captions=0.5)
    texts = [switch("red dog", strategy, i).text for i in range(1000)]
    assert set(texts) == {"red dog", "rot Hund", "punainen koira"}
    assert 400 < sum(text == "red dog" for text in texts) < 600


def test_rates_and_languages_match_their_probabilities():
    """20,000 words at p = 0.3 in two languages: 15 % each, within 5 standard deviations."""
    switched = switch(" ".join(["dog"] * 20_000), Multilingual(Table(), p=0.3), "rates")
    for language in ("de", "fi"):
        share = sum(r.language == language for r in switched.replacements) / 20_000
        assert abs(share - 0.15) < 5 * (0.15 * 0.85 / 20_000) ** 0.5


def test_keep_protects_words_in_any_capitals():
    assert switch("Dog dog ball", Bilingual(Table(), ["de"], p=1.0, keep=["DOG"])).text == "Dog dog Ball"


@given(st.text(max_size=200))
def test_p_0_gives_the_text_back_byte_for_byte(text):
    assert switch(text, Multilingual(Table(), p=0.0), text).text == text


@given(st.text(max_size=200))
def test_words_are_in_order_and_hold_no_space(text):
    at = 0
    for start, end in segment(text):
        assert at <= start < end <= len(text)
        assert not any(character.isspace() for character in text[start:end])
        at = end
    assert render(text, []) == text


def test_segments_words_of_many_scripts():
    cases = {
        "isn't T-shirt 3.14, e-mail a@b.org": ["isn't", "T-shirt", "3.14", "e-mail"],
        "नमस्ते दुनिया": ["नमस्ते", "दुनिया"],
        "القطة السوداء؟": ["القطة", "السوداء"],
        "😀 👍🏽!": [],
        "https://x.org/a?b and cafe\u0301": ["and", "cafe\u0301"],
    }
    for text, words in cases.items():
        assert [text[start:end] for start, end in segment(text)] == words


def test_words_are_those_of_an_independent_naive_switcher():
    """The study's definition, written again from METHOD: split at spaces, look up, replace; the same draws."""

    def naive(text, p, draw):
        draw.uniform()  # the caption's language
        out = []
        for word in text.split(" "):
            u, choice, _ = draw.uniform(), draw.uniform(), draw.uniform()
            language = ["de", "fi"][int(choice * 2)]
            out.append(WORDS[language].get(word, word) if u < p else word)
        return " ".join(out)

    generator = random.Random(0)
    for i in range(300):
        text = " ".join(generator.choices(["dog", "red", "cat", "zebra", "ball"], k=generator.randint(1, 12)))
        p = generator.choice([0.25, 0.5, 1.0])
        assert switch(text, Multilingual(Table(), p=p), i).text == naive(text, p, Draw(i))


def test_word_drop_drops_exactly_what_would_be_switched():
    strategy = Bilingual(Table(), ["de"], p=1.0)
    assert switch("The red ball and a dog, here", WordDrop(strategy)).text == "The and, here"
    assert switch("red ball lies", WordDrop(strategy)).text == "lies"
    assert switch("red ball", WordDrop(strategy)).text == "red ball", "nothing would be left"


def test_translate_draws_among_the_languages_that_the_sample_has():
    strategy = Translate(["de", "fi", "sw"])
    captions = {"de": ["Hund"], "sw": ["mbwa", "jibwa"], "fr": ["chien"]}
    texts = {strategy(Caption("dog", captions), Draw(i)).text for i in range(60)}
    assert texts == {"Hund", "mbwa", "jibwa"}
    assert strategy(Caption("dog", {"fr": ["chien"]}), Draw(0)).text == "dog"


def sample(epoch=0, identity="stamps/00000/1", english=("a red dog",)):
    return {"epoch": epoch, "identity": identity, "captions": {"en": list(english)}}


def texts_of(stages, **fields):
    current = sample(**fields)
    for stage in stages:
        current = stage(current)
    return current["texts"]


def test_a_sample_depends_on_seed_epoch_and_identity_alone():
    def stages(seed, variants=0):
        return [
            ChooseCaption(seed=seed, variants=variants),
            SwitchCaption(Multilingual(Table()), seed=seed, views=("english", "switched")),
        ]

    captions = ["a red dog", "a red ball", "a cat and a dog"]
    first = [texts_of(stages(1), epoch=e, identity=str(i), english=captions) for e in range(4) for i in range(20)]
    again = [texts_of(stages(1), epoch=e, identity=str(i), english=captions) for e in range(4) for i in range(20)]
    assert first == again
    other = [texts_of(stages(2), epoch=e, identity=str(i), english=captions) for e in range(4) for i in range(20)]
    assert first != other
    assert first[:20] != first[20:40], "epochs differ"
    cyclic = [[texts_of(stages(1, 2), epoch=e, identity=str(i)) for i in range(20)] for e in range(4)]
    assert cyclic[0] == cyclic[2] and cyclic[1] == cyclic[3] and cyclic[0] != cyclic[1]


def test_views_and_keep_english():
    strategy = Bilingual(Table(), ["de"], p=1.0)
    choose = ChooseCaption(seed=0)
    two = SwitchCaption(strategy, seed=0, views=("english", "switched"))
    assert texts_of([choose, two]) == ["a red dog", "ein rot Hund"]
    half = SwitchCaption(strategy, seed=0, keep_english=0.5)
    kept = sum(texts_of([choose, half], identity=str(i)) == ["a red dog"] for i in range(1000))
    assert 400 < kept < 600


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Multilingual(Table(), p=1.5), "codeswitch.p is a probability between 0 and 1"),
        (lambda: Multilingual(Table(), ["de", "xx"]), "xx, which no lexicon holds"),
        (lambda: Multilingual(Table(), language_per="word"), "one of token, caption"),
        (lambda: Bilingual(Table()), "takes one language"),
        (lambda: SwitchCaption(Translate(["de"]), seed=0, views=()), "codeswitch.views is empty"),
        (lambda: ChooseCaption(seed=0, variants=-1), "codeswitch.variants"),
        (lambda: Translate([]), "needs codeswitch.languages"),
    ],
)
def test_mistakes_are_one_sentence(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()
