"""Rows out of mysqldump's files: every escape, any place where a chunk ends, damage counted, other files refused."""

from __future__ import annotations

import gzip
import hashlib
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcs.errors import DataError, UserError
from mmcs.lexicons import chunks, sqldump
from mmcs.lexicons.sqldump import Dump

COLUMNS = ("page_id", "page_namespace", "page_title", "page_is_redirect", "page_random")
CREATE = (
    "-- MySQL dump 10.19\n/*!40101 SET NAMES utf8 */;\nDROP TABLE IF EXISTS `page`;\nCREATE TABLE `page` (\n"
    + "".join(f"  `{name}` varbinary(255) NOT NULL DEFAULT ');' COMMENT 'a, `b`',\n" for name in COLUMNS)
    + "  PRIMARY KEY (`page_id`),\n  KEY `page_x` (`page_title`)\n) ENGINE=InnoDB DEFAULT CHARSET=binary;\n\n"
    "LOCK TABLES `page` WRITE;\n/*!40000 ALTER TABLE `page` DISABLE KEYS */;\n"
)
END = "/*!40000 ALTER TABLE `page` ENABLE KEYS */;\nUNLOCK TABLES;\n-- Dump completed on 2025-01-02\n"
ESCAPES = {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\0": "\\0", "\x1a": "\\Z"}

titles = st.text(st.sampled_from("aé猫 \\'\"\n\r\0\x1a(),;`0-") | st.characters(exclude_categories=["Cs"]), max_size=12)


def quoted(text: str, *, double: bool = False) -> str:
    """As mysqldump writes a string; ``double``: quotes doubled, as other tools do."""
    if double:
        return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    return "'" + "".join(ESCAPES.get(char, char) for char in text) + "'"


def row(number: int, title: str, namespace: int = 0, redirect: int = 0, **how: bool) -> str:
    return f"({number},{namespace},{quoted(title, **how)},{redirect},0.5e-{number % 9})"


def dump(path: Path, *statements: list[str], create: str = CREATE, end: str = END, table: str = "page") -> Path:
    inserts = "".join(f"INSERT INTO `{table}` VALUES {','.join(rows)};\n" for rows in statements)
    data = (create + inserts + end).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def read(path: Path, columns=("page_id", "page_title"), **options) -> list[tuple[bytes | None, ...]]:
    return list(Dump(path, "page", columns, **options))


@settings(deadline=None, max_examples=40)
@given(st.lists(titles, min_size=1, max_size=12), st.integers(2, 97), st.booleans(), st.booleans())
def test_every_title_comes_back_wherever_chunks_end(tmp_path_factory, every, size, packed, double) -> None:
    """Chunks of 2 to 97 bytes end inside statements, rows, strings and escapes."""
    path = tmp_path_factory.mktemp("any") / ("page.sql.gz" if packed else "page.sql")
    rows = [row(i, title, double=double) for i, title in enumerate(every)]
    dump(path, rows[:3], *([rows[3:]] if rows[3:] else []))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqldump, "_PACKED", size)
        patch.setattr(chunks, "_CHUNK", size)
        file = Dump(path, "page", ["page_title", "page_id"])
        assert list(file) == [(title.encode(), b"%d" % i) for i, title in enumerate(every)]
    assert (file.read, file.damaged.total) == (len(every), 0)
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_columns_are_found_by_their_names_in_any_order(tmp_path: Path) -> None:
    """The table as it was years ago has other columns; an INSERT may list its own."""
    create = "CREATE TABLE `page` (\n  `page_restrictions` tinyblob,\n  `page_title` x,\n  `page_id` int\n) ENGINE=x;\n"
    insert = "INSERT INTO `page` VALUES (NULL,'A',1),(_binary 'x',_binary 'it\\'s',2),('',0x4243,3),(0xzz,0x424,5);\n"
    listing = "INSERT INTO `page` (`page_id`, `page_title`) VALUES (4,'D');\n"
    (path := tmp_path / "page.sql").write_text(create + insert + listing)
    assert read(path) == [(b"1", b"A"), (b"2", b"it's"), (b"3", b"BC"), (b"5", b"0x424"), (b"4", b"D")]
    path.write_text(create + insert)
    assert read(path, ["page_restrictions"]) == [(None,), (b"x",), (b"",), (b"0xzz",)]
    with pytest.raises(DataError, match=r"lacks page_len; it has page_restrictions, page_title, page_id"):
        read(path, ["page_len"])


def test_rows_are_held_back_by_value_and_counted(tmp_path: Path) -> None:
    rows = [row(1, "A"), row(2, "B", namespace=14), row(3, "C", redirect=1), row(4, "D")]
    path = dump(tmp_path / "page.sql.gz", rows)
    file = Dump(path, "page", ["page_title"], where={"page_namespace": ["0"], "page_is_redirect": ["0"]})
    assert list(file) == [(b"A",), (b"D",)]
    assert file.passed.counts == {"page_namespace": 1, "page_is_redirect": 1} and file.read == 4
    assert read(path, where={"page_title": ["B", "C"]}) == [(b"2", b"B"), (b"3", b"C")]


@pytest.mark.parametrize("bad", ["(2,0,'B,0,1)", "(2,0,'B',0)", "(2,0,'B',0,1,9)", "(2,0,B',0,1)", "(2,,'B',0,1)", "x"])
def test_a_damaged_row_is_counted_and_the_rest_is_read(tmp_path: Path, bad: str) -> None:
    good = [row(i, f"T{i}") for i in range(10, 20)]
    for at in (0, 5, 10):
        path = dump(tmp_path / "page.sql", [*good[:at], bad, *good[at:]], [row(30, "Z")])
        file = Dump(path, "page", ["page_id"], max_damaged=0.5)
        found = list(file)
        assert found[-1] == (b"30",)
        assert len(found) + file.damaged.total == file.read and file.damaged.total in (1, 2)
        with pytest.raises(DataError, match=r"rows \(.*%\) cannot be read \(first: row \d+: .*\); fetch it again"):
            read(path, max_damaged=0.05)


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    """Plain SQL inside a row, gzip anywhere; a damaged byte of gzip."""
    whole = dump(tmp_path / "page.sql.gz", [row(i, f"Title {i}") for i in range(50)]).read_bytes()
    path = tmp_path / "cut.sql.gz"
    for length in range(2, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="cut off"):
            read(path)
    path.write_bytes(whole[:200] + bytes([whole[200] ^ 255]) + whole[201:])
    with pytest.raises(DataError, match="damaged"):
        read(path)
    plain = gzip.decompress(whole)
    for cut in (plain.index(b"Title 33"), plain.index(b",(33")):
        (tmp_path / "cut.sql").write_bytes(plain[:cut])
        with pytest.raises(DataError, match=r"cut off after 3[34] rows"):
            read(tmp_path / "cut.sql")


def test_other_files_are_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "page.sql"
    links = CREATE.replace("`page`", "`langlinks`")
    with pytest.raises(DataError, match=r"holds the table langlinks; a dump of page is expected"):
        read(dump(path, [row(1, "A")], create=links, table="langlinks"))
    with pytest.raises(DataError, match="no CREATE TABLE"):
        read(dump(path, [row(1, "A")], create=""))
    for text, says in (("", "is empty"), ("title\ttitel\n" * 9, "no rows"), (CREATE + END, "no rows")):
        path.write_text(text)
        with pytest.raises(DataError, match=says):
            read(path)
    path.write_bytes(bytes(range(256)) * 2000)
    with pytest.raises(DataError, match="no rows"):
        read(path)
    with pytest.raises(UserError, match="there is no file"):
        read(tmp_path / "missing.sql.gz")
    with pytest.raises(UserError, match="folder"):
        read(tmp_path)
    with pytest.raises(UserError, match="share from 0 to 1"):
        read(path, max_damaged=2)


def test_several_members_and_padding_are_one_file(tmp_path: Path) -> None:
    """What parallel packers write."""
    data = dump(tmp_path / "page.sql", [row(i, "x" * i) for i in range(99)]).read_bytes()
    path = tmp_path / "page.sql.gz"
    path.write_bytes(gzip.compress(data[:999]) + gzip.compress(data[999:]) + b"\0" * 100)
    assert read(path) == read(tmp_path / "page.sql") and len(read(path)) == 99


@pytest.mark.parametrize("lines", [1, 15_000])
def test_memory_is_bounded_whatever_the_length_of_lines(tmp_path: Path, lines: int) -> None:
    """15,000 rows of 600 bytes (9 MB), in one statement or in one each; a comment without an end of line is not held either."""
    rows = [row(i, "x" * 600) for i in range(15_000)]
    statements = [rows] if lines == 1 else [[one] for one in rows]
    path = dump(tmp_path / "page.sql.gz", *statements, end=END + "-- " + "y" * 20_000_000)
    tracemalloc.start()
    count = sum(1 for _ in Dump(path, "page", ["page_id"]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 15_000 and peak < 7 << 20


def test_a_dump_without_its_last_line_is_cut_off(tmp_path: Path) -> None:
    """Cut between two statements, nothing but mysqldump's last comment is missing; without comments there is none."""
    rows = [row(1, "A"), row(2, "B")]
    path = dump(tmp_path / "page.sql", rows, end="")
    with pytest.raises(DataError, match=r"is cut off: it lacks mysqldump's last line \(2 rows were read before\)"):
        read(path)
    assert len(read(dump(path, rows, create=CREATE.partition("\n")[2], end=""))) == 2
    assert len(read(dump(path, rows))) == 2
