"""The .lex format: what is written comes back, damage of every kind is refused, processes share one copy."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import pickle
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lexicon_files import SOURCE, write

from mmcs.codeswitch.lexicon import PREAMBLE, SECTIONS, VERSION, Candidate, Lexicon, normalise
from mmcs.errors import DataError, UserError
from mmcs.lexicons.format import write_lexicon, write_sorted

ENTRIES = {
    "de": {"dog": [("Hund", 0.75), ("Köter", 0.25)], "hot dog": [("Hotdog", 1.0)], "cat": [("Katze", 1.0)]},
    "ar": {"dog": [("كلب", 1.0)]},
    "zh-Hans": {"cat": [("猫", 0.5), ("猫咪", 0.5)], "i̇stanbul'da bir kedi": [("猫", 1.0)]},
}

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(str.strip)
phrases = texts.map(normalise).filter(bool)
weights = st.floats(2**-20, 1, width=32)
languages = st.sampled_from(["de", "fi", "ar", "hi", "zh-Hans", "th", "pt-BR"])
entries = st.dictionaries(
    languages,
    st.dictionaries(phrases, st.lists(st.tuples(texts, weights), min_size=1, max_size=6), min_size=1, max_size=12),
    min_size=1,
)


def ranked(found) -> tuple[Candidate, ...]:
    return tuple(Candidate(*one) for one in found)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "small.lex", ENTRIES)


@settings(max_examples=60, deadline=None)
@given(entries)
def test_what_is_written_comes_back_in_every_script(tmp_path_factory: pytest.TempPathFactory, content) -> None:
    path = write(tmp_path_factory.mktemp("trip") / "any.lex", content)
    lexicon = Lexicon.open(path)
    assert lexicon.languages == tuple(sorted(content))
    every = {phrase for of in content.values() for phrase in of}
    assert len(lexicon) == len(every)
    for language, of in content.items():
        assert [phrase for phrase, _ in lexicon.items(language)] == sorted(of, key=str.encode)
        assert dict(lexicon.items(language)) == {phrase: ranked(found) for phrase, found in of.items()}
        for phrase in every:
            assert lexicon.candidates(phrase, language) == ranked(of.get(phrase, ()))
    rows = list(lexicon.rows())
    assert rows == sorted(rows, key=lambda row: (row[0].encode(), row[1]))
    assert rows == [row for row in rows if ranked(content[row[1]][row[0]]) == row[2]]
    assert len(rows) == sum(map(len, content.values()))
    for phrase in every:
        assert lexicon.languages_of(phrase) == tuple(sorted(one for one in content if phrase in content[one]))


@given(st.text(max_size=20), st.sampled_from(["en", "tr", "ar", "he", "el"]))
def test_normalising_twice_changes_nothing(text: str, language: str) -> None:
    once = normalise(text, language)
    assert normalise(once, language) == once
    assert normalise(f"  {text}\t", language) == once


def test_normalise_joins_what_readers_take_for_one_word() -> None:
    assert normalise("  Caf\u0065\u0301 \n Noir ") == "café noir" == normalise("CAFÉ NOIR")
    assert normalise("O\u2019Clock") == "o'clock"
    assert normalise("ΟΔΟΣ") == normalise("οδος")  # final sigma
    assert normalise("كَلْبٌ", "ar") == normalise("كـلب", "ar") == "كلب"
    assert normalise("שָׁלוֹם", "he") == "שלום"
    assert (normalise("IĞDIR", "tr"), normalise("İP", "tr"), normalise("IĞDIR")) == ("ığdır", "ip", "iğdir")


def test_what_is_not_there_is_empty(path: Path) -> None:
    lexicon = Lexicon.open(path)
    for phrase, language in [("fish", "de"), ("cat", "ar"), ("dog", "xx"), ("", "de"), ("\ud800", "de")]:
        assert lexicon.candidates(phrase, language) == ()
    assert lexicon.languages_of("fish") == ()
    assert list(lexicon.items("xx")) == []
    assert "fish" not in lexicon and "cat" in lexicon


@settings(deadline=None)
@given(st.sets(st.lists(st.sampled_from(["a", "b", "c", "dé"]), min_size=1, max_size=4).map(" ".join), min_size=1))
def test_beginnings_of_phrases_are_known_and_are_no_entries(tmp_path_factory: pytest.TempPathFactory, every) -> None:
    """``longest`` against a naive search, for everything that begins a phrase, is one, or is neither."""
    lexicon = Lexicon.open(
        write(tmp_path_factory.mktemp("heads") / "any.lex", {"de": {p: [("x", 1.0)] for p in every}})
    )
    assert len(lexicon) == len(every)
    for words in [("a",), ("b",), ("dé",), ("a", "b"), ("b", "c"), ("a", "b", "c"), ("x",), *map(str.split, every)]:
        beginning = " ".join(words)
        lengths = [len(p.split()) for p in every if p == beginning or p.startswith(beginning + " ")]
        assert lexicon.longest(beginning) == max(lengths, default=0)
        assert (beginning in lexicon) == (beginning in every)
        assert bool(lexicon.candidates(beginning, "de")) == (beginning in every)


def test_parts_of_speech_are_data_beside_the_text(tmp_path: Path) -> None:
    found = [Candidate("Licht", 0.5, "n"), Candidate("leicht", 0.25, "adj"), Candidate("hell", 0.25)]
    lexicon = Lexicon.open(write(tmp_path / "pos.lex", {"de": {"light": found, "red": [("rot", 1.0)]}}))
    assert lexicon.candidates("light", "de") == tuple(found)
    assert lexicon.candidates("red", "de") == (Candidate("rot", 1.0, ""),)
    for pos in ("x" * 16, *(f"p{i}" for i in range(256))):
        found.append(Candidate("x", 0.1, pos))
    with pytest.raises(ValueError, match="part of speech"):
        write(tmp_path / "bad.lex", {"de": {"light": found[3:4]}})
    with pytest.raises(ValueError, match="part of speech"):
        write(tmp_path / "bad.lex", {"de": {f"w{i}": [one] for i, one in enumerate(found[4:])}})


def test_rows_out_of_order_or_doubled_are_refused(tmp_path: Path) -> None:
    one = [("x", 1.0)]
    for rows in ([("b", "de", one), ("a", "de", one)], [("a", "fi", one), ("a", "de", one)], [("a", "de", one)] * 2):
        with pytest.raises(ValueError, match="out of order"):
            write_sorted(tmp_path / "bad.lex", rows, source_language="en", sources=[SOURCE])
    assert not list(tmp_path.iterdir())


def test_the_header_tells_counts_and_sources(path: Path) -> None:
    lexicon = Lexicon.open(path)
    header = lexicon.header
    assert header["entries"] == {"ar": 1, "de": 3, "zh-Hans": 2}
    assert header["candidates"] == {"ar": 1, "de": 4, "zh-Hans": 3}
    assert header["sources"] == [SOURCE]
    assert (header["version"], lexicon.source_language, lexicon.max_tokens) == (VERSION, "en", 3)
    assert header["checksum"] == hashlib.sha256(path.read_bytes()[-sum(header["sections"].values()) :]).hexdigest()


def test_the_same_entries_give_the_same_bytes_in_any_order(tmp_path: Path, path: Path) -> None:
    turned = {language: dict(reversed(of.items())) for language, of in reversed(ENTRIES.items())}
    assert write(tmp_path / "turned.lex", turned).read_bytes() == path.read_bytes()


def test_a_full_hash_table_is_searched_to_its_end(tmp_path: Path) -> None:
    """20,000 phrases collide by the thousand; each is found, and none that is absent."""
    words = [f"w{i}" for i in range(20_000)]
    lexicon = Lexicon.open(write(tmp_path / "many.lex", {"de": {word: [(word.upper(), 1.0)] for word in words}}))
    assert all(lexicon.candidates(word, "de") == (Candidate(word.upper(), 1.0),) for word in words)
    assert not any(lexicon.candidates(f"x{i}", "de") for i in range(20_000))


def test_every_flipped_byte_is_refused(path: Path) -> None:
    """One flipped bit anywhere - preamble, header, each section - is refused in one sentence."""
    whole = path.read_bytes()
    header_bytes = PREAMBLE.unpack_from(whole)[2]
    sizes = json.loads(whole[PREAMBLE.size : PREAMBLE.size + header_bytes])["sections"]
    assert all(sizes[name] for name in SECTIONS)
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
        with pytest.raises(DataError) as error:
            Lexicon.open(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_cut_off_anywhere_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            Lexicon.open(path)
    path.write_bytes(whole + b"more")
    with pytest.raises(DataError):
        Lexicon.open(path)


def test_each_refusal_says_what_is_wrong(tmp_path: Path, path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:8] + struct.pack("<I", VERSION + 1) + whole[12:])
    with pytest.raises(DataError, match=f"lexicon format {VERSION + 1}.*update mmcs"):
        Lexicon.open(path)
    path.write_bytes(pickle.dumps({"dog": "Hund"}) * 20)
    with pytest.raises(DataError, match="not an mmcs lexicon"):
        Lexicon.open(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(DataError, match="cut off"):
        Lexicon.open(path)
    path.write_bytes(whole[:200])
    with pytest.raises(DataError, match="cut off"):
        Lexicon.open(path)
    with pytest.raises(UserError, match=r"no lexicon .*missing\.lex"):
        Lexicon.open(tmp_path / "missing.lex")
    with pytest.raises(UserError, match="folder"):
        Lexicon.open(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        {"de": {"Dog": [("Hund", 1.0)]}},
        {"de": {"": [("Hund", 1.0)]}},
        {"de": {"d\x01g": [("Hund", 1.0)]}},
        {"de": {"dog": []}},
        {"de": {"dog": [("", 1.0)]}},
        {"de": {"dog": [("a\0b", 1.0)]}},
        {"de": {"dog": [("Hund", 0.0)]}},
        {"de": {"dog": [("Hund", 1e-60)]}},
        {"de": {"dog": [("Hund", float("nan"))]}},
        {"de": {"dog": [("Hund", 1.0)] * 256}},
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, content) -> None:
    with pytest.raises(ValueError):
        write(tmp_path / "bad.lex", content)
    assert not list(tmp_path.iterdir())


def test_a_source_without_licence_and_an_empty_lexicon_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="licence"):
        write_lexicon(tmp_path / "x.lex", ENTRIES, source_language="en", sources=[{"name": "x", "provenance": "y"}])
    with pytest.raises(DataError, match="nothing to write"):
        write(tmp_path / "x.lex", {"de": {}})
    with pytest.raises(UserError, match="at most 256 languages"):
        write(tmp_path / "x.lex", {f"q{i}": {"dog": [("x", 1.0)]} for i in range(257)})


def _worker(lexicon: Lexicon, queue) -> None:
    private = 0
    looked_up = [lexicon.candidates(phrase, "de") for phrase in ("w1", "w19999", "nothing")]
    smaps = Path("/proc/self/smaps")
    if smaps.exists():
        lines, inside = smaps.read_text().splitlines(), False
        for line in lines:
            if "-" in line.split(" ")[0]:
                inside = line.endswith(str(lexicon.path))
            elif inside and line.startswith("Private_Dirty"):
                private += int(line.split()[1])
    queue.put((looked_up, private))


def test_a_spawned_worker_reopens_the_file_and_copies_nothing(tmp_path: Path, monkeypatch) -> None:
    """The pickle holds a path, not the content, also when the lexicon was opened by a relative one; no page is copied."""
    content = {"de": {f"w{i}": [(f"W{random.Random(i).random()}", 1.0)] for i in range(20_000)}}
    write(tmp_path / "big.lex", content)
    monkeypatch.chdir(tmp_path)
    lexicon = Lexicon.open("big.lex")
    assert len(pickle.dumps(lexicon)) < 500 < 100_000 < (tmp_path / "big.lex").stat().st_size
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    worker = context.Process(target=_worker, args=(lexicon, queue))
    worker.start()
    looked_up, private = queue.get(timeout=60)
    worker.join()
    texts = [[candidate.text for candidate in found] for found in looked_up]
    assert texts == [[content["de"]["w1"][0][0]], [content["de"]["w19999"][0][0]], []]
    assert private == 0


def test_a_foreign_header_with_right_checksums_is_refused(path: Path) -> None:
    """Someone else's writer: every checksum is right, but the header or the sections are not what this format has."""
    whole = path.read_bytes()
    length = PREAMBLE.unpack_from(whole)[2]
    header = json.loads(whole[PREAMBLE.size : PREAMBLE.size + length])
    for change in (
        {"sections": None},
        {
            "sections": {
                **header["sections"],
                "table": header["sections"]["table"] + 4,
                "records": header["sections"]["records"] - 4,
            }
        },
        {"languages": 3},
        {"pos": None},
        {"max_tokens": "many"},
        {"format": "other"},
    ):
        raw = json.dumps(header | change).encode()
        raw += b" " * (-(PREAMBLE.size + len(raw)) % 8)
        preamble = PREAMBLE.pack(b"MMCS.LEX", VERSION, len(raw), hashlib.sha256(raw).digest())
        path.write_bytes(preamble + raw + whole[PREAMBLE.size + length :])
        with pytest.raises(DataError):
            Lexicon.open(path)


def test_a_file_replaced_under_a_run_is_noticed(path: Path) -> None:
    pickled = pickle.dumps(Lexicon.open(path))
    write(path, {"de": {"dog": [("Hund", 1.0)]}})
    with pytest.raises(DataError, match="replaced while it was in use"):
        pickle.loads(pickled)
