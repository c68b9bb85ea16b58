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

from mmcs.codeswitch.lexicon import PREAMBLE, SECTIONS, VERSION, Lexicon, normalise
from mmcs.errors import DataError, UserError
from mmcs.lexicons.format import write_lexicon

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
        assert list(lexicon.phrases(language)) == sorted(of, key=str.encode)
        assert dict(lexicon.items(language)) == {phrase: tuple(found) for phrase, found in of.items()}
        for phrase in every:
            assert lexicon.candidates(phrase, language) == tuple(of.get(phrase, ()))
    for phrase in every:
        assert lexicon.languages_of(phrase) == tuple(sorted(one for one in content if phrase in content[one]))


@given(st.text(max_size=20))
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert normalise(f"  {text}\t") == once


def test_normalise_joins_what_readers_take_for_one_word() -> None:
    assert normalise("  Caf\u0065\u0301 \n Noir ") == "café noir" == normalise("CAFÉ NOIR")
    assert normalise("O\u2019Clock") == "o'clock"
    assert normalise("ΟΔΟΣ") == normalise("οδος")  # final sigma


def test_what_is_not_there_is_empty(path: Path) -> None:
    lexicon = Lexicon.open(path)
    for phrase, language in [("fish", "de"), ("cat", "ar"), ("dog", "xx"), ("", "de"), ("\ud800", "de")]:
        assert lexicon.candidates(phrase, language) == ()
    assert lexicon.languages_of("fish") == ()
    assert list(lexicon.phrases("xx")) == [] == list(lexicon.items("xx"))


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
    assert all(lexicon.candidates(word, "de") == ((word.upper(), 1.0),) for word in words)
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
    assert looked_up == [tuple(content["de"]["w1"]), tuple(content["de"]["w19999"]), ()]
    assert private == 0


def test_a_file_replaced_under_a_run_is_noticed(path: Path) -> None:
    pickled = pickle.dumps(Lexicon.open(path))
    write(path, {"de": {"dog": [("Hund", 1.0)]}})
    with pytest.raises(DataError, match="replaced while it was in use"):
        pickle.loads(pickled)


def test_the_cache_is_bounded(tmp_path: Path) -> None:
    lexicon = Lexicon.open(write(tmp_path / "small.lex", ENTRIES))
    for i in range(40_000):
        lexicon.candidates(f"absent {i}", "de")
    assert lexicon._cached.cache_info().currsize <= 16_384
