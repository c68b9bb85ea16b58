"""The numbers of ``mmcs compare`` against naive computations and scipy: differences, families, seeds, protocols, proximity."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats
from toy_runs import CONFIG, make_run

from mmcs.errors import UserError
from mmcs.evaluation.statistics import holm, non_inferiority
from mmcs.evaluation.trec import Queries, read_queries
from mmcs.report.cells import cells
from mmcs.report.compare import compare
from mmcs.report.words import significance_note, summary, verdict

BASE = {"en": 1.7, "de": 3.0, "hi": 3.2, "he": 3.0, "fi": 2.9, "ja": 3.1}
BETTER = {"en": 1.68, "de": 2.2, "hi": 3.1, "he": 3.02, "fi": 2.7, "ja": 3.0}
CONTROL = {"en": 1.9, "de": 3.0, "hi": 3.2, "he": 3.6, "fi": 3.0, "ja": 3.1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("statistics")
    own = {"zero_shot": BASE, "two_view": BETTER, "shuffled_lexicon": CONTROL}
    return {name: make_run(root / name, name, noise, n=120) for name, noise in own.items()}


@pytest.fixture(scope="module")
def part(runs):
    return compare(list(runs.values())).suites[0]


def hits(folder, language, k=10, protocol="all_captions"):
    """Whether each query is answered, straight out of the file, ordered by id; and the queries' groups."""
    file = f"toy.test.{protocol}.image_retrieval.{language}.image.queries.tsv"
    queries = read_queries(folder / "retrieval" / file, None)
    order = np.argsort(queries.ids)
    return (queries.ranks[order] <= k).astype(float), [queries.groups[place] for place in order]


def test_a_languages_verdict_is_the_paired_t_test_of_its_groups(runs, part):
    ours, groups = hits(runs["two_view"], "de")
    theirs, _ = hits(runs["zero_shot"], "de")
    own = part.verdicts["two views"]["de"].difference
    assert own.value == pytest.approx((ours - theirs).mean())
    sums = dict.fromkeys(groups, 0.0)
    for group, one in zip(groups, ours - theirs, strict=True):
        sums[group] += one
    assert own.p_value == pytest.approx(stats.ttest_1samp(list(sums.values()), 0).pvalue)
    assert (own.n_queries, own.n_groups) == (120, 60)


def test_languages_are_one_family_of_their_own_corrected_by_holm(part):
    every = [own for languages in part.verdicts.values() for own in languages.values()]
    assert list(part.verdicts) == ["two views", "two views, shuffled lexicon (control)"]
    assert len(every) == 12 and all(own.secondary and own.n_tests == 12 for own in every)
    assert [own.corrected for own in every] == pytest.approx(holm([own.difference.p_value for own in every]))
    for own in every:
        clear = own.corrected < 0.05 and (own.difference.low > 0 or own.difference.high < 0)
        assert (own.verdict != "cannot tell yet") == clear
        assert own.needed is None if clear else own.needed is None or own.needed > 0
    assert part.verdicts["two views"]["de"].verdict == "helps"
    assert any(own.verdict == "cannot tell yet" and own.needed > 120 for own in every if own.needed)


def test_claims_are_one_family_and_english_asks_whether_it_is_lost(part):
    claims = part.claims
    control = "two views, shuffled lexicon (control)"
    assert [(claim.first, claim.second, claim.of) for claim in claims] == [
        *(("two views", "English only", of) for of in ("seen", "unseen", "en")),
        *(("two views", control, of) for of in ("seen", "unseen")),
        *((control, "English only", of) for of in ("seen", "unseen", "en")),
    ]
    for claim in claims:
        assert claim.n_claims == len(claims) == 8
        assert claim.corrected == min(1.0, 8 * claim.p_value)
        if claim.of == "en":
            lost = non_inferiority(claim.difference, margin=0.01)
            assert claim.not_lost == lost and claim.p_value == min(1.0, 2 * lost.p_value)
        else:
            assert claim.not_lost is None and claim.p_value == claim.difference.p_value


def test_an_answer_that_does_not_stand_the_correction_is_only_possible(runs, tmp_path):
    slightly = {**BASE, "de": 2.9, "hi": 3.2}
    own = make_run(tmp_path / "t", "two_view", slightly, n=120)
    comparison = compare([runs["zero_shot"], own, runs["shuffled_lexicon"]])
    part = comparison.suites[0]
    claim = next(claim for claim in part.claims if (claim.of, claim.against_control) == ("seen", False))
    assert claim.difference.low > 0 and claim.p_value < 0.05 < claim.corrected  # else the test shows nothing
    assert significance_note(claim) == "not significant after correction for 8 claims"
    assert verdict(claim, part).answer == "yes, uncorrected" and verdict(claim, part).kind == "open"
    text = summary(comparison)[0]
    assert "it may help the 2 languages with a lexicon (+" in text and "corrected for 8 claims" in text


def test_seeds_are_averaged_per_query_and_drawn_anew_for_the_interval(tmp_path):
    noise, better = {"en": 1.7, "de": 2.6}, {"en": 1.7, "de": 2.3}
    ours = [make_run(tmp_path / f"t{seed}", "two_view", better, seed, n=80) for seed in range(3)]
    base = make_run(tmp_path / "z", "zero_shot", noise, n=80)
    part = compare([base, *ours]).suites[0]
    cell = part.cells["image_retrieval"]["two views"]["de"]
    values = [hits(folder, "de")[0].mean() for folder in ours]
    assert cell.figures["recall@10"][0] == pytest.approx(np.mean(values))
    assert cell.spread == pytest.approx(np.std(values, ddof=1))
    own = part.verdicts["two views"]["de"].difference
    assert own.n_seeds == (3, 1) and own.spread[0] == pytest.approx(cell.spread) and own.spread[1] is None
    assert own.value == pytest.approx(np.mean(values) - hits(base, "de")[0].mean())


def test_seeds_that_disagree_widen_a_systems_interval():
    groups = [f"g{number}" for number in range(50)]
    sure, lost = (answered(groups, np.full(50, rank)) for rank in (1, 100))
    assert cells({"de": [sure, sure]}, {})["de"].figures["recall@10"] == (1.0, 1.0, 1.0)
    found = cells({"de": [sure, lost]}, {})["de"]
    assert found.figures["recall@10"] == (0.5, 0.0, 1.0) and found.spread == pytest.approx(0.5**0.5)


def answered(groups, ranks):
    return Queries(None, groups, groups, ranks, np.where(ranks <= 10, 1.0, 0.0), [""] * len(groups))


def test_one_group_alone_gives_no_interval(tmp_path):
    run = make_run(tmp_path / "z", "zero_shot", {"en": 0.1}, n=2)
    cell = compare([run]).suites[0].cells["image_retrieval"]["English only"]["en"]
    assert cell.figures["recall@10"][1:] == (0.0, 1.0)


def test_all_captions_are_compared_and_other_protocols_stand_beside(tmp_path):
    both = ("first_caption", "all_captions")
    pair = [
        make_run(tmp_path / name, name, noise, n=60, captions=2, protocols=both)
        for name, noise in (("zero_shot", {"en": 1.5, "de": 2.6}), ("two_view", {"en": 1.5, "de": 2.2}))
    ]
    part = compare(pair).suites[0]
    assert part.protocol == "all_captions" and part.n_queries["image_retrieval"]["de"] == 120
    other = part.other_protocols["first_caption"]["image_retrieval"]["two views"]
    assert other["de"].figures["recall@10"][0] == pytest.approx(hits(pair[1], "de", protocol="first_caption")[0].mean())
    first = compare(pair, protocol="first_caption").suites[0]
    assert first.protocol == "first_caption" and list(first.other_protocols) == ["all_captions"]
    assert first.cells["image_retrieval"]["two views"]["de"] == other["de"]
    assert first.n_queries["image_retrieval"]["de"] == 60
    with pytest.raises(UserError, match=r"under the protocol 'beir' \(known: all_captions, first_caption\)"):
        compare(pair, protocol="beir")
    alone = make_run(tmp_path / "one", "ml_cs", {"en": 1.5, "de": 2.2}, n=60, captions=2, protocols=both[:1])
    mixed = compare([pair[0], alone]).suites[0]
    assert mixed.protocol == "first_caption" and mixed.other_protocols == {}
    single = make_run(tmp_path / "all", "wiki_cs", {"en": 1.5, "de": 2.2}, n=60, captions=2)
    with pytest.raises(
        UserError, match=r"share no protocol on toy \(test\): .*one: first_caption, .*all: all_captions"
    ):
        compare([alone, single])


def test_what_must_be_said_beside_a_suite_is_brought_once(tmp_path):
    noise, note = {"en": 1.5, "de": 2.6}, "800 of its images were trained on."
    pair = [make_run(tmp_path / name, name, noise, n=40, notes=[note]) for name in ("zero_shot", "two_view")]
    assert compare(pair).suites[0].notes == [note]


def test_gains_stand_against_distances_where_four_languages_have_one(runs, part, tmp_path):
    own = part.proximity["two views"]
    assert list(part.proximity) == ["two views"]  # the control is no candidate
    assert sorted(own.languages) == ["de", "fi", "he", "hi", "ja"] and own.distances == sorted(own.distances)
    assert dict(zip(own.languages, own.gains, strict=True)) == pytest.approx(
        {language: part.verdicts["two views"][language].difference.value for language in own.languages}
    )
    table = tmp_path / "mine.csv"
    table.write_text("de,0.1\nfi,0.2\nja,0.3\n")
    assert compare(list(runs.values()), distances=table).suites[0].proximity == {}
    table.write_text("de,0.1\nfi,0.2\nja,0.3\nhi,0.4\n")
    mine = compare(list(runs.values()), distances=table).suites[0].proximity["two views"]
    assert mine.languages == ["de", "fi", "ja", "hi"] and mine.source == "mine.csv" and mine.unknown == ["he"]


def test_systems_of_one_experiment_are_told_apart_by_as_much_of_their_path_as_it_takes(tmp_path):
    noise = {"en": 1.5, "de": 2.6}
    places = [tmp_path / first / "two_view" / "0" for first in ("a", "b")]
    folders = [
        make_run(folder, "two_view", noise, n=40, config={**CONFIG, "optim": {"lr": number}})
        for number, folder in enumerate(places)
    ]
    labels = [system.label for system in compare(folders).systems]
    assert labels == ["two views, a/two_view/0", "two views, b/two_view/0"]


def test_results_that_do_not_name_their_rankings_are_to_be_evaluated_again(runs, tmp_path):
    old = make_run(tmp_path / "old", "ml_cs", {"en": 1.5}, n=20)
    content = json.loads((old / "results.json").read_text())
    del content["rankings"]
    (old / "results.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"old does not say what was ranked.*; evaluate the run again\.$"):
        compare([old])
