"""Studies, judgements and transfers: killed at random instants, or begun twice at once, they end with the same rows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
KINDS, WAYS = ("study", "evaluate", "transfer"), ("killed", "bereft", "twice")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the driver found out; one process for all of it, since torch takes seconds to import."""
    script = Path(__file__).with_name("disturbing.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path_factory.mktemp("disturbed"))],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


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
