"""Cityscapes' ids and numbers of parts, against tables and digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testudo.data.street_labels import CLASSES, PARTS, classes, parts
from testudo.errors import TestudoError


def decoded(number):
    """A part by the digits of its number, as Cityscapes Panoptic Parts describes them."""
    digits = str(number)
    if len(digits) <= 5:
        return "background"
    kind, part = int(digits[:-5]), int(digits[-2:])
    names = {24: PARTS[1:5], 25: PARTS[1:5], 26: PARTS[5:], 27: PARTS[5:], 28: PARTS[5:]}.get(kind, ())
    return names[part - 1] if 0 < part <= len(names) else "background"


numbers = st.one_of(
    st.integers(0, 33),
    st.builds(lambda kind, thing: kind * 1000 + thing, st.integers(1, 33), st.integers(0, 999)),
    st.builds(
        lambda kind, thing, part: kind * 100_000 + thing * 100 + part,
        st.one_of(st.integers(1, 33), st.sampled_from([24, 25, 26, 27, 28])),
        st.integers(0, 999),
        st.integers(0, 6),
    ),
)


@given(st.lists(numbers, min_size=1, max_size=30))
def test_parts_are_what_their_digits_say(values):
    array, pixels = np.array([values], np.int32), (np.array([[0]]), np.arange(len(values)))
    found = parts(Path("x.tif"), array, pixels)
    assert [PARTS[index] for index in found[0]] == [decoded(value) for value in values]


@given(st.one_of(st.integers(100, 999), st.integers(34, 99), st.integers(3_400_000, 10**8), st.integers(max_value=-1)))
def test_numbers_that_are_none_are_refused(value):
    array = np.array([[7, value]]).clip(-(2**31), 2**31 - 1).astype(np.int32)
    with pytest.raises(TestudoError, match=r"x\.tif.*is no number of a class, an instance and a part"):
        parts(Path("x.tif"), array, (np.array([[0]]), np.arange(2)))


def test_classes_by_table():
    ids = np.arange(34, dtype=np.uint8)[None]
    every = (np.array([[0]]), np.arange(34))
    found = classes(Path("a_gtFine_labelIds.png"), ids, every)[0]
    names = list(CLASSES.values())
    assert [names[c] if c < 19 else "" for c in found] == [CLASSES.get(i, "") for i in range(34)]
    trained = classes(Path("a_gtFine_labelTrainIds.png"), found[None], every)[0]
    assert trained.tolist() == found.tolist()
