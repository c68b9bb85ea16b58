"""Turning lexicons round: the same as with dictionaries in memory; the new source language's normal form; ranks."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lexicon_files import write

from mmcs.cli import main
from mmcs.codeswitch.lexicon import Candidate, Lexicon, normalise
from mmcs.errors import DataError, UserError
from mmcs.lexicons.format import write_lexicon
from mmcs.lexicons.frequency import zipf
from mmcs.lexicons.invert import invert_lexicon
from mmcs.prepare.records import Tally

entries = st.dictionaries(
    st.sampled_from(["dog", "hound", "cat", "a b", "zz", "yy"]),
    st.lists(
        st.tuples(
            st.sampled_from(["Hund", "hund", "Katze", "Großes Tier", "a b c d e"]), st.sampled_from([0.25, 0.5, 1.0])
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda one: one[0],
    ),
    min_size=1,
)


@settings(deadline=None, max_examples=25)
@given(entries)
def test_inverting_equals_inverting_a_dictionary(tmp_path_factory: pytest.TempPathFactory, content) -> None:
    folder = tmp_path_factory.mktemp("invert")
    path = write(folder / "in.lex", {"de": content, "fi": {"dog": [("koira", 1.0)]}})
    expected: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    longer = 0
    for phrase, found in content.items():
        for text, weight in found:
            if len(text.split()) > 4:
                longer += 1
            else:
                expected[normalise(text, "de")][phrase] += weight
    left_out = Tally()
    if not expected:
        with pytest.raises(DataError, match="nothing is left of the de part"):
            invert_lexicon(path, "de", folder / "out.lex", left_out)
        return
    lexicon = Lexicon.open(invert_lexicon(path, "de", folder / "out.lex", left_out))
    assert (lexicon.source_language, lexicon.languages) == ("de", ("en",))
    found = dict(lexicon.items("en"))
    assert found.keys() == expected.keys() and left_out.total == longer
    for phrase, candidates in found.items():
        bayes = {text: weight * 10 ** max(zipf(text, "en"), 1.0) for text, weight in expected[phrase].items()}
        shares = {text: max(score / sum(bayes.values()), 1e-6) for text, score in bayes.items()}
        assert {one.text: one.weight for one in candidates} == pytest.approx(shares, rel=1e-5)
        assert [one.weight for one in candidates] == sorted((one.weight for one in candidates), reverse=True)


def test_a_common_word_comes_before_a_rare_one_that_means_nothing_else(tmp_path: Path) -> None:
    """ "armoire" is always "großer Schrank"; "big" is "groß" in a tenth of its weight, and a thousand times as common."""
    words = ("canine", "dog", "hound", "zyzzyva")
    content = {word: [("Hund", 0.5)] for word in words}
    content |= {"armoire": [("groß", 1.0)], "big": [("dick", 0.9), ("groß", 0.1)]}
    lexicon = Lexicon.open(
        invert_lexicon(write(tmp_path / "in.lex", {"de": content}), "de", tmp_path / "out.lex", Tally())
    )
    assert [one.text for one in lexicon.candidates("hund", "en")] == ["dog", "hound", "canine", "zyzzyva"]
    assert [one.text for one in lexicon.candidates("gross", "en")] == ["big", "armoire"]


def test_turkish_is_normalised_as_turkish_and_labels_stay(tmp_path: Path) -> None:
    content = {"light": [Candidate("IŞIK", 0.5, "n")], "Istanbul".lower(): [Candidate("İstanbul", 1.0)]}
    path = write(tmp_path / "in.lex", {"tr": content})
    lexicon = Lexicon.open(invert_lexicon(path, "tr", tmp_path / "out.lex", Tally()))
    assert dict(lexicon.items("en")) == {
        "istanbul": (Candidate("istanbul", 1.0),),
        "ışık": (Candidate("light", 1.0, "n"),),
    }


def test_only_the_best_are_kept_and_the_rest_is_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "in.lex", {"de": {f"w{i:02}": [("Hund", (20 - i) / 20)] for i in range(20)}})
    left_out = Tally()
    found = Lexicon.open(invert_lexicon(path, "de", tmp_path / "out.lex", left_out)).candidates("hund", "en")
    assert [one.text for one in found] == [f"w{i:02}" for i in range(8)] and left_out.total == 12


def test_sources_of_other_languages_are_not_named(tmp_path: Path) -> None:
    sources = [
        {"name": language, "provenance": "x", "licence": "CC0-1.0", "language": language} for language in ("de", "fi")
    ]
    content = {"de": {"dog": [("Hund", 1.0)]}, "fi": {"dog": [("koira", 1.0)]}}
    path = write_lexicon(tmp_path / "in.lex", content, source_language="en", sources=sources)
    (source,) = Lexicon.open(invert_lexicon(path, "de", tmp_path / "out.lex", Tally())).header["sources"]
    assert source["name"] == "de" and source["provenance"] == "x (inverted: de to en)"
    assert source["inverted"] == {"language": "de", "of": Lexicon.open(path).header["checksum"]}


def test_mistakes_get_a_sentence_and_the_command_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "in.lex", {"de": {"dog": [("Hund", 0.5), ("ein sehr großer Hund dort", 0.5)]}})
    with pytest.raises(UserError, match="has no language fi; it has de"):
        invert_lexicon(path, "fi", tmp_path / "out.lex", Tally())
    with pytest.raises(UserError, match="one of the lexicons that are read"):
        invert_lexicon(path, "de", path, Tally())
    with pytest.raises(UserError, match="at least 1 word"):
        invert_lexicon(path, "de", tmp_path / "out.lex", Tally(), max_tokens=0)
    assert main(["lexicon", "invert", str(path), "--language", "DE", "--out", str(tmp_path / "out.lex")]) == 0
    printed = capsys.readouterr()
    assert "1 phrases of de; entries per language: en 1" in printed.out
    assert "left out: 1 x more than 4 words (e.g. dog - ein sehr großer Hund dort)" in printed.err
