"""Tables as people's programs write them: quotes, delimiters, encodings, JSON, Parquet; every row arrives or an error names it."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from mmcs.errors import DataError, UserError
from mmcs.prepare.table_file import Dialect, dialect_of, read_table


def rows_of(path: Path, content: str | bytes, **dialect: str) -> list[list[str]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [list(row.cells.values()) for row in read_table(path, Dialect(**dialect))]


SWALLOWED = 'p0.jpg{0}"No parking\np1.jpg{0}A dog\np2.jpg{0}Two cats\np3.jpg{0}sign says no"\np4.jpg{0}A hat\n'


def test_an_unbalanced_quote_swallows_no_row(tmp_path):
    """Tab-separated files do not quote, so the mark is text; elsewhere it is an error, unless quotes are text."""
    plain = [
        ["p0.jpg", '"No parking'],
        ["p1.jpg", "A dog"],
        ["p2.jpg", "Two cats"],
        ["p3.jpg", 'sign says no"'],
        ["p4.jpg", "A hat"],
    ]
    assert rows_of(tmp_path / "t.tsv", "image\tcaption\n" + SWALLOWED.format("\t")) == plain
    for delimiter in ",;|":
        content = f"image{delimiter}caption\n" + SWALLOWED.format(delimiter)
        with pytest.raises(DataError, match=r"t.csv line 2: its quotation marks do not match.*--quote none"):
            rows_of(tmp_path / "t.csv", content)
        assert rows_of(tmp_path / "t.csv", content, quote="") == plain


@pytest.mark.parametrize(
    "content",
    [
        'id,image,caption\n1,p0.jpg,"No parking\n2,p1.jpg,b"\n3,p2.jpg,c\n',
        'id,caption\n17,"No parking\n18,b\n19,no"\n',
        'caption,image\n"No parking,p0.jpg\nA dog,p1.jpg\nno",p2.jpg\n',
        'image;caption\np0.jpg;"No parking\np1.jpg;A dog\n',
        'image,caption\np0.jpg,"a 5" pipe"\np1.jpg,b\n',
        'image,caption\np0.jpg,"a \\"red\\" car"\n',
        'image,caption\np0.jpg,"' + "line\n" * 30 + '"\n',
    ],
)
def test_quotation_marks_that_do_not_match_are_an_error_with_the_line(tmp_path, content):
    with pytest.raises(DataError, match=r"t.csv line 2: its quotation marks"):
        rows_of(tmp_path / "t.csv", content)


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('image,caption\np0.jpg,"A dog, brown\nand a cat, white"\n', [["p0.jpg", "A dog, brown\nand a cat, white"]]),
        ('image\tcaption\tde\np0.jpg\t"A dog\nand a cat"\tein B\n', [["p0.jpg", "A dog\nand a cat", "ein B"]]),
        ('image\tcaption\np0.jpg\t"A ""red"" dog"\n', [["p0.jpg", 'A "red" dog']]),
        ('image,caption\np0.jpg,a 5" pipe\n', [["p0.jpg", 'a 5" pipe']]),
        ('image, caption\np0.jpg, "a, b"\n', [["p0.jpg", "a, b"]]),
        ("image|caption\np0.jpg|a, b; c\n", [["p0.jpg", "a, b; c"]]),
        ("sep=;\nimage;caption\np0.jpg;a, b\n", [["p0.jpg", "a, b"]]),
        ('"SEP=,"\nimage,caption\np0.jpg,a\n', [["p0.jpg", "a"]]),
        ("sep=\t\nimage\tcaption\np0.jpg\ta\n", [["p0.jpg", "a"]]),
        ("image;caption;\np0.jpg;a;\n;;\n", [["p0.jpg", "a", ""]]),
        (",image,caption,\n0,p0.jpg,a,\n", [["0", "p0.jpg", "a", ""]]),
        ("image,caption,de\np0.jpg\n", [["p0.jpg", "", ""]]),
        ("image,caption\rp0.jpg,a\rp1.jpg,b\r", [["p0.jpg", "a"], ["p1.jpg", "b"]]),
        ("\ufeff\r\nimage,caption\r\n\r\np0.jpg,a\rb\r\n", [["p0.jpg", "a b"]]),
        ("image\tcaption\r\np0.jpg\tÄ\r\n".encode("utf-16"), [["p0.jpg", "Ä"]]),
        ("image,caption\np0.jpg,猫\n".encode("utf-32"), [["p0.jpg", "猫"]]),
        (gzip.compress(b"image,caption\np0.jpg,a\n", mtime=0), [["p0.jpg", "a"]]),
        ("image,caption\n" + "p0.jpg," + "x " * 200_000 + "\n", [["p0.jpg", "x " * 200_000]]),
    ],
)  # fmt: skip
def test_what_programs_write_is_read(tmp_path, content, rows):
    assert rows_of(tmp_path / "t", content) == rows


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("image,caption\np0.jpg,a\np1.jpg,b, c\n", r"line 3 has more values than the header has columns \(3, 2\)"),
        (",image,caption\n0,p0.jpg,a, b\n", "line 2 has more values"),
        ("image;caption;\np0.jpg;a;;\n", "line 2 has more values"),
        ("image,caption,image \np0.jpg,a,b\n", "two columns named 'image'"),
        ("image,caption\n", "no rows below its header"),
        ("sep=;\n", "no rows"),
        (" \n\r\n", "is empty"),
        ("image,caption\np0.jpg,a\0\n", r"zero bytes \(line 2\)"),
        ("image,caption\n".encode("utf-16-le"), "zero bytes"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer.*git lfs pull"),
        ("<!doctype html><title>404</title>", "web page"),
        (b"PK\x03\x04" + bytes(50), "spreadsheet"),
        (b"\xfd7zXZ\0" + bytes(range(256)), "compressed with xz; unpack it"),
        (gzip.compress(b"image,caption\np0.jpg,a\n" * 99, mtime=0)[:50], "is damaged"),
        ('{"image": "p0.jpg"\n', "line 1 is not JSON"),
        ('{"image": "p0.jpg"}\n[1]\n', "line 2 is list; a table as JSON has an object a row"),
        ('{"image": "p0.jpg", "caption": "\\ud83d"}', "surrogate"),
        (b"PAR1" + bytes(50) + b"PAR1", "damaged Parquet file"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_an_error_that_names_it(tmp_path, content, sentence):
    with pytest.raises(DataError, match=sentence):
        rows_of(tmp_path / "t", content)


RECORDS = [
    {"image": "p0.jpg", "caption": ["a", "b"], "captions": {"de": ["x y", "z"], "fr": "u"}, "n": 1, "box": [1, 2]},
    {"image": "p1.jpg", "caption": "c", "captions": None, "n": None, "box": []},
]  # fmt: skip


def test_json_lines_and_lists_become_rows(tmp_path):
    """A list of captions becomes a row each, an object inside an object its columns."""
    for content in ("".join(json.dumps(each) + "\n" for each in RECORDS), json.dumps(RECORDS)):
        (tmp_path / "t.json").write_text(content)
        rows = [row.cells for row in read_table(tmp_path / "t.json")]
        assert [(row["image"], row["caption"], row["de"], row["fr"], row["n"]) for row in rows] == [
            ("p0.jpg", "a", "x y", "u", "1"),
            ("p0.jpg", "b", "z", "u", "1"),
            ("p1.jpg", "c", "", "", ""),
        ]


def test_parquet_becomes_rows(tmp_path):
    table = pyarrow.table(
        {"image": ["p0.jpg", "p1.jpg"], "caption": [["a", "b"], ["c"]], "de": ["x", None], "hash": [b"\0", b"\1"]}
    )
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    rows = read_table(tmp_path / "t.parquet")
    assert [(row.where, *row.cells.values()) for row in rows] == [
        ("row 1", "p0.jpg", "a", "x", "(bytes)"),
        ("row 1", "p0.jpg", "b", "x", "(bytes)"),
        ("row 2", "p1.jpg", "c", "", "(bytes)"),
    ]
    cut = (tmp_path / "t.parquet").read_bytes()[:-9]
    with pytest.raises(DataError, match="damaged Parquet"):
        rows_of(tmp_path / "t.parquet", cut)


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'mmcs\[parquet\]'"):
        rows_of(tmp_path / "t.parquet", b"PAR1" + bytes(9))


def test_options_of_delimited_text():
    assert dialect_of(None, None) == Dialect("", '"')
    assert dialect_of("pipe", "none") == Dialect("|", "")
    assert dialect_of("\\t", "'") == dialect_of("tab", "'") == Dialect("\t", "'")
    for delimiter, quote in ((";;", None), (None, "''"), ("\n", None), ("'", "'")):
        with pytest.raises(UserError, match=r"--delimiter|--quote"):
            dialect_of(delimiter, quote)
