"""Metrics from records: values by hand, weights as repetitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testudo.evaluation.metrics import METRICS, accuracy, auroc, delta, delta_mtl, delta_wor, error, miou, per_pixel


@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([0, 1])), min_size=1, max_size=25))
@settings(deadline=None, max_examples=60)
def test_auroc_is_the_share_of_ordered_pairs(pairs):
    records = np.array(pairs, float)
    high, low = records[records[:, 1] == 1, 0], records[records[:, 1] == 0, 0]
    if len(high) == 0 or len(low) == 0:
        assert np.isnan(auroc(records))
        return
    wins = np.sign(high[:, None] - low[None, :]) / 2 + 0.5
    assert auroc(records) == pytest.approx(wins.mean())


def test_auroc_leaves_out_a_label_with_one_class():
    both, one = np.array([[0.0, 0], [1.0, 1]]), np.array([[5.0, 1], [6.0, 1]])
    records = np.stack([both[:, 0], one[:, 0], both[:, 1], one[:, 1]], 1)
    assert auroc(records) == auroc(both) == 1


@pytest.mark.parametrize("name", METRICS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_a_weight_is_a_repetition(name, seed):
    generator = np.random.default_rng(seed)
    width = 2 if name == "accuracy" else 4
    records = generator.integers(0, 2, (12, width)).astype(float)
    records[generator.random(12) < 0.2, -1] = np.nan
    if name in ("aerr", "mdist"):
        records[:, 0] *= records[:, -1]  # where no pixel is known, nothing is summed
    weights = generator.integers(0, 3, (4, 12))
    found = METRICS[name].compute(records, weights)
    for one, value in zip(weights, found, strict=True):
        np.testing.assert_allclose(value, METRICS[name].compute(np.repeat(records, one, axis=0), None))


def test_nothing_known_is_nan_without_a_warning():
    for name in METRICS:
        width = 2 if name == "accuracy" else 4
        assert np.isnan(METRICS[name].compute(np.full((3, width), np.nan), None))
        assert np.isnan(METRICS[name].compute(np.full((3, width), np.nan), np.ones((2, 3), np.float32))).all()


def test_miou_is_that_of_one_confusion_matrix():
    """Two images; class 0 has 3 of 3 + 1 + 1 pixels right, class 1 has 2 of 2 + 1 + 1; class 2 is nowhere."""
    records = np.array([[3, 1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 2, 0, 0, 0, 0]])
    assert miou(records) == pytest.approx((3 / 5 + 2 / 4) / 2)
    assert miou(records, np.array([[1, 0], [0, 2]])) == pytest.approx([(3 / 4 + 0) / 2, (0 + 2 / 3) / 2])


def test_a_mean_over_pixels_is_not_one_over_images():
    assert per_pixel(np.array([[10.0, 9, 10], [1.0, 9, 1], [90.0, 9, 10]])) == pytest.approx(101 / 21)


def test_delta_has_the_sign_of_the_papers_tables():
    assert delta(0.8, 0.4) == pytest.approx(-0.5)
    assert delta(0.8, 1.0) == pytest.approx(0.25)
    assert delta(2.0, 4.0, False) == pytest.approx(-0.5)
    assert delta(4.0, 2.0, False) == pytest.approx(1.0)
    assert delta(0.0, 0.0) == delta(0.0, 0.0, False) == 0
    assert delta_mtl([-0.5, -0.1]) == pytest.approx(-0.3)
    assert delta_wor([[-0.5, -0.1], [-0.2, -0.9]]).tolist() == [-0.1, -0.2]


def test_metrics_of_plain_lists():
    assert accuracy(np.array([[1, 1], [2, 1], [0, -1], [0, np.nan]])) == 0.5
    assert error(np.array([[1.0, 2.0], [4.0, 2.0]])) == 1.5
