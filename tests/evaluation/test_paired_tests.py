"""The paired tests against scipy, against all sign flips written out, and against experiments in which nothing differs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from mmcs.evaluation.paired_tests import EXACT_GROUPS, paired_tests, randomisation_test, t_test
from mmcs.evaluation.resampling import mean_over_languages, resampled_means

pytestmark = pytest.mark.filterwarnings("error")


def single(differences, **more):
    """One language, one query per group."""
    groups = [f"g{place}" for place in range(len(differences))]
    return paired_tests({"de": differences}, {"de": groups}, {"all": ["de"]}, **more)["all"]


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.3])
def test_one_query_per_group_is_scipy_s_paired_t_test(shift):
    draw = np.random.default_rng(1)
    first, second = draw.normal(shift, 1, 300), draw.normal(0, 1, 300)
    theirs = stats.ttest_rel(first, second)
    ours = single(first - second)
    assert ours.p_t == pytest.approx(theirs.pvalue, rel=1e-9)
    assert ours.value / ours.se == pytest.approx(theirs.statistic, rel=1e-9)
    assert (ours.n_queries, ours.n_groups) == (300, 300)


@pytest.mark.parametrize("n_groups", [2, 3, 7, 12])
def test_few_groups_give_scipy_s_exact_permutation_p(n_groups):
    draw = np.random.default_rng(n_groups)
    for differences in (draw.normal(0.5, 1, n_groups), draw.integers(-1, 2, n_groups).astype(float)):
        theirs = stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", alternative="two-sided", n_resamples=np.inf
        )
        assert single(differences).p_randomisation == pytest.approx(theirs.pvalue, rel=1e-12)


def test_many_groups_agree_with_scipy_s_random_permutations_and_never_reach_zero():
    draw = np.random.default_rng(0)
    differences = draw.normal(0.15, 1, 150)
    theirs = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", alternative="two-sided", n_resamples=9999, rng=1
    )
    assert single(differences, resamples=9999).p_randomisation == pytest.approx(theirs.pvalue, abs=0.015)
    assert single(differences + 2, resamples=999).p_randomisation == 1 / 1000


def test_several_languages_and_uneven_groups_agree_with_contributions_written_out():
    draw = np.random.default_rng(2)
    groups = {"de": [f"g{i // 2}" for i in range(14)], "fi": [f"g{i % 5}" for i in range(9)], "sw": ["g3", "g8"]}
    differences = {language: draw.integers(-1, 2, len(own)).astype(float) for language, own in groups.items()}
    names = sorted(set(groups["de"]) | set(groups["fi"]) | set(groups["sw"]))
    contributions = np.array(
        [
            sum(
                sum(d for d, group in zip(differences[language], own, strict=True) if group == name) / len(own) / 3
                for language, own in groups.items()
            )
            for name in names
        ]
    )
    sums = [abs(np.dot(signs, contributions)) for signs in itertools.product((-1, 1), repeat=len(names))]
    found = paired_tests(differences, groups, {"all": ["de", "fi", "sw"], "fi": ["fi"]})
    assert found["all"].value == pytest.approx(np.mean([own.mean() for own in differences.values()]))
    assert found["all"].p_randomisation == np.mean(np.array(sums) >= abs(contributions.sum()) - 1e-9)
    assert found["all"].p_t == pytest.approx(stats.ttest_1samp(contributions, 0).pvalue)
    assert (found["all"].n_queries, found["all"].n_groups) == (25, 8)
    assert (found["fi"].n_queries, found["fi"].n_groups) == (9, 5)


def test_sets_that_are_tested_together_get_what_they_get_alone():
    draw = np.random.default_rng(0)
    groups = {"de": [str(i // 2) for i in range(200)], "fi": [str(i) for i in range(90)]}
    differences = {language: draw.normal(0.1, 1, len(own)) for language, own in groups.items()}
    together = paired_tests(differences, groups, {"both": ["de", "fi"], "de": ["de"], "none": [], "fi": ["fi"]})
    assert list(together) == ["both", "de", "fi"]
    for language in ("de", "fi"):
        alone = paired_tests({language: differences[language]}, groups, {language: [language]})[language]
        assert together[language].p_t == pytest.approx(alone.p_t)
        assert together[language].p_randomisation == pytest.approx(alone.p_randomisation, abs=0.03)


def test_the_standard_error_is_the_bootstrap_s_standard_deviation():
    draw = np.random.default_rng(4)
    groups = {"de": [str(i % 150) for i in range(400)], "fi": [str(i % 170) for i in range(180)]}
    ease = draw.normal(0, 1, 170)
    differences = {
        language: ease[[int(group) for group in own]] + draw.normal(0, 1, len(own)) for language, own in groups.items()
    }
    samples = mean_over_languages(resampled_means(differences, groups, 4000, seed=0))
    found = paired_tests(differences, groups, {"all": ["de", "fi"]})["all"]
    assert found.se == pytest.approx(samples.std(), rel=0.06)


@pytest.mark.parametrize(
    ("differences", "value", "se", "p_t", "p_randomisation"),
    [
        (np.zeros(50), 0, 0, 1, 1),  # nothing differs
        ([0.0], 0, np.inf, 1, 1),
        ([0.7], 0.7, np.inf, 1, 1),  # one group says nothing
        (np.full(5, 0.1), 0.1, 0, 2**-4, 2**-4),  # no variation: the sign test
        (np.full(40, -1.0), -1, 0, 2**-39, 1 / 5001),
        ([1.0, -1.0], 0, 1, 1, 1),
    ],
)
def test_degenerate_differences_have_a_defined_p_value(differences, value, se, p_t, p_randomisation):
    found = single(np.asarray(differences))
    assert found.value == pytest.approx(value)
    assert found.se == pytest.approx(se) if np.isfinite(se) else found.se == se
    assert found.p_t == pytest.approx(p_t)
    assert found.p_randomisation == pytest.approx(p_randomisation)


def test_a_language_without_a_query_is_left_out_and_what_is_not_a_number_refused():
    found = paired_tests(
        {"de": [1.0, 0.0], "fi": []}, {"de": ["a", "b"], "fi": []}, {"all": ["de", "fi"], "empty": ["fi"]}
    )
    assert list(found) == ["all"] and found["all"].value == 0.5
    for broken in (np.nan, np.inf):
        with pytest.raises(ValueError, match="a figure for de is not a finite number"):
            single(np.array([0.0, broken]))


def test_groups_that_do_not_differ_change_no_exact_p_value():
    """1,000 groups without a difference and ten with one: still counted exactly."""
    some = np.array([1.0] * 9 + [-1.0])
    padded = np.concatenate([some, np.zeros(1000)])[:, None]
    assert len(some) <= EXACT_GROUPS
    assert randomisation_test(padded) == pytest.approx([2 * (1 + 10) / 2**10])


def test_the_null_is_rejected_at_its_level_with_languages_tied_by_groups_but_not_by_a_naive_test():
    """Groups move all languages together, are uneven and lack some languages; no system is better.

    Both tests reject some 5 % of 1,000 experiments; a t-test that takes every query for itself rejects far more.
    """
    draw = np.random.default_rng(0)
    counts = np.zeros(3)
    places = {"de": np.arange(120) % 40, "fi": np.arange(60) % 30, "sw": np.arange(20) + 20}
    groups = {language: [str(place) for place in own] for language, own in places.items()}
    for experiment in range(1000):
        tie = draw.choice([-1.0, 0.0, 1.0], 40, p=[0.2, 0.6, 0.2])
        differences = {
            language: np.where(draw.random(len(own)) < 0.7, tie[own], draw.integers(-1, 2, len(own)))
            for language, own in places.items()
        }
        found = paired_tests(differences, groups, {"all": list(groups)}, resamples=500, seed=experiment)["all"]
        naive = stats.ttest_1samp(np.concatenate(list(differences.values())), 0).pvalue
        counts += [found.p_t < 0.05, found.p_randomisation < 0.05, naive < 0.05]
    assert 33 <= counts[0] <= 67 and 33 <= counts[1] <= 67  # binomial: 50 ± 2.5 standard deviations
    assert counts[2] > 150


def test_the_two_tests_agree_on_hits_of_a_usual_size():
    draw = np.random.default_rng(5)
    hits = (draw.random((2, 600)) < [[0.46], [0.40]]).astype(float)
    found = single(hits[0] - hits[1], resamples=20000)
    assert found.p_t == pytest.approx(found.p_randomisation, abs=0.01)


def test_t_test_of_contributions_is_scipy_s():
    contributions = np.random.default_rng(0).normal(0.2, 1, 12)
    se, p_value = t_test(contributions)
    theirs = stats.ttest_1samp(contributions, 0)
    assert p_value == pytest.approx(theirs.pvalue) and contributions.sum() / se == pytest.approx(theirs.statistic)
