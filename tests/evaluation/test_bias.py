"""Shares of languages among the first k against counting by hand, a naive bootstrap and known preferences."""

from __future__ import annotations

import numpy as np
import pytest

from mmcs.evaluation.bias import language_shares

pytestmark = pytest.mark.filterwarnings("error")


def test_shares_are_counts():
    found = language_shares([["de", "en"], ["en", "en"]], ["en", "en", "de", "fi", "fi", "fi"], ["a", "b"])
    assert list(found) == ["fi", "en", "de"]
    assert {language: (share.top, share.gallery) for language, share in found.items()} == {
        "fi": (0, 0.5),
        "en": (0.75, pytest.approx(1 / 3)),
        "de": (0.25, pytest.approx(1 / 6)),
    }
    assert found["en"].difference[0] == pytest.approx(0.75 - 1 / 3)
    assert found["en"].ratio[0] == pytest.approx(2.25)
    assert (found["en"].low, found["en"].high) == (0.5, 1)
    assert found["en"].difference[1:] == pytest.approx((0.5 - 1 / 3, 1 - 1 / 3))
    assert found["en"].ratio[1:] == pytest.approx((1.5, 3))
    assert (found["fi"].ratio, found["fi"].difference) == ((0, 0, 0), (-0.5, -0.5, -0.5))


def test_the_interval_is_that_of_groups_drawn_in_plain_loops():
    draw = np.random.default_rng(0)
    groups = [f"g{place // 4}" for place in range(120)]
    tilt = np.repeat(draw.random(30), 4)
    top = np.where(draw.random((120, 5)) < tilt[:, None], "de", "en")
    samples = []
    for _ in range(2000):
        drawn = draw.integers(0, 30, 30)
        samples.append(np.mean(np.concatenate([top[4 * group : 4 * group + 4] for group in drawn]) == "de"))
    found = language_shares(top, ["de", "en"], groups, resamples=2000)["de"]
    low, high = np.quantile(samples, [0.025, 0.975])
    assert (found.low, found.high) == (pytest.approx(low, abs=0.015), pytest.approx(high, abs=0.015))
    alone = language_shares(top, ["de", "en"], [str(place) for place in range(120)])["de"]
    assert found.high - found.low > 1.4 * (alone.high - alone.low)


def test_a_blind_model_has_no_preference_and_a_biased_one_has():
    draw = np.random.default_rng(1)
    gallery = draw.choice(["en", "de", "fi"], 600, p=[0.5, 0.3, 0.2])
    groups = [str(place) for place in range(400)]
    blind = language_shares(gallery[draw.integers(0, 600, (400, 10))], gallery, groups)
    assert all(share.low < share.gallery < share.high for share in blind.values())
    biased = np.argsort(-(draw.random((400, 600)) + 0.1 * (gallery == "en")), axis=1)[:, :10]
    assert language_shares(gallery[biased], gallery, groups)["en"].difference[1] > 0.2


@pytest.mark.parametrize(
    ("top", "groups", "sentence"),
    [
        ([["sw"]], ["a"], "sw is found, but no item of the gallery is in it"),
        ([["zz"]], ["a"], "zz is found"),
        (["de"], ["a"], r"must be \(queries, k\)"),
        ([["de"]], ["a", "b"], r"must be \(queries, k\)"),
        (np.zeros((0, 5)), [], r"must be \(queries, k\)"),
    ],
)
def test_what_cannot_be_counted_is_refused(top, groups, sentence):
    with pytest.raises(ValueError, match=sentence):
        language_shares(top, ["de", "en"], groups)
