"""Every code block of docs/ is run, from top to bottom of its page, in an empty folder.

Python blocks are run (those that begin with ``>>>`` are compared with what they print); a block of ``toml`` is
written to the file that its first line names; ``$ testudo ...`` lines of a ``console`` block are run, and what
they print is compared with what the page shows (``...`` stands for anything). What comes after ``<!-- needs NAME -->``
asks for that sample of real data, and is skipped where there is none.
"""

from __future__ import annotations

import builtins
import contextlib
import doctest
import io
import logging
import os
import re
import shlex
import sys
import tomllib
import types
from pathlib import Path

import pytest
import torch
from sybil import Region, Sybil
from sybil.evaluators.doctest import OutputChecker
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from testudo import cli
from testudo.registry import FAMILIES

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "results" not in page.parts)
SAMPLES = Path(os.environ.get("TESTUDO_DATA") or DOCS.parents[1] / "shared" / "data").resolve()
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def write_file(example):
    first, _, _ = example.parsed.partition("\n")
    tomllib.loads(example.parsed)
    name = first.removeprefix("#").strip()
    if not first.startswith("#") or not name.endswith(".toml") or " " in name:
        return "a block of toml begins with a comment that names its file"
    Path(name).write_text(example.parsed)
    return None


def run_console(example):
    for session in ("\n" + example.parsed).split("\n$ ")[1:]:
        line, _, wanted = session.partition("\n")
        program, *words = shlex.split(line)
        if program != "testudo":
            return f"only testudo is run, found {program}"
        vars(builtins).pop("_", None)  # doctest's last result, which tyro tries to hash
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            cli.main(words)
        if wanted and not OutputChecker().check_output(wanted, printed.getvalue(), FLAGS):
            return f"$ {line}\nshown:\n{wanted}\nprinted:\n{printed.getvalue()}"
    return None


def needed(document):
    for found in re.finditer(r"<!-- needs (\w+) -->", document.text):
        yield Region(found.start(), found.end(), found[1], need)


def need(example):
    if not (SAMPLES / example.parsed).is_dir():
        pytest.skip(f"no sample {example.parsed} in {SAMPLES} (see TESTUDO_DATA)")


PARSERS = Sybil(
    [
        needed,
        PythonCodeBlockParser(doctest_optionflags=FLAGS),
        CodeBlockParser("toml", write_file),
        CodeBlockParser("console", run_console),
    ]
)


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """An empty folder, one thread, a wide terminal, and registries that forget what a page adds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("TESTUDO_DATA", str(SAMPLES))
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for registry in FAMILIES.values():
        monkeypatch.setattr(registry, "_targets", dict(registry._targets))
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_page(page, monkeypatch):
    """As a script of its own, so that its classes know the module they were written in."""
    document, module = PARSERS.parse(page), types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    document.namespace = vars(module)
    for example in document:
        example.evaluate()


def test_every_how_to_add_page_has_code():
    for page in (DOCS / "add").glob("*.md"):
        assert sum(1 for _ in PARSERS.parse(page)) >= 3, page
