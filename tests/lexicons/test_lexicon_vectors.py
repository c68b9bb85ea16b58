"""Word vectors: every form of file gives the same words and numbers; damage is counted, or refused in a sentence."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmcs.errors import DataError, UserError
from mmcs.lexicons import fasttext_model, vectors
from mmcs.lexicons.vectors import read_vectors

WORDS = ["the", "Straße", "кошка", "日本", "x"]
OUTPUT = np.ones((len(WORDS), 4), "<f4")  # the output matrix of a fastText model, which is not read
MATRIX = np.random.default_rng(0).normal(size=(len(WORDS), 4)).astype(np.float32)


def as_text(path: Path, *, header: bool = True, end: str = "\n", gap: str = " ") -> Path:
    lines = [f"{len(WORDS)} {MATRIX.shape[1]}"] if header else []
    lines += [gap.join([word, *(repr(float(x)) for x in row)]) for word, row in zip(WORDS, MATRIX, strict=True)]
    path.write_bytes((end.join(lines) + end).encode())
    return path


def as_word2vec(path: Path, *, newline: bool = True) -> Path:
    data = f"{len(WORDS)} {MATRIX.shape[1]}\n".encode()
    for word, row in zip(WORDS, MATRIX, strict=True):
        data += word.encode() + b" " + row.astype("<f4").tobytes() + (b"\n" if newline else b"")
    path.write_bytes(data)
    return path


def as_fasttext(
    path: Path, rows: np.ndarray, *, bucket: int = 0, n: tuple[int, int] = (0, 0), version: int = 12
) -> Path:
    """A fastText model as its source code writes it, with a label between the words."""
    args = struct.pack("<12id", rows.shape[1], 5, 5, 1, 5, 1, 2, 2, bucket, *n, 100, 1e-4)
    data = struct.pack("<2i", 793712314, version) + args + struct.pack("<3i2q", len(WORDS) + 1, len(WORDS), 1, 99, -1)
    for word, kind in [(word, 0) for word in WORDS] + [("__label__a", 1)]:
        data += word.encode() + b"\0" + struct.pack("<qb", 7, kind)
    data += struct.pack("<?2q", False, *rows.shape) + rows.astype("<f4").tobytes()
    data += struct.pack("<?2q", False, *OUTPUT.shape) + OUTPUT.tobytes()
    path.write_bytes(data)
    return path


FORMS: dict[str, Callable[[Path], Path]] = {
    "text": as_text,
    "text of Windows": lambda path: as_text(path, end=" \r\n"),
    "tabs": lambda path: as_text(path, gap="\t"),
    "GloVe (no header)": lambda path: as_text(path, header=False),
    "word2vec": as_word2vec,
    "word2vec without line ends": lambda path: as_word2vec(path, newline=False),
    "fastText": lambda path: as_fasttext(path, MATRIX),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_vectors(tmp_path: Path, form: str) -> None:
    # The name says nothing: all are called .bin.
    read = read_vectors(FORMS[form](tmp_path / "v.bin"))
    assert read.words == WORDS
    assert np.array_equal(read.matrix, MATRIX) and read.matrix.dtype == np.float32
    assert not read.left_out.total
    assert read_vectors(tmp_path / "v.bin", max_words=2).words == WORDS[:2]


def test_gzip_and_byte_order_mark(tmp_path: Path) -> None:
    data = as_text(tmp_path / "v.vec").read_bytes()
    (tmp_path / "v.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + data))
    assert np.array_equal(read_vectors(tmp_path / "v.gz").matrix, MATRIX)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(data)[:-20])
    with pytest.raises(DataError, match="damaged or cut off"):
        read_vectors(tmp_path / "cut.gz")
    (tmp_path / "binary.gz").write_bytes(gzip.compress(as_word2vec(tmp_path / "v.bin").read_bytes()))
    with pytest.raises(DataError, match="gunzip"):
        read_vectors(tmp_path / "binary.gz")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_fewer_rows_than_the_header_announces_are_refused_and_one_or_two_are_noted(tmp_path: Path, pack) -> None:
    """A download that broke off, at a line's end or in it; fastText's own files lack a row or two."""
    rows = "".join(f"w{i} 1 2 {i}\n" for i in range(20))
    path = tmp_path / "v.vec"
    for announced, end in ((404, ""), (23, ""), (24, "w20 1 2")):
        path.write_bytes(pack(f"{announced} 3\n{rows}{end}".encode()))
        with pytest.raises(DataError, match=f"is cut off: its header announces {announced} rows, it has 2[01]; get it"):
            read_vectors(path)
        assert len(read_vectors(path, max_words=20).words) == 20  # what is asked for is there
    for announced in (22, 21, 19, 3):
        path.write_bytes(pack(f"{announced} 3\n{rows}".encode()))
        read = read_vectors(path)
        assert len(read.words) == 20
        assert read.note == f"the header of v.vec announces {announced} rows, it has 20; all of them were read"
    path.write_bytes(pack(f"20 3\n{rows}".encode()))
    assert read_vectors(path).note == ""


def test_a_binary_file_with_more_than_its_header_announces_is_refused(tmp_path: Path) -> None:
    data = as_word2vec(tmp_path / "v.bin").read_bytes()
    (tmp_path / "v.bin").write_bytes(data + data[-40:])
    with pytest.raises(DataError, match="bytes more than the 5 words"):
        read_vectors(tmp_path / "v.bin")


def fnv(text: bytes) -> int:
    """FNV-1a over signed bytes, as fastText has it."""
    value = np.uint32(2166136261)
    with np.errstate(over="ignore"):
        for byte in np.frombuffer(text, np.int8):
            value = (value ^ byte.astype(np.uint32)) * np.uint32(16777619)
    return int(value)


@pytest.mark.parametrize("n", [(3, 6), (1, 2), (5, 5)])
def test_fasttext_words_are_the_mean_of_their_rows_and_n_grams(tmp_path: Path, n: tuple[int, int]) -> None:
    bucket = 50
    rows = np.random.default_rng(1).normal(size=(len(WORDS) + bucket, 4)).astype(np.float32)
    read = read_vectors(as_fasttext(tmp_path / "m.bin", rows, bucket=bucket, n=n))
    assert read.words == WORDS
    for i, word in enumerate(WORDS):
        marked = f"<{word}>"
        grams = [marked[a:b] for a in range(len(marked)) for b in range(a + n[0], min(a + n[1], len(marked)) + 1)]
        ids = [i] + [len(WORDS) + fnv(gram.encode()) % bucket for gram in grams if gram not in ("<", ">")]
        assert np.allclose(read.matrix[i], rows[ids].mean(0), atol=1e-6), word


def test_the_hash_is_fasttexts() -> None:
    # From fastText's own source: signed bytes, so that "ü" differs from plain FNV-1a (0x6D9E2B2D would be no error).
    model = fasttext_model.FastTextModel.__new__(fasttext_model.FastTextModel)
    model.words, model.bucket, model.minn, model.maxn = [], 1 << 32, 3, 3
    assert model._subwords(b"a") == [fnv(b"<a>")]
    assert model._subwords("ü".encode()) == [fnv("<ü>".encode())]


def test_damaged_rows_are_counted_by_cause(tmp_path: Path) -> None:
    good = [f"w{i} 1 2 {i}" for i in range(40)]
    bad = ["short 1 2", "w3 5 5 5", "nan 1 nan 2", "zero 0 0 0", "text 1 a 2", "huge 1e38 1e38 1e38"]
    odd = ["new york 1 2 3", "nb\u00a0sp 4 5 6", "7 8 1 2 3"]
    data = "\n".join(["49 3", *good, *bad, *odd]).encode() + b"\nlatin\xe9 1 2 3\n"
    (tmp_path / "v.vec").write_bytes(data)
    read = read_vectors(tmp_path / "v.vec")
    assert read.words == [f"w{i}" for i in range(40)] + ["new york", "nb\u00a0sp", "7 8"]
    assert read.matrix[3].tolist() == [1, 2, 3]  # of a word that stands there twice the first row
    assert read.matrix[-3].tolist() == [1, 2, 3]
    causes = {cause: about["count"] for cause, about in read.left_out.as_dict().items()}
    assert causes == {
        "too few numbers": 1,
        "named before": 1,
        "not a number": 1,
        "all zero": 1,
        "not numbers": 1,
        "numbers beyond float32's range": 1,
        "not UTF-8": 1,
    }
    assert read.left_out.examples["too few numbers"] == ["line 42: 'short'"]


def test_a_row_without_end_is_damage_and_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "_LINE", 64)
    rows = [f"w{i} 1 2" for i in range(10)]
    (tmp_path / "v.vec").write_text("\n".join(["11 2", *rows[:5], "long " + "1 " * 500, *rows[5:]]))
    read = read_vectors(tmp_path / "v.vec")
    assert len(read.words) == 10 and read.left_out.counts == {"too long": 1}


def test_too_much_damage_stops(tmp_path: Path) -> None:
    (tmp_path / "v.vec").write_text("10 2\n" + "".join(f"w{i} 1 2\n" for i in range(7)) + "a 1\nb 1\nc 1\n")
    with pytest.raises(DataError, match=r"3 of 10 rows.*'too few numbers' \(e\.g\. line 9"):
        read_vectors(tmp_path / "v.vec")


UNUSABLE = {
    "empty": b"",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "a sentence": b"nothing here\nthat would be\nany vector\n",
    "one column": b"word\nword\n",
    "width 0": b"5 0\na\n",
    "absurd width": b"5 99999999\na 1 2\n",
    "only a header": b"5 3\n",
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_other_files_are_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "v.vec").write_bytes(UNUSABLE[kind])
    with pytest.raises(DataError):
        read_vectors(tmp_path / "v.vec")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        read_vectors(tmp_path / "none.vec")
    with pytest.raises(UserError, match="folder"):
        read_vectors(tmp_path)


@pytest.mark.parametrize("form", ["word2vec", "fastText"])
def test_cut_binaries_are_refused_wherever_they_are_cut(tmp_path: Path, form: str) -> None:
    data = FORMS[form](tmp_path / "v.bin").read_bytes()
    for length in [*range(12, len(data) - 1, 7), len(data) - 2]:
        (tmp_path / "cut.bin").write_bytes(data[:length])
        with pytest.raises(DataError):
            read_vectors(tmp_path / "cut.bin")


def test_models_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = as_fasttext(tmp_path / "m.bin", MATRIX)
    data = bytearray(path.read_bytes())
    data[-len(MATRIX.tobytes()) - len(OUTPUT.tobytes()) - 2 * 17] = 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="quantised"):
        read_vectors(path)
    with pytest.raises(DataError, match="version 13"):
        read_vectors(as_fasttext(path, MATRIX, version=13))
