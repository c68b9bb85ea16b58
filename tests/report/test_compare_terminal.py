"""What ``mmcs compare`` prints: few and narrow lines, whatever is compared."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from toy_runs import make_run

from mmcs.report.compare import compare
from mmcs.report.terminal import show

NAMES = (
    "zero_shot",
    "ml_cs",
    "two_view",
    "shuffled_lexicon",
    "word_drop",
    "english_twice",
    "translate_train",
    "wiki_cs",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("terminal")
    noise = {"en": 1.7, "de": 2.6, "hi": 2.6, "he": 2.6}
    return [
        make_run(root / name, name, {key: own - 0.1 * place for key, own in noise.items()}, n=40)
        for place, name in enumerate(NAMES)
    ]


def printed(comparison, width):
    console = Console(file=io.StringIO(), width=width, markup=False)
    show(comparison, console)
    return console.file.getvalue().splitlines()


def test_a_claim_takes_one_line_at_80_columns(runs):
    comparison = compare([runs[0], runs[2], runs[3]])
    lines = printed(comparison, 80)
    assert max(map(len, lines)) <= 80
    claims = comparison.suites[0].claims
    assert len(claims) == 8
    found = [
        line
        for line in lines
        if line.startswith(("2 with a lexicon", "Hebrew", "1 without", "English")) and "[" in line
    ]
    assert len(found) == len(claims) + 2  # English and Hebrew have a line of figures each
    start = lines.index(next(line for line in lines if line.startswith("Claims")))
    end = lines.index(next(line for line in lines if line.startswith("“")))
    assert end - start <= 3 + 2 * 3 + len(claims) + 2


def test_more_systems_than_fit_lose_intervals_then_names(runs):
    three, eight = compare(runs[:3]), compare(runs)
    wide, narrow = printed(three, 120), printed(three, 60)
    assert "image retrieval, recall@10 in % [95 % interval]" in wide[3].strip()
    german = next(line for line in narrow if line.startswith("German"))
    assert "[" not in german and len(german.replace("▲", "").split()) == 4
    lines = printed(eight, 80)
    assert " ".join(lines[:4]).startswith("1 English only; 2 many languages switched in; 3 two views;")
    german = next(line for line in lines if line.startswith("German"))
    assert len(german.replace("▲", "").replace("▼", "").split()) == 9 and max(map(len, lines)) <= 80


def test_the_spread_over_seeds_stands_beside_the_interval(tmp_path):
    noise = {"en": 1.7, "de": 2.6}
    seeds = [make_run(tmp_path / str(seed), "two_view", noise, seed, n=40) for seed in range(2)]
    comparison = compare(seeds)
    spread = comparison.suites[0].cells["image_retrieval"]["two views"]["de"].spread
    text = "\n".join(printed(comparison, 100))
    assert "± spread over seeds" in text and f"±{100 * spread:.1f}" in text
