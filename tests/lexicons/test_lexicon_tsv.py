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
from mmcs.lexicons.tsv import Options, build_tsv
from mmcs.lexicons.word2word import ranked_line

Found = dict[tuple[str, str], list[str]]


def read(folder: Path, text: str, **options: object) -> Found:
    """The entries of a table: (phrase, language) to candidates."""
    path = folder / "table.csv"
    path.write_bytes(text.encode())
    lexicon = Lexicon.open(build_tsv(folder / "x.lex", path, Options(**options)))  # type: ignore[arg-type]
    return {(phrase, language): [c.text for c in found] for phrase, language, found in lexicon.rows()}


WIDE: Found = {("dog", "de"): ["Hund", "Köter"], ("dog", "sw"): ["mbwa"], ("hot dog", "de"): ["Hotdog"]}


@pytest.mark.parametrize(
    "text",
    [
        "en,de,sw\ndog,Hund|Köter,mbwa\nhot dog,Hotdog,\n",
        "\ufeffen;de;sw\r\nDog;Hund|Köter;mbwa\r\nhot  dog;Hotdog\r\n",
        "en\tde\tsw\ndog\tHund;Köter\tmbwa\nhot dog\tHotdog\t\n",
        '"en","de","sw"\n"dog","Hund;Köter","mbwa"\n"hot\ndog","Hotdog",""\n',
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
    expected = {(f"s{i}", "de"): [" ".join(cell.split())] for i, cell in enumerate(cells)}
    assert read(tmp_path, text.getvalue(), max_tokens=99) == expected


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
        ("dog\tHund\n", (), 2, "'Hund' in its header are no language tags"),
        ("cat,kat\ndog,hond\n", (), 2, "has no column en"),
        ("en,de,notes\na,b,c\n", (), 2, "--ignore-columns"),
        ("en,de\na,b\n", ("--ignore-columns", "nots"), 2, "has no column nots; it has en, de"),
        ("en,de,de\na,b,c\n", (), 2, "two columns are de"),
        ("en,notes\na,b\n", ("--ignore-columns", "notes"), 2, "needs two languages"),
        ("id,en,de\n1,dog,Hund\n2,cat,Katze\n", (), 2, "--ignore-columns id"),
        ("en,de\n1,2\n", (), 3, "no cell of its column en"),
        ("en,de,fi,weight\na,b,c,1\n", (), 2, "a weight belongs to one pair"),
        ("en,de\na,b\n", ("--source-language", "fi"), 2, "has no column fi"),
        ("dog\ncat\n", ("--languages", "en,de"), 3, "has one column"),
        ("dog,Hund\n", ("--languages", "en,deutsch"), 2, "'deutsch' is no language tag"),
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
