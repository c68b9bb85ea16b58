"""``mmcs compare`` on synthetic runs whose true differences are known: it says yes, no and cannot tell rightly."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image
from rich.console import Console
from toy_runs import CONFIG, make_run

from mmcs.cli import main
from mmcs.errors import DataError, UserError
from mmcs.evaluation.results import write_results
from mmcs.report.compare import compare
from mmcs.report.settings import compare_settings
from mmcs.report.terminal import show
from mmcs.report.words import summary, verdict


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    noise = {
        "untouched": {"en": 2.2, "de": 3.4, "hi": 3.6, "he": 3.5},
        "zero_shot": {"en": 1.7, "de": 3.0, "hi": 3.2, "he": 3.0},
        "two_view": {"en": 1.68, "de": 2.2, "hi": 2.4, "he": 3.02},
        "shuffled_lexicon": {"en": 1.9, "de": 3.0, "hi": 3.2, "he": 3.6},
    }
    return {name: make_run(root / name, name, own) for name, own in noise.items()}


def answers(comparison):
    part = comparison.suites[0]
    return {(claim.first, claim.second, claim.of): verdict(claim, part).answer for claim in part.claims}


def test_known_differences_are_told_rightly(runs):
    comparison = compare(list(runs.values()))
    assert comparison.baseline.experiment == "zero_shot"
    found = answers(comparison)
    control = "two views, shuffled lexicon (control)"
    assert found["two views", "English only", "seen"] == "yes"
    assert found["two views", "English only", "unseen"] in ("cannot tell", "no difference")
    assert found["two views", "English only", "en"] in ("gains", "not hurt")
    assert found["two views", control, "seen"] == "yes"
    assert found[control, "English only", "unseen"] == "no, worse"
    assert found[control, "English only", "en"] == "hurt"
    text = summary(comparison)[0]
    assert text.startswith(
        "“Two views” against “English only” on toy (test): it helps the 2 languages with a lexicon (+"
    )
    assert f"In the 2 languages with a lexicon it is better than “{control}” (+" in text and "One seed each" in text
    assert comparison.difference("two_view", "shuffled_lexicon", "seen").low > 0
    with pytest.raises(KeyError):
        comparison.difference("two_view", "word_drop", "seen")


def test_no_effect_and_small_data_cannot_be_told(tmp_path):
    noise = {"en": 1.7, "de": 2.5}
    better = {"en": 1.72, "de": 2.45}
    pair = [
        make_run(tmp_path / "a", "zero_shot", noise, n=60),
        make_run(tmp_path / "b", "ml_cs", better, n=60, seed=1),
    ]
    comparison = compare(pair)
    assert "for the 1 language with a lexicon one cannot tell" in summary(comparison)[0]
    assert "No control run" in summary(comparison)[0]
    worse = make_run(tmp_path / "c", "ml_cs", {"en": 2.6, "de": 5.0}, n=240)
    base = make_run(tmp_path / "d", "zero_shot", noise, n=240)
    text = summary(compare([base, worse]))[0]
    assert "English is hurt" in text and "it hurts the 1 language" in text


def test_seeds_are_pooled_and_their_spread_shown(tmp_path):
    noise, better = {"en": 1.7, "de": 2.6}, {"en": 1.7, "de": 2.2}
    folders = [make_run(tmp_path / f"z{seed}", "zero_shot", noise, seed, n=200) for seed in range(3)]
    folders += [make_run(tmp_path / f"t{seed}", "two_view", better, seed, n=200) for seed in range(2)]
    comparison = compare(folders, out=tmp_path / "report.html")
    assert [len(system.runs) for system in comparison.systems] == [3, 2]
    cell = comparison.suites[0].cells["image_retrieval"]["English only"]["de"]
    singles = [
        compare([folder, folders[3]]).suites[0].cells["image_retrieval"]["English only"]["de"] for folder in folders[:3]
    ]
    values = [single.figures["recall@10"][0] for single in singles]
    assert cell.figures["recall@10"][0] == pytest.approx(sum(values) / 3)
    assert cell.spread == pytest.approx(torch.tensor(values).std().item(), rel=1e-5)
    assert singles[0].spread is None
    assert "over seeds" in (tmp_path / "report.html").read_text()
    assert "One seed" not in summary(comparison)[0]
    alone = compare(folders[:3])
    assert len(alone.systems) == 1 and alone.suites[0].claims == []


def test_unequal_settings_are_warned_about_and_not_pooled(tmp_path):
    noise = {"en": 1.7, "de": 2.6}
    base = make_run(tmp_path / "z", "zero_shot", noise, n=60)
    other = {**CONFIG, "optim": {"lr": 0.01}}
    tuned = make_run(tmp_path / "t", "two_view", noise, n=60, config=other)
    plain = make_run(tmp_path / "u", "two_view", noise, n=60, seed=1)
    comparison = compare([base, tuned, plain], out=tmp_path / "r.html")
    assert [system.label for system in comparison.systems][1:] == [
        f"two views, {tmp_path.name}/t",
        f"two views, {tmp_path.name}/u",
    ]
    assert list(comparison.settings.unequal) == ["optim.lr"]
    assert list(comparison.settings.method) == ["codeswitch.strategy"]
    assert comparison.settings.equal == {"data.batch_size": "512"}
    assert "Not a fair comparison" in (tmp_path / "r.html").read_text()


def test_settings_are_sorted_by_kind():
    found = compare_settings({"a": {"optim": {"lr": 1}, "loss": {"w": 1}}, "b": {"optim": {}, "loss": {"w": 2}}})
    assert found.unequal["optim.lr"] == {"a": "1", "b": "–"} and found.method["loss.w"] == {"a": "1", "b": "2"}


def test_runs_that_cannot_be_compared_are_refused_in_a_sentence(runs, tmp_path):
    noise = {"en": 1.7, "de": 2.6, "hi": 2.0, "he": 2.0}
    few = make_run(tmp_path / "few", "two_view", noise, n=60)
    with pytest.raises(UserError, match=r"their queries of toy \(test\), en, image retrieval differ \(300 and 60\)"):
        compare([runs["zero_shot"], few])
    poor = make_run(tmp_path / "poor", "two_view", {"en": 1.7, "de": 2.6}, n=240)
    with pytest.raises(UserError, match=r"only .*zero_shot has figures of toy \(test\), he"):
        compare([runs["zero_shot"], poor])
    with pytest.raises(UserError, match="named twice"):
        compare([runs["zero_shot"], runs["zero_shot"]])
    with pytest.raises(UserError, match="name at least one"):
        compare([])
    with pytest.raises(UserError, match="is none of the runs"):
        compare([runs["zero_shot"], runs["two_view"]], baseline=few)
    assert compare([runs["zero_shot"], runs["two_view"]], baseline=runs["two_view"]).baseline.experiment == "two_view"
    (poor / "results.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        compare([runs["zero_shot"], poor])
    bare = tmp_path / "bare"
    write_results(bare, "m", "two_view", 0, {}, [])
    with pytest.raises(UserError, match=r"does not say what was ranked.*evaluate the run again"):
        compare([runs["zero_shot"], bare])


class Page(HTMLParser):
    """What the tests ask of the page: tags with attributes, balanced."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.words = [], [], []
        self.feed(text)
        assert not self.open, f"unclosed {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "img", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def jpeg(name):
    """A plain picture per image, none for one in five."""
    number = int(name.split()[1])
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 256, 80, 120)).save(buffer, "JPEG")
    return None if number % 5 == 0 else buffer.getvalue()


def test_the_page_is_whole_self_contained_and_accessible(runs, tmp_path):
    compare(list(runs.values()), out=tmp_path / "deep" / "report.html", pictures=jpeg)
    text = (tmp_path / "deep" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]+\.[a-z]|<script|<link|@import|\bsrc=\"(?!data:)", text)
    page = Page(text)
    assert ("html", {"lang": "en"}) in page.tags
    assert any(tag == "meta" and attrs.get("name") == "viewport" for tag, attrs in page.tags)
    assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img")
    assert all(attrs.get("aria-label") for tag, attrs in page.tags if tag == "svg")
    assert all(attrs.get("scope") for tag, attrs in page.tags if tag == "th")
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    used = {attrs["href"][1:] for tag, attrs in page.tags if tag == "use"}
    assert used and used <= set(ids)
    words = " ".join(page.words)
    for expected in ("German", "Hindi", "Hebrew", "mean of 2 languages with a lexicon", "caption <", "trec_eval"):
        assert expected in words
    assert any(tag == "img" for tag, _ in page.tags)


def test_the_page_without_pictures_shows_captions_and_ranks(runs, tmp_path):
    compare([runs["zero_shot"], runs["two_view"]], out=tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<img" not in text and "caption &lt;" in text


def test_one_run_alone_gets_its_figures(runs, tmp_path):
    comparison = compare([runs["two_view"]], out=tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    text = " ".join(page.words)
    assert "Retrieval per language: two views" in text and "Better for" not in text and "German" in text
    value = comparison.suites[0].cells["image_retrieval"]["two views"]["seen"].figures["recall@10"][0]
    assert f"{100 * value:.1f} %" in summary(comparison)[0] and "2 languages with a lexicon" in summary(comparison)[0]
    show(comparison, Console(file=io.StringIO(), markup=False))


def test_the_command_prints_tables_and_writes_the_page(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    out = tmp_path / "r.html"
    assert main(["compare", str(runs["zero_shot"]), str(runs["two_view"]), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "German" in printed and "with a lexicon" in printed and "Report:" in printed and out.is_file()
    assert main(["compare", str(runs["zero_shot"]), str(tmp_path / "no"), "--out", str(out)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["compare", str(runs["zero_shot"]), str(runs["two_view"]), "--out", str(tmp_path)]) == 2


def test_brackets_in_labels_survive_the_terminal(runs):
    console = Console(file=io.StringIO(), width=200, markup=False)
    show(compare([runs["zero_shot"], runs["two_view"]]), console)
    assert "%" in console.file.getvalue() and "[95 % interval]" in console.file.getvalue()
