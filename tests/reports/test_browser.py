"""The page in a real browser, without a window: it loads clean, sorts, slides, and fits a phone."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from testudo.studies.publish import tell

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
MAIN, SECTION = "#numbers table", "#numbers tbody:first-of-type"


@pytest.fixture(scope="module")
def address(folder) -> str:
    return tell(folder)[0].resolve().as_uri()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield made
        made.close()


@pytest.fixture(scope="module")
def opened(browser, address):
    """A page as most see it; what it complains of; what it asks the network for."""
    page, complaints, asked = browser.new_page(viewport={"width": 1200, "height": 900}), [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    yield page, complaints, asked
    page.close()


@pytest.fixture
def page(opened):
    return opened[0]


def view(browser, address, **settings):
    page = browser.new_context(**settings).new_page()
    page.goto(address)
    return page


def values(page, column: int) -> list[float]:
    """Of the variants in the main table's first section, from top to bottom."""
    cells = page.locator(f"{SECTION} tr.value td:nth-child({column + 1}) > span").all_text_contents()
    return [float(text) for text in cells]


def test_nothing_is_asked_of_the_network_and_nothing_complains(opened, address):
    page, complaints, asked = opened
    assert page.title().startswith("Does a second task")
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert complaints == []


def test_a_heading_sorts_each_section_and_keeps_differences_below_their_variant(page):
    before = page.locator(f"{SECTION} tr").all_text_contents()
    heading = page.locator(f"{MAIN} thead th").nth(5)  # PGD at the largest eps
    assert heading.get_attribute("aria-sort") == "none"
    unsorted = values(page, 5)
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert values(page, 5) == sorted(unsorted, reverse=True) != unsorted
    rows = page.locator(f"{SECTION} tr")
    kinds = [rows.nth(i).get_attribute("class") for i in range(rows.count())]
    heads = page.locator(f"{SECTION} tr > th").all_text_contents()
    assert kinds[0] == "section"
    for place, kind in enumerate(kinds):
        assert kind != "difference" or "multi-task" in heads[place - 1]
    heading.locator("button").focus()
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert values(page, 5) == sorted(unsorted)
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "none"
    assert page.locator(f"{SECTION} tr").all_text_contents() == before


def test_words_are_sorted_as_words(page):
    table = page.locator("#measures table").first
    table.locator("thead th button").first.click()
    assert table.locator("tbody th").all_text_contents() == ["a", "b"]
    table.locator("thead th button").first.click()
    assert table.locator("tbody th").all_text_contents() == ["b", "a"]


def test_the_slider_changes_the_picture_on_all_cards_that_have_the_radius(page):
    cards = page.locator("#gallery .card")
    slider = cards.first.locator("input[type=range]")

    def seen():
        return [cards.nth(i).locator(".hit:visible img").get_attribute("src") for i in range(cards.count())]

    before = seen()
    assert cards.first.locator("output").text_content() == "0.1"
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert cards.nth(1).locator("output").text_content() == "0.2"
    assert slider.get_attribute("aria-valuetext") == "0.2"
    after = seen()
    assert len(after) == 4
    assert not set(before) & set(after)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert cards.first.locator("td:visible.changed").count() == 0  # the smallest radius changes nothing
    assert cards.first.locator("figcaption").inner_text().count("linf") == 1


def test_a_table_is_saved_as_it_lies_in_the_folder(page, folder):
    with page.expect_download() as waited:
        page.locator("#numbers .files a", has_text="CSV").click()
    assert waited.value.suggested_filename == "quickstart-clean-and-robust.csv"
    assert Path(waited.value.path()).read_text() == (folder / "tables" / "clean-and-robust.csv").read_text()


def test_what_has_the_focus_is_seen_to(page):
    page.locator("#verdicts summary").first.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    look = page.evaluate("(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle })()")
    assert look == "solid"
    page.keyboard.press("Enter")
    assert page.locator("#verdicts details").first.get_attribute("open") is not None


def luminance(colour: str) -> float:
    """Relative luminance (WCAG) of ``rgb(...)``."""
    shares = [int(level) / 255 for level in re.findall(r"\d+", colour)[:3]]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * level for weight, level in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_scheme_and_can_be_read(browser, address, scheme):
    page = view(browser, address, color_scheme=scheme)
    paper = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (paper < 0.1) == (scheme == "dark")
    for where in ("body", ".meta", ".finding .verdict", "a", "td small", "svg.panel text"):
        colour = "fill" if where.startswith("svg") else "color"
        ink = luminance(page.evaluate(f"getComputedStyle(document.querySelector('{where}')).{colour}"))
        light, dark = max(ink, paper), min(ink, paper)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, where
    page.context.close()


WIDER = """width => [...document.querySelectorAll("main *")]
    .filter(part => !part.closest(".scroll, .wide, pre, svg") && part.getBoundingClientRect().right > width + 1)
    .map(part => part.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("script", [True, False])
def test_nothing_is_wider_than_a_phone(browser, address, script):
    page = view(browser, address, viewport={"width": 400, "height": 800}, java_script_enabled=script)
    if script:  # without, nothing can be asked of the page; it is laid out by the same rules
        page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert page.evaluate(WIDER, 400) == []
    else:
        assert page.locator("#gallery .card").first.locator(".hit").count() == 3
        assert page.locator("#gallery .card").first.locator(".hit:visible").count() == 3
        assert page.locator("#gallery .slider:visible").count() == 0
        assert page.locator(f"{MAIN} thead button").count() == 0
        assert page.locator(f"{SECTION} tr.value:visible").count() == 4
    page.context.close()


def test_on_paper_folded_verdicts_open_and_tools_are_left_out(browser, address):
    page = view(browser, address, color_scheme="light")
    assert page.locator("#verdicts details.printed table:visible").count() == 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("#verdicts details.printed table:visible").count() == 3
    assert page.locator(".files:visible, .slider:visible, summary:visible").count() == 0
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#verdicts details.printed table:visible").count() == 0
    page.context.close()
