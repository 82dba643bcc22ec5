from __future__ import annotations

import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest

from testudo.reports.figures import SERIES, curves, looks, svg, swatch


def test_a_group_keeps_its_look_and_its_counterpart_s_hue(results):
    found = looks(results.study)
    assert [look.dashed for look in found.values()] == [True, False, True, False]
    assert [look.colour for look in found.values()] == [SERIES[0], SERIES[0], SERIES[1], SERIES[1]]
    assert len({swatch(look) for look in found.values()}) == 4


def test_one_panel_per_kind_of_attack(results):
    titles = [panel.title for panel in curves(results, "digit")]
    assert titles == ["digit: FGSM, L∞", "digit: PGD-20, L∞", "digit: MIM-20, L∞", "digit: PGD-20, L2"]
    assert len(curves(results, "loop")) == 2


def test_lines_are_the_summary(results):
    panel = curves(results, "digit")[1]
    axes = panel.figure.axes[0]
    assert len(axes.lines) == 4
    attacks = [a for a in results.on("digit") if a.kind == ("pgd", "linf", 20, "")]
    expected = [100 * results.value("standard, single-task", "digit", a)["value"] for a in (results.clean(), *attacks)]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), expected)
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [0, 0.05, 0.1, 0.15, 0.2])
    assert "ε" in axes.get_xlabel()
    assert "[0, 1]" in axes.get_xlabel()
    assert axes.get_ylabel() == "accuracy (%)"


def test_a_drawing_is_valid_small_reproducible_and_takes_the_page_s_colours(results):
    before = dict(mpl.rcParams)
    panels = curves(results, "digit")
    texts = [svg(panel) for panel in panels]
    assert dict(mpl.rcParams) == before
    assert texts == [svg(panel) for panel in curves(results, "digit")]
    for panel, text in zip(panels, texts, strict=True):
        root = ET.fromstring(text)
        assert root.get("aria-label") == panel.alt
        assert root.get("viewBox")
        assert root.get("width") is None
        assert len(text) < 60_000
        assert "var(--series-0" in text
        assert "#ffffff" not in text  # nothing white is left on a dark page
        assert "DejaVu" not in text


def test_ids_do_not_clash_between_drawings(results):
    ids = [e.get("id") for p in curves(results, "digit") for e in ET.fromstring(svg(p)).iter() if e.get("id")]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("task", ["digit", "parity"])
def test_the_description_says_what_is_shown(results, task):
    for panel in curves(results, task):
        assert task in panel.alt
        assert "ε" in panel.alt
