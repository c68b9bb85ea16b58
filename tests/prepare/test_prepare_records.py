"""Concepts, splits and language tags: what decides where a picture goes."""

from __future__ import annotations

import pytest

from mmcs.prepare.records import concept_of, split_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A zebra.", "zebra"),
        ("An  owl!", "owl"),
        ("The “Stop” sign", "stop sign"),
        ("T-shirt", "t shirt"),
        ("five o’clock", "Five o'clock."),
        ("CAFE\u0301", "café"),
        ("STRASSE", "straße"),
    ],
)
def test_writing_does_not_tell_concepts_apart(one, other):
    assert concept_of(one) == concept_of(other)


@pytest.mark.parametrize(
    ("one", "other"), [("zebra", "zebras"), ("keycap #", "keycap *"), ("A", "An"), ("!", "?"), ("the sun", "the moon")]
)
def test_different_words_are_different_concepts(one, other):
    assert concept_of(one) != concept_of(other)


def test_the_split_is_known_for_ever():
    """These were computed once; a change would move concepts between training and test of every set made so far."""
    groups = ["zebra", "owl", "stop sign", "red apple", "rocket", "flower", "猫"]
    assert [split_of(group, 0.1, 0.25) for group in groups] == EXPECTED


EXPECTED = ["train", "test", "train", "val", "train", "train", "test"]


def test_shares_hold_and_a_larger_val_leaves_the_test_split_alone():
    groups = [f"concept {number}" for number in range(20_000)]
    small = {group: split_of(group, 0.1, 0.25) for group in groups}
    large = {group: split_of(group, 0.3, 0.25) for group in groups}
    assert sum(split == "test" for split in small.values()) == pytest.approx(5_000, abs=250)
    assert sum(split == "val" for split in small.values()) == pytest.approx(2_000, abs=180)
    assert {group for group in groups if small[group] == "test"} == {
        group for group in groups if large[group] == "test"
    }
    assert all(large[group] == "val" for group in groups if small[group] == "val")
    assert {split_of(group, 0.0, 0.0) for group in groups} == {"train"}


def test_an_article_is_left_out_at_the_beginning_alone_and_only_as_a_word():
    assert concept_of("The panda bear eats a leaf under the tree.") == "panda bear eats a leaf under the tree"
    assert concept_of("Santa Claus") == "santa claus" and concept_of("an ant") == "ant"
    assert concept_of("a") == "a"
