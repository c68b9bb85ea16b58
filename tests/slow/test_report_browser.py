"""The report's page in a real browser (Debian's chromium): no network, no errors, accessible, readable on a phone, by keyboard."""

from __future__ import annotations

import os
import shutil

import pytest
from report_world import NOTE, QUALITY, write_run, write_world

from mmcs.report.compare import compare
from mmcs.report.words import summary

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-headless-shell")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (apt-get install chromium)"),
]
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = {"width": 1100, "height": 800}, {"width": 360, "height": 740}
SEEN_AS = [
    ("desktop", DESKTOP, "light"),
    ("desktop", DESKTOP, "dark"),
    ("phone", PHONE, "light"),
    ("phone", PHONE, "dark"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The comparison of four runs in all settings, and its page."""
    world = write_world(tmp_path_factory.mktemp("world"))
    runs = [write_run(world, name, richly=name in ("zero_shot", "two_view")) for name in QUALITY]
    (world / "terms.txt").write_text("circle\nde\tKreis\n")
    return compare(runs, out=world / "report.html", terms=world / "terms.txt"), world / "report.html"


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield started
        started.close()


@pytest.fixture(params=SEEN_AS, ids=lambda one: f"{one[0]}-{one[2]}")
def page(request, browser, report):
    """The page as one device shows it, all sections open; asked: what it wanted from elsewhere; told: what went wrong."""
    _, size, scheme = request.param
    context = browser.new_context(viewport=size, color_scheme=scheme, offline=True)
    shown = context.new_page()
    shown.asked, shown.told = [], []
    shown.on("request", lambda one: shown.asked.append(one.url) if not one.url.startswith(("file:", "data:")) else None)
    shown.on("console", lambda one: shown.told.append(one.text) if one.type in ("error", "warning") else None)
    shown.on("pageerror", lambda one: shown.told.append(str(one)))
    shown.goto(report[1].as_uri())
    shown.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    shown.wait_for_timeout(200)
    yield shown
    context.close()


def test_it_asks_nothing_of_the_network_and_breaks_nothing(page):
    assert page.asked == [] and page.told == []


def test_it_has_no_faults_that_axe_knows(page):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    told = [(one["id"], one["nodes"][0]["html"][:200]) for one in found]
    assert told == []


def test_the_page_itself_never_scrolls_sideways(page):
    wide, room = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= room


def test_what_it_must_say_is_seen(page, report):
    comparison, _ = report
    seen = " ".join(page.locator("body").inner_text().split())
    for paragraph in summary(comparison):
        assert " ".join(paragraph.split()) in seen
    assert NOTE in seen and "German" in seen and "Hindi" in seen and "first caption" in seen.lower()
    first_screen = page.evaluate("document.querySelector('.summary').getBoundingClientRect().top")
    assert first_screen < page.viewport_size["height"], "the answer stands on the first screen"


def test_plots_are_drawn_and_named_and_pictures_decode(page):
    plots = page.locator("svg[role=img]")
    assert plots.count() >= 3
    for plot in plots.all():
        box = plot.bounding_box()
        assert plot.get_attribute("aria-label") and box["width"] > 100 and box["height"] > 50
    for image in page.locator("img").all():
        image.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    sizes = page.evaluate("[...document.querySelectorAll('img')].map(one => [one.naturalWidth, one.alt])")
    assert all(alt for _, alt in sizes) and all(width > 0 for width, _ in sizes)
    assert len(sizes) > 0 or page.locator("[role=img]").count() > plots.count(), "examples show pictures"


def test_every_section_opens_by_keyboard_and_what_has_focus_is_seen(browser, report):
    page = browser.new_page(viewport=DESKTOP)
    page.goto(report[1].as_uri())
    reached = set()
    for _ in range(400):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """(() => { const one = document.activeElement; if (!one || one === document.body) return null;
            const style = getComputedStyle(one);
            return [one.tagName, [...document.querySelectorAll('summary')].indexOf(one),
                    style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0]; })()"""
        )
        if focused is None:
            break
        tag, number, outlined = focused
        assert outlined, f"{tag} has focus, and nobody sees it"
        if tag == "SUMMARY" and number not in reached:
            reached.add(number)
            before = page.evaluate("document.activeElement.parentElement.open")
            page.keyboard.press("Enter")
            assert page.evaluate("document.activeElement.parentElement.open") != before
            if before:
                page.keyboard.press("Enter")
    assert reached == set(range(page.locator("summary").count()))
    page.close()


def test_it_prints_whole(browser, report, tmp_path):
    page = browser.new_page()
    page.goto(report[1].as_uri())
    page.pdf(path=str(tmp_path / "report.pdf"), format="A4")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    page.close()
