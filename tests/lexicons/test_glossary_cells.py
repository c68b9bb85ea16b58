"""Cells of glossaries: what people write around words comes off, lists become candidates, real content stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmcs.cli import main
from mmcs.lexicons.cells import Cells
from mmcs.lexicons.pairs import Pairs


def pairs(source: str, target: str, language: str = "de", own: str = "en", **options: object) -> list[tuple[str, str]]:
    return list(Cells(Pairs(own), **options).pairs(source, target, language))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "target", "language", "expected"),
    [
        # line breaks, numbers and separators
        ("dog\nhound", "Hund\nKöter", "de", "dog-Hund dog-Köter hound-Hund hound-Köter"),
        ("dog\r\nhound", "Hund", "de", "dog-Hund hound-Hund"),
        ("dog", "• Hund\n• Köter", "de", "dog-Hund dog-Köter"),
        ("dog<br>hound", "Hund", "de", "dog-Hund hound-Hund"),
        ("dog", "1. Hund 2. Köter", "de", "dog-Hund dog-Köter"),
        ("dog", "狗；犬", "zh-Hans", "dog-狗 dog-犬"),
        ("chase", "jagen, verfolgen", "de", "chase-jagen chase-verfolgen"),
        ("chase", "chasser / poursuivre", "fr", "chase-chasser chase-poursuivre"),
        ("dog/hound", "Hund/Köter/Rüde", "de", "dog-Hund dog-Köter dog-Rüde hound-Hund hound-Köter hound-Rüde"),
        ("dog", "犬、いぬ", "ja", "dog-犬 dog-いぬ"),
        ("smart", "intelligent; klug, gescheit", "de", "smart-intelligent smart-klug smart-gescheit"),
        # remarks
        ("dog {n}", "Hund <Bt.>", "de", "dog-Hund"),
        ("lamp (f)", "Lampe [f.]", "de", "lamp-Lampe"),
        ("bank (money)", "Bank (Geld (alt))", "de", "bank-Bank"),
        ("dog", "犬（いぬ）", "ja", "dog-犬"),
        ("photo(s)", "Foto(s)", "de", "photo-Foto"),
        ("teacher", "Lehrer/in", "de", "teacher-Lehrer"),
        ("friend", "amigo/a", "es", "friend-amigo"),
        ("colo(u)r", "Farbe", "de", "colour-Farbe color-Farbe"),
        # grammar
        ("dog", "Hund m", "de", "dog-Hund"),
        ("dog n", "perro m.", "es", "dog-perro"),
        ("people", "gente f pl", "es", "people-gente"),
        ("mouse", "Maus, -¨e", "de", "mouse-Maus"),
        ("lamp", "Lampe, die", "de", "lamp-Lampe"),
        ("dog", "hund, en", "sv", "dog-hund"),
        ("Hague, The", "Haag", "de", "The_Hague-Haag"),
        ("to chase", "jagen", "de", "chase-jagen"),
        ("to run", "att springa", "sv", "run-springa"),
        ("to eat sth.", "etw. essen", "de", "eat-essen"),
        ("dog", "der Hund", "de", "dog-Hund"),
        ("man", "l’homme", "fr", "man-homme"),
        ("cat", "η γάτα", "el", "cat-γάτα"),
        ("house", "a ház", "hu", "house-ház"),
        ("dog", "собака ж.", "ru", "dog-собака"),
        ("parking", "stationnement n.m.", "fr", "parking-stationnement"),
        ("work", "trabajo s.m.", "es", "work-trabajo"),
        ("the sofa", "das Sofa", "de", "the_sofa-das_Sofa sofa-Sofa"),
        ("the sofa", "sohva", "fi", "the_sofa-sohva sofa-sohva"),
        # punctuation and entities
        ("word,", "Wort,", "de", "word-Wort"),
        ('"dog"', "„Hund“", "de", "dog-Hund"),
        ("dog.", "Hund", "de", "dog-Hund"),
        ("help!", "Hilfe!", "de", "help-Hilfe"),
        ("Tom &amp; Jerry", "Tom &amp;amp; Jerry", "de", "Tom_&_Jerry-Tom_&_Jerry"),
    ],
)
def test_what_is_no_word_comes_off_and_lists_are_split(source: str, target: str, language: str, expected: str) -> None:
    wanted = [tuple(one.replace("_", " ").split("-", 1)) for one in expected.split()]
    assert pairs(source, target, language) == wanted


@pytest.mark.parametrize(
    ("source", "target", "language"),
    [
        ("Washington, D.C.", "Washington, D.C.", "de"),
        ("Washington DC", "Washington, D.C.", "de"),
        ("red, white and blue", "rot, weiß und blau", "de"),
        ("rock, paper, scissors", "Schere, Stein, Papier", "de"),
        ("Paris, Texas", "Paris, Texas", "de"),
        ("Acme, Inc.", "Acme Inc.", "de"),
        ("1,000", "1.000", "de"),
        ("1,000", "tausend", "de"),
        ("AC/DC", "AC/DC", "de"),
        ("TCP/IP", "TCP/IP-Protokoll", "de"),
        ("client/server", "Client-Server", "de"),
        ("3/4", "3/4", "de"),
        ("24/7", "rund um die Uhr", "de"),
        ("km/h", "km/h", "fr"),
        ("C#", "C#", "de"),
        ("C++", "C++", "de"),
        ("titanium(III) oxide", "Titan(III)-oxid", "de"),
        ("vitamin C", "Vitamin C", "de"),
        ("size m", "Größe m", "de"),
        ("100 m", "100 m", "de"),
        ("St. Louis", "St. Louis", "de"),
        ("etc.", "usw.", "de"),
        ("U.S.", "USA", "de"),
        ("few", "ein paar", "de"),
        ("that is", "das heißt", "de"),
        ("The Hague", "Den Haag", "de"),
        ("La Paz", "La Paz", "es"),
        ("on foot", "a pé", "pt"),
        ("to and fro", "hin und her", "de"),
        ("rock 'n' roll", "Rock 'n' Roll", "de"),
        ("running shoe", "Laufschuh", "de"),
        (":-)", ":-)", "de"),
        ('"Big" Apple', 'Ison "omenan" kaupunki', "fi"),
    ],
)
def test_real_content_stays_as_it_is(source: str, target: str, language: str) -> None:
    cells = Cells(Pairs("en"))
    assert list(cells.pairs(source, target, language)) == [(source, target)]
    assert not cells.cleaned.total


def test_two_words_on_each_side_of_a_comma_are_a_phrase_and_two_pairs() -> None:
    """Both readings of "dog, hound": the phrase, and the words in order."""
    assert pairs("dog, hound", "Hund, Köter") == [("dog, hound", "Hund, Köter"), ("dog", "Hund"), ("hound", "Köter")]
    assert pairs("he/she", "er/sie") == [("he/she", "er/sie"), ("he", "er"), ("she", "sie")]


def test_sources_in_other_languages_are_cleaned_by_their_own_grammar() -> None:
    assert pairs("der Hund", "the dog", "en", "de") == [("der Hund", "the dog"), ("Hund", "dog")]
    assert pairs("hund, en", "dog", "en", "sv") == [("hund", "dog")]
    assert pairs("Auto, Wagen", "car", "en", "de") == [("Auto", "car"), ("Wagen", "car")]
    assert pairs("laufen", "to run", "en", "de") == [("laufen", "run")]


def test_verbatim_cells_are_split_by_separators_and_line_breaks_alone() -> None:
    assert pairs("f(x) = y, z\nto go", "das f|x", verbatim=True) == [
        ("f(x) = y, z", "das f"),
        ("f(x) = y, z", "x"),
        ("to go", "das f"),
        ("to go", "x"),
    ]
    assert pairs("a|b", "c;d", separators=";") == [("a|b", "c"), ("a|b", "d")]


def test_what_was_cleaned_is_counted_once_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text(
        'en;de;fr\nto chase (v);jagen, verfolgen;chasser\nlamp;"Lampe\nLeuchte";lampe f\n(none);(keine);\n', "utf-8"
    )
    out = str(tmp_path / "t.lex")
    assert main(["lexicon", "build", "tsv", str(tmp_path / "t.csv"), "--out", out]) == 0
    shown = capsys.readouterr().err
    for expected in (
        "t.csv: cleaned 2 x list in a cell (e.g. jagen, verfolgen -> jagen | verfolgen; Lampe Leuchte -> Lampe | Leuchte)",
        "t.csv: cleaned 1 x mark of an infinitive (e.g. to chase -> chase)",
        "t.csv: cleaned 3 x remark in brackets (e.g. to chase (v) -> to chase; (none) -> (nothing); (keine) -> (nothing))",
        "t.csv: cleaned 1 x gender or part of speech (e.g. lampe f -> lampe)",
        "t.csv: left out 1 x cell of nothing but a remark (e.g. (none) - (keine))",
    ):
        assert expected in shown
    assert main(["lexicon", "info", out]) == 0
    assert "cleaned: 1 x mark of an infinitive (e.g. to chase -> chase)" in capsys.readouterr().out
    assert main(["lexicon", "build", "tsv", str(tmp_path / "t.csv"), "--no-clean", "--out", out]) == 0
    assert "cleaned" not in capsys.readouterr().err
