from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testudo.errors import TestudoError
from testudo.evaluation.pareto import FRONT, clean_and_robust, hypervolume, pareto_front
from testudo.evaluation.summarise import SUMMARY

grid = st.integers(-1, 5)  # few values, so that ties and duplicates are common
flat = st.lists(st.tuples(grid, grid), min_size=1, max_size=7)
solid = st.lists(st.tuples(grid, grid, grid), min_size=1, max_size=5)


def dominated(point, others):
    return any(all(o >= p for o, p in zip(other, point, strict=True)) and other != point for other in others)


def volume(points, reference):
    """By inclusion and exclusion over the boxes from the reference to each point."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for chosen in combinations(points, size):
            sides = np.maximum(np.min(chosen, 0) - reference, 0)
            total += (-1) ** (size + 1) * float(np.prod(sides))
    return total


@given(flat | solid)
def test_the_front_is_what_nothing_dominates(points):
    wanted = [not dominated(point, points) for point in points]
    assert pareto_front(points).tolist() == wanted
    assert pareto_front(-np.array(points), maximise=False).tolist() == wanted
    assert any(wanted)


@given(flat | solid, st.integers(-2, 2))
def test_the_volume_is_that_of_the_boxes(points, corner):
    reference = [corner] * len(points[0])
    assert hypervolume(points, reference) == pytest.approx(volume(points, reference))
    assert hypervolume(points, corner) == hypervolume(points, reference)
    turned = hypervolume(-np.array(points), -np.array(reference), maximise=False)
    assert turned == pytest.approx(volume(points, reference))


@given(flat, st.tuples(grid, grid))
def test_the_volume_grows_with_the_front_alone(points, more):
    before, after = hypervolume(points, (-1, -1)), hypervolume([*points, more], (-1, -1))
    assert after >= before - 1e-12
    if dominated(more, points) or more in points:
        assert after == pytest.approx(before)
    front = np.array(points)[pareto_front(points)]
    assert hypervolume(front, (-1, -1)) == pytest.approx(before)


def test_points_beyond_the_reference_count_nothing():
    assert hypervolume([(0.5, -0.1), (-0.1, 0.5), (0.0, 0.9)], (0, 0)) == 0
    assert hypervolume([(0.5, 0.5), (2.0, -1.0)], (0, 0)) == 0.25
    assert hypervolume([(0.5, 0.25)], (0, 0)) == 0.125
    assert hypervolume([], (0, 0)) == 0
    assert pareto_front([]).tolist() == []


def test_lower_is_better_looks_at_the_worst():
    """GAT's Table 13, adversarial training with MGDA: the indicator as its Table 14 reads it."""
    jigsaw, macro, rotation = (0.4399, 0.3295), (0.737, 0.4838), (0.5651, 0.3613)
    paper = hypervolume([jigsaw, macro, rotation], (1, 1), maximise=False)
    assert paper == pytest.approx((1 - 0.4399) * (1 - 0.3295))  # the worst of the three, and nothing else
    assert hypervolume([jigsaw, rotation], (1, 1), maximise=False) == pytest.approx(paper)  # without the best
    assert hypervolume([macro, rotation], (1, 1), maximise=False) < paper  # without the worst
    usual = hypervolume([jigsaw, macro, rotation], (0, 0))
    assert usual == pytest.approx(0.737 * 0.4838)
    assert hypervolume([jigsaw, rotation], (0, 0)) < usual


def summary(lines, metric="accuracy", upward=True):
    """Of (group, attack, value)."""
    blank = dict.fromkeys(SUMMARY)
    facts = {"task": "digit", "metric": metric, "higher_is_better": upward, "primary": True}
    rows = [
        {**blank, **facts, "group": g, "attack": a, "value": v, "low": v - 0.1, "high": v + 0.1} for g, a, v in lines
    ]
    return pl.DataFrame(rows, schema=SUMMARY)


LINES = [
    *[("a", "clean", 0.9), ("b", "clean", 0.8), ("c", "clean", 0.7), ("d", "clean", 0.95), ("e", "clean", 0.8)],
    *[("e", "pgd", 0.4), ("a", "pgd", 0.2), ("b", "pgd", 0.4), ("c", "pgd", 0.3), ("a", "fgsm", 0.5)],
]


def test_groups_with_both_values_and_their_front():
    found = clean_and_robust(summary(LINES), "digit", "pgd")
    assert found.schema == FRONT
    assert found.select("group", "clean", "robust", "front").rows() == [
        ("a", 0.9, 0.2, True),
        ("b", 0.8, 0.4, True),
        ("c", 0.7, 0.3, False),
        ("e", 0.8, 0.4, True),
    ]
    assert found.select("clean_low", "robust_high").row(0) == (pytest.approx(0.8), pytest.approx(0.3))
    errors = clean_and_robust(summary(LINES, "aerr", upward=False), "digit", "pgd")
    assert errors["front"].to_list() == [True, False, True, False]


def test_undefined_values_are_on_no_front():
    lines = [*LINES, ("f", "clean", float("nan")), ("f", "pgd", 0.9)]
    assert clean_and_robust(summary(lines), "digit", "pgd")["front"].to_list() == [True, True, False, True, False]
    further = summary([("a", "clean", 0.1)], "within30").with_columns(primary=pl.lit(False))
    assert len(clean_and_robust(pl.concat([summary(LINES), further]), "digit", "pgd")) == 4


def test_mistakes_are_told_in_one_line():
    with pytest.raises(TestudoError, match=r"finite, got .*nan"):
        pareto_front([(1, 2), (float("nan"), 1)])
    with pytest.raises(TestudoError, match=r"shape \(n, m\)"):
        pareto_front([1, 2])
    with pytest.raises(TestudoError, match="one number or 2"):
        hypervolume([(1, 2)], (0, 0, 0))
    with pytest.raises(TestudoError, match="reference must be finite"):
        hypervolume([(1, 2)], (0, float("inf")))
    with pytest.raises(TestudoError, match="unknown attack 'pgd2'; did you mean 'pgd'"):
        clean_and_robust(summary(LINES), "digit", "pgd2")
    with pytest.raises(TestudoError, match="unknown task"):
        clean_and_robust(summary(LINES), "digits", "pgd")
