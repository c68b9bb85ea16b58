"""The shuffled lexicon: the same words, wrong partners, the same positions switched."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lexicon_files import write

from mmcs.codeswitch.lexicon import Candidate, Lexicon
from mmcs.errors import UserError
from mmcs.lexicons.shuffle import shuffle_lexicon, shuffled, shuffled_copy

words = st.text("abcdefgh", min_size=1, max_size=4)
phrases = st.lists(words, min_size=1, max_size=3).map(" ".join)


@settings(deadline=None)
@given(st.dictionaries(phrases, words, min_size=1, max_size=30), st.text(max_size=5))
def test_a_permutation_of_the_candidates_that_leaves_none_in_place_where_avoidable(given_words, key: str) -> None:
    before = {phrase: (Candidate(word, 1.0),) for phrase, word in given_words.items()}
    after = shuffled(before, key)
    assert after.keys() == before.keys()
    assert Counter(after.values()) == Counter(before.values())
    if (
        len(set(given_words.values())) == len(given_words) > 1
    ):  # all lists differ: nothing forces a phrase to keep its own
        assert all(after[phrase] != before[phrase] for phrase in before)
    assert after == shuffled(dict(reversed(before.items())), key)


def test_partners_come_from_phrases_with_as_many_words() -> None:
    before = {f"{'very ' * (i % 3)}w{i}": (Candidate(f"{i % 3}/{i}", 1.0),) for i in range(300)}
    after = shuffled(before, "0")
    assert all(found[0][0].startswith(f"{phrase.count(' ')}/") for phrase, found in after.items())


def test_synonyms_do_not_get_their_own_word_back() -> None:
    """Half of the phrases share one candidate with a neighbour; after the exchange nobody has a word of its own."""
    before = {f"w{i}": (Candidate(f"t{i // 2}", 0.5), Candidate(f"u{i}", 0.5)) for i in range(200)}
    after = shuffled(before, "1")
    assert not any({one.text for one in before[phrase]} & {one.text for one in after[phrase]} for phrase in before)


def lexicon(path: Path) -> Path:
    return write(
        path,
        {
            "de": {f"w{i}": [(f"D{i}", 0.5), (f"E{i}", 0.5)] for i in range(100)},
            "fi": {f"w{i}": [(f"F{i}", 1.0)] for i in range(0, 100, 3)},
        },
    )


def test_the_file_has_the_same_words_another_pairing_and_says_so(tmp_path: Path) -> None:
    before = Lexicon.open(lexicon(tmp_path / "a.lex"))
    after = Lexicon.open(shuffle_lexicon(before.path, tmp_path / "b.lex", seed=3))
    for language in before.languages:
        assert [phrase for phrase, _ in after.items(language)] == [phrase for phrase, _ in before.items(language)]
        assert Counter(dict(after.items(language)).values()) == Counter(dict(before.items(language)).values())
        assert all(after.candidates(phrase, language) != found for phrase, found in before.items(language))
    assert before.header["candidates"] == after.header["candidates"]
    (source,) = after.header["sources"]
    assert "shuffled with seed 3" in source["provenance"] and source["licence"] == "CC0-1.0"
    assert source["shuffled"] == {"seed": 3, "of": before.header["checksum"]}


def test_the_seed_decides(tmp_path: Path) -> None:
    path = lexicon(tmp_path / "a.lex")
    first = shuffle_lexicon(path, tmp_path / "b.lex", seed=0).read_bytes()
    assert shuffle_lexicon(path, tmp_path / "c.lex", seed=0).read_bytes() == first
    other = Lexicon.open(shuffle_lexicon(path, tmp_path / "d.lex", seed=1))
    assert dict(other.items("de")) != dict(Lexicon.open(tmp_path / "b.lex").items("de"))


def test_the_cached_copy_is_made_once_and_again_when_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMCS_CACHE", str(tmp_path / "cache"))
    path = lexicon(tmp_path / "a.lex")
    copy = shuffled_copy(path, 7)
    made = copy.stat().st_mtime_ns
    assert copy.is_relative_to(tmp_path / "cache")
    assert (shuffled_copy(path, 7), copy.stat().st_mtime_ns) == (copy, made)
    assert shuffled_copy(path, 8) != copy
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-5])
    assert shuffled_copy(path, 7).read_bytes() == whole


def test_a_lexicon_is_not_shuffled_onto_itself(tmp_path: Path) -> None:
    path = lexicon(tmp_path / "a.lex")
    with pytest.raises(UserError, match="the lexicon itself"):
        shuffle_lexicon(path, path)
