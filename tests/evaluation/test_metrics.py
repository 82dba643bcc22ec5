"""Metrics from records: values by hand, weights as repetitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testudo.errors import TestudoError
from testudo.evaluation.metrics import (
    METRICS,
    accuracy,
    auroc,
    delta,
    delta_mtl,
    delta_wor,
    error,
    median,
    miou,
    named,
    per_pixel,
    pixel_accuracy,
    within,
)

PER_PIXEL = ("l1", "aerr", "relative", "delta125", "mdist")
ANGLES = ("median", "within11", "within22", "within30")


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


def drawn(name, generator, n=12):
    """Random records of whole numbers, some of examples without labels."""
    if name in PER_PIXEL:
        count = generator.integers(0, 5, n)[:, None]  # where no pixel is known, nothing is summed
        records = np.concatenate([generator.integers(0, 9, (n, 3)) * (count > 0), count], 1).astype(float)
    elif name in ANGLES:
        bins = generator.integers(0, 3, (n, 16))
        records = np.concatenate([bins.sum(1, keepdims=True), bins, bins.sum(1, keepdims=True)], 1).astype(float)
    else:
        records = generator.integers(0, 2, (n, 2 if name == "accuracy" else 4)).astype(float)
    records[generator.random(n) < 0.2, -1 if name == "auroc" else slice(None)] = np.nan
    return records


@pytest.mark.parametrize("name", METRICS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_a_weight_is_a_repetition(name, seed):
    generator = np.random.default_rng(seed)
    records, weights = drawn(name, generator), generator.integers(0, 3, (4, 12)).astype(np.float32)
    found = METRICS[name].compute(records, weights)
    for one, value in zip(weights, found, strict=True):
        np.testing.assert_allclose(value, METRICS[name].compute(np.repeat(records, one.astype(int), axis=0), None))


def test_nothing_known_is_nan_without_a_warning():
    for name in METRICS:
        width = {"accuracy": 2, **dict.fromkeys(ANGLES, 18)}.get(name, 4)
        assert np.isnan(METRICS[name].compute(np.full((3, width), np.nan), None))
        assert np.isnan(METRICS[name].compute(np.full((3, width), np.nan), np.ones((2, 3), np.float32))).all()


def test_miou_is_that_of_one_confusion_matrix():
    """Two images; class 0 has 3 of 3 + 1 + 1 pixels right, class 1 has 2 of 2 + 1 + 1; class 2 is nowhere."""
    records = np.array([[3, 1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 2, 0, 0, 0, 0]])
    assert miou(records) == pytest.approx((3 / 5 + 2 / 4) / 2)
    assert miou(records, np.array([[1, 0], [0, 2]])) == pytest.approx([(3 / 4 + 0) / 2, (0 + 2 / 3) / 2])


def test_a_mean_over_pixels_is_not_one_over_images():
    assert per_pixel(np.array([[10.0, 9, 10], [1.0, 9, 1], [90.0, 9, 10]])) == pytest.approx(101 / 21)


def test_pixel_accuracy_is_the_diagonal():
    records = np.array([[3, 1, 0, 0, 0, 0, 2, 0, 4], [np.nan] * 9, [0, 0, 0, 5, 0, 0, 0, 0, 0]])
    assert pixel_accuracy(records) == pytest.approx(7 / 15)
    assert pixel_accuracy(records, np.array([1.0, 1.0, 0.0])) == pytest.approx(7 / 10)


@given(st.lists(st.floats(0, 180, width=32), min_size=1, max_size=40), st.integers(1, 4))
@settings(deadline=None, max_examples=100)
def test_angles_from_their_histogram(angles, images):
    """Shares are exact; the median is in its bin, however the pixels are spread over images."""
    angles, bins = np.array(angles), 240
    parts = np.array_split(angles, images)
    counts = [np.histogram(part, bins, (0, 180))[0] for part in parts]
    records = np.array([[part.sum(), *count, len(part)] for part, count in zip(parts, counts, strict=True)])
    below, above = np.quantile(angles, 0.5, method="lower"), np.quantile(angles, 0.5, method="higher")
    assert below - 180 / bins <= median(records) <= above + 180 / bins
    for degrees in (11.25, 22.5, 30.0):
        assert within(records, degrees=degrees) == pytest.approx((angles < degrees).mean())


def test_the_median_of_many_angles_is_theirs():
    angles = np.random.default_rng(0).gamma(2, 12, 20_000).clip(0, 180)
    record = np.array([[angles.sum(), *np.histogram(angles, 240, (0, 180))[0], len(angles)]])
    assert median(record) == pytest.approx(np.median(angles), abs=0.05)


def test_an_unknown_metric_is_told_with_the_nearest():
    assert named("miou").compute is miou
    with pytest.raises(TestudoError, match="unknown metric 'relatve'; did you mean 'relative'"):
        named("relatve")


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
