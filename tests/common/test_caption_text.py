"""Entities are decoded, invisible characters inside words are removed, and everything else stays as it is."""

import html

import pytest

from mmcs.common.caption_text import clean_caption, decode_entities


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        ("Tom &amp; Jerry", "Tom & Jerry"),
        ("Women&#39;s red shoes &quot;Nike&quot;", 'Women\'s red shoes "Nike"'),
        ("Caf&eacute; &ndash; Z&uuml;rich &copy; 2024", "Café – Zürich © 2024"),
        ("it&#x27;s &#X2019;n &#8217;", "it's ’n ’"),
        ("&amp;quot;big&amp;quot; &amp;#39;s &amp;amp;lt;", '"big" \'s <'),
        ("&#128512;&#x1F600;", "😀😀"),
        ("&#1057;&#1086;&#1073;&#1072;&#1082;&#1072;", "Собака"),
        ("Tom &amp Jerry, a &lt b &quot", 'Tom & Jerry, a < b "'),
        ("women&#39s", "women's"),
        ("red&nbsp;shoes", "red\xa0shoes"),
    ],
)
def test_entities_are_decoded(encoded: str, text: str) -> None:
    assert decode_entities(encoded) == text


@pytest.mark.parametrize(
    "text",
    [
        "AT&T",
        "R&D; Q&A",
        "black & white",
        "B&B;",
        "M&Ms &",
        "&&&",
        "fish &chips; salt",
        "https://shop.example/?a=1&copy=2&lt=3&amp=4",
        "&#; &#x; &;",
        "rock&roll #1",
        "&notanentity;",
        "& amp;",
        "¿Qué & dónde?",
        "犬&猫",
    ],
)
def test_what_is_no_entity_stays(text: str) -> None:
    assert decode_entities(text) == text


@pytest.mark.parametrize("text", ['<b>"it\'s"</b> & more', "Ω ≈ ç √ ∫", "a < b && c > d"])
def test_decoding_undoes_escaping_up_to_three_times(text: str) -> None:
    encoded = text
    for _ in range(3):
        encoded = html.escape(encoded)
        assert decode_entities(encoded) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("foot\u00adball", "football"),
        ("foot&shy;ball &amp; ten\u2060nis", "football & tennis"),
        ("\ufeffa dog\ufeff", "a dog"),
        ("a\0b\x1b[31m", "ab[31m"),
        ("  a dog&nbsp;\n", "a dog"),
        ("two\nlines", "two\nlines"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष", "क्\u200dष"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("&#0;", "\ufffd"),
    ],
)
def test_invisible_characters_are_removed_and_joiners_stay(raw: str, text: str) -> None:
    assert clean_caption(raw) == text


def test_a_caption_of_a_million_ampersands_is_quick_to_decode() -> None:
    assert decode_entities("&" * 1_000_000) == "&" * 1_000_000
    assert decode_entities("&amp;" * 100_000) == "&" * 100_000
