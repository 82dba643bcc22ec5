"""Studies, judgements and transfers: killed at random instants, or begun twice at once, they end with the same rows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import tiny

pytestmark = pytest.mark.slow
KINDS, WAYS = ("study", "evaluate", "transfer"), ("killed", "bereft", "twice")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the driver found out; one process for all of it, since torch takes seconds to import."""
    script = Path(__file__).with_name("disturbing.py")
    return json.loads(tiny.driven(script, tmp_path_factory.mktemp("disturbed"), timeout=600)[-1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_the_results_are_those_of_an_undisturbed_session(found, kind, way):
    assert found[kind]["rows"] >= 3
    assert found[kind]["difference"][way] is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_nobody_says_more_than_how_far_he_is_and_for_whom_he_waits(found, kind, way):
    for line in found[kind]["said"][way].splitlines():
        assert re.search(
            r"^(study|judging|transfer) .*: \d+%, |^testudo: .* is at work in .*; waiting for it$", line
        ), line


def test_there_were_kills(found):
    assert sum(told["kills"] for told in found.values()) >= 3
