"""SIGKILL and Ctrl-C at any instant: going on gives the same weights, log and rows, bit by bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the driver found out; one process for all scenarios, since torch takes seconds to import."""
    script = Path(__file__).with_name("driver.py")
    return json.loads(tiny.driven(script, tmp_path_factory.mktemp("kills"), timeout=240)[-1])


@pytest.mark.parametrize("method", ["standard", "mao"])
@pytest.mark.parametrize("way", ["clock", "operations"])
def test_killed_and_continued_is_the_same_run(found, method, way):
    told = found[f"{method}-{way}"]
    assert told["kills"] >= 2
    assert told["difference"] is None


def test_there_were_many_kills(found):
    assert sum(told.get("kills", 0) for told in found.values()) >= 20


def test_control_c_saves_says_how_to_go_on_and_loses_nothing(found):
    told = found["interrupted"]
    for verb in ("train", "evaluate"):
        assert told[verb]["code"] == 130
        lines = told[verb]["said"].strip().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("testudo: stopped; what was done is saved. Go on with: testudo ")
    assert told["epochs"] < 4  # it did stop training before its end
    assert told["judged"] < 3  # and judging
    assert (told["on"], told["again"]) == (0, 0)
    assert told["difference"] is None
