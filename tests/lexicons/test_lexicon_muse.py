"""MUSE dictionaries and the collecting of pairs: all senses in their order, cleaned and weighted; damage counted; licence kept."""

from __future__ import annotations

import gzip
import hashlib
import random
import unicodedata
from collections import defaultdict
from pathlib import Path

import pytest

from mmcs.cli import main
from mmcs.codeswitch.lexicon import Lexicon, normalise
from mmcs.errors import UserError
from mmcs.lexicons.muse import build_muse
from mmcs.lexicons.pairs import Pairs, clean


def texts(lexicon: Lexicon, phrase: str, language: str = "de") -> list[str]:
    return [candidate.text for candidate in lexicon.candidates(phrase, language)]


def test_senses_keep_the_order_of_the_file_and_none_overwrites_another(tmp_path: Path) -> None:
    random.seed(0)
    lines = [(f"word{random.randrange(60)}", f"wort{random.randrange(40)}") for _ in range(800)]
    path = tmp_path / "en-de.txt"
    path.write_text("".join(f"{a}{random.choice([' ', chr(9), '  ', ' ' + chr(9)])}{b}\n" for a, b in lines))
    naive: dict[str, list[str]] = defaultdict(list)
    for a, b in lines:
        if b not in naive[a]:
            naive[a].append(b)
    lexicon = Lexicon.open(build_muse(tmp_path / "x.lex", [str(path)]))
    assert {phrase: [c.text for c in found] for phrase, found in lexicon.items("de")} == {
        phrase: found[:8] for phrase, found in naive.items()
    }
    (source,) = lexicon.header["sources"]
    left_out = {cause: about["count"] for cause, about in source["left_out"].items()}
    assert left_out == {
        "named before": 800 - sum(map(len, naive.values())),
        "beyond the 8 best candidates": sum(max(0, len(found) - 8) for found in naive.values()),
    }
    assert source["licence"] == "CC-BY-NC-4.0" and source["name"] == "MUSE en-de"
    assert source["provenance"] == f"en-de.txt (sha256 {hashlib.sha256(path.read_bytes()).hexdigest()})"


def test_a_sense_weighs_one_nth_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "en-de.txt").write_text("dog hund\ndog köter\ndog rüde\n")
    found = Lexicon.open(build_muse(tmp_path / "x.lex", [str(tmp_path / "en-de.txt")])).candidates("dog", "de")
    assert [c.weight for c in found] == pytest.approx([6 / 11, 3 / 11, 2 / 11])


def test_files_tell_their_languages_by_name_or_by_tag(tmp_path: Path) -> None:
    (tmp_path / "en-de.0-5000.txt").write_text("dog hund\n")
    (tmp_path / "en-de.5000-6500.txt").write_text("dog köter\n")
    (tmp_path / "finnish.txt.gz").write_bytes(gzip.compress("\ufeffdog koira\r\n".encode()))
    files = ["en-de.0-5000.txt", "en-de.5000-6500.txt", "fi=finnish.txt.gz"]
    files = [name.replace("fi=", f"fi={tmp_path}/") if "=" in name else str(tmp_path / name) for name in files]
    lexicon = Lexicon.open(build_muse(tmp_path / "x.lex", files))
    assert lexicon.languages == ("de", "fi") and lexicon.source_language == "en"
    assert texts(lexicon, "dog") == ["hund", "köter"] and texts(lexicon, "dog", "fi") == ["koira"]
    (tmp_path / "tr-en.txt").write_text("I\u015fIK light\n")
    turkish = Lexicon.open(build_muse(tmp_path / "t.lex", [str(tmp_path / "tr-en.txt")]))
    assert turkish.source_language == "tr" and texts(turkish, "\u0131\u015f\u0131k", "en") == ["light"]


def test_the_command_prints_counts_and_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "en-de.txt"
    path.write_text("".join(f"w{i} v{i}\n" for i in range(20)) + "alone\none two three\na\tb\tc\nnul\0 x\n")
    out = str(tmp_path / "x.lex")
    assert main(["lexicon", "build", "muse", str(path), "--out", out, "--licence", "CC0-1.0"]) == 0
    shown = capsys.readouterr()
    assert "20 phrases of en; entries per language: de 20" in shown.out
    assert "left out 2 x more than two columns (e.g. line 22: one two three; line 23: a\tb\tc)" in shown.err
    assert "left out 1 x no source or no target (e.g. line 21: alone)" in shown.err
    assert "left out 1 x holds a NUL character (e.g. line 24: nul\\0 x)" in shown.err
    assert main(["lexicon", "info", out]) == 0
    assert "CC0-1.0" in capsys.readouterr().out
    assert main(["lexicon", "build", "muse", str(path), "--out", out, "--max-damaged", "0.1"]) == 3
    assert "4 of 24 lines (17%)" in capsys.readouterr().err


@pytest.mark.parametrize("header", ["source target", "English\tGerman", "en de", "word\ttranslation"])
def test_a_header_is_no_entry_and_commas_behind_words_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], header: str
) -> None:
    path = tmp_path / "en-de.txt"
    path.write_text(f"{header}\ndog, Hund,\nac/dc ac/dc\n", "utf-8")
    out = str(tmp_path / "x.lex")
    assert main(["lexicon", "build", "muse", str(path), "--out", out]) == 0
    assert {phrase: texts(Lexicon.open(out), phrase) for phrase, _ in Lexicon.open(out).items("de")} == {
        "dog": ["Hund"],
        "ac/dc": ["ac/dc"],
    }
    shown = capsys.readouterr().err
    assert "note: line 1 (" in shown and "is a header, not an entry (with --no-header it is one)" in shown
    assert "cleaned 2 x punctuation around a word (e.g. dog, -> dog; Hund, -> Hund)" in shown
    assert main(["lexicon", "build", "muse", str(path), "--out", out, "--no-header", "--no-clean"]) == 0
    assert len(Lexicon.open(out)) == 3 and texts(Lexicon.open(out), "dog,") == ["Hund,"]


def test_a_file_of_the_other_direction_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "german.txt").write_text("hund dog\nkatze cat\nhaus house\nbaum tree\n")
    assert main(["lexicon", "build", "muse", f"de={tmp_path}/german.txt", "--out", str(tmp_path / "x.lex")]) == 2
    assert "the columns of en and de seem to be the wrong way round (4 of 4 rows" in capsys.readouterr().err


def test_regions_in_tags_stand_for_their_language(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("tomato Paradeiser\n")
    out = str(tmp_path / "x.lex")
    arguments = [f"de-AT={tmp_path}/a.txt", "--source-language", "en-US", "--out", out]
    assert main(["lexicon", "build", "muse", *arguments]) == 0
    assert Lexicon.open(out).languages == ("de",) and Lexicon.open(out).source_language == "en"
    assert "note: de-AT is taken as de" in capsys.readouterr().err


def test_mistakes_end_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "en-de.txt").write_text("dog hund\n")
    (tmp_path / "de-en.txt").write_text("hund dog\n")
    (tmp_path / "mine.txt").write_text("a long line of words\n" * 5)
    (tmp_path / "long.txt").write_text("a b c d e\tf\n")
    out = tmp_path / "x.lex"

    def fails(code: int, *files: str) -> str:
        assert main(["lexicon", "build", "muse", *files, "--out", str(out)]) == code
        error = capsys.readouterr().err.strip()
        assert error.startswith("mmcs: error: ") and "\n" not in error and not out.exists()
        return error

    both = (str(tmp_path / "en-de.txt"), str(tmp_path / "de-en.txt"))
    assert "one source language" in fails(2, *both)
    assert "into itself" in fails(2, f"en={both[1]}", "--source-language", "en")
    assert "de-en.txt translates from de by its name" in fails(2, both[1], "--source-language", "en")
    assert "en-de.txt translates from en by its name" in fails(2, both[0], "--source-language", "fr")
    assert "does not tell the languages" in fails(2, str(tmp_path / "mine.txt"))
    assert "5 of 5 lines (100%)" in fails(3, f"de={tmp_path}/mine.txt")
    assert "no pair" in fails(3, f"de={tmp_path}/long.txt")
    assert "there is no file" in fails(2, f"de={tmp_path}/none.txt")


def test_targets_are_cleaned_and_stand_once() -> None:
    pairs = Pairs("en")
    pairs.add("ar", "\u200fDog", "\u202b\u0643\u0644\u0628\u200e")
    pairs.add("fa", "want", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\u200c")
    pairs.add("de", "size", unicodedata.normalize("NFD", "Größe"))
    pairs.add("de", "Size ", " Größe")
    pairs.add("de", "ice  cream", "Speise\u00adeis")
    pairs.add("de", "x", "\u200b")
    pairs.add("de", "one two three four five", "zu lang")
    found = pairs.entries()
    assert found["ar"]["dog"][0].text == "\u0643\u0644\u0628"
    assert found["fa"]["want"][0].text == "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"  # its joiner is spelling
    assert [c.text for c in found["de"]["size"]] == ["Größe"] and found["de"]["ice cream"][0].text == "Speiseeis"
    assert pairs.left_out.counts == {"named before": 1, "nothing visible on one side": 1, "more than 4 words": 1}
    assert all(phrase == normalise(phrase) for of in found.values() for phrase in of)
    assert clean("\U0001f469\u200d\U0001f680 ok") == "\U0001f469\u200d\U0001f680 ok"


def test_weights_add_up_and_order_the_candidates() -> None:
    pairs = Pairs("en", max_candidates=3)
    for target, weight in (("a", 1.0), ("b", 5.0), ("c", 2.0), ("a", 2.0), ("d", 0.5), ("e", 1e308), ("e", 1e308)):
        pairs.add("de", "x", target, weight)
    found = pairs.entries()["de"]["x"]
    assert [c.text for c in found] == ["e", "b", "a"] and sum(c.weight for c in found) == pytest.approx(1, abs=1e-5)
    pairs = Pairs("en")
    for target, weight in (("a", 1.0), ("b", 5.0), ("c", 2.0), ("a", 2.0)):
        pairs.add("de", "x", target, weight)
    assert [(c.text, round(c.weight, 3)) for c in pairs.entries()["de"]["x"]] == [("b", 0.5), ("a", 0.3), ("c", 0.2)]


def test_parts_of_speech_are_kept_as_far_as_a_lexicon_holds_them() -> None:
    pairs = Pairs("en")
    pairs.add("de", "dog", "Hund", pos="n")
    pairs.add("de", "dog", "Köter", pos="a very long label indeed")
    for i in range(300):
        pairs.add("de", f"w{i}", "x", pos=f"p{i}")
    entries = pairs.entries()["de"]
    assert [c.pos for c in entries["dog"]] == ["n", ""]
    assert len({c.pos for of in entries.values() for c in of} - {""}) == 254
    assert pairs.left_out.total == 1 + 300 - 253
    with pytest.raises(UserError, match="at least 1 word"):
        Pairs("en", max_tokens=0)
