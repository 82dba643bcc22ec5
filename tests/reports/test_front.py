from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from testudo.evaluation.pareto import clean_and_robust
from testudo.reports.figures import svg
from testudo.reports.front import Front, front_caption, front_panel
from testudo.reports.page import Part, render


@pytest.fixture
def front(results) -> Front:
    strongest = results.strongest("digit")
    return Front(clean_and_robust(results.summary, "digit", strongest.name), 0.5)


def test_each_group_is_a_point_with_both_intervals(results, front):
    panel = front_panel(results, front)
    lines = panel.figure.axes[0].lines
    points = [line for line in lines if len(line.get_xdata()) == 1]
    assert len(points) == len(results.study.groups) == len(panel.records)
    strongest = results.strongest("digit")
    for point, group in zip(points, results.study.groups, strict=True):
        for data, attack in ((point.get_xdata(), results.clean()), (point.get_ydata(), strongest)):
            np.testing.assert_allclose(data, [100 * results.value(group.name, "digit", attack)["value"]])
    ends = [line.get_xdata() for line in lines if len(line.get_xdata()) == 2 and np.ptp(line.get_ydata()) == 0]
    clean = results.value(results.study.groups[0].name, "digit", results.clean())
    assert [100 * clean["low"], 100 * clean["high"]] in [list(map(float, each)) for each in ends]
    assert ET.fromstring(svg(panel)).get("aria-label") == panel.alt


def test_filled_points_are_on_the_front(results, front):
    panel = front_panel(results, front)
    filled = [line.get_markerfacecolor() != "none" for line in panel.figure.axes[0].lines if len(line.get_xdata()) == 1]
    assert filled == [row["front"] for row in front.rows]
    assert any(filled)
    assert not all(filled)


def test_the_page_shows_the_front_where_it_has_points_enough(results, front):
    page = render([Part(results, front=front)])
    assert page.count('<li class="best">') == sum(row["front"] for row in front.rows)
    assert "The front covers 0.500 of the square" in page
    few = Front(front.points.head(2))
    assert front_panel(results, few) is None
    assert 'id="front"' not in render([Part(results, front=few)])
    assert "covers" not in front_caption(few)
