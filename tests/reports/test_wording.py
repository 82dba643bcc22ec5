from __future__ import annotations

import pytest

from testudo.reports import wording


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("accuracy", 1.0, "100.0"),
        ("accuracy", -0.0001, "0.0"),
        ("delta_mtl", -0.4815, "−48.1"),
        ("auroc", 0.8765, "0.876"),
        ("error", 1234.5, "1.23e+03"),
        ("miou", 0.2894, "28.9"),
        ("aerr", 0.5721, "0.572"),
        ("mdist", 34.81, "34.8"),
        ("pixel_accuracy", 0.7005, "70.0"),
        ("relative", 0.1434, "0.143"),
        ("delta125", 0.81249, "81.2"),
        ("median", 26.04, "26.0"),
        ("within11", 0.0, "0.0"),
        ("l1", 0.03519, "0.0352"),
        ("error", float("nan"), "–"),
        ("error", None, "–"),
    ],
)
def test_numbers(metric, value, text):
    assert wording.number(metric, value) == text


def test_a_sign_stands_only_before_what_is_not_zero():
    assert [wording.signed("accuracy", v) for v in (0.02, -0.02, 0.0002, 0.0)] == ["+2.0", "−2.0", "0.0", "0.0"]


@pytest.mark.parametrize(
    ("eps", "text"), [(4 / 255, "4/255"), (0.5, "0.5"), (2.5, "2.5"), (0.3, "0.3"), (0.031, "0.031")]
)
def test_radii(eps, text):
    assert wording.radius(eps) == text
