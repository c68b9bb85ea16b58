"""Phrases of lexicons in captions: which are found, in which spelling and inflection, and which come first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lexicon_table import Table

from mmcs.codeswitch.build import Lexicons
from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.lexicon import normalise
from mmcs.codeswitch.lookup import Lookup
from mmcs.codeswitch.matching import reachable
from mmcs.codeswitch.protected import protected_spans
from mmcs.codeswitch.strategy import Caption
from mmcs.codeswitch.words import Dictionary, Multilingual, Phrases

BASES = {"shoes": ["shoe"], "dogs": ["dog"], "pairs": ["pair"], "ran": ["run"], "glasses": ["glass"], "rote": ["rot"]}


def bases(word):
    return BASES.get(word, [])


def several(*words, **options):
    """A lookup in lexicons in this order."""
    tables = [Table(of) for of in words]
    for table in tables:
        table.max_tokens = 9
    return Lookup(Lexicons(tables), lemmas=bases, **options)


def german(text, *words, strategy=Phrases, **options):
    return strategy(several(*({"de": of} for of in words), **options), p=1.0)(Caption(text, {}), Draw(0))


@pytest.mark.parametrize(
    ("phrase", "captions"),
    [
        ("st. louis", ["St. Louis", "ST LOUIS", "St.  Louis"]),
        ("valentine's day", ["Valentine's Day", "valentine’s day"]),
        ("new year's eve", ["New Year's Eve"]),
        ("rock 'n' roll", ["Rock 'n' Roll", "rock ’n’ roll", "rock ‘n’ roll", "rock n roll", "rock 'n roll"]),
        ("at&t", ["AT&T"]),
        ("salt & pepper", ["salt & pepper"]),
        ("u.s.", ["U.S."]),
        ("made in u.s.", ["made in U.S.", "Made in U.S"]),
        ("mr.", ["Mr."]),
        ("c++", ["C++"]),
        ("levi's", ["Levi's", "LEVI’S"]),
        ("dogs' bowl", ["dogs' bowl", "dogs’ bowl"]),
        ("washington, d.c.", ["Washington, D.C."]),
        ("ac/dc", ["AC/DC"]),
        ("running shoe", ["running shoe", "Running  Shoes", "running\u00a0shoe", "run\u00adning shoe"]),
        ("pair of shoe", ["pairs of shoes"]),
        ("dog st. shoe", ["dogs St. shoes"]),
        ("50 mm lens", ["50 mm lens", "50 MM LENS"]),
        ("4k tv", ["4K TV"]),
        ("3m", ["3M"]),
    ],
)
def test_a_phrase_is_found_in_every_spelling(phrase, captions):
    assert reachable(phrase)
    for caption in captions:
        text = f"My ({caption}), here"
        switched = german(text, {phrase: "X"})
        assert switched.text.casefold() == "my (x), here", caption
        assert switched.original == text


@pytest.mark.parametrize(
    ("phrase", "caption"),
    [
        ("hot dog", "hot, dog"),
        ("hot dog", "A hot. Dog? hot/dog"),
        ("dog house", "dog's house"),
        ("fig.", "a fig"),
        ("c++", "C and C+"),
        ("run shoe", "running shoe"),
        ("at&t", "at t & t"),
        ("red dog", "red #dog"),
        ("km", "5 km"),
        ("5", "5 km"),
    ],
)
def test_other_words_and_other_punctuation_are_no_match(phrase, caption):
    assert german(caption, {phrase: "X"}).text == caption


@pytest.mark.parametrize("phrase", ["-less", "'the trout'", "www.a.de", "@home", "❤", "'s wish", "", "elastoplast ®"])
def test_keys_that_no_caption_reaches(phrase):
    assert not reachable(phrase)


def test_keys_of_scripts_without_spaces_are_reached():
    assert reachable("热狗", "zh-Hans") and reachable("t恤", "zh-Hans") and reachable("แมว", "th")
    chinese = Phrases(Lookup(Table({"en": {"t恤": "T-shirt", "热狗": "hot dog", "狗": "dog"}}, "zh-Hans")))
    assert chinese(Caption("红T恤,一热狗", {}), Draw(0)).text == "红T-shirt,一hot dog"


KEYS = st.text(alphabet="ab1 .'’&-/+,é\u00ad狗", min_size=1, max_size=14).map(normalise).filter(bool)


@given(KEYS)
def test_reachable_keys_are_replaced_and_others_are_not(key):
    """The build's report and the switch agree: a caption that is the key becomes its translation, or stays."""
    switched = german(key, {key: "X"})
    assert (switched.text == "X") == reachable(key)


def test_the_longest_phrase_of_any_lexicon_comes_first():
    """The rules of docs/lexicons.md, one by one."""
    glossary, dictionary = {"shoe": "Treter", "shoe lace": "Senkel"}, {"running shoe": "Laufschuh", "red": "rot"}
    # A word of the first lexicon gives way to a longer phrase of the second …
    assert german("Running shoes", glossary, dictionary).text == "Laufschuh"
    # … of phrases that are as long the earlier lexicon's wins, though the other begins further left …
    assert german("running shoe lace", glossary, dictionary).text == "running Senkel"
    assert german("running shoe lace", dictionary, glossary).text == "Laufschuh lace"
    # … and within one lexicon the one further left.
    assert german("a b c", {"a b": "1", "b c": "2"}).text == "1 c"
    assert german("a b c", {"a b": "1", "b c": "2", "a b c": "3"}).text == "3"


def test_a_base_form_of_the_first_lexicon_wins_over_an_exact_form_of_the_second():
    assert german("two running shoes, glasses", {"running shoe": "A"}, {"running shoes": "B", "glasses": "C"}).text == (
        "two A, C"
    )
    assert german("glasses", {"glass": "Glas"}, {"glasses": "Brille"}).text == "Glas"
    assert german("glasses", {"glass": "Glas", "glasses": "Brille"}).text == "Brille", "exact first within a lexicon"


@pytest.mark.parametrize("strategy", [Multilingual, Phrases, Dictionary])
def test_every_strategy_matches_phrases_unless_it_goes_word_by_word(strategy):
    words = {"running shoe": "Laufschuh", "running": "laufend", "shoe": "Schuh"}
    assert german("Two running shoes", words, strategy=strategy).text == "Two Laufschuh"
    word_by_word = strategy(several({"de": words}), p=1.0, max_tokens=1)
    assert word_by_word(Caption("Two running shoes", {}), Draw(0)).text == "Two laufend Schuh"


def test_a_phrase_is_one_unit_and_its_first_word_decides():
    words = {"de": {"running shoe": "Laufschuh", "shoe": "Schuh", "red": "rot"}}
    strategy = Multilingual(several(words), p=0.5)
    texts = [strategy(Caption("red running shoe", {}), Draw(i)).text for i in range(2_000)]
    assert set(texts) == {"red running shoe", "rot running shoe", "red Laufschuh", "rot Laufschuh"}
    share = sum("Laufschuh" in text for text in texts) / 2_000
    assert abs(share - 0.5) < 5 * (0.25 / 2_000) ** 0.5


def test_where_the_drawn_language_lacks_a_phrase_its_words_are_switched():
    words = {"de": {"hot dog": "Hotdog"}, "fi": {"dog": "koira", "hot": "kuuma"}}
    strategy = Multilingual(several(words), p=1.0, language_per="caption")
    assert {strategy(Caption("hot dog", {}), Draw(i)).text for i in range(30)} == {"Hotdog", "kuuma koira"}
    each = Multilingual(several(words), p=1.0)
    assert {each(Caption("hot dog", {}), Draw(i)).text for i in range(50)} == {"Hotdog", "kuuma dog", "kuuma koira"}


def test_function_words_stay_alone_and_are_switched_in_phrases():
    words = {"out of stock": "ausverkauft", "of": "von", "can": "kann", "can.": "Kanada", "trash can": "Mülleimer"}
    text = german("out of stock, of a trash can. I can.", words, skip=["of", "out", "can"]).text
    assert text == "ausverkauft, of a Mülleimer. I can."
    contracted = {"can't": "nicht", "it's": "es ist", "isn't": "ist nicht", "levi's": "Hose", "o'clock": "Uhr"}
    text = german("Can't, it’s isn't, Levi's o'clock", contracted, skip=["can", "it", "is"]).text
    assert text == "Can't, it’s isn't, Hose Uhr"


def test_kept_words_and_phrases_belong_to_no_match():
    words = {"apple pie": "Apfelkuchen", "at&t": "Telefon", "levi's": "Hose", "nike shoe": "Schuh", "shoe": "Schuh"}
    keep = ["Apple", "AT&T", "Levi's", "Dr. Oetker", "dr", "C++"]
    text = "Apple pie, AT&T, levi’s, apples' pie, shoe"
    assert german(text, words, keep=keep).text == "Apple pie, AT&T, levi’s, apples' pie, Schuh"


def test_shuffled_words_switch_the_same_places():
    """Two lexicons with the same phrases switch the same positions: the control of every gain rests on it."""
    words = {"de": {"hot dog": "Hotdog", "dog": "Hund", "red": "rot"}, "fi": {"dog": "koira", "hot": "kuuma"}}
    shuffled = {language: dict(zip(of, reversed(of.values()), strict=True)) for language, of in words.items()}
    first, second = (Multilingual(several(of), p=0.6) for of in (words, shuffled))
    for i in range(200):
        caption, key = Caption("a red hot dog and a dog, red hot", {}), Draw(i)
        assert first(caption, Draw(i)).replacements == second(caption, key).replacements


PIECES = st.sampled_from(
    [*"abc", "A", "B", "a's", "b.", "a&b", "c++", "a b", "a, b", "5 km", "https://a.b/a", "@a", "#b", "&amp;", "x.jpg",
     "a\u00adb", "狗", "热狗", "क", "👍🏽", "🇩🇪", "a’s", "<b>", "3 a", "ab"]
)  # fmt: skip
WORDS = {
    "de": {"a": "1", "a b": "12", "b. a": "21", "c++": "C", "a's b": "S", "狗": "H", "a&b": "&", "ab": "AB"},
    "zh": {"b": "一", "c": "二", "a b c": "三", "热狗": "四", "क": "五", "5": "六", "amp": "七", "jpg": "八"},
}


@given(st.lists(st.tuples(PIECES, st.sampled_from([" ", "  ", ", ", "", "-", ". "])), max_size=9), st.integers(0, 9))
@pytest.mark.parametrize("options", [{}, {"max_tokens": 1}, {"language_per": "caption"}])
def test_nothing_but_words_is_touched(options, pieces, seed):
    """Without scripts that close up spaces, all outside of replaced spans comes back byte for byte, in order, and no
    protected part is touched; every replaced span is a whole key.
    """
    text = "".join(piece + space for piece, space in pieces)
    for languages in (["de"], ["zh"]):
        lookup = several(WORDS, languages=languages)
        strategy = Multilingual(lookup, p=0.7, **options)
        switched = strategy(Caption(text, {}), Draw(seed))
        assert switched.original == text and len(switched.parts) == len(switched.out)
        assert switched.replacements == sorted(switched.replacements)
        inside = {place for first, last, _ in switched.replacements for place in range(first, last + 1)}
        bounds = [0]
        for part in switched.parts:
            bounds.append(bounds[-1] + len(part))
        for first, last, _ in switched.replacements:
            assert first % 2 and last % 2
            for start, end, word in protected_spans(text):
                assert bounds[last + 1] <= start or end <= bounds[first] or (word and first == last)
            phrase = lookup.normalise(text[bounds[first] : bounds[last + 1]])
            assert phrase.replace(".", "") in {key.replace(".", "") for key in WORDS[languages[0]]}
        if languages == ["de"]:
            outside = [place for place in range(len(switched.parts)) if place not in inside]
            assert [switched.out[place] for place in outside] == [switched.parts[place] for place in outside]
        assert switched == strategy(Caption(text, {}), Draw(seed)), "the same again, now from memory"
