"""Words of a text in any script: what a reader expects, and that nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcs.codeswitch.segment import _JOINED, _pattern, segment


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog's  T-shirt, (e-mail)!", ["A", "dog", "T-shirt", "e-mail"]),
        ("ISN'T it James's? 'quoted' rock 'n' roll", ["ISN'T", "it", "James", "quoted", "rock", "n", "roll"]),
        ("The girl’s dogs’ bowl isn’t", ["The", "girl", "dogs", "bowl", "isn’t"]),
        ("3.14 1,000.5 4x4 3D 10-20 m²", ["3.14", "1,000.5", "4x4", "3D", "10-20", "m²"]),
        ("U.S. e.g. end.", ["U.S", "e.g", "end"]),
        ("dog - cat -- cow – hen", ["dog", "cat", "cow", "hen"]),
        ("see https://x.org/a?b=c and www.y.de or z.com/dogs now", ["see", "and", "or", "now"]),
        ("mail a.b@c.org or @someone #dog", ["mail", "or", "dog"]),
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


TEXTS = st.text(max_size=80) | st.text(alphabet="aB1s'’-.,:_ é\u0301²狗のไม่🇩️\u200d/@w#", max_size=30)


@given(TEXTS)
def test_parts_join_to_the_text_and_words_hold_no_space(text):
    parts = segment(text)
    assert "".join(parts) == text
    assert len(parts) % 2 == 1
    assert all(word and not any(map(str.isspace, word)) for word in parts[1::2])


@given(st.text(alphabet="aB1s'’-.,:_ éß½ДΣ–“", max_size=20))
def test_the_fast_and_the_general_pattern_cut_alike(text):
    spans = [match.span(1) for match in _pattern(False, True).finditer(text) if match.start(1) >= 0]
    assert _JOINED.split(text)[1::2] == [text[start:end] for start, end in spans]
    assert segment(text) == _JOINED.split(text)
