"""Merging lexicons: the same as with dictionaries in memory, for any content; sources stay; mistakes get a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lexicon_files import SOURCE, write

from mmcs.cli import main
from mmcs.codeswitch.lexicon import Candidate, Lexicon
from mmcs.errors import DataError, UserError
from mmcs.lexicons.format import write_lexicon
from mmcs.lexicons.merge import merge_lexicons
from mmcs.prepare.records import Tally

candidates = st.builds(
    Candidate,
    st.sampled_from(["x", "y", "é", "猫"]),
    st.sampled_from([0.125, 0.25, 0.5, 1.0]),
    st.sampled_from(["", "n", "v"]),
)
entries = st.dictionaries(
    st.sampled_from(["de", "fi", "zh-Hans"]),
    st.dictionaries(
        st.sampled_from(["a", "a b", "é", "z", "猫"]),
        st.lists(candidates, min_size=1, max_size=4, unique_by=lambda one: one.text),
        min_size=1,
    ),
    min_size=1,
)


def rows(path: Path) -> dict[tuple[str, str], tuple[Candidate, ...]]:
    return {(phrase, language): found for phrase, language, found in Lexicon.open(path).rows()}


def flat(content) -> dict[tuple[str, str], list[Candidate]]:
    return {(phrase, language): found for language, of in content.items() for phrase, found in of.items()}


@settings(deadline=None, max_examples=25)
@given(st.lists(entries, min_size=2, max_size=3), st.booleans())
def test_merging_equals_merging_dictionaries(tmp_path_factory: pytest.TempPathFactory, contents, fill: bool) -> None:
    folder = tmp_path_factory.mktemp("merge")
    paths = [write(folder / f"{i}.lex", content) for i, content in enumerate(contents)]
    built = rows(merge_lexicons(paths, folder / "out.lex", Tally(), fill=fill))
    having = [flat(content) for content in contents]
    assert built.keys() == set().union(*having)
    for key, found in built.items():
        lists = [of[key] for of in having if key in of]
        if fill or len(lists) == 1:
            assert found == tuple(lists[0])
            continue
        texts = list(dict.fromkeys(one.text for each in lists for one in each))
        assert [one.text for one in found] == texts
        labels = {text: [one.pos for each in lists for one in each if one.text == text and one.pos] for text in texts}
        assert {one.text: one.pos for one in found} == {text: (labels[text] or [""])[0] for text in texts}
        assert sum(one.weight for one in found) == pytest.approx(1)
        first, n = lists[0], len(lists[0])
        ratio = found[0].weight / first[0].weight
        assert [one.weight for one in found[:n]] == pytest.approx([one.weight * ratio for one in first])
        assert max((one.weight for one in found[n:]), default=0) <= min(one.weight for one in found[:n]) * 1.000001


def test_sources_are_kept_once_each(tmp_path: Path) -> None:
    other = {"name": "b", "provenance": "there", "licence": "GPL-2.0-or-later"}
    a = write(tmp_path / "a.lex", {"de": {"dog": [("Hund", 1.0)]}})
    b = write_lexicon(
        tmp_path / "b.lex", {"fi": {"dog": [("koira", 1.0)]}}, source_language="en", sources=[other, SOURCE]
    )
    lexicon = Lexicon.open(merge_lexicons([a, b], tmp_path / "c.lex", Tally()))
    assert lexicon.header["sources"] == [SOURCE, other] and lexicon.languages == ("de", "fi")


def test_what_does_not_fit_an_entry_is_counted(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{name}.lex", {"de": {"dog": [(f"{name}{i}", 0.005) for i in range(200)]}}) for name in "ab"
    ]
    left_out = Tally()
    found = rows(merge_lexicons(paths, tmp_path / "c.lex", left_out))["dog", "de"]
    assert len(found) == 255 and found[254].text == "b54" and left_out.total == 145
    labelled = [
        write(tmp_path / f"{name}.lex", {"de": {f"w{i}": [Candidate("x", 1.0, f"{name}{i}")] for i in range(200)}})
        for name in "cd"
    ]
    with pytest.raises(DataError, match="401 labels"):
        merge_lexicons(labelled, tmp_path / "e.lex", Tally())


def test_mistakes_get_a_sentence(tmp_path: Path) -> None:
    a = write(tmp_path / "a.lex", {"de": {"dog": [("Hund", 1.0)]}})
    b = write(tmp_path / "b.lex", {"de": {"koira": [("Hund", 1.0)]}}, "fi")
    before = a.read_bytes()
    for paths, out, says in (
        ([a], "c.lex", "two or more"),
        ([a, b], "c.lex", r"translate from en \(a\.lex\), fi \(b\.lex\)"),
        ([a, a], "a.lex", "one of the lexicons that are read"),
        ([a, tmp_path / "missing.lex"], "c.lex", "no lexicon"),
    ):
        with pytest.raises(UserError, match=says):
            merge_lexicons(paths, tmp_path / out, Tally())
    assert a.read_bytes() == before and not (tmp_path / "c.lex").exists()


def test_the_command_says_what_came_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a.lex", {"de": {"dog": [("Hund", 1.0)]}})
    b = write(tmp_path / "b.lex", {"de": {"dog": [("Köter", 1.0)]}, "fi": {"dog": [("koira", 1.0)]}})
    assert main(["lexicon", "merge", str(a), str(b), "--out", str(tmp_path / "c.lex")]) == 0
    assert "1 phrases of en; entries per language: de 1, fi 1" in capsys.readouterr().out
    assert [one.text for one in rows(tmp_path / "c.lex")["dog", "de"]] == ["Hund", "Köter"]
    assert main(["lexicon", "merge", str(a), str(b), "--fill", "--out", str(tmp_path / "c.lex")]) == 0
    assert [one.text for one in rows(tmp_path / "c.lex")["dog", "de"]] == ["Hund"]
