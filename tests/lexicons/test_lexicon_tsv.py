"""Tables of words: every form that a glossary comes in gives its cells, and what is not understood is refused in one sentence."""

from __future__ import annotations

import csv
import io
import pickle
import random
from pathlib import Path

import pytest

from mmcs.cli import main
from mmcs.codeswitch.lexicon import Lexicon
from mmcs.lexicons.columns import Asked
from mmcs.lexicons.tsv import Options, build_tsv
from mmcs.lexicons.word2word import ranked_line

Found = dict[tuple[str, str], list[str]]


def read(folder: Path, text: str, **options: object) -> Found:
    """The entries of a table: (phrase, language) to candidates."""
    path = folder / "table.csv"
    path.write_bytes(text.encode())
    asked = {name: options.pop(name) for name in ("languages", "source_language", "header") if name in options}
    made = build_tsv(folder / "x.lex", path, Options(Asked(**asked), **options))  # type: ignore[arg-type]
    lexicon = Lexicon.open(made)
    return {(phrase, language): [c.text for c in found] for phrase, language, found in lexicon.rows()}


WIDE: Found = {("dog", "de"): ["Hund", "Köter"], ("dog", "sw"): ["mbwa"], ("hot dog", "de"): ["Hotdog"]}


@pytest.mark.parametrize(
    "text",
    [
        "en,de,sw\ndog,Hund|Köter,mbwa\nhot dog,Hotdog,\n",
        "\ufeffen;de;sw\r\nDog;Hund|Köter;mbwa\r\nhot  dog;Hotdog\r\n",
        "en\tde\tsw\ndog\tHund;Köter\tmbwa\nhot dog\tHotdog\t\n",
        '"en","de","sw"\n"dog","Hund;Köter","mbwa"\n"hot dog","Hotdog",""\n',
        "SW,DE,EN\nmbwa,Hund | Köter,dog\n,Hotdog,hot dog\n",
        "eng,deu,swh\ndog,Hund;;Köter,mbwa\nhot dog,Hotdog,,\n",
    ],
)
def test_a_glossary_in_any_common_form_gives_the_same_entries(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == WIDE


def test_cells_are_those_of_the_csv_module(tmp_path: Path) -> None:
    """A table written by csv.writer, with delimiters, quotes and line breaks inside cells."""
    random.seed(1)
    pieces = ["a", "Bö", '"', ",", "\n", " ", "x y", "'"]
    cells = [f"w{i}" + "".join(random.choices(pieces, k=random.randrange(5))) + "z" for i in range(200)]
    text = io.StringIO()
    csv.writer(text).writerows([("en", "de"), *((f"s{i}", cell) for i, cell in enumerate(cells))])
    expected = {
        (f"s{i}", "de"): list(dict.fromkeys(" ".join(line.split()) for line in cell.split("\n")))
        for i, cell in enumerate(cells)
    }
    assert read(tmp_path, text.getvalue(), max_tokens=99, verbatim=True) == {
        key: [line for line in lines if line] for key, lines in expected.items()
    }


def test_a_quote_that_is_never_closed_costs_its_line_and_no_other(tmp_path: Path) -> None:
    rows = "".join(f"w{i},v{i}\n" for i in range(60))
    for opened in ('"cat,Katze\n', 'cat,"Katze\n', '"cat"x,Katze\n'):
        for text in (f"en,de\n{opened}{rows}", f"en,de\n{rows}{opened}"):
            assert len(read(tmp_path, text)) == 60
            (left_out,) = Lexicon.open(tmp_path / "x.lex").header["sources"][0]["left_out"].items()
            assert left_out[0] == "quotes that do not match" and left_out[1]["count"] == 1
    screens = 'en\tde\n5" screen\t5" Schirm\n"quoted"\t"in Zeichen"\n"half\tHälfte\n'
    assert read(tmp_path, screens) == {
        ('5" screen', "de"): ['5" Schirm'],
        ("quoted", "de"): ["in Zeichen"],
        ('"half', "de"): ["Hälfte"],
    }


def test_without_a_header_the_languages_are_named_and_a_third_column_weighs(tmp_path: Path) -> None:
    text = "dog\tKöter\t1\ndog\tHund\t3\ndog\tHund\t4\ncat\tKatze\t0.5\n"
    assert read(tmp_path, text, languages=("en", "de")) == {("cat", "de"): ["Katze"], ("dog", "de"): ["Hund", "Köter"]}
    weights = [c.weight for c in Lexicon.open(tmp_path / "x.lex").candidates("dog", "de")]
    assert weights == pytest.approx([7 / 8, 1 / 8])
    assert read(tmp_path, "en,de\ndog,Hund\n", languages=("en", "de")) == {("dog", "de"): ["Hund"]}
    assert read(tmp_path, "Hund,dog\n", languages=("de", "en")) == {("hund", "en"): ["dog"]}
    assert read(tmp_path, "Hund,dog\n", languages=("de", "en"), source_language="en") == {("dog", "de"): ["Hund"]}
    assert read(tmp_path, "dog|Hund\n", languages=("en", "de"), delimiter="|") == {("dog", "de"): ["Hund"]}


def test_part_of_speech_and_score_columns_are_data(tmp_path: Path) -> None:
    read(tmp_path, "pos,en,de,Score\nn,run,Lauf,1\nv,run,laufen,2\n")
    assert [(c.text, c.pos) for c in Lexicon.open(tmp_path / "x.lex").candidates("run", "de")] == [
        ("laufen", "v"),
        ("Lauf", "n"),
    ]
    assert read(tmp_path, "dog,Hund,n\n", languages=("en", "de", "pos")) == {("dog", "de"): ["Hund"]}


def test_a_source_cell_may_hold_several_spellings(tmp_path: Path) -> None:
    assert read(tmp_path, "en,de\nsofa|couch,Sofa\n") == {("sofa", "de"): ["Sofa"], ("couch", "de"): ["Sofa"]}


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        # headers of languages: tags, regions, names in English and in their own or any language, in compounds
        ("en-US;de-DE;fr_FR\ndog;Hund;chien\n", (), "dog de Hund, dog fr chien"),
        ("English;German;French\ndog;Hund;chien\n", (), "dog de Hund, dog fr chien"),
        ("Deutsch;Englisch\nHund;dog\n", (), "dog de Hund"),
        ("anglais\tfrançais\ndog\tchien\n", (), "dog fr chien"),
        ("英語,日本語\ndog,犬\n", (), "dog ja 犬"),
        ("Term (EN);term_de\ndog;Hund\n", (), "dog de Hund"),
        ("eng,swh\ndog,mbwa\n", (), "dog sw mbwa"),
        ("English,Chinese (Traditional),中文（简体）\nbus,公車,公交车\n", (), "bus zh-Hans 公交车, bus zh-Hant 公車"),
        ("English,Portuguese (Brazil)\nbus,ônibus\n", (), "bus pt ônibus"),
        ("English;German;French\ndog;Hund;chien\n", ("--languages", "en,fr"), "dog fr chien"),
        ("German;English\nHund;dog\n", ("--languages", "en,de"), "dog de Hund"),
        # headers of sides
        ("source\ttarget\ndog\tHund\n", ("--languages", "en,de"), "dog de Hund"),
        ("word,translation\ndog,Hund\n", ("--languages", "en,de"), "dog de Hund"),
        ("Begriff;Übersetzung\ndog;Hund\n", ("--languages", "en,de"), "dog de Hund"),
        ("0,1\ndog,Hund\n", ("--languages", "en,de"), "dog de Hund"),
        ("Source term,Target term,Note,Score\ndog,Hund,a b,2\n", ("--languages", "en,de"), "dog de Hund"),
        # words that look like a header
        ("English;Englisch\nGerman;Deutsch\n", ("--languages", "en,de"), "english de Englisch, german de Deutsch"),
        ("word;Wort\n", ("--languages", "en,de"), "word de Wort"),
        ("source;Quelle\n", ("--languages", "en,de"), "source de Quelle"),
        ("so;it\n", ("--languages", "en,de"), "so de it"),
        # the user's word
        ("English;German\ndog;Hund\n", ("--languages", "en,de", "--no-header"), "dog de Hund, english de German"),
        ("Wort;Zitat\ndog;Hund\n", ("--languages", "en,de", "--header"), "dog de Hund"),
        ("Wort;Zitat\ndog;Hund\n", ("--column", "Wort=en", "--column", "Zitat=de"), "dog de Hund"),
    ],
)
def test_a_header_is_recognised_and_gives_no_entry(
    tmp_path: Path, text: str, arguments: tuple[str, ...], expected: str
) -> None:
    assert run(tmp_path, text, *arguments) == 0
    rows = Lexicon.open(tmp_path / "x.lex").rows()
    assert ", ".join(f"{phrase} {language} {found[0].text}" for phrase, language, found in rows) == expected


@pytest.mark.parametrize(
    ("text", "left_out"),
    [
        ("id,en,de\nT-1001,dog,Hund\nT-1002,cat,Katze\n", "column id is left out: its cells are codes, such as T-1001"),
        ("en,de,is_ok\ndog,Hund,yes\ncat,Katze,no\n", "column is_ok is left out: not a language tag"),
        ("en,de,no\ndog,Hund,1\ncat,Katze,2\n", "column no is left out: its cells are numbers, such as 1"),
        (",en,de\n0,dog,Hund\n1,cat,Katze\n", "column 1 (no name) is left out"),
        ("notes,en,notes,de\na,dog,b,Hund\nc,cat,d,Katze\n", "column notes is left out"),
        ("en,de,cat\ndog,Hund,animal\ncat,Katze,animal\n", "column cat is left out"),
        ("en;de;\ndog;Hund;\ncat;Katze;\n", ""),
    ],
)
def test_columns_that_are_no_languages_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, left_out: str
) -> None:
    assert run(tmp_path, text) == 0
    shown = capsys.readouterr()
    assert "entries per language: de 2" in shown.out and "note: columns of languages: en, de; change with" in shown.err
    assert left_out in shown.err if left_out else "left out" not in shown.err


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nen;de\ndog;Hund\n",
        '\ufeff"sep=\t"\r\nen\tde\r\ndog\tHund\r\n',
        "en;de\rdog;Hund\r",
        'en,de\rdog,"Hund"\r',
        "en | de\ndog | Hund\n",
        "en;de;;\ndog;Hund;;\n",
    ],
)
def test_files_of_spreadsheets_are_read(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == {("dog", "de"): ["Hund"]}


def test_cells_with_line_breaks_are_read_from_tab_separated_files_too(tmp_path: Path) -> None:
    text = 'en\tde\n"dog\nhound"\tHund\ncat\t"Katze\nKater"\n5" screen\t5" Schirm\n'
    assert read(tmp_path, text) == {
        ("dog", "de"): ["Hund"],
        ("hound", "de"): ["Hund"],
        ("cat", "de"): ["Katze", "Kater"],
        ('5" screen', "de"): ['5" Schirm'],
    }


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ("en,de", "Hund dog,Katze cat,Haus house"),
        ("de,en", "dog Hund,cat Katze,house Haus"),
        ("en,ru", "дом house,кот cat,лес wood"),
    ],
)
def test_languages_named_the_wrong_way_round_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], columns: str, rows: str
) -> None:
    text = rows.replace(",", "\n").replace(" ", "\t")
    assert run(tmp_path, text, "--languages", columns) == 2
    assert "seem to be the wrong way round (3 of 3 rows" in capsys.readouterr().err
    turned = ",".join(reversed(columns.split(",")))
    assert run(tmp_path, text, "--languages", turned) == 0


def test_a_region_stands_for_its_language_unless_the_table_has_both(tmp_path: Path) -> None:
    assert set(read(tmp_path, "en-GB,de-AT\ndog,Hund\n")) == {("dog", "de")}
    assert set(read(tmp_path, "en,de,de-AT\ndog,Hund,Hunderl\n")) == {("dog", "de"), ("dog", "de-AT")}
    assert set(read(tmp_path, "dog,Hund\n", languages=("EN", "de_CH"))) == {("dog", "de")}


def run(folder: Path, text: str | bytes, *arguments: str) -> int:
    path = folder / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return main(["lexicon", "build", "tsv", str(path), "--out", str(folder / "x.lex"), *arguments])


def test_the_command_prints_counts_and_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{i},w{i},v{i},\n" for i in range(20))
    text = f"id,en,de,fi\n{rows}1,,leer,tyhjä\n2,allein,,\n3,a b c d e,lang,\nnothing\n9,x,y,z,too much\n"
    arguments = ("--ignore-columns", "id", "--licence", "CC0-1.0", "--name", "terms")
    assert run(tmp_path, text, *arguments) == 0
    shown = capsys.readouterr()
    assert "20 phrases of en; entries per language: de 20" in shown.out
    for expected in (
        "terms: left out 1 x row without a source (e.g. line 22: 1 | leer | tyhjä)",
        "left out 1 x row without a target (e.g. line 23: 2 | allein)",
        "left out 1 x more than 4 words (e.g. a b c d e - lang)",
        "left out 1 x no source or no target (e.g. line 25: nothing)",
        "left out 1 x more than 4 columns (e.g. line 26: 9 | x | y | z | too much)",
    ):
        assert expected in shown.err
    assert run(tmp_path, text, *arguments, "--max-words", "5") == 0
    assert "21 phrases" in capsys.readouterr().out
    (source,) = Lexicon.open(tmp_path / "x.lex").header["sources"]
    assert (source["name"], source["licence"]) == ("terms", "CC0-1.0") and "sha256" in source["provenance"]


@pytest.mark.parametrize(
    ("text", "arguments", "code", "said"),
    [
        ("dog\tHund\n", (), 2, "its first line (dog, Hund) names no language. If it is words, name the languages"),
        (
            "source;target\ndog;Hund\n",
            (),
            2,
            "does not name the languages of its columns; name them: --languages en,de.",
        ),
        ("dog\tHund\n", ("--no-header",), 2, "without a header --languages says what the columns are"),
        ("en;de\ndog;Hund\n", ("--languages", "en,sv"), 2, "the first line (en, de) names other languages than en, sv"),
        ("French;Spanish\na;b\n", ("--languages", "en,de"), 2, "names other languages than en, de"),
        ("en;de\n", (), 3, "has no rows below its header (en, de)"),
        ("cat,kat\ndog,hond\n", (), 2, "its first line (cat, kat) names no language"),
        ("nl,fr\nhond,chien\n", (), 2, "has no column en; its languages are nl, fr"),
        ("en,de\na,b\n", ("--ignore-columns", "nots"), 2, "has no column 'nots' (--ignore-columns); it has: en, de"),
        ("en,de\na,b\n", ("--column", "fr=fr"), 2, "has no column 'fr' (--column); it has: en, de"),
        ("en,de,de\na,b,c\n", (), 2, "two columns are de"),
        ("en,de,German\na,b,c\n", (), 2, "two columns are de ('de', 'German'); rename one"),
        ("en-US,en-GB,de\na,b,c\n", (), 2, "two columns are en ('en-US', 'en-GB')"),
        ("en,id\ndog,T-1\ncat,T-2\n", (), 2, "Column id is left out: its cells are codes, such as T-1"),
        ("en,notes\na,b\n", ("--ignore-columns", "notes"), 2, "needs two languages"),
        ("en,de\n1,2\n", (), 3, "no cell of its column en"),
        ("en,de,fi,weight\na,b,c,1\n", (), 2, "a weight belongs to one pair"),
        ("en,de\na,b\n", ("--source-language", "fi"), 2, "has no column fi"),
        ("dog\ncat\n", ("--languages", "en,de"), 3, "has one column"),
        ("dog,Hund\n", ("--languages", "en,hund"), 2, "'hund' is no language tag"),
        (
            "dog,Hund,x\ncat,Katze,-1\n",
            ("--languages", "en,de"),
            3,
            "2 of 2 lines (100%) cannot be used (first: weight",
        ),
        ("dog,Hund\n,x\ny,\n", ("--languages", "en,de"), 3, "2 of 3 lines (67%)"),
        ("en,de\na,b\n", ("--delimiter", "ab"), 2, "--delimiter"),
        ("dog chien\n", ("--format", "word2word"), 2, "--languages en,de"),
        (pickle.dumps({"dog": ["chien"]}), ("--format", "word2word", "--languages", "en,fr"), 3, "can run code"),
        ("a\tb\n", ("--format", "word2word", "--languages", "en,fr", "--source-language", "fr"), 2, "first column"),
        ("en,de\ngröße,x\n".encode("cp1252"), (), 3, "looks like cp1252"),
        ("a b c d e,f\n", ("--languages", "en,de"), 3, "no pair of"),
    ],
)
def test_mistakes_end_in_one_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str | bytes,
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    assert run(tmp_path, text, *arguments) == code
    error = capsys.readouterr().err.strip()
    assert error.startswith("mmcs: error: ") and "\n" not in error and said in error
    assert not (tmp_path / "x.lex").exists()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dog\tchien chiens", ("dog", ["chien", "chiens"], None)),
        ("dog\tchien, petit chien", ("dog", ["chien", "petit chien"], None)),
        ("hot dog\tsaucisse\thot dog", ("hot dog", ["saucisse", "hot dog"], None)),
        ("dog\tchien\t0.5", ("dog", ["chien"], 0.5)),
        ("dog chien", ("dog", ["chien"], None)),
        ("dog chien 12", ("dog", ["chien"], 12.0)),
        ("dog chien chiens", ("dog", [], None)),
        ("dog\t", ("dog", [], None)),
        ("\tchien", ("chien", [], None)),
    ],
)
def test_word2words_text_forms(line: str, expected: tuple[str, list[str], float | None]) -> None:
    assert ranked_line(line) == expected


def test_word2word_keeps_the_ranks(tmp_path: Path) -> None:
    text = (
        "dog\tchien chiens\nDog\ttoutou\ncat chat\n"
        + "".join(f"a{i} b{i}\n" for i in range(9))
        + "too many words here\n"
    )
    found = read(tmp_path, text, word2word=True, languages=("en", "fr"))
    assert found["dog", "fr"] == ["chien", "chiens", "toutou"] and found["cat", "fr"] == ["chat"] and len(found) == 11
