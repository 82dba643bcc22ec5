"""Mistakes are told in one line, with the nearest name."""

from __future__ import annotations

import pytest

from testudo.errors import TestudoError, nearest, one_line, unknown


def test_nearest():
    assert nearest("digt", ["digit", "parity"]) == "digit"
    assert nearest("zebra", ["digit", "parity"]) is None
    assert nearest("digit", []) is None


@pytest.mark.parametrize("allowed", [["b", "a"], {"a": 1, "b": 2}, iter(["a", "b"])])
def test_unknown(allowed):
    assert str(unknown("task", "q", allowed)) == "unknown task 'q'; (allowed: a, b)"


def test_unknown_of_nothing():
    assert str(unknown("task", "q", [])) == "unknown task 'q'; (allowed: none)"


def test_one_line():
    assert one_line(ValueError("a\n\n b\tc")) == "a b c"
    assert one_line(KeyError()) == "KeyError"


def test_it_is_a_value_error():
    assert issubclass(TestudoError, ValueError)
