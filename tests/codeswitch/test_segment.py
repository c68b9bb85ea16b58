"""Words of a text in any script: what a reader expects, and that nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcs.codeswitch.protected import protected_spans
from mmcs.codeswitch.segment import _JOINED, _pattern, _segment, segment


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog's  T-shirt, (e-mail)!", ["A", "dog", "T-shirt", "e-mail"]),
        ("ISN'T it James's? 'quoted' rock 'n' roll", ["ISN'T", "it", "James", "quoted", "rock", "n", "roll"]),
        ("The girl’s dogs’ bowl isn’t", ["The", "girl", "dogs", "bowl", "isn’t"]),
        ("3.14 1,000.5 4x4 3D 10-20", ["3.14", "1,000.5", "4x4", "3D", "10-20"]),
        ("U.S. e.g. end.", ["U.S", "e.g", "end"]),
        ("foot\u00adball key\u2060board sun\ufeffset \u00ad", ["foot\u00adball", "key\u2060board", "sun\ufeffset"]),
        ("dog - cat -- cow – hen", ["dog", "cat", "cow", "hen"]),
        ("😀 👍🏽! 👩‍🚀 ❤️ 1️⃣ 🇩🇪 ℹ️ ok", ["ok"]),
        ("नमस्ते दुनिया, क्‍ष", ["नमस्ते", "दुनिया", "क्‍ष"]),
        ("القطة السوداء؟ می‌خواهم", ["القطة", "السوداء", "می‌خواهم"]),
        ("Ο σκύλος· Größe «Жук»", ["Ο", "σκύλος", "Größe", "Жук"]),
        ("cafe\u0301 l'homme col·lecció", ["cafe\u0301", "l'homme", "col·lecció"]),
        ("강아지가 뛴다", ["강아지가", "뛴다"]),
        ("", []),
        ("  \n ", []),
        ("…?!", []),
    ],
)
def test_words_are_what_a_reader_takes_for_words(text, words):
    assert segment(text)[1::2] == words


def test_runs_without_spaces_are_cut_by_the_caller_else_at_their_clusters():
    assert segment("iPhone 手机壳。")[1::2] == ["iPhone", "手", "机", "壳"]
    assert segment("iPhone手机壳。", lambda clusters: ["".join(clusters[:2]), clusters[2]]) == [
        "",
        "iPhone",
        "",
        "手机",
        "",
        "壳",
        "。",
    ]
    assert segment("ตัวใหญ่")[1::2] == ["ตั", "ว", "ใ", "ห", "ญ่"], "marks stay with their letter"
    assert segment("コーヒー")[1::2] == ["コ", "ー", "ヒ", "ー"]


@pytest.mark.parametrize(
    ("text", "protected"),
    [
        (
            "see https://x.org/a?b=c, www.y.de, z.com/dogs or my-dog.com/a",
            ["https://x.org/a?b=c,", "www.y.de,", "z.com/dogs", "my-dog.com/a"],
        ),
        ("mail a.b@c.org or @someone's or @me@social.org", ["a.b@c.org", "@someone's", "@me@social.org"]),
        ("#dog #red-dog \uff03\u72ac a #ff0000 car", ["#dog", "#red-dog", "\uff03\u72ac", "#ff0000"]),
        ("Tom &amp; Jerry &#39;s &#x27; AT&T; R&D;", ["&amp;", "&#39;", "&#x27;"]),
        ("a <b>red</b> dog and a <PERSON>, x < y > z", ["<b>", "</b>", "<PERSON>"]),
        (":red_heart: note: dog: cat", [":red_heart:"]),
        (
            "dog(1).jpg C:\\red\\dog.png a/dog/red.jpg (IMG_1.0.JPG) the dog.The",
            ["dog(1).jpg", "C:\\red\\dog.png", "a/dog/red.jpg", "IMG_1.0.JPG"],
        ),
        (
            "5 km, 20cm, 2 l, 100 m, a 50 mm lens, 25 \u00b0C, 5 m\u00b2, 60 km/h",
            ["5 km", "20cm", "2 l", "100 m", "50 mm", "25 \u00b0C", "5 m\u00b2", "60 km/h"],
        ),
        (
            "4 x 6 cm, 1/2 oz, \u00bd l, 3-5 kg, 6-ft, 12,000 sq ft, at 5 pm",
            ["4 x 6 cm", "1/2 oz", "\u00bd l", "3-5 kg", "6-ft", "12,000 sq ft", "5 pm"],
        ),
        ("5 in tall, 5.5 in x 3 in, but 3 in a row, 2 in 1 and 1990 in Paris", ["5 in", "5.5 in", "3 in"]),
        ("2 bar stools, 5 T-shirts, 3 dogs, 7 mice, 5 minutes, 4 metres, 5 a day, 3 d", []),
        ("and/or, e.g./i.e., 24/7, 3 m's, h4x0r", []),
    ],
)
def test_addresses_markup_and_measures_are_not_cut(text, protected):
    spans = protected_spans(text)
    assert [text[span.start : span.end] for span in spans] == protected
    outside = text
    for part in protected:
        outside = outside.replace(part, "\0", 1)
    words = segment(text)[1::2]
    for span in spans:
        if span.word:
            words.remove(text[span.start : span.end])
    assert words == segment(outside)[1::2], "what is around them is cut as ever"


def test_measures_are_words_and_addresses_are_none():
    assert segment("5 km on www.a.de")[1::2] == ["5 km", "on"]


TEXTS = st.text(max_size=80) | st.text(alphabet="aB1s'’-.,:_ é\u0301²狗のไม่🇩️\u200d\u00ad/@w#&;<>km", max_size=30)


@given(TEXTS)
def test_parts_join_to_the_text_and_words_hold_no_space(text):
    parts = segment(text)
    assert "".join(parts) == text
    assert len(parts) % 2 == 1
    measures = [text[span.start : span.end] for span in protected_spans(text) if span.word]
    assert all(word and (word in measures or not any(map(str.isspace, word))) for word in parts[1::2])


@given(st.text(alphabet="aB1s'’-.,:_ éß½ДΣ–“", max_size=20))
def test_the_fast_and_the_general_pattern_cut_alike(text):
    spans = [match.span(1) for match in _pattern(True).finditer(text) if match.start(1) >= 0]
    assert _JOINED.split(text)[1::2] == [text[start:end] for start, end in spans]
    assert _segment(text, None) == _JOINED.split(text)
    assert protected_spans(text) or segment(text) == _JOINED.split(text)
