from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from testudo.errors import TestudoError
from testudo.reports.page import Part, build_page, render
from testudo.reports.results import Results
from testudo.reports.study import Study, read_gallery, read_study

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Outline(HTMLParser):
    """Collects tags with attributes and checks that they close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.found = [], []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def page(results, gallery) -> str:
    return render([Part(results, gallery)])


def test_the_page_is_well_formed_and_described(page):
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert outline.found[0] == ("html", {"lang": "en"})
    images = [attrs for tag, attrs in outline.found if tag == "img"]
    assert len(images) == 4 * 3
    assert all(attrs["alt"] for attrs in images)
    drawings = [a for tag, a in outline.found if tag == "svg"]
    assert all(a.get("aria-label") or a.get("aria-hidden") for a in drawings)


def test_the_page_needs_no_network(page):
    assert page.count("<script") == 1
    assert "<script>" in page
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(a.startswith(("data:", "#")) for a in addresses)
    assert "@import" not in page
    assert "default-src 'none'" in page
    assert not re.findall(r"url\((?!#)", page)


def test_the_page_s_order(page):
    places = [page.index(f'id="{part}"') for part in ("found", "numbers", "curves", "gallery", "objectives", "setting")]
    assert places == sorted(places)
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_names_are_escaped(study, frames, tmp_path):
    nasty = replace(study, title="<script>alert(1)</script>", intro=('"&<b>',))
    text = build_page(tmp_path, [Part(Results(nasty, *frames))]).read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text


def test_the_page_is_built_without_a_gallery(results, tmp_path):
    path = build_page(tmp_path / "new", [Part(results)])
    assert path == tmp_path / "new" / "report.html"
    assert 'id="gallery"' not in path.read_text()
    assert os.listdir(path.parent) == ["report.html"]


def test_a_failed_write_leaves_the_old_page(study, frames, tmp_path, monkeypatch):
    path = build_page(tmp_path, [Part(Results(study, *frames))])
    before = path.read_bytes()

    def full(_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TestudoError, match=r"cannot write .*report.html: No space"):
        build_page(tmp_path, [Part(Results(replace(study, title="new"), *frames))])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["report.html"]


def test_the_same_study_gives_the_same_page(results, gallery, page):
    assert render([Part(results, gallery)]) == page


def test_inputs_are_read_back_or_refused(tmp_path, study, gallery):
    with pytest.raises(TestudoError, match="no study at"):
        read_study(tmp_path)
    assert read_gallery(tmp_path) is None
    (tmp_path / "study.json").write_text(json.dumps(vars(study), default=vars))
    assert read_study(tmp_path) == study
    np.savez(
        tmp_path / "gallery.npz",
        images=gallery.images,
        adversarial=gallery.adversarial,
        meta=np.array(json.dumps(gallery.meta)),
    )
    assert read_gallery(tmp_path).meta == gallery.meta
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(TestudoError, match="is not readable"):
        read_study(tmp_path)
    held = (tmp_path / "gallery.npz").read_bytes()
    for damaged in (held[: len(held) // 2], b"", b"PK"):
        (tmp_path / "gallery.npz").write_bytes(damaged)
        with pytest.raises(TestudoError, match="not a readable gallery"):
            read_gallery(tmp_path)


def test_a_study_must_be_whole(study):
    whole = json.loads(json.dumps(vars(study), default=vars))
    for part in ("title", "target", "groups"):
        with pytest.raises(TestudoError, match=f"study.json lacks '{part}'"):
            Study.of({k: v for k, v in whole.items() if k != part})
    whole["groups"][1]["counterpart"] = "standard, singletask"
    with pytest.raises(TestudoError, match="did you mean 'standard, single-task'"):
        Study.of(whole)


def test_a_study_shown_with_another_has_names_of_its_own(results, gallery, study):
    other = Results(replace(study, title="Rooms"), results.summary, results.comparisons)
    page = render([Part(results, gallery), Part(other, gallery)])
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    names = [attrs["id"] for tag, attrs in outline.found if tag == "section"]
    assert len(set(names)) == len(names)
    links = [attrs["href"] for tag, attrs in outline.found if tag == "a" and attrs["href"].startswith("#")]
    assert links == ["#top", "#part-1-top"]
    assert all(link[1:] in names for link in links)
    assert page.count("<h1>Rooms</h1>") == 1
