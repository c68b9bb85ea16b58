"""The report's page as HTML: whole, self-contained, accessible by its structure, and its figures are the comparison's."""

from __future__ import annotations

import io
import itertools
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_world import NOTE, QUALITY, write_run, write_world
from small_world import add

from mmcs.evaluation.ranking import About
from mmcs.report.compare import compare
from mmcs.report.examples import examples
from mmcs.report.further import Further
from mmcs.report.names import language_name
from mmcs.report.page import write_page
from mmcs.report.words import points, summary

LANGUAGES = ("en", "de", "fi", "hi", "he", "zh-Hans")
EMPTY = ("meta", "br", "img")
SECTIONS = ("answers", "languages", "recall", "map", "distance", "further", "terms", "examples")


class Page(HTMLParser):
    """Tags with attributes in their order, text by the tag that holds it; unbalanced tags are an error."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.feed(text)
        assert not self.open, f"unclosed {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((list(self.open), data))

    @property
    def words(self):
        return " ".join(" ".join(data for _, data in self.texts).split())

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def read(path):
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def runs(world):
    return [write_run(world, name, richly=name in ("zero_shot", "two_view")) for name in QUALITY]


@pytest.fixture(scope="module")
def compared(world, runs):
    terms = world / "terms.txt"
    terms.write_text("circle\nde\tKreis\nnowhere\n")
    comparison = compare(runs, out=world / "report.html", terms=terms)
    return comparison, world / "report.html"


def test_the_page_is_whole_and_needs_nothing_but_itself(compared):
    text = compared[1].read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert not re.search(r"https?:|<script|<link|@import|\bsrc=\"(?!data:)|url\((?!#)", text)
    page = Page(text)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {attrs["href"][1:] for _, attrs in page.tags if "href" in attrs}
    assert links <= set(ids) and {f"suite0-{section}" for section in SECTIONS} <= links
    assert {attrs["aria-labelledby"] for attrs in page.all("section")} <= set(ids)


def test_its_structure_serves_keyboards_and_screen_readers(compared):
    page = read(compared[1])
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("nav")) == 1
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(attrs.get("aria-label") for attrs in page.all("svg") + page.all("nav"))
    assert all(attrs["role"] == "img" for attrs in page.all("svg"))
    assert all(attrs.get("alt") for attrs in page.all("img"))
    assert all(attrs.get("scope") for attrs in page.all("th"))
    scrolled = [attrs for attrs in page.all("div") if attrs.get("class") == "scroll"]
    assert len(scrolled) == len(page.all("table"))
    assert all(attrs["tabindex"] == "0" and attrs["role"] == "region" and attrs["aria-label"] for attrs in scrolled)
    assert all(attrs.get("lang") and attrs.get("dir") == "auto" for attrs in page.all("bdi"))


def test_it_answers_first_and_explains_its_terms(compared):
    comparison, path = compared
    words = read(path).words
    assert "Does “two views” find images better than “English only”?" in words
    for paragraph in summary(comparison):
        assert " ".join(paragraph.split()) in words
    part = comparison.suites[0]
    for claim in part.claims:
        assert " ".join(points(claim.difference).split()) in words
    order = [words.index(text) for text in ("Recall@10 is the share", "Answers", "Interval, [low, high]", "Control")]
    assert order == sorted(order)
    assert words.count(NOTE) == 2  # beside the figures, and under "Protocol and data"


def test_verdicts_stand_beside_each_language_with_a_sign_and_a_word(compared):
    comparison, path = compared
    text = path.read_text(encoding="utf-8")
    verdicts = comparison.suites[0].verdicts["two views"]
    assert verdicts["de"].verdict == "helps" and verdicts["fi"].verdict == "hurts"
    for language, (sign, word) in {"de": ("▲", "helps"), "fi": ("▼", "hurts"), "he": ("?", "cannot tell yet")}.items():
        row = re.search(rf'<tr><th scope="row">{language_name(language)}<small>60 queries.*?</tr>', text, re.DOTALL)[0]
        cells = row.split("<td")[1:]
        assert (
            f'aria-hidden="true">{sign}</span> {word}' in cells[0] and points(verdicts[language].difference) in cells[0]
        )
    assert re.search(r"about [\d,]+ queries needed", text)
    title = next(attrs["aria-label"] for attrs in Page(text).all("svg") if "Difference" in attrs["aria-label"])
    assert "helps in 1 language (German) and hurts in 1 language (Finnish)" in title


def test_heat_maps_hold_the_matrices_and_their_difference(compared):
    comparison, path = compared
    matrices = comparison.suites[0].matrices
    tables = re.findall(r'<table class="heat">.*?</table>', path.read_text(encoding="utf-8"), re.DOTALL)
    assert len(tables) == 3  # the difference, and both systems that were evaluated so
    cells = [re.findall(r"<td[^>]*>([^<]*)</td>", table) for table in tables]
    pairs = [(query, gallery) for query in LANGUAGES for gallery in LANGUAGES]
    for pair, difference, base in zip(pairs, cells[0], cells[1], strict=True):
        if pair[0] == pair[1]:
            assert difference == base == "·"
            continue
        before, after = matrices["English only"][pair], matrices["two views"][pair]
        assert int(base) == round(100 * before)
        assert int(difference.replace("−", "-")) == pytest.approx(100 * (after - before), abs=0.501)


def test_further_settings_protocols_and_terms_are_shown(compared):
    words = read(compared[1]).words
    for expected in (
        "mixed captions ask for images: recall@10",
        "share of the heap",
        "p = 0.5: cosine to original",
        "German, by dictionary: recall@10",
        "under the protocol first caption",
        "Kreis (15)",
        "in no query: nowhere",
        "No query holds one in Finnish, Hindi, Hebrew, Chinese (Simplified)",
        "From these 5 languages it cannot be told",
    ):
        assert expected in words


def test_examples_of_every_language_are_those_that_moved_most(compared):
    comparison = compared[0]
    part = comparison.suites[0]
    base, other = (system for system in comparison.systems if system.label in ("English only", "two views"))
    found = examples(comparison, part, other, None)
    assert [own.language for own in found] == part.languages
    for own in found:
        key = (part.suite, part.split, own.language, "image_retrieval")
        before, after = base.runs[0].queries[key], other.runs[0].queries[key]
        change = 1 / after.ranks - 1 / before.ranks
        assert (own.up, own.down, own.n_queries) == ((change > 0).sum(), (change < 0).sum(), len(change))
        for example in own.examples:
            assert example.gained == (example.after < example.before) and example.n_gallery == 60
            assert len(example.images_before) == len(example.images_after) == 5
            assert any(image.right for image in example.images_after) == (example.after <= 5)
        gains = [1 / example.after - 1 / example.before for example in own.examples if example.gained]
        losses = [1 / example.before - 1 / example.after for example in own.examples if not example.gained]
        assert max([0, *gains]) == pytest.approx(max(0, change.max()))
        assert max([0, *losses]) == pytest.approx(max(0, -change.min()))
        assert gains == sorted(gains, reverse=True) and losses == sorted(losses, reverse=True)


def test_examples_show_pictures_once_decoded_with_what_they_are(compared):
    page = read(compared[1])
    pictures = page.all("img")
    assert len(pictures) >= 5 * 2 * len(LANGUAGES)
    assert all(attrs["src"].startswith("data:image/webp;base64,") for attrs in pictures)
    assert all(re.fullmatch(r"A \w+ \w+\.", attrs["alt"]) for attrs in pictures)
    german = page.words.split("German: of 60 queries")[1].split("Finnish: of 60 queries")[0]
    assert re.search(
        r"improved \w+ (Kreis|Quadrat|Linie|Dreieck) in English: A \w+ (circle|square|line|triangle)\.", german
    )
    assert "1 ✓ right" in german and "English only: the right image stands at place" in german
    assert "<b>blue</b> & " in page.words  # a caption that looks like HTML stays a caption


def test_the_same_runs_give_the_same_page(compared, tmp_path):
    comparison, path = compared
    write_page(tmp_path / "again.html", comparison)
    assert (tmp_path / "again.html").read_bytes() == path.read_bytes()


def test_the_commands_on_the_page_recompute_its_figures(compared):
    comparison, path = compared
    text = path.read_text(encoding="utf-8")
    cd, ir_measures, gunzip, trec_eval = re.search(r"<pre>(cd .*?)</pre>", text, re.DOTALL)[1].split("\n")
    folder = Path(shlex.split(cd.replace("&#39;", "'"))[1])
    tool, *arguments = shlex.split(ir_measures.replace("&#39;", "'"))
    tool = str(Path(sys.executable).parent / tool)
    printed = subprocess.run([tool, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout
    outside = {name: float(value) for name, value in (line.split("\t") for line in printed.splitlines())}
    told = dict(re.findall(r"(\S+@\d+) (\d\.\d{4})", text.split("Either gives")[1].split("</p>")[0]))
    assert outside.keys() == told.keys()
    assert {name: float(value) for name, value in told.items()} == pytest.approx(outside, abs=1e-4)
    cells = comparison.suites[0].cells["image_retrieval"][comparison.systems[-1].label]["zh-Hans"]
    assert outside["Success@10"] == pytest.approx(cells.figures["recall@10"][0], abs=1e-4)
    stem = gunzip.split()[-1].removesuffix(".run.gz")
    assert trec_eval.endswith(f"{stem}.qrels {stem}.run") and (folder / f"{stem}.qrels").is_file()


def test_without_their_shards_examples_show_captions_in_place_of_pictures(tmp_path):
    world = write_world(tmp_path)
    runs = [write_run(world, name, richly=False) for name in ("zero_shot", "two_view")]
    shutil.rmtree(world / "shapes")
    compare(runs, out=world / "report.html")
    page = read(world / "report.html")
    assert not page.all("img") and "the right image stands at place" in page.words
    tiles = [data for tags, data in page.texts if tags[-3:] == ["ol", "li", "span"]]
    assert len(tiles) >= 50 and all(re.fullmatch(r"A \w+ \w+\.", tile) for tile in tiles)
    assert "From language to language" not in page.words and "Other ways to ask" not in page.words


def test_pictures_of_shards_that_were_made_anew_are_left_out_and_that_is_told(tmp_path):
    world = write_world(tmp_path)
    runs = [write_run(world, name, richly=False) for name in ("zero_shot", "two_view")]
    shard = world / "shapes" / "00000.tar"
    kept = shard.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(kept)) as old, tarfile.open(shard, "w") as new:
        for member in old.getmembers():  # the same keys for other pictures
            key, _, extension = member.name.partition(".")
            add(new, f"{(int(key) + 7) % 60:09d}.{extension}", old.extractfile(member).read())
    compare(runs, out=world / "report.html")
    page = read(world / "report.html")
    assert not page.all("img")
    told = re.search(r"(\d+) pictures are left out: their shards have changed since the evaluation", page.words)
    assert 20 <= int(told[1]) <= 60
    shard.write_bytes(kept)
    compare(runs, out=world / "report.html")
    assert "left out" not in read(world / "report.html").words


def test_several_suites_and_seeds_stand_on_one_page(world, tmp_path):
    both = ("shapes", "more")
    runs = [write_run(world, "zero_shot", both, richly=False)]
    runs += [write_run(world, "two_view", both, seed, richly=False) for seed in (0, 1)]
    compare(runs, out=tmp_path / "several.html")
    page = read(tmp_path / "several.html")
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids)) and {"suite0", "suite1", "suite1-answers"} <= set(ids)
    contents = [data for tags, data in page.texts if "nav" in tags and tags[-1] == "a"]
    assert contents[:2] == ["more (test)", "shapes (test)"]
    assert "over seeds" in page.words and "seeds 0, 1" not in page.words


def test_one_system_alone_has_its_figures_and_no_verdicts(runs, tmp_path):
    compare([runs[2]], out=tmp_path / "alone.html")
    page = read(tmp_path / "alone.html")
    anchors = {attrs["href"] for _, attrs in page.tags if "href" in attrs}
    assert "#suite0-recall" in anchors and "#suite0-map" in anchors and "#suite0-examples" not in anchors
    assert "Retrieval per language: two views" in page.words and "helps" not in page.words
    assert not [attrs for attrs in page.all("span") if attrs.get("class", "").startswith("badge")]


def test_sets_of_text_alone_have_a_page_too(compared, tmp_path):
    comparison = compared[0]
    about = About("hindi", "test", "beir", "MoIR", None, "text_to_text", "hi", "hi")
    labels = [system.label for system in comparison.systems]
    found = Further(about, "beir", "ndcg@10", "hi", 1234, dict.fromkeys(labels, (0.5, 0.45, 0.55)))
    write_page(tmp_path / "texts.html", replace(comparison, suites=[], texts=[found]))
    words = read(tmp_path / "texts.html").words
    assert "hindi (test), Hindi: nDCG@10" in words and "1,234" in words and "50.0 [45.0, 55.0]" in words
