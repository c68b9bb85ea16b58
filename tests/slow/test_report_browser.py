"""The report in a real browser: opened without a network, looked at wide and narrow, in light and dark, used by keyboard alone."""

from __future__ import annotations

import pytest
from needs import chromium
from report_world import NOTE, QUALITY, write_run, write_world

from mmcs.cli import main

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install -e .[dev])")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

ARGUMENTS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 780}
LANGUAGES = ("English", "German", "Finnish", "Hindi", "Hebrew", "Chinese (Simplified)")

pytestmark = [pytest.mark.slow, pytest.mark.needs("Chromium")]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page with everything on it, by the command that users type."""
    world = write_world(tmp_path_factory.mktemp("world"))
    runs = [str(write_run(world, name, richly=name in ("zero_shot", "two_view"))) for name in QUALITY]
    (world / "terms.txt").write_text("circle\nde\tKreis\n")
    out = world / "report.html"
    assert main(["compare", *runs, "--baseline", runs[1], "--terms", str(world / "terms.txt"), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def opened(browser, report):
    """Opens the page without a network; whatever it asks for beside itself, and every complaint, fails the test."""
    contexts, complaints = [], []

    def open_(viewport=DESKTOP, scheme="light"):
        context = browser.new_context(viewport=viewport, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.on("request", lambda request: asked(request.url))
        page.goto(report.as_uri())
        return page

    def asked(url):
        if url.partition("#")[0] != report.as_uri() and not url.startswith("data:"):
            complaints.append(url)

    yield open_
    for context in contexts:
        context.close()
    assert not complaints


def unfold(page):
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


def test_it_shows_answers_first_then_every_language(opened):
    page = opened()
    assert page.title().startswith("mmcs: ")
    assert page.locator("h1").inner_text() == "Does “two views” find images better than “English only”?"
    summary = page.locator(".summary")
    assert summary.is_visible() and "“Two views” against “English only” on shapes (test)" in summary.inner_text()
    assert summary.bounding_box()["y"] < 300 and page.locator(".answers").first.bounding_box()["y"] < 900
    assert page.get_by_text(NOTE).first.is_visible()
    answers = page.locator(".answers").first.locator("tbody tr")
    assert answers.count() == 5 and all("points" not in row for row in answers.all_inner_texts())
    verdicts = page.get_by_role("region", name="Table: verdict per language")
    rows = {row.split("\n")[0]: row for row in verdicts.locator("tbody tr:not(.group)").all_inner_texts()}
    assert set(rows) == set(LANGUAGES)
    assert "▲ helps" in rows["German"] and "▼ hurts" in rows["Finnish"] and "? cannot tell yet" in rows["Hebrew"]
    for name in ("Recall per language", "From language to language", "Do distant languages gain more?"):
        assert page.get_by_role("heading", name=name).is_visible()


def test_plots_have_sizes_and_names_and_maps_have_colours(opened):
    page = opened()
    plots = page.get_by_role("img").and_(page.locator("svg"))
    assert plots.count() == 3
    for plot in plots.all():
        box = plot.bounding_box()
        assert box["width"] > 300 and box["height"] > 200 and len(plot.get_attribute("aria-label")) > 40
        right = box["x"] + box["width"]
        for text in plot.locator("text").all():
            own = text.bounding_box()
            assert own["x"] >= box["x"] - 2 and own["x"] + own["width"] <= right + 2
    cells = (
        page.locator(".heat")
        .first.locator("td")
        .evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)")
    )
    assert len(cells) == 36 and len(set(cells)) > 4


def test_pictures_of_every_language_decode_and_right_ones_are_framed(opened):
    page = opened(PHONE)
    languages = page.locator("details.language")
    assert languages.count() == len(LANGUAGES)
    assert languages.evaluate_all("all => all.map(one => one.open)") == [True] + [False] * 5
    unfold(page)
    widths = page.locator(".row img").evaluate_all(
        "async all => { await Promise.all(all.map(one => one.decode())); return all.map(one => one.naturalWidth); }"
    )
    assert len(widths) >= 100 and min(widths) > 20
    for language in languages.all():
        assert language.locator(".example img").count() >= 10
    border = "all => [...new Set(all.map(one => getComputedStyle(one).borderTopColor))]"
    right, others = (page.locator(f".row {which} img").evaluate_all(border) for which in (".right", "li:not(.right)"))
    assert len(right) == len(others) == 1 and right != others
    assert all("✓ right" in text for text in page.locator(".row .right").all_inner_texts())
    hebrew = page.locator("bdi[lang=he]").first
    assert hebrew.evaluate("one => getComputedStyle(one).direction") == "rtl"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_no_rule_of_accessibility_is_broken_and_nothing_sticks_out(opened, viewport, scheme):
    page = opened(viewport, scheme)
    for folded in (True, False):
        if not folded:
            unfold(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")


def test_wide_tables_scroll_by_themselves_and_keep_their_languages_in_sight(opened):
    page = opened(PHONE)
    answers = page.get_by_role("region", name="Table: answers")
    assert answers.evaluate("one => one.scrollWidth <= one.clientWidth")  # what was asked about is seen at once
    table = page.get_by_role("region", name="Table: verdict per language")
    assert table.evaluate("one => one.scrollWidth > one.clientWidth")
    table.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("one => one.scrollLeft > 0", arg=table.element_handle())
    assert table.get_by_role("rowheader", name="German").bounding_box()["x"] >= 0


def test_the_keyboard_reaches_and_opens_everything(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    reached = set()
    for _ in range(400):
        page.keyboard.press("Tab")
        kind, name, closed, outline = page.evaluate(
            "() => { const one = document.activeElement; return [one.tagName, one.ariaLabel || one.textContent.trim(),"
            " one.tagName == 'SUMMARY' && !one.parentElement.open, getComputedStyle(one).outlineStyle]; }"
        )
        if kind == "BODY":
            break
        assert outline != "none", f"{kind} {name} has the focus and does not show it"
        reached.add(name)
        if closed:
            page.keyboard.press("Enter")
    assert page.locator("details").count() >= 10
    assert page.locator("details:not([open])").count() == 0
    regions = page.locator(".scroll").evaluate_all("all => all.map(one => one.ariaLabel)")
    assert set(regions) <= reached


def test_each_entry_of_the_contents_leads_to_its_section(opened):
    page = opened(PHONE)
    links = page.locator("nav a")
    assert links.count() == 11
    for link in links.all():
        name = link.inner_text()
        link.click()
        page.wait_for_function(
            "Math.abs(document.querySelector(location.hash).getBoundingClientRect().top) < innerHeight"
        )
        heading = page.locator(page.evaluate("location.hash"))
        assert heading.inner_text() == name and heading.evaluate("one => one.getBoundingClientRect().top") >= -1
