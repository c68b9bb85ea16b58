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

from mmcs.cli import main
from mmcs.codeswitch.lexicon import Candidate, Lexicon, normalise
from mmcs.codeswitch.lexicon_file import PREAMBLE, SECTIONS, VERSION
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
languages = st.sampled_from(["de", "fi", "ar", "hi", "zh-Hans", "th", "sr-Latn"])
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


def forged(path: Path, change: dict | None = None, body: bytes | None = None) -> Path:
    """The lexicon with other header values or another body, and with the checksums of these."""
    whole = path.read_bytes()
    start = PREAMBLE.size + PREAMBLE.unpack_from(whole)[2]
    header, body = json.loads(whole[PREAMBLE.size : start]), whole[start:] if body is None else body
    raw = json.dumps(header | {"checksum": hashlib.sha256(body).hexdigest()} | (change or {})).encode()
    raw += b" " * (-(PREAMBLE.size + len(raw)) % 8)
    out = path.with_name("forged.lex")
    out.write_bytes(PREAMBLE.pack(b"MMCS.LEX", VERSION, len(raw), hashlib.sha256(raw).digest()) + raw + body)
    return out


def place(path: Path, section: str) -> tuple[bytes, int]:
    """All sections, and where ``section`` starts in them."""
    whole = path.read_bytes()
    start = PREAMBLE.size + PREAMBLE.unpack_from(whole)[2]
    sizes = json.loads(whole[PREAMBLE.size : start])["sections"]
    return whole[start:], sum(sizes[name] for name in SECTIONS[: SECTIONS.index(section)])


@pytest.mark.parametrize(
    "change",
    [
        {"sections": None},
        {"sections": {}},
        {"languages": 3},
        {"languages": ["de", "de", "ar"]},
        {"languages": []},
        {"pos": None},
        {"pos": ["n"]},
        {"max_tokens": "many"},
        {"max_tokens": 2},
        {"max_tokens": 2**70},
        {"phrases": 10**40},
        {"phrases": -1},
        {"entries": {"de": 1}},
        {"candidates": {"ar": 1, "de": 4, "zh-Hans": 2**60}},
        {"source_language": None},
        {"source_language": "\ud800"},
        {"sources": None},
        {"sources": [{"name": "x"}]},
        {"sources": [SOURCE | {"left_out": {"cause": {"count": 1, "examples": []}}}]},
        {"sources": [SOURCE | {"language": ["de"]}]},
        {"format": "other"},
        {"version": None},
    ],
)
def test_a_header_with_correct_checksums_and_wrong_values_is_refused(path: Path, change: dict) -> None:
    with pytest.raises(DataError, match="build"):
        Lexicon.open(forged(path, change))


def test_sections_that_overlap_are_refused(path: Path) -> None:
    body, _ = place(path, "phrases")
    sizes = Lexicon.open(path).header["sections"]
    for more, less in (("table", "records"), ("phrases", "records"), ("phrase_bounds", "entry_bounds")):
        for step in (4, -4, 10_000_000):
            changed = sizes | {more: sizes[more] + step, less: sizes[less] - step}
            with pytest.raises(DataError):
                Lexicon.open(forged(path, {"sections": changed}, body))


@pytest.mark.parametrize(
    ("section", "number", "said"),
    [
        ("phrase_bounds", 0xFFFFFFFF, "phrase_bounds are wrong"),
        ("entry_bounds", 9, "entry_bounds are wrong"),
        ("record_bounds", 3, "record_bounds are wrong"),
        ("table", 1000, "names phrases that it does not have"),
    ],
)
def test_bounds_that_lead_out_of_the_file_are_refused(path: Path, section: str, number: int, said: str) -> None:
    body, at = place(path, section)
    at += 0 if section != "table" else body[at:].index(b"\0\0\0\0") // 4 * 4
    with pytest.raises(DataError, match=said):
        Lexicon.open(forged(path, body=body[:at] + struct.pack("<I", number) + body[at + 4 :]))


def test_a_table_without_an_empty_place_is_refused_and_does_not_hang(path: Path) -> None:
    body, at = place(path, "table")
    size = Lexicon.open(path).header["sections"]["table"]
    full = struct.pack("<I", 1) * (size // 4)
    with pytest.raises(DataError, match="contradicts itself"):
        Lexicon.open(forged(path, body=body[:at] + full + body[at + size :]))


def test_candidates_that_cannot_be_read_end_in_a_sentence(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text that is not UTF-8, an unknown part of speech and a weight that is no number are found when they are read."""
    body, at = place(path, "records")
    record = body.index(b"Katze", at) - 6
    for offset, changed in ((6, b"\xff"), (5, b"\xc8"), (1, struct.pack("<f", float("nan"))), (6, b"\0")):
        bad = forged(path, body=body[: record + offset] + changed + body[record + offset + len(changed) :])
        assert main(["switch", "a cat", "--lexicon", str(bad), "--p", "1", "--languages", "de"]) == 3
        assert main(["lexicon", "filter", str(bad), "--max-candidates", "1", "--out", str(path.parent / "o.lex")]) == 3
        errors = capsys.readouterr().err.splitlines()
        assert len(errors) == 2 and all("are damaged); build it again" in error for error in errors)


def test_thousands_of_forged_files_never_crash_a_reader(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Random bytes changed, checksums correct: the file is read, or refused with exit code 3."""
    body, drawn = place(path, "phrases")[0], random.Random(0)
    codes = set()
    for _ in range(400):
        changed = bytearray(body)
        for _ in range(drawn.randint(1, 4)):
            changed[drawn.randrange(len(body))] = drawn.choice([0, 1, 127, 195, 255, drawn.randrange(256)])
        try:
            lexicon = Lexicon.open(forged(path, body=bytes(changed)))
            list(lexicon.rows())
            codes.add(0)
        except DataError:
            codes.add(3)
    assert codes == {0, 3}


@pytest.mark.parametrize(
    ("stored", "tags", "languages"),
    [
        (("DE", "fi"), {"DE": "de", "fi": "fi"}, ("de", "fi")),
        (("de-DE", "iw"), {"de-DE": "de", "iw": "he"}, ("de", "he")),
        (("de-AT", "zh_CN"), {"de-AT": "de", "zh_CN": "zh-Hans"}, ("de", "zh-Hans")),
        (("de", "de-AT"), {"de": "de", "de-AT": "de-AT"}, ("de", "de-AT")),
        (("my", "zz"), {"my": "my", "zz": "zz"}, ("my", "zz")),
    ],
)
def test_files_with_tags_in_other_spellings_open_with_canonical_ones(tmp_path: Path, stored, tags, languages) -> None:
    entries = {tag: {"dog": [(f"dog in {tag}", 1.0)], f"only {tag.lower()}": [("x", 1.0)]} for tag in stored}
    lexicon = Lexicon.open(
        write_lexicon(tmp_path / "x.lex", entries, source_language="en-US", sources=[SOURCE | {"language": stored[0]}])
    )
    assert lexicon.languages == languages and lexicon.source_language == "en"
    assert lexicon.header["entries"] == dict.fromkeys(languages, 2)
    assert lexicon.header["sources"][0]["language"] == tags[stored[0]]
    for name, tag in tags.items():
        assert [one.text for one in lexicon.candidates("dog", tag)] == [f"dog in {name}"]
        assert len(list(lexicon.items(tag))) == 2
    rows = list(lexicon.rows())
    assert rows == sorted(rows, key=lambda row: (row[0].encode(), row[1])) and len(rows) == 4


def test_two_stored_tags_of_one_language_are_read_as_one(tmp_path: Path) -> None:
    entries = {
        "DE": {"dog": [("Hund", 1.0)], "owl": [("Eule", 1.0)]},
        "de": {"dog": [("Köter", 1.0)], "cat": [("Katze", 1.0)]},
    }
    lexicon = Lexicon.open(write(tmp_path / "x.lex", entries))
    assert lexicon.languages == ("de",) and lexicon.header["entries"] == {"de": 4}
    found = {phrase: [one.text for one in candidates] for phrase, candidates in lexicon.items("de")}
    assert found == {"cat": ["Katze"], "dog": ["Hund"], "owl": ["Eule"]}
    assert [phrase for phrase, _, _ in lexicon.rows()] == ["cat", "dog", "owl"]


def test_a_file_replaced_under_a_run_is_noticed(path: Path) -> None:
    pickled = pickle.dumps(Lexicon.open(path))
    write(path, {"de": {"dog": [("Hund", 1.0)]}})
    with pytest.raises(DataError, match="replaced while it was in use"):
        pickle.loads(pickled)
