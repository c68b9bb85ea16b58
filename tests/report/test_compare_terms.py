"""``mmcs compare --terms``: which queries hold a term, in any script, and what is said of them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console
from toy_runs import make_run

from mmcs.cli import main
from mmcs.errors import DataError, UserError
from mmcs.evaluation.ranking import About
from mmcs.evaluation.trec import Queries
from mmcs.report.compare import compare
from mmcs.report.terminal import show
from mmcs.report.terms import Term, read_terms, report_terms


def answers(texts, ranks, language="en", groups=None):
    """One system's answers in one language, of one seed."""
    about = About("toy", "test", "all_captions", "CLIR", None, "image_retrieval", language, "image")
    names = [f"q{place}" for place in range(len(texts))]
    return {language: [Queries(about, names, groups or names, np.array(ranks), np.zeros(len(texts)), list(texts))]}


def held(text, term, language="en"):
    own = answers([text], [1], language)
    return bool(report_terms({"a": own}, "a", [Term(term)])[-1].terms)


@pytest.mark.parametrize(
    ("text", "term", "language", "expected"),
    [
        ("A dog's ball", "dog", "en", True),
        ("A DOG", "dog", "en", True),
        ("a hotdog stand", "dog", "en", False),
        ("two dogs", "dog", "en", False),
        ("a red flag.", "Red  flag", "en", True),
        ("red, flag", "red flag", "en", False),
        ("flag red", "red flag", "en", False),
        ("a T-shirt", "t-shirt", "en", True),
        ("a T-shirt", "shirt", "en", False),
        ("written in C++ today", "C++", "en", True),
        ("written in C today", "C++", "en", False),
        ("a rocket 🚀 flies", "🚀", "en", True),
        ("a 50 mm lens", "50 mm", "en", True),
        ("a 150 mm lens", "50 mm", "en", False),
        ("Größe", "GRÖSSE", "de", True),
        ("IŞIK", "ışık", "tr", True),
        ("cafe\u0301", "caf\u00e9", "fr", True),
        ("一只小猫在睡觉", "小猫", "zh-Hans", True),
        ("一只小狗在睡觉", "小猫", "zh-Hans", False),
        ("แมวดำนอน", "แมว", "th", True),
        ("לַיְלָה טוב", "לילה", "he", True),
        ("бегут собаки", "собака", "ru", False),
    ],
)
def test_a_term_is_held_by_whole_words_in_any_capitals_and_by_characters_where_there_are_no_spaces(
    text, term, language, expected
):
    assert held(text, term, language) is expected


def test_figures_are_those_of_the_queries_that_hold_a_term():
    texts = {
        "en": ["a dog", "a cat", "dog and cat", "a bird"],
        "de": ["ein Hund", "eine Katze", "ein Dog", "ein Vogel"],
    }
    base = answers(texts["en"], [1, 20, 20, 1]) | answers(texts["de"], [20, 1, 20, 1], "de")
    ours = answers(texts["en"], [1, 1, 20, 20]) | answers(texts["de"], [1, 1, 1, 1], "de")
    terms = [Term("dog"), Term("Hund", "de"), Term("cat"), Term("unicorn")]
    english, german, together = report_terms({"base": base, "ours": ours}, "base", terms)
    assert (english.language, german.language, together.language) == ("en", "de", "all")
    assert english.terms == {"dog": 2, "cat": 2} and english.missing == ["unicorn"]  # Hund is not meant in English
    assert german.terms == {"dog": 1, "Hund": 1} and german.missing == ["cat", "unicorn"]
    assert together.terms == {"dog": 3, "Hund": 1, "cat": 2} and together.missing == ["unicorn"]
    assert (english.n_queries, german.n_queries, together.n_queries) == (3, 2, 5)  # a query with two terms counts once
    assert english.figures["base"][0] == pytest.approx(1 / 3) and english.figures["ours"][0] == pytest.approx(2 / 3)
    assert german.differences["ours"].value == pytest.approx(1.0)
    assert together.figures["ours"][0] == pytest.approx(4 / 5)  # each query counts the same
    assert together.differences["ours"].value == pytest.approx(3 / 5)
    assert list(together.differences) == ["ours"]


def test_terms_that_nobody_asks_for_are_told_and_give_no_figures():
    (english, together) = report_terms({"a": answers(["a dog"], [1])}, "a", [Term("unicorn")])
    for report in (english, together):
        assert (report.n_queries, report.n_groups, report.terms, report.figures) == (0, 0, {}, {})
        assert report.missing == ["unicorn"]


def test_the_file_of_terms(tmp_path):
    file = tmp_path / "terms.txt"
    file.write_text("\ufeff# my terms\n\nred flag\nde\tHund\nC#\nred flag\n", encoding="utf-8")
    assert read_terms(file) == [Term("red flag"), Term("Hund", "de"), Term("C#")]
    with pytest.raises(UserError, match="does not exist"):
        read_terms(tmp_path / "no.txt")
    file.write_text("# nothing\n")
    with pytest.raises(UserError, match="holds no terms"):
        read_terms(file)
    file.write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_terms(file)
    for line in ("not a tag\tdog", "de\tdog\tcat", "de\t"):
        file.write_text(f"cat\n{line}\n")
        with pytest.raises(DataError, match="line 2: expected a term"):
            read_terms(file)


def test_the_command_reports_on_terms(tmp_path, capsys, monkeypatch):
    pair = [
        make_run(tmp_path / name, name, noise, n=60)
        for name, noise in (("zero_shot", {"en": 1.5, "de": 2.8}), ("two_view", {"en": 1.5, "de": 1.8}))
    ]
    file = tmp_path / "terms.txt"
    file.write_text("caption <7>\nde\tcaption\nunicorn\n")
    part = compare(pair, terms=file).suites[0]
    assert [(report.language, report.n_queries) for report in part.terms] == [("en", 1), ("de", 60), ("all", 61)]
    german = part.terms[1]
    assert german.figures == {
        label: part.cells["image_retrieval"][label]["de"].figures["recall@10"]
        for label in ("English only", "two views")
    }
    assert german.differences["two views"].value == part.verdicts["two views"]["de"].difference.value
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["compare", *map(str, pair), "--terms", str(file), "--out", str(tmp_path / "r.html")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "queries that hold one of your terms" in printed and "in no query: 1 of 3 terms (unicorn)" in printed
    assert main(["compare", *map(str, pair), "--terms", str(tmp_path / "no.txt")]) == 2
    assert "does not exist" in capsys.readouterr().err
    console = Console(file=io.StringIO(), width=80, markup=False)
    file.write_text("unicorn\n")
    show(compare(pair, terms=file), console)
    assert "in no query: 1 of 1 terms (unicorn)" in " ".join(console.file.getvalue().split())
