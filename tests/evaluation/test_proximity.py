"""Gain against language distance: the table, the user's files, and correlations against scipy."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy import stats

from mmcs.errors import DataError, UserError
from mmcs.evaluation.proximity import TABLE, Distances, proximity, read_distances

pytestmark = pytest.mark.filterwarnings("error")

CODES = "ar bn cs da de el es fa fi fil fr he hi hr hu id it ja ko mi nl no pl pt ro ru sv sw ta te th tr uk vi zh"
XM3600 = CODES.split()  # without English, and Cusco Quechua, of which too little is known


def related(n_languages, noise=0.3, seed=0):
    """Distances under the names of real languages, and gains that grow with them."""
    draw = np.random.default_rng(seed)
    values = dict(zip(XM3600, draw.random(n_languages), strict=False))
    gains = {language: 0.1 * value + noise * 0.1 * draw.normal() for language, value in values.items()}
    return gains, Distances(values, "made")


def written(tmp_path, text):
    path = tmp_path / "distances.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_table_covers_xm3600_names_its_source_and_orders_languages_sensibly():
    distances = read_distances()
    assert "URIEL" in distances.source
    assert not [language for language in XM3600 if distances.get(language) is None]
    assert distances.get("quz") is None and distances.get("en") is None
    assert distances.get("zh-Hans") == distances.get("zh-Hant") == distances.get("cmn") == distances.get("zh")
    order = [distances.get(language) for language in ("sv", "de", "fr", "fi", "hi", "ja", "sw")]
    assert order == sorted(order) and order[0] > 0 and order[-1] < 1
    head = TABLE.read_text(encoding="utf-8").split("language,")[0]
    assert "lang2vec 1.1.2" in head and "CC BY-SA 4.0" in head


def test_the_table_s_iso_codes_are_its_languages():
    rows = list(csv.DictReader(line for line in TABLE.read_text(encoding="utf-8").splitlines() if line[0] != "#"))
    assert len(rows) > 75 and all(26 <= int(row["measured"]) <= 103 for row in rows)
    by_code = Distances({row["iso639_3"]: float(row["distance"]) for row in rows if row["iso639_3"] != "hbs"}, "")
    for row in rows:
        if row["iso639_3"] != "hbs":  # Serbo-Croatian stands for three
            assert by_code.get(row["language"]) == float(row["distance"])


@pytest.mark.parametrize(
    "text",
    [
        "language,distance\nde,0.1\nzh,0.4\nsw,0.5\n",
        "# my own\n\nDistance;name;Language\n0.1;German;deu\n0.4;;cmn\n0.5;Swahili;swh\n",
        "\ufefflanguage\tdistance\nde\t0.1\nzho\t0.4\nswa\t0.5\n",
        "deu,0.1\ncmn,0.4\nswh,0.5\n",
        ',eng,deu,cmn,swh\neng,0,0.1,0.4,0.5\n"deu",0.1,0,0.3,0.4\ncmn,0.4,0.3,0,0.2\nswh,0.5,0.4,0.2,0\n',
    ],
)
def test_the_user_s_own_distances_are_read_under_any_code(tmp_path, text):
    distances = read_distances(written(tmp_path, text))
    assert [distances.get(language) for language in ("de", "zh-Hans", "zh", "sw", "fi")] == [0.1, 0.4, 0.4, 0.5, None]
    assert distances.source == "distances.csv"


def test_the_most_exact_code_wins():
    distances = Distances({"zh": 0.3, "yue": 0.35, "zh-Hant": 0.4, "pt-BR": 0.2}, "")
    found = [distances.get(language) for language in ("zh-Hant", "zh-Hans", "yue", "zh", "pt", "pt-PT")]
    assert found == [0.4, 0.3, 0.35, 0.3, 0.2, 0.2]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tag,far\nde,0.1\n", "needs the columns language and distance.*it has tag, far"),
        ("language,distance\nde,far\n", "line 2: 'far' is no distance"),
        ("language,distance\nde,-1\n", "line 2: '-1' is no distance"),
        ("language,distance\nde,nan\n", "line 2: 'nan' is no distance"),
        ("# so\nlanguage,distance\nde,0.1\ndeu,0.2\n", "line 4 names deu a second time"),
        ("language,distance\nGerman language,0.1\n", "line 2: 'German language' is no language tag"),
        ("language,distance\nde\n", "line 2 has 1 values"),
        ("# nothing\n", "holds no distances"),
    ],
)
def test_what_is_no_table_of_distances_is_refused_with_its_line(tmp_path, text, sentence):
    with pytest.raises(DataError, match=sentence):
        read_distances(written(tmp_path, text))


def test_a_missing_or_foreign_file_is_told(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_distances(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("language,distance\nde,0.1\n# Sprachenähe\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_distances(tmp_path / "latin.csv")


def test_both_correlations_are_scipy_s():
    gains, distances = related(30)
    found = proximity(gains | {"en": 9.0, "quz": 1.0}, distances)
    x, y = [distances.values[language] for language in gains], list(gains.values())
    pearson, spearman = stats.pearsonr(x, y), stats.spearmanr(x, y)
    assert (found.pearson.value, found.pearson.p_value) == pytest.approx((pearson.statistic, pearson.pvalue))
    assert (found.spearman.value, found.spearman.p_value) == pytest.approx((spearman.statistic, spearman.pvalue))
    assert found.distances == sorted(x) and len(found.languages) == 30 and found.note == ""
    assert dict(zip(found.languages, found.gains, strict=True)) == gains
    assert found.unknown == ["quz"] and found.source == "made"


@pytest.mark.parametrize("correlation", ["pearson", "spearman"])
def test_the_intervals_are_scipy_s_bootstrap_over_languages(correlation):
    gains, distances = related(20)
    statistic = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[correlation]
    theirs = stats.bootstrap(
        ([distances.values[language] for language in gains], list(gains.values())),
        lambda x, y: statistic(x, y).statistic,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=2000,
        rng=1,
    ).confidence_interval
    ours = getattr(proximity(gains, distances), correlation)
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=0.03), pytest.approx(theirs.high, abs=0.03))


@pytest.mark.parametrize("n_languages", [4, 6])
def test_few_languages_get_the_exact_p_value_of_all_orders(n_languages):
    gains, distances = related(n_languages, noise=1.0, seed=n_languages)
    gains["ar"] = gains["bn"]  # a tie
    x, y = [distances.values[language] for language in gains], list(gains.values())
    theirs = stats.permutation_test(
        (y,), lambda own: stats.spearmanr(x, own).statistic, permutation_type="pairings", n_resamples=np.inf
    )
    assert proximity(gains, distances).spearman.p_value == pytest.approx(theirs.pvalue, abs=1e-9)


def test_fewer_than_four_languages_tell_nothing():
    gains, distances = related(3)
    found = proximity(gains, distances)
    assert found.pearson is None and found.spearman is None and len(found.languages) == 3
    assert found.note.startswith("from 3 languages it cannot be told")
    assert proximity({"en": 0.1}, distances).note.startswith("from 0 languages")


def test_equal_gains_or_distances_tell_nothing():
    gains, distances = related(6)
    assert proximity(dict.fromkeys(gains, 0.1 + 0.2) | {"ar": 0.3}, distances).note.startswith("all gains are equal")
    assert proximity(gains, Distances(dict.fromkeys(gains, 1.0), "")).note.startswith("all distances are equal")
    assert proximity(dict.fromkeys(gains, 0.0), distances).pearson is None
    with pytest.raises(ValueError, match="the gain of ar is not a finite number"):
        proximity(gains | {"ar": np.nan}, distances)
