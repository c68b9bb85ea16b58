"""Reading text files: every good line arrives, every damaged one is counted, and what is no UTF-8 text is named and refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmcs.errors import DataError, UserError
from mmcs.lexicons import lines as module
from mmcs.lexicons.lines import Lines

TEXT = "dog Hund\nsize Größe\n\n  \ncat\tKatze  \r\nno end"
READ = [(1, "dog Hund"), (2, "size Größe"), (5, "cat\tKatze"), (6, "no end")]
GOOD = "".join(f"word{i} Wört{i}\n" for i in range(20))


def file(folder: Path, content: str | bytes) -> Path:
    path = folder / "list.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(path: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        list(Lines(path, **options))  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lines_arrive_numbered_without_their_ends_packed_or_not(tmp_path: Path, mark: bytes, pack: object) -> None:
    path = file(tmp_path, pack(mark + TEXT.encode()))  # type: ignore[operator]
    lines = Lines(path)
    assert list(lines) == READ
    assert (lines.read, lines.damaged.total) == (4, 0)
    assert lines.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.just("\n"), max_size=60))
def test_any_text_without_control_characters_is_read_as_a_naive_reader_would(tmp_path: Path, text: str) -> None:
    expected = [(i, line.strip(" ")) for i, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1)]
    expected = [(i, line) for i, line in expected if line]
    path = file(tmp_path, "first\n" + text)
    lines = [(1, "first"), *((i + 1, line) for i, line in expected)]
    if not text.startswith("\ufeff"):
        assert list(Lines(path)) == lines


def test_damage_is_counted_by_cause_with_the_first_examples(tmp_path: Path) -> None:
    damaged = b"ok\xff\nnul\0here\nbell\x07\ncp1252 \xc2\x92\nMac\rends\n"
    lines = Lines(file(tmp_path, GOOD.encode() + damaged), max_damaged=0.3)
    good = 0
    for number, _ in lines:
        good += 1
        if number == 3:
            lines.damage("of the builder's own", number, "  text ")
    assert good == 20 and lines.read == 25
    assert lines.damaged.as_dict() == {
        "holds a control character": {
            "count": 3,
            "examples": ["line 23: U+0007 in bell", "line 24: U+0092 in cp1252", "line 25: U+000D in Mac ends"],
        },
        "of the builder's own": {"count": 1, "examples": ["line 3: text"]},
        "not UTF-8": {"count": 1, "examples": ["line 21: ok\\xff"]},
        "holds a NUL character": {"count": 1, "examples": ["line 22: nul\\0here"]},
    }


def test_above_the_share_the_reading_stops_and_says_how_to_go_on(tmp_path: Path) -> None:
    path = file(tmp_path, "".join(f"line {i}\0\n" if i < 3 else f"line {i}\n" for i in range(10)))
    sentence = refused(path)
    assert "3 of 10 lines (30%)" in sentence and "NUL" in sentence and "line 1: line 0\\0" in sentence
    assert "--max-damaged 0.31" in sentence
    assert len(list(Lines(path, max_damaged=0.31))) == 7
    assert len(list(Lines(path, max_damaged=0.3))) == 7
    with pytest.raises(UserError, match="0 to 1"):
        Lines(path, max_damaged=20)


def test_a_line_of_ten_megabytes_is_damage_and_never_whole_in_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = file(tmp_path, b"a b\n" * 5 + b"x" * 10_000_000 + b"\nlast one\n" + b"y" * module.MAX_LINE)
    lines = Lines(path, max_damaged=0.5)
    tracemalloc.start()
    read = [number for number, text in lines if len(text) < 100]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read == [1, 2, 3, 4, 5, 7] and lines.read == 8
    assert lines.damaged.as_dict() == {"longer than 1 MiB": {"count": 1, "examples": ["line 6"]}}
    assert peak < 6 * module.MAX_LINE


@pytest.mark.parametrize(
    ("language", "encoding", "words"),
    [
        ("de", "cp1252", "Größe Fuß schön"),
        ("fr", "cp1252", "déjà être garçon"),
        ("pl", "iso8859_2", "żółty wąż książka"),
        ("tr", "cp1254", "kuş ışık köpek"),
        ("el", "cp1253", "σκύλος πουλί"),
        ("ru", "koi8_r", "собака кошка"),
        ("ru", "cp1251", "собака кошка"),
        ("ar", "cp1256", "كلب طائر"),
        ("ja", "cp932", "猫 言葉"),
        ("zh-Hans", "gb18030", "狗 猫 房子"),
    ],
)
def test_another_encoding_is_named(tmp_path: Path, language: str, encoding: str, words: str) -> None:
    content = "dog plain\n" + "".join(f"word {word}\n" for word in words.split())
    sentence = refused(file(tmp_path, content.encode(encoding)), languages=("en", language))
    assert f"looks like {encoding}: save it as UTF-8" in sentence and "line 2" in sentence


def test_without_known_languages_the_encoding_of_a_longer_file_is_still_named(tmp_path: Path) -> None:
    words = "größe müssen für über schön hören können würde später natürlich fuß straße weiß während "
    assert "looks like cp1252" in refused(file(tmp_path, (words * 5).replace(" ", "\n").encode("cp1252")))


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_lines_that_end_with_a_carriage_return_alone(tmp_path: Path, mark: bytes) -> None:
    """As old spreadsheets write them; among line feeds a carriage return is a control character."""
    text = "dog\tHund\rsize\tGröße\r\r" + "".join(f"w{i}\tv{i}\r" for i in range(20_000))
    lines = Lines(file(tmp_path, mark + text.encode()))
    read = list(lines)
    assert read[:3] == [(1, "dog\tHund"), (2, "size\tGröße"), (4, "w0\tv0")] and len(read) == 20_002
    assert lines.sha256 == hashlib.sha256(mark + text.encode()).hexdigest()


def test_one_bad_line_among_utf8_is_damage_and_no_other_encoding(tmp_path: Path) -> None:
    lines = Lines(file(tmp_path, GOOD.encode() + "kaputt größe\n".encode("cp1252")))
    assert len(list(lines)) == 20
    assert lines.damaged.counts == {"not UTF-8": 1}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_utf16_and_utf32_are_named_with_or_without_a_mark(tmp_path: Path, encoding: str) -> None:
    assert f"is {encoding[:6].upper()}; save it as UTF-8" in refused(
        file(tmp_path, "dog Hund\nfoot Fuß\n".encode(encoding))
    )


def packed(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind in ("zip", "xlsx"):
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("a.txt" if kind == "zip" else "[Content_Types].xml", GOOD)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            info = tarfile.TarInfo("a.txt")
            info.size = len(GOOD.encode())
            tar.addfile(info, io.BytesIO(GOOD.encode()))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps({"dog": "Hund"}), "pickle, which can run code"),
        (packed("zip"), "a zip archive"),
        (packed("xlsx"), "an Excel or Word file; save it as CSV (UTF-8)"),
        (b"PK\x03\x04" + bytes(26) + b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "an OpenDocument file"),
        (b"\xd0\xcf\x11\xe0" + bytes(99), "an Excel or Word file"),
        (b"PAR1" + bytes(99), "a Parquet file; write it as CSV: pandas.read_parquet"),
        (b"ARROW1\0\0" + bytes(99), "an Arrow file"),
        (b'{"en": "dog", "de": "Hund"}\n', "is JSON; write it as CSV"),
        (b'\xef\xbb\xbf[\n  {"en": "dog"}\n]', "is JSON; write it as CSV"),
        (b'<?xml version="1.0"?>\n<!DOCTYPE tmx>\n<tmx version="1.4">', "a translation memory or term base in XML"),
        (
            b'<?xml version="1.0"?>\n<TEI xmlns="http://www.tei-c.org/ns/1.0">',
            "a TEI dictionary; 'mmcs lexicon build freedict",
        ),
        (b"<!DOCTYPE html>\n<html>", "a web page, not the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (packed("tar"), "a tar archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "a picture"),
        (b"\xfd7zXZ\0" + bytes(99), "xz"),
        (b"MMCS.LEX" + bytes(99), "a lexicon already built"),
        (bytes(range(256)) * 100, "no text in an encoding"),
        (b"", "is empty"),
        (b" \n\r\n\n", "is empty"),
        (gzip.compress(GOOD.encode() * 1000, mtime=0)[:-30], "cut off"),
        (gzip.compress(GOOD.encode(), mtime=0)[:20] + b"\xff" * 30, "damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # the same names in every process that collects them
)
def test_files_of_another_kind_are_named(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in refused(file(tmp_path, content))


def test_what_cannot_be_opened_is_the_users_mistake(tmp_path: Path) -> None:
    for path, said in ((tmp_path, "is a folder"), (tmp_path / "none.txt", "there is no file")):
        with pytest.raises(UserError, match=said):
            list(Lines(path))


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(gzip.compress(TEXT.encode())))
    writer.start()
    assert list(Lines(fifo)) == READ
    writer.join()
