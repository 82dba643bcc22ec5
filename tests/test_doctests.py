"""Every example in the source prints what it says."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import testudo

HOME = Path(testudo.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(HOME.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in HOME.rglob("*.py")
    if path.name != "__main__.py"
)


@pytest.mark.parametrize("module", MODULES)
def test_examples(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # an example may write files
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for found in doctest.DocTestFinder(exclude_empty=True).find(import_module(module), module):
        if found.examples:
            told: list[str] = []
            assert runner.run(found, out=told.append).failed == 0, "".join(told)


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    counts = {m: sum(len(t.examples) for t in finder.find(import_module(m), m)) for m in MODULES}
    assert sum(counts.values()) >= 100
    assert counts["testudo.attacks.threat"] >= 3
