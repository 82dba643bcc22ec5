"""The site of `make docs`: its menu names every page, every link leads somewhere in it, nothing comes from a network.

Held without building it, which takes packages that the tests do without; a strict build finds the same and more.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS, RESULTS = ROOT / "docs", ROOT / "docs" / "results"
SITE = (ROOT / "mkdocs.yml").read_text()
LINKED = re.search(r"^PAGES := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
FOLDERS = [folder for folder in (ROOT / name for name in LINKED) if folder.is_dir()]
PAGES = sorted({page for folder in FOLDERS for page in folder.rglob("*.md")} | set(ROOT.glob("*.md")))
TABLES = set(RESULTS.rglob("table.md"))


@cache
def prose(page):
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


@cache
def anchors(page):
    """What can stand behind a ``#``: the page's headings as the site writes them."""
    headings = re.findall(r"^#+ +(.+)$", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", prose(page)), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def links(page):
    """Where a page's own links lead: the file, and what stands behind the ``#``."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield target, (page.parent / path).resolve() if path else page, anchor


def test_the_menu_names_every_page_once():
    menu = [ROOT / page for page in re.findall(r"^ *- (?:[\w ]+: )?(\S+\.md)$", SITE, re.MULTILINE)]
    assert len(menu) == len(set(menu))
    assert set(menu) == set(PAGES) - TABLES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_into_the_site(page):
    for target, path, anchor in links(page):
        assert path.is_file(), target
        assert path.relative_to(ROOT).parts[0] in LINKED, target
        assert not anchor or anchor in anchors(path), target


def test_a_link_that_leads_nowhere_would_be_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`: c\n\n[to](#a-b-c), [no](no.md#x), [out](https://example.org)\n\n```text\n[code](gone.md)\n```\n"
    )
    assert [(target, path.is_file(), anchor) for target, path, anchor in links(page)] == [
        ("#a-b-c", True, "a-b-c"),
        ("no.md#x", False, "x"),
    ]
    assert anchors(page) == {"a-b-c"}


def test_every_page_of_docs_is_in_its_overview():
    pages = {page for page in DOCS.rglob("*.md") if page not in TABLES} - {DOCS / "index.md"}
    assert pages <= {path for _, path, _ in links(DOCS / "index.md")}


def test_every_result_can_be_reached():
    shown = {path for _, path, _ in links(RESULTS / "README.md")}
    assert {*RESULTS.rglob("report.html"), *TABLES} <= shown


def test_nothing_comes_from_a_network():
    assert "\n  font: false" in SITE
    assert "//" not in SITE + (DOCS / "site.css").read_text()


def test_the_lock_adds_to_the_main_one():
    own, main = (
        {line.split("==")[0].lower() for line in path.read_text().split() if "==" in line}
        for path in (DOCS / "requirements.lock", ROOT / "requirements.lock")
    )
    assert {"mkdocs", "mkdocs-material"} <= own
    assert not own & main
