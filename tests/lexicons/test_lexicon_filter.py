"""Filtering lexicons: the same as with dictionaries in memory, under any conditions; what is removed is counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lexicon_files import write

from mmcs.cli import main
from mmcs.codeswitch.lexicon import Candidate, Lexicon
from mmcs.errors import DataError, UserError
from mmcs.lexicons.filter import UNLABELLED, Conditions, filter_lexicon
from mmcs.lexicons.frequency import zipf
from mmcs.prepare.records import Tally

SMALL = {
    "de": {
        "dog": [Candidate("Hund", 0.75, "n"), Candidate("Köter", 0.25, "n")],
        "light": [Candidate("Licht", 0.5, "n"), Candidate("leicht", 0.25, "adj"), Candidate("hell", 0.25)],
    },
    "fi": {"dog": [Candidate("koira", 1.0)]},
    "gv": {"dog": [Candidate("moddey", 1.0)]},
}
WORDS = {"de": ["Hund", "Köter", "Haus", "Qwrtzpf"], "fi": ["koira", "hauva", "Qwrtzpf"], "gv": ["moddey", "thie"]}

entries = st.fixed_dictionaries(
    {},
    optional={
        language: st.dictionaries(
            st.sampled_from(["a", "a b", "é", "猫"]),
            st.lists(
                st.builds(
                    Candidate,
                    st.sampled_from(words),
                    st.sampled_from([0.125, 0.25, 0.5, 1.0]),
                    st.sampled_from(["", "n", "v"]),
                ),
                min_size=1,
                max_size=4,
            ),
            min_size=1,
        )
        for language, words in WORDS.items()
    },
).filter(bool)
conditions = st.builds(
    Conditions,
    pos=st.sampled_from([(), ("n",), ("n", UNLABELLED)]),
    min_weight=st.sampled_from([None, 0.25, 0.5]),
    min_frequency=st.sampled_from([None, 3.0]),
    max_candidates=st.sampled_from([None, 1, 2]),
)


def content(path: Path) -> dict[tuple[str, str], tuple[Candidate, ...]]:
    return {(phrase, language): found for phrase, language, found in Lexicon.open(path).rows()}


def texts(path: Path) -> dict[tuple[str, str], list[str]]:
    return {key: [one.text for one in found] for key, found in content(path).items()}


@settings(deadline=None, max_examples=30)
@given(entries, conditions, st.booleans())
def test_filtering_equals_filtering_dictionaries(tmp_path_factory, entries, asked: Conditions, one: bool) -> None:
    folder = tmp_path_factory.mktemp("filter")
    path = write(folder / "in.lex", entries)
    languages = (min(entries),) if one else ()
    asked = Conditions(languages, asked.pos, asked.min_weight, asked.min_frequency, asked.max_candidates)
    labels = {found.pos or UNLABELLED for of in entries.values() for each in of.values() for found in each}
    expected = {}
    for language, of in entries.items():
        for phrase, found in of.items():
            kept = [
                candidate
                for candidate in found
                if (not languages or language in languages)
                and candidate.weight >= (asked.min_weight or 0)
                and (not asked.pos or (candidate.pos or UNLABELLED) in asked.pos)
                and (
                    not asked.min_frequency or language == "gv" or zipf(candidate.text, language) >= asked.min_frequency
                )
            ]
            if kept[: asked.max_candidates]:
                expected[phrase, language] = tuple(kept[: asked.max_candidates])
    left_out = Tally()
    if asked == Conditions() or not {*asked.pos} <= labels | {UNLABELLED}:
        with pytest.raises(UserError):
            filter_lexicon(path, folder / "out.lex", asked, left_out)
    elif not expected:
        with pytest.raises(DataError, match="nothing is left"):
            filter_lexicon(path, folder / "out.lex", asked, left_out)
    else:
        assert content(filter_lexicon(path, folder / "out.lex", asked, left_out)) == expected
        whole = sum(
            len(found)
            for language, of in entries.items()
            if not languages or language in languages
            for found in of.values()
        )
        elsewhere = sum(len(of) for language, of in entries.items() if languages and language not in languages)
        emptied = left_out.counts["entry without a candidate left"]
        assert left_out.total - emptied - elsewhere == whole - sum(map(len, expected.values()))


def test_each_condition_alone(tmp_path: Path) -> None:
    path, out = write(tmp_path / "in.lex", SMALL), tmp_path / "out.lex"

    def kept(**asked) -> dict[tuple[str, str], list[str]]:
        return texts(filter_lexicon(path, out, Conditions(**asked), Tally()))

    assert kept(languages=("fi",)) == {("dog", "fi"): ["koira"]}
    assert kept(min_weight=0.3)["dog", "de"] == ["Hund"]
    assert kept(min_weight=0.75)["dog", "de"] == ["Hund"]
    assert kept(max_candidates=1)["light", "de"] == ["Licht"]
    assert kept(pos=("adj", UNLABELLED)) == {
        ("dog", "fi"): ["koira"],
        ("dog", "gv"): ["moddey"],
        ("light", "de"): ["leicht", "hell"],
    }
    frequent = kept(min_frequency=3.5)
    assert frequent["dog", "de"] == ["Hund"] and frequent["dog", "gv"] == ["moddey"]


def test_a_weight_that_is_just_enough_stays(tmp_path: Path) -> None:
    """Weights are stored as float32, where 0.7 is less than 0.7."""
    path = write(tmp_path / "in.lex", {"de": {f"w{i}": [("x", i / 10)] for i in range(1, 11)}})
    for i in range(1, 11):
        asked = Conditions(min_weight=i / 10)
        assert len(content(filter_lexicon(path, tmp_path / "out.lex", asked, Tally()))) == 11 - i


def test_filtering_twice_is_filtering_by_both(tmp_path: Path) -> None:
    path = write(tmp_path / "in.lex", SMALL)
    filter_lexicon(path, tmp_path / "a.lex", Conditions(min_weight=0.25, languages=("de",)), Tally())
    twice = filter_lexicon(tmp_path / "a.lex", tmp_path / "b.lex", Conditions(pos=("n",)), Tally())
    both = Conditions(min_weight=0.25, languages=("de",), pos=("n",))
    once = filter_lexicon(path, tmp_path / "c.lex", both, Tally())
    assert content(twice) == content(once)
    (source,) = Lexicon.open(once).header["sources"]
    assert source["provenance"] == "this test (filtered: languages de, pos n, min_weight 0.25)"
    assert Lexicon.open(twice).header["sources"][0]["provenance"].count("filtered: ") == 2


def test_mistakes_get_a_sentence(tmp_path: Path) -> None:
    path, out = write(tmp_path / "in.lex", SMALL), tmp_path / "out.lex"
    for asked, says in (
        (Conditions(), "nothing to filter by"),
        (Conditions(min_weight=0.0), "--min-weight"),
        (Conditions(min_weight=float("nan")), "--min-weight"),
        (Conditions(min_frequency=-1.0), "--min-frequency"),
        (Conditions(max_candidates=0), "--max-candidates"),
        (Conditions(languages=("sv",)), "has no sv; it has de, fi, gv"),
        (Conditions(pos=("noun",)), "has no part of speech noun; it has unlabelled, n, adj"),
    ):
        with pytest.raises(UserError, match=says):
            filter_lexicon(path, out, asked, Tally())
    with pytest.raises(
        DataError, match=r"nothing is left of .*filtered: pos adj, min_weight 0\.9.*: 5 x weight under 0\.9, "
    ):
        filter_lexicon(path, out, Conditions(pos=("adj",), min_weight=0.9), Tally())
    with pytest.raises(UserError, match="one of the lexicons that are read"):
        filter_lexicon(path, path, Conditions(max_candidates=1), Tally())
    assert not out.exists() and len(content(path)) == 4


def test_the_command_counts_what_it_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = write(tmp_path / "in.lex", SMALL), tmp_path / "out.lex"
    asked = ["--languages", "de,gv", "--min-frequency", "3.5", "--max-candidates", "1", "--out", str(out)]
    assert main(["lexicon", "filter", str(path), *asked]) == 0
    printed = capsys.readouterr()
    assert "2 phrases of en; entries per language: de 2, gv 1" in printed.out
    assert "left out: 1 x entry of fi (e.g. dog)" in printed.err
    assert "kept whole, since wordfreq does not know them: gv" in printed.err
