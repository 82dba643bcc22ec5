"""What several test files need: a tiny trained run, and the command line called in this process."""

from __future__ import annotations

import shutil

import pytest
import tiny

from testudo import cli
from testudo.data.cache import CACHE_ENV
from testudo.run import train


def pytest_collection_modifyitems(items):
    """Files with slow tests first: a file goes to one process as a whole, and none should be left to a long one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """What is cached by a test, or by a process it starts, goes to a folder of this session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_ENV, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images, a recipe, and a trained and judged run; nothing in it is changed."""
    root = tmp_path_factory.mktemp("place")
    made = tiny.recipe(tiny.images(root / "images"), "standard")
    tiny.saved(made, root / "tiny.toml")
    train(made, root / "run").rows({"clean": None, **made.suite})
    return root


@pytest.fixture
def run(place, tmp_path):
    """A copy of the run, to be damaged."""
    return shutil.copytree(place / "run", tmp_path / "run")


@pytest.fixture
def said(capsys):
    """Call the command line: ``(exit code, standard output, standard error)``."""

    def call(*words):
        with pytest.raises(SystemExit) as stop:
            cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return call


@pytest.fixture
def refused(said):
    """Call the command line, which must refuse in one line that holds ``message``."""

    def call(message, *words):
        code, _, err = said(*words)
        assert (code, err.count("\n")) == (2, 1), err
        assert err.startswith("testudo: ")
        assert message in err, err

    return call
