"""README, docs and recipes speak only of commands, flags, public names and files that exist."""

from __future__ import annotations

import contextlib
import io
import re
from functools import cache
from pathlib import Path

import pytest

import testudo
from testudo import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if "results" not in page.parts),
    ROOT / "recipes" / "README.md",
    *sorted((ROOT / "recipes").rglob("*.toml")),
]


@cache
def usage(verb):
    """What ``testudo VERB --help`` prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        cli.run([verb, "--help"])
    return printed.getvalue()


def code(page):
    """The code spans and blocks of a page; of a recipe, the indented lines of its comments."""
    text = page.read_text()
    blocks = re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`]+)`", rest)
    indented = re.findall(r"^(?:    |#   )(.+)$", rest, re.MULTILINE)
    return "\n".join([*blocks, *(" ".join(span.split()) for span in spans), *indented])


@pytest.fixture(params=PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def page(request):
    return request.param


def test_commands_and_flags_exist(page):
    for verb, rest in re.findall(r"(?<![\w./-])(?<!import )(?<!from )testudo (?=[a-z])([a-z]+)([^\n`]*)", code(page)):
        assert verb in cli.VERBS, verb
        for flag in re.findall(r"(?<=\s)(--[a-z][a-z-]*)", rest):
            assert re.search(rf"{flag}\b", usage(verb)), f"testudo {verb} has no {flag}"


def test_public_names_exist(page):
    for name in re.findall(r"\btd\.([A-Za-z_]\w*)", code(page)):
        assert name in testudo.__all__, name


def test_links_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_make_targets_and_files_exist(page):
    text = code(page)
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"(?<![\w-])make ([a-z]+)\b", text):
        assert target in targets, target
    for path in re.findall(r"(?<![\w/.])(?:src|tests|recipes|benchmarks)/[\w./-]+\w", text):
        assert (ROOT / path).exists(), path


def test_the_search_finds_what_it_should():
    found = code(ROOT / "docs" / "recipes.md")
    assert "testudo compare runs/small runs/other" in found
    assert "td.train(recipe)" in found
    assert "--seed" in usage("train")
    assert "--sead" not in usage("train")
