"""The time that a study has taken, over all sessions."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from testudo.commands import study
from testudo.errors import TestudoError


@pytest.fixture
def clock(monkeypatch):
    """Minutes that the watch shows, one look after another."""
    shown = []
    monkeypatch.setattr(study, "time", SimpleNamespace(monotonic=lambda: 60.0 * shown.pop(0)))
    return shown


def test_sessions_one_after_another_and_at_once_add_up(tmp_path, clock):
    clock += [0, 5]
    with study._timed(tmp_path):
        pass
    assert study.spent(tmp_path) == 5
    clock += [10, 11, 21, 41]  # one of 31 minutes, and within it another of 10
    with study._timed(tmp_path), study._timed(tmp_path):
        pass
    assert study.spent(tmp_path) == 5 + 10 + 31
    assert [path.name for path in tmp_path.iterdir()] == [study.MINUTES]


def test_minutes_that_are_none_are_told_before_anything_is_done(tmp_path, clock):
    (tmp_path / study.MINUTES).write_text("many")
    clock += [0]
    with pytest.raises(TestudoError, match="does not hold a number of minutes"), study._timed(tmp_path):
        raise AssertionError("it was begun")
