"""Bootstrap means and medians over groups against scipy and against resamples written out query by query."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mmcs.evaluation.resampling import (
    bootstrap_ci,
    group_places,
    group_weights,
    interval,
    mean_over_languages,
    resampled_means,
    resampled_medians,
    seed_weights,
)


def written_out(values, groups, resamples, seed):
    """Per resample and language the list of figures, each as often as its group was drawn."""
    n_groups, places = group_places(groups)
    for _, weights in group_weights(n_groups, resamples, seed):
        for drawn in weights:
            yield [np.repeat(values[language], drawn[places[language]]) for language in values]


def uneven(draw, languages=3):
    """Languages with few or no queries, groups of any size, ties; in one of four some figures follow their group."""
    n_groups = int(draw.integers(1, 30))
    values, groups = {}, {}
    for language in map(str, range(languages)):
        n_queries = int(draw.integers(0, 80)) if language != "0" else int(draw.integers(1, 80))
        own = draw.integers(0, n_groups, n_queries)
        groups[language] = [f"g{place}" for place in own]
        values[language] = draw.integers(1, draw.integers(2, 50), n_queries) + 100 * (own % 2) * draw.integers(0, 2)
    return values, groups


def test_one_query_per_group_agrees_with_scipy():
    values = np.random.default_rng(0).random(200) < 0.3
    theirs = stats.bootstrap((values.astype(float),), np.mean, n_resamples=4000, method="percentile", rng=1)
    low, high = bootstrap_ci(values, [str(place) for place in range(200)], resamples=4000, seed=2)
    assert low == pytest.approx(theirs.confidence_interval.low, abs=0.012)
    assert high == pytest.approx(theirs.confidence_interval.high, abs=0.012)


def test_clustering_widens_the_interval():
    """Ten copies of each query are no new evidence."""
    values = np.repeat(np.random.default_rng(0).random(50) < 0.5, 10)
    low, high = bootstrap_ci(values, [str(place // 10) for place in range(500)])
    naive = bootstrap_ci(values, [str(place) for place in range(500)])
    assert high - low > 2.5 * (naive[1] - naive[0])


@pytest.mark.filterwarnings("error")
def test_means_and_medians_are_those_of_the_resamples_written_out():
    draw = np.random.default_rng(3)
    for seed in range(60):
        values, groups = uneven(draw)
        means = resampled_means(values, groups, 5, seed)[..., 0]
        medians = resampled_medians(values, groups, 5, seed)
        for number, drawn in enumerate(written_out(values, groups, 5, seed)):
            assert means[number] == pytest.approx([own.mean() if len(own) else np.nan for own in drawn], nan_ok=True)
            expected = [np.median(own) if len(own) else np.nan for own in drawn]
            assert np.array_equal(medians[number], expected, equal_nan=True)


def test_medians_of_figures_that_follow_their_group_are_exact_far_from_the_middle():
    """Two huge groups decide: in most resamples the median stands far from the middle of all figures."""
    values = {"de": np.arange(900.0)}
    groups = {"de": ["low"] * 440 + [f"g{place}" for place in range(20)] + ["high"] * 440}
    found = resampled_medians(values, groups, 50, seed=0)[:, 0]
    assert found.min() < 300 and found.max() > 600
    assert list(found) == [np.median(own) for (own,) in written_out(values, groups, 50, seed=0)]


def test_a_median_s_interval_agrees_with_scipy():
    values = np.random.default_rng(0).geometric(0.02, 300).astype(float)
    theirs = stats.bootstrap((values,), np.median, n_resamples=4000, method="percentile", rng=1).confidence_interval
    ours = interval(resampled_medians({"de": values}, {"de": [str(place) for place in range(300)]}, 4000, seed=2))
    assert ours == (pytest.approx(theirs.low, abs=2), pytest.approx(theirs.high, abs=2))


def test_a_language_without_a_query_in_a_resample_is_left_out_of_the_mean():
    samples = np.array([[[1.0], [np.nan]], [[1.0], [3.0]]])
    assert mean_over_languages(samples).tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize("n_seeds", [1, 2, 3, 5])
def test_a_mean_over_drawn_seeds_varies_as_a_mean_over_seeds_does(n_seeds):
    seeds = np.random.default_rng(n_seeds).normal(0, 1, n_seeds)
    weights = seed_weights(n_seeds, 40000, np.random.default_rng(0))
    assert weights.shape == (40000, n_seeds) and weights.sum(axis=1) == pytest.approx(1)
    expected = seeds.var(ddof=1) / n_seeds if n_seeds > 1 else 0
    assert np.var(weights @ seeds) == pytest.approx(expected, rel=0.03)
    assert np.mean(weights @ seeds) == pytest.approx(seeds.mean(), abs=0.02)
