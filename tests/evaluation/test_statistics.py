"""Paired differences and what they allow one to say, against a slow bootstrap, scipy, simulations and known answers."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy import stats

from mmcs.evaluation.statistics import (
    MARGIN,
    Difference,
    needed_groups,
    needed_queries,
    non_inferiority,
    paired_difference,
    paired_differences,
    paired_tests,
    verdict,
)

pytestmark = pytest.mark.filterwarnings("error")


def not_inferior(difference, margin=MARGIN):
    return non_inferiority(difference, margin).shown


def naive_difference(first, second, groups, resamples, seed):
    """The same bootstrap in plain loops: draw groups, keep each drawn group's queries, mean per language, mean."""
    draw = random.Random(seed)
    names = sorted({group for own in groups.values() for group in own})
    samples = []
    for _ in range(resamples):
        drawn = draw.choices(names, k=len(names))
        per_language = []
        for language, own in groups.items():
            members = {name: [place for place, group in enumerate(own) if group == name] for name in names}
            places = [place for name in drawn for place in members[name]]
            if places:
                per_language.append(np.mean([first[language][p] - second[language][p] for p in places]))
        samples.append(np.mean(per_language))
    return np.quantile(samples, [0.025, 0.975])


def clustered(seed=0):
    """Two languages with unequal numbers of captions per group, hits that depend on the group."""
    draw = np.random.default_rng(seed)
    groups = {"de": [f"g{i // 3}" for i in range(90)], "fi": [f"g{i % 25}" for i in range(40)]}
    ease = {f"g{i}": draw.random() for i in range(30)}
    first = {key: np.array([float(draw.random() < ease[g] * 0.9 + 0.1) for g in own]) for key, own in groups.items()}
    second = {key: np.array([float(draw.random() < ease[g] * 0.7) for g in own]) for key, own in groups.items()}
    return first, second, groups


def single(first, second, **more):
    """One language, one query per group."""
    groups = {"de": [str(place) for place in range(np.shape(first)[-1])]}
    return paired_difference({"de": first}, {"de": second}, groups, **more)


def made(value, se, n_groups=100, **more):
    """A difference of given figures, its interval and test those of the normal distribution and of t."""
    p_value = 2 * stats.t.sf(abs(value) / se, n_groups - 1) if se else 1.0
    given = {"low": value - 1.96 * se, "high": value + 1.96 * se, "p_value": float(p_value)}
    return Difference(
        value=value, n_queries=3 * n_groups, n_groups=n_groups, se=se, p_randomisation=1.0, **given | more
    )


def test_clustered_paired_difference_agrees_with_a_slow_bootstrap():
    first, second, groups = clustered()
    ours = paired_difference(first, second, groups, resamples=3000)
    low, high = naive_difference(first, second, groups, 1500, seed=5)
    assert ours.value == pytest.approx(np.mean([np.mean(first[key] - second[key]) for key in groups]))
    assert (ours.low, ours.high) == (pytest.approx(low, abs=0.02), pytest.approx(high, abs=0.02))
    assert (ours.n_queries, ours.n_groups) == (130, 30)


def test_the_p_value_is_the_paired_t_test_s_and_the_randomisation_test_stands_beside():
    draw = np.random.default_rng(1)
    first, second = draw.normal(0.12, 1, 300), draw.normal(0, 1, 300)
    ours = single(first, second)
    assert ours.p_value == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert ours.p_randomisation == pytest.approx(ours.p_value, abs=0.02) and ours.p_randomisation != ours.p_value
    first, second, groups = clustered()
    found = paired_difference(first, second, groups)
    test = paired_tests({key: first[key] - second[key] for key in groups}, groups, {"all": list(groups)})["all"]
    assert (found.p_value, found.p_randomisation, found.se) == (test.p_t, test.p_randomisation, test.se)


def test_sets_share_one_bootstrap_and_empty_ones_are_left_out():
    first, second, groups = clustered()
    found = paired_differences(first, second, groups, {"seen": ["de"], "unseen": [], "all": ["de", "fi"]})
    assert set(found) == {"seen", "all"}
    assert found["all"] == paired_difference(first, second, groups)
    same = paired_difference(first, first, groups)
    assert (same.value, same.low, same.high, same.se, same.p_value, same.p_randomisation) == (0, 0, 0, 0, 1, 1)


def test_a_language_without_a_query_counts_for_nothing():
    first, second, groups = clustered()
    empty = {"sw": np.zeros(0)}
    more = paired_differences(
        first | empty, second | empty, groups | {"sw": []}, {"all": ["de", "sw", "fi"], "sw": ["sw"]}
    )
    assert more == {"all": paired_difference(first, second, groups)}
    with pytest.raises(ValueError, match="no query"):
        paired_difference(empty, empty, {"sw": []})


def test_nominal_coverage():
    """Of 200 experiments without a difference about 5 % exclude zero."""
    draw = np.random.default_rng(0)
    outside = 0
    for _ in range(200):
        found = single(*draw.normal(0, 1, (2, 80)), resamples=500)
        outside += not found.low <= 0 <= found.high
    assert 2 <= outside <= 22


def test_one_group_excludes_nothing():
    found = single([1.0], [0.0])
    assert (found.value, found.low, found.high, found.p_value) == (1, -math.inf, math.inf, 1)
    assert verdict(found) == "cannot tell yet" and not not_inferior(found) and needed_queries(found) is None


def test_queries_or_seeds_that_do_not_match_and_what_is_no_number_are_refused():
    with pytest.raises(ValueError, match="paired figures for de differ in number"):
        single([1.0, 0.0], [1.0])
    with pytest.raises(ValueError, match="paired figures for de differ in number"):
        paired_difference({"de": [1.0]}, {}, {"de": ["a"]})
    with pytest.raises(ValueError, match="the languages of one system differ in their number of seeds"):
        figures = {"de": np.zeros((2, 3)), "fi": np.zeros((3, 3))}
        paired_difference(figures, figures, {"de": list("abc"), "fi": list("abc")})
    with pytest.raises(ValueError, match="a figure for de is not a finite number"):
        single([1.0, np.nan], [0.0, 0.0])


def test_seeds_are_averaged_per_query_and_their_spread_told():
    first, second, groups = clustered()
    ours = {key: np.stack([own, 1 - own, own]) for key, own in first.items()}
    found = paired_differences(ours, second, groups, {"all": ["de", "fi"], "de": ["de"]})
    averaged = paired_differences({key: own.mean(axis=0) for key, own in ours.items()}, second, groups, {"de": ["de"]})
    assert (found["de"].value, found["de"].p_value) == (averaged["de"].value, averaged["de"].p_value)
    assert found["all"].n_seeds == (3, 1) and averaged["de"].n_seeds == (1, 1)
    mean = np.mean([first[key].mean() for key in groups])
    assert found["all"].spread == (pytest.approx(np.std([mean, 1 - mean, mean], ddof=1)), None)
    one = {key: own[None] for key, own in first.items()}
    assert paired_difference(one, second, groups) == paired_difference(first, second, groups)


def test_the_interval_widens_by_the_seeds_variance():
    """Queries hardly differ, so that groups say next to nothing: what is left is the variance of a mean over seeds."""
    draw = np.random.default_rng(0)
    first, second = draw.normal(0, 0.1, (3, 1)), draw.normal(0, 0.1, (4, 1))
    found = single(first + np.zeros(300), second + draw.normal(0, 0.01, (4, 300)), resamples=20000)
    variance = first.var(ddof=1) / 3 + second.var(ddof=1) / 4
    assert found.value == pytest.approx(first.mean() - second.mean(), abs=1e-3)
    assert found.high - found.low == pytest.approx(2 * 1.96 * variance**0.5, rel=0.15)
    assert found.spread == (pytest.approx(first.std(ddof=1)), pytest.approx(second.std(ddof=1), rel=0.02))


def test_a_lucky_seed_does_not_count():
    """Two equal recipes whose seeds differ: one seed each mostly "tells" them apart, five seeds each rarely do."""
    draw = np.random.default_rng(0)
    told = {1: 0, 5: 0}
    for _ in range(100):
        for n_seeds in told:
            seeds = draw.normal(0, 0.1, (2, n_seeds, 1))
            first, second = (draw.random((2, n_seeds, 400)) < 0.5 + seeds).astype(float)
            told[n_seeds] += verdict(single(first, second, resamples=300)) != "cannot tell yet"
    assert told[1] > 45 and told[5] <= 15


@pytest.mark.parametrize(
    ("difference", "p_value", "said"),
    [
        (made(0.04, 0.01), None, "helps"),
        (made(-0.04, 0.01), None, "hurts"),
        (made(0.04, 0.03), None, "cannot tell yet"),
        (made(0.04, 0.01), 0.2, "cannot tell yet"),  # not after correction
        (made(0.04, 0.01, low=-0.01), None, "cannot tell yet"),  # seeds
        (made(0.0, 0.0), None, "cannot tell yet"),
    ],
)
def test_verdicts_need_the_test_and_the_interval(difference, p_value, said):
    assert verdict(difference, p_value) == said


def test_non_inferiority_is_scipy_s_one_sided_t_test_against_the_margin():
    draw = np.random.default_rng(0)
    first, second = (draw.random((2, 900)) < 0.6).astype(float)
    difference = single(first, second)
    for margin in (0.01, 0.05, 0.1):
        found = non_inferiority(difference, margin)
        theirs = stats.ttest_1samp(first - second, -margin, alternative="greater").pvalue
        assert found.p_value == pytest.approx(theirs)
        assert found.shown == (theirs < 0.025) == not_inferior(difference, margin)
        assert found.margin == margin


def test_non_inferiority_at_its_edges():
    assert not_inferior(made(0.002, 0.004)) and not not_inferior(made(0.002, 0.004), margin=0.005)
    assert not not_inferior(made(0.002, 0.004, low=-0.02))  # seeds
    assert non_inferiority(made(0.0, 0.0, n_groups=10)).p_value == 2**-10
    assert not_inferior(single([0.5] * 10, [0.5] * 10)) and not not_inferior(single([0.5] * 5, [0.5] * 5))
    assert non_inferiority(made(-0.01, 0.0)).p_value == 1


def test_a_loss_of_the_margin_passes_in_no_more_than_its_level():
    draw = np.random.default_rng(0)
    passed = 0
    for _ in range(400):
        first, second = draw.random((2, 300)) < [[0.5], [0.6]]
        passed += not_inferior(single(first.astype(float), second.astype(float), resamples=200), margin=0.1)
    assert 2 <= passed <= 20  # 10 expected


def test_needed_queries_follow_the_formula_and_say_when_there_is_none():
    difference = made(0.02, 0.01, n_groups=1000)
    expected = 1000 * ((1.959964 + 0.841621) * 0.01 / 0.02) ** 2 + 1.959964**2 / 2
    assert needed_groups(difference) == math.ceil(expected)
    assert needed_queries(difference) == 3 * math.ceil(expected)
    assert needed_groups(difference, power=0.9) > needed_groups(difference)
    assert needed_groups(made(0.5, 1e-4)) == 6  # five equal signs have p = 1/16
    assert needed_queries(made(0.0, 0.01)) is None
    assert needed_queries(made(1e-9, 0.01)) is None


@pytest.mark.parametrize("effect", [0.15, 0.6])
def test_as_many_queries_as_are_needed_give_the_power(effect):
    """Two queries per group; the true effect and variance make the plan, 500 experiments of that size try it."""
    draw = np.random.default_rng(0)
    spread = (0.5**2 + 1 / 2) ** 0.5  # of a group's mean: its own and its two queries' chance
    plan = Difference(effect, 0, 0, 1, n_queries=100, n_groups=50, se=spread / 50**0.5, p_randomisation=1)
    n_groups, told = needed_groups(plan), 0
    groups = {"de": [str(i // 2) for i in range(needed_queries(plan))]}
    for _ in range(500):
        values = effect + np.repeat(draw.normal(0, 0.5, n_groups), 2) + draw.normal(0, 1, 2 * n_groups)
        told += paired_tests({"de": values}, groups, {"all": ["de"]}, resamples=1)["all"].p_t < 0.05
    assert told / 500 == pytest.approx(0.8, abs=0.05)
