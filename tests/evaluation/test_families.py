"""Corrections for the number of tests against their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mmcs.evaluation.families import bonferroni, families, holm


def test_bonferroni_is_the_number_of_tests_times_the_p_value():
    assert bonferroni([0.01, 0.4, 0.02]) == pytest.approx([0.03, 1.0, 0.06])
    assert bonferroni([]) == []


def test_holm_is_the_closed_test_of_bonferroni():
    """A test's corrected p-value is the largest that Bonferroni gives to a family it is in (Marcus et al. 1976)."""
    draw = np.random.default_rng(0)
    for size in (1, 2, 5):
        p_values = draw.random(size) ** 3
        expected = [
            max(
                min(1.0, len(own) * min(p_values[place] for place in own))
                for length in range(1, size + 1)
                for own in itertools.combinations(range(size), length)
                if test in own
            )
            for test in range(size)
        ]
        assert holm(list(p_values)) == pytest.approx(expected)
    assert holm([]) == []


def test_single_languages_are_a_family_of_their_own():
    p_values = {("a", "seen"): 0.01, ("a", "de"): 0.01, ("a", "en"): 0.4, ("b", "seen"): 0.001, ("b", "de"): 0.03}
    primary = [(system, name) for system in "ab" for name in ("seen", "unseen", "en")]
    found = families(p_values, primary)
    assert list(found) == list(p_values)
    assert {name: test.family for name, test in found.items()} == {
        ("a", "seen"): "primary",
        ("a", "de"): "secondary",
        ("a", "en"): "primary",
        ("b", "seen"): "primary",
        ("b", "de"): "secondary",
    }
    assert [found[name].corrected for name in p_values] == pytest.approx([0.03, 0.02, 1.0, 0.003, 0.03])
    assert [test.raw for test in found.values()] == list(p_values.values())
    assert {test.n_tests for test in found.values() if test.family == "primary"} == {3}


def test_a_family_s_errors_stay_at_their_level():
    """20 tests of nothing: at least one is significant in 5 % of the experiments after correction, in most without."""
    draw = np.random.default_rng(0).random((2000, 20))
    assert np.mean([min(holm(list(own))) < 0.05 for own in draw]) == pytest.approx(0.05, abs=0.015)
    assert np.mean(draw.min(axis=1) < 0.05) > 0.6
