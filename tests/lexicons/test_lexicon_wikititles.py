"""Wikipedia titles: a naive join gives the same lexicon; brackets, namespaces, codes and ranks; what is left out is counted."""

from __future__ import annotations

import gzip
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcs.cli import main
from mmcs.codeswitch.lexicon import Lexicon, normalise
from mmcs.errors import DataError, UserError
from mmcs.lexicons import scratch
from mmcs.lexicons.titles import in_text, plain, prefixed, tag_of, wikis_of
from mmcs.lexicons.wikititles import Options, build_title_table, build_wikititles

# number, namespace, title, redirect; then number, code, title
PAGES = [
    (1, 0, "Dog", 0),
    (2, 0, "Mercury_(planet)", 0),
    (3, 0, "Mercury_(element)", 0),
    (4, 0, "Mercury_(mythology)", 0),
    (5, 0, "Mercury", 0),
    (6, 0, "Hound", 1),
    (7, 14, "Dogs", 0),
    (8, 0, "List_of_dogs", 0),
    (9, 0, "A_Tale_of_Two_Cities", 0),
    (10, 0, "Hot_dog", 0),
    (11, 0, "O'Brien's_\\_\"x\"", 0),
]
LINKS = [
    (1, "de", "Haushund"),
    (1, "fi", "Koira"),
    (1, "fr", "Chien"),
    (1, "simple", "Dog"),
    (2, "de", "Merkur (Planet)"),
    (3, "de", "Quecksilber"),
    (4, "de", "Merkur (Mythologie)"),
    (5, "de", "Merkur"),
    (5, "fi", "Merkurius (täsmennyssivu)"),
    (6, "de", "Jagdhund"),
    (7, "de", "Kategorie:Hund"),
    (8, "de", "Liste von Hunden"),
    (9, "de", "Eine Geschichte aus zwei Städten"),
    (10, "de", "Hotdog#Zutaten"),
    (10, "fi", "Luokka:Nakit"),
    (10, "zh-yue", "熱狗"),
    (11, "de", "O’Brien"),
    (99, "de", "Niemand"),
]


def write_dumps(folder: Path, pages, links, wiki: str = "enwiki") -> tuple[Path, Path]:
    """Small dumps as Wikimedia publishes them."""

    def packed(name: str, table: str, columns: tuple[str, ...], rows) -> Path:
        def value(one) -> str:
            return str(one) if isinstance(one, int) else "'" + one.replace("\\", "\\\\").replace("'", "\\'") + "'"

        create = (
            f"CREATE TABLE `{table}` (\n" + "".join(f"  `{c}` x,\n" for c in columns) + "  PRIMARY KEY (`x`)\n) E;\n"
        )
        values = ",".join("(" + ",".join(map(value, row)) + ")" for row in rows)
        (path := folder / f"{wiki}-20250101-{name}.sql.gz").write_bytes(
            gzip.compress(f"{create}INSERT INTO `{table}` VALUES {values};\n".encode())
        )
        return path

    return (
        packed("page", "page", ("page_id", "page_namespace", "page_title", "page_is_redirect"), pages),
        packed("langlinks", "langlinks", ("ll_from", "ll_lang", "ll_title"), links),
    )


def content(path: Path) -> dict[tuple[str, str], dict[str, float]]:
    return {
        (phrase, language): {one.text: round(one.weight, 5) for one in candidates}
        for phrase, language, candidates in Lexicon.open(path).rows()
    }


def test_dumps_become_a_lexicon(tmp_path: Path) -> None:
    out = build_wikititles(tmp_path / "w.lex", *write_dumps(tmp_path, PAGES, LINKS), Options(("de", "fi", "yue")))
    lexicon = Lexicon.open(out)
    assert content(out) == {
        ("dog", "de"): {"Haushund": 1},
        ("dog", "fi"): {"koira": 1},
        # The page "Mercury" itself, and two of the three with a bracket, say Merkur.
        ("mercury", "de"): {"Merkur": round(6 / 7, 5), "Quecksilber": round(1 / 7, 5)},
        ("mercury", "fi"): {"merkurius": 1},
        ("hot dog", "yue"): {"熱狗": 1},
        ("list of dogs", "de"): {"Liste von Hunden": 1},
        ("o'brien's \\ \"x\"", "de"): {"O’Brien": 1},
    }
    assert lexicon.source_language == "en" and lexicon.languages == ("de", "fi", "yue")
    page, links = lexicon.header["sources"]
    assert {cause: about["count"] for cause, about in page["left_out"].items()} == {
        "page of another namespace": 1,
        "redirect": 1,
        "source of more than 3 words": 1,
    }
    assert {cause: about["count"] for cause, about in links["left_out"].items()} == {
        "target in another namespace": 2,
        "target is a section of a page": 1,
    }
    assert page["licence"] == links["licence"] == "CC-BY-SA-4.0"
    assert "enwiki-20250101-page.sql.gz (sha256 " in page["provenance"] and str(tmp_path) not in page["provenance"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


words = st.sampled_from(
    ["Dog", "dog", "Dog (x)", "Dog (y)", "Hot_dog", "Big_hot_dog", "A_b_c_d", "Émeu", "(z)", "ΟΔΟΣ", "οδος (q)"]
)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from([0, 0, 0, 4]), words, st.sampled_from([0, 0, 1])), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(1, 12), st.sampled_from(["de", "fi", "fr"]), words), min_size=1, max_size=30),
    st.integers(1, 3),
)
def test_a_naive_join_gives_the_same_lexicon(tmp_path_factory, pages, links, most) -> None:
    """Dictionaries in memory against the database, with every weight."""
    folder = tmp_path_factory.mktemp("any")
    numbered = [(i, *page) for i, page in enumerate(pages, 1)]

    def cut(title: str) -> str:
        return re.sub(r"(^|\s+)\([^()]*\)$", "", title.replace("_", " "))

    found: dict[tuple[str, str], list[tuple[str, bool]]] = defaultdict(list)
    for number, namespace, title, redirect in numbered:
        phrase = normalise(cut(title))
        if namespace or redirect or not phrase or len(phrase.split()) > most:
            continue
        for source, language, target in links:
            if source == number and language != "fr" and cut(target) and len(cut(target).split()) <= most + 2:
                found[phrase, language].append((in_text(cut(target), language), "(" not in title))
    expected = {}
    for key, every in found.items():
        bracketed = sum(not whole for _, whole in every)
        scores = Counter()
        for text, whole in every:
            scores[text] += 1 + bracketed if whole else 1
        best = sorted(scores.items(), key=lambda one: (-one[1], one[0]))[:8]
        expected[key] = {text: score / sum(n for _, n in best) for text, score in best}
    dumps = write_dumps(folder, numbered, links)
    options = Options(("fi", "de"), max_tokens=most)
    if not expected:
        with pytest.raises(DataError, match="no pair of titles is left"):
            build_wikititles(folder / "w.lex", *dumps, options)
        return
    built = content(build_wikititles(folder / "w.lex", *dumps, options))
    assert built.keys() == expected.keys()
    for key, candidates in expected.items():
        assert list(built[key]) == list(candidates)
        assert built[key] == pytest.approx(candidates, abs=1e-4)


def test_the_page_of_that_name_outweighs_all_with_brackets(tmp_path: Path) -> None:
    pages = [(1, 0, "Java", 0), *((i, 0, f"Java_({i})", 0) for i in range(2, 40))]
    links = [(1, "de", "Insel"), *((i, "de", f"Kaffee ({i})") for i in range(2, 40))]
    out = build_wikititles(tmp_path / "w.lex", *write_dumps(tmp_path, pages, links), Options(("de",)))
    first, second = Lexicon.open(out).candidates("java", "de")
    assert (first.text, second.text) == ("Insel", "Kaffee") and first.weight > 0.5 > second.weight


def test_strange_values_are_counted(tmp_path: Path) -> None:
    """A page without a number, titles that are empty, not UTF-8 or hold control characters."""
    pages = [("x", 0, "Cat", 0), (2, 0, "", 0), (3, 0, "Bird", 0), (4, 0, "A\x01b", 0), (5, 0, "(x)", 0)]
    links = [("y", "de", "Katze"), (3, "de", "Vogel"), (3, "fi", "_"), (3, "fr", "B\x01"), (3, "sv", "FÅGEL")]
    page, langlinks = write_dumps(tmp_path, pages, links)
    langlinks.write_bytes(gzip.compress(gzip.decompress(langlinks.read_bytes()).replace("Å".encode(), b"\xc5")))
    lexicon = Lexicon.open(build_wikititles(tmp_path / "w.lex", page, langlinks, Options(("de", "fi", "fr", "sv"))))
    assert [phrase for phrase, _ in lexicon.items("de")] == ["bird"] and lexicon.languages == ("de",)
    left_out = [{cause: about["count"] for cause, about in of["left_out"].items()} for of in lexicon.header["sources"]]
    assert left_out == [
        {"page number that is none": 1, "empty title": 1, "control character": 1, "nothing but a bracket": 1},
        {"page number that is none": 1, "empty title": 1, "control character": 1, "not UTF-8": 1},
    ]
    assert lexicon.header["sources"][1]["links of kept pages"] == 1


def test_no_room_for_the_database_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "_SETTINGS", "PRAGMA max_page_count = 4;")
    pages = [(i, 0, f"Title {i}", 0) for i in range(2000)]
    with pytest.raises(UserError, match=r"full.*set TMPDIR"):
        build_wikititles(tmp_path / "w.lex", *write_dumps(tmp_path, pages, LINKS), Options(("de",)))
    assert not (tmp_path / "w.lex").exists()


def test_a_table_of_titles_is_read_the_same_way(tmp_path: Path) -> None:
    path = tmp_path / "titles.tsv.gz"
    lines = ["Hot_dog\tHotdog", "Mercury (planet)\tMerkur (Planet)", "Mercury\tQuecksilber", "A_b_c_d\tx", "one column"]
    path.write_bytes(gzip.compress("\ufeff".encode() + "\r\n".join(lines).encode()))
    options = Options(("en", "de"), max_damaged=0.5)
    out = build_title_table(tmp_path / "t.lex", path, options)
    assert content(out) == {
        ("hot dog", "de"): {"Hotdog": 1},
        ("mercury", "de"): {"Quecksilber": round(2 / 3, 5), "Merkur": round(1 / 3, 5)},
    }
    (source,) = Lexicon.open(out).header["sources"]
    assert {cause: about["count"] for cause, about in source["left_out"].items()} == {
        "no source or no target": 1,
        "source of more than 3 words": 1,
    }
    turned = build_title_table(tmp_path / "t2.lex", path, Options(("en", "de"), "de", max_damaged=0.5))
    assert Lexicon.open(turned).source_language == "de" and ("hotdog", "en") in content(turned)
    with pytest.raises(DataError, match="cannot be used"):
        build_title_table(tmp_path / "t.lex", path, Options(("en", "de"), max_damaged=0.1))
    with pytest.raises(UserError, match="two languages"):
        build_title_table(tmp_path / "t.lex", path, Options(("en",)))


def test_turkish_phrases_are_normalised_as_turkish(tmp_path: Path) -> None:
    dumps = write_dumps(
        tmp_path, [(1, 0, "Işık", 0), (2, 0, "İstanbul", 0)], [(1, "en", "Light"), (2, "en", "Istanbul")], "trwiki"
    )
    out = build_wikititles(tmp_path / "w.lex", *dumps, Options(("en",)))
    assert content(out).keys() == {("ışık", "en"), ("istanbul", "en")} and Lexicon.open(out).source_language == "tr"


@pytest.mark.parametrize(
    ("title", "text", "whole"),
    [
        ("Mercury_(planet)", "Mercury", False),
        ("Foo (bar (baz))", "Foo", False),
        ("Foo (film) (2010)", "Foo", False),
        ("水星（行星）", "水星", False),
        ("Titanium(III)", "Titanium(III)", True),
        ("(What) a day", "(What) a day", True),
        ("(Untitled)", "", False),
        ("Foo (bar", "Foo (bar", True),
    ],
)
def test_brackets(title: str, text: str, whole: bool) -> None:
    assert plain(title) == (text, whole)


def test_a_title_loses_the_capital_that_wikipedia_gives_it_and_no_other() -> None:
    for title, language, expected in [
        ("Koira", "fi", "koira"),
        ("Hund", "de", "Hund"),
        ("Nueva York", "es", "Nueva York"),
        ("ABBA", "sv", "ABBA"),
        ("Işık", "tr", "ışık"),
        ("İp", "tr", "ip"),
        ("狗", "zh-Hans", "狗"),
    ]:
        assert in_text(title, language) == expected


def test_namespaces_are_left_out_when_it_is_sure() -> None:
    assert all(map(prefixed, ["Kategorie:Hund", "Category:Dogs", "Luokka:Koirat", "تصنيف:كلاب", "Thể loại:Chó"]))
    assert not any(map(prefixed, ["Alien: Covenant", "Terminator:x", "Portal", "Portal: x", "CSI:NY", ":"]))


def test_wikipedias_codes_are_not_always_tags() -> None:
    codes = {"zh-yue": "yue", "als": "gsw", "be-x-old": "be-tarask", "zh-classical": "lzh", "bat-smg": "sgs"}
    codes |= {"fiu-vro": "vro", "roa-rup": "rup", "zh-min-nan": "nan", "no": "no", "nds-nl": "nds-NL", "zh": "zh-Hans"}
    for code, tag in codes.items():
        assert tag_of(code) == tag and code in wikis_of(tag)
    assert [tag_of(tag) for tag in ("pt-BR", "DE-at", "zh-TW", "be-tarask")] == ["pt", "de", "zh-Hant", "be-tarask"]
    assert wikis_of("be-tarask") == ["be-x-old", "be-tarask"] and wikis_of("en") == ["en"]
    with pytest.raises(UserError, match="stands for another language"):
        wikis_of("nrm")


def test_mistakes_get_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, links = map(str, write_dumps(tmp_path, PAGES, LINKS))
    other, _ = map(str, write_dumps(tmp_path, PAGES, LINKS, "dewiki"))
    (nameless := tmp_path / "p.sql.gz").write_bytes(Path(page).read_bytes())
    (nameless_links := tmp_path / "l.sql.gz").write_bytes(Path(links).read_bytes())
    out = str(tmp_path / "w.lex")
    for code, says, *argv in (
        (2, "together, or from --tsv", "--page", page, "--languages", "de"),
        (2, "of two wikis", "--page", other, "--langlinks", links, "--languages", "fi"),
        (
            2,
            "in en by its name, --source-language says de",
            "--page",
            page,
            "--langlinks",
            links,
            "--languages",
            "fi",
            "--source-language",
            "de",
        ),
        (2, "does not tell the wiki", "--page", str(nameless), "--langlinks", str(nameless_links), "--languages", "fi"),
        (2, "the source language", "--page", page, "--langlinks", links, "--languages", "de,en"),
        (2, "not a language tag", "--page", page, "--langlinks", links, "--languages", "german!"),
        (2, "at least 1 word", "--page", page, "--langlinks", links, "--languages", "de", "--max-tokens", "0"),
        (3, "holds the table langlinks", "--page", links, "--langlinks", links, "--languages", "de"),
        (3, "no pair of titles is left in sv", "--page", page, "--langlinks", links, "--languages", "sv"),
    ):
        assert main(["lexicon", "build", "wikititles", *argv, "--out", out]) == code
        error = capsys.readouterr().err.strip()
        assert error.startswith("mmcs: error: ") and says in error and "\n" not in error
        assert not Path(out).exists()
    argv = [
        "--page",
        str(nameless),
        "--langlinks",
        str(nameless_links),
        "--source-language",
        "en",
        "--languages",
        "de,sv",
    ]
    assert main(["lexicon", "build", "wikititles", *argv, "--out", out]) == 0
    printed = capsys.readouterr()
    assert "entries per language: de 4" in printed.out
    assert "1 x language without a link: sv" in printed.err and "1 x redirect" in printed.err


TITLES = "Dog\tHund\nCat\tKatze\nHouse\tHaus\nParis\tParis\nWashington, D.C.\tWashington, D.C.\n"


@pytest.mark.parametrize("option", [(), ("--source-language", "de"), ("--source-language", "en")])
def test_titles_in_the_other_order_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, ...]
) -> None:
    (tmp_path / "t.tsv").write_text(TITLES)
    arguments = ["--tsv", str(tmp_path / "t.tsv"), "--out", str(tmp_path / "t.lex"), *option]
    assert main(["lexicon", "build", "wikititles", "--languages", "de,en", *arguments]) == 2
    error = capsys.readouterr().err
    assert "the columns of de and en seem to be the wrong way round (3 of 5 rows" in error
    assert error.strip().endswith("write --languages en,de.")
    assert main(["lexicon", "build", "wikititles", "--languages", "en,de", *arguments]) == 0
    assert Lexicon.open(tmp_path / "t.lex").source_language == (option[-1] if option else "en")


@pytest.mark.parametrize("header", ["en\tde", "English\tGerman", "title_en\ttitle_de", "source_title\ttarget_title"])
def test_the_header_of_a_table_of_titles_is_no_entry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], header: str
) -> None:
    (tmp_path / "t.tsv").write_text(f"{header}\n{TITLES}")
    out = str(tmp_path / "t.lex")
    arguments = ["--tsv", str(tmp_path / "t.tsv"), "--languages", "en,de", "--out", out]
    assert main(["lexicon", "build", "wikititles", *arguments]) == 0
    assert len(Lexicon.open(out)) == 5 and "is a header, not an entry" in capsys.readouterr().err
    assert [one.text for one in Lexicon.open(out).candidates("washington, d.c.", "de")] == ["Washington, D.C."]
    assert main(["lexicon", "build", "wikititles", *arguments, "--no-header"]) == 0
    assert len(Lexicon.open(out)) == 6
