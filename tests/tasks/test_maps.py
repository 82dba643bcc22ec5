"""Maps of numbers by hand and against torchmetrics."""

from __future__ import annotations

import math

import pytest
import torch
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError

from testudo.errors import TestudoError
from testudo.tasks.maps import HOG, Autoencoder, Curvature, Edges, Keypoints, Reshading

NAN = math.nan
ONE, NONE = torch.ones(1), torch.zeros(1, dtype=torch.bool)
EVERY = [Reshading("t"), Curvature("t"), Edges("t"), Keypoints("t"), Autoencoder("t"), HOG("t", bins=4)]


def test_by_hand():
    """Two channels; the middle pixel is unknown because one of its channels is."""
    prediction = torch.tensor([[1.0, 5.0, 2.0], [0.0, 5.0, 2.0]]).reshape(1, 2, 1, 3)
    target = torch.tensor([[3.0, NAN, 2.0], [1.0, 5.0, 1.0]]).reshape(1, 2, 1, 3)
    task = Curvature("t")
    assert (
        task.loss(prediction, target).item() == task.score(prediction, target).item() == pytest.approx((1.5 + 0.5) / 2)
    )
    assert task.record(prediction, target).tolist() == [[2, 2]]
    squared = Curvature("t", loss_kind="l2")
    assert squared.loss(prediction, target).item() == pytest.approx(((4 + 1) / 2 / 2 + (0 + 1) / 2 / 2) / 2)
    assert squared.score(prediction, target).item() == task.score(prediction, target).item()


@pytest.mark.parametrize("task", EVERY, ids=repr)
def test_errors_are_torchmetrics(task):
    g = torch.Generator().manual_seed(0)
    prediction, target = (torch.rand(6, task.channels, 4, 5, generator=g) for _ in range(2))
    target.masked_fill_(torch.rand(6, 1, 4, 5, generator=g) < 0.4, NAN)
    known = ~target.isnan()
    ours, theirs = task.metric(), MeanAbsoluteError()
    ours.update(prediction, target)
    theirs.update(prediction[known], target[known])
    assert ours.compute().item() == pytest.approx(theirs.compute().item())
    squared = type(task)(**{**vars(task), "loss_kind": "l2"})
    for index in range(6):
        theirs = MeanSquaredError()
        theirs.update(prediction[index][known[index]], target[index][known[index]])
        assert squared.loss(prediction, target)[index].item() == pytest.approx(theirs.compute().item() / 2)


def test_a_mirrored_orientation_is_that_of_the_mirrored_image():
    """Edges at every angle, binned by hand before and after the flip."""
    for bins in (2, 5, 9):
        task, width = HOG("t", bins=bins), 180 / bins
        for degrees in (t + 0.5 for t in range(180)):
            before, after = (torch.zeros(1, bins, 1, 1) for _ in range(2))
            before[0, int(degrees / width)] = 1
            after[
                0,
                int(
                    math.degrees(math.atan2(math.sin(math.radians(degrees)), -math.cos(math.radians(degrees)))) / width
                ),
            ] = 1
            assert torch.equal(task.moved(before, ~NONE, 2 * ONE), after)
            assert torch.equal(task.moved(before, NONE, 2 * ONE), before)


@pytest.mark.parametrize("task", EVERY, ids=repr)
def test_labels_may_leave_their_range_by_a_rounding_only(task):
    target = torch.full((1, task.channels, 1, 2), 0.5)
    for bound, sign in ((task.low, -1), (task.high, 1)):
        if math.isfinite(bound):
            target[..., 0] = bound + sign * 1e-4
            task.check(target)
            target[..., 0] = bound + sign * 0.01
            with pytest.raises(
                TestudoError, match=rf"^task 't': {type(task).__name__.lower()} .* or NaN where unknown$"
            ):
                task.check(target)
            assert task.as_label(target)[0, 0, 0].tolist() == pytest.approx([bound, 0.5])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Edges("t", loss_kind="L2"), "unknown loss_kind 'L2'"),
        (lambda: Autoencoder("t", channels=0), "channels must be at least 1, got 0"),
        (lambda: HOG("t", bins=1), "bins must be at least 2, got 1"),
    ],
)
def test_mistakes_are_told_in_one_line(make, message):
    with pytest.raises(TestudoError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
