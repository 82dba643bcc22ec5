"""Depth and disparity by hand and against torchmetrics."""

from __future__ import annotations

import math

import pytest
import torch
from torchmetrics.regression import MeanAbsoluteError

from testudo.tasks.depth import Depth, Disparity

NAN = math.nan


def test_depth_by_hand():
    """Errors 1, 2 of 2 m each (neither near), 2 of 5 m; 4.4 m for 4 is near."""
    task = Depth("t")
    prediction = torch.tensor([[[[1.0, 4.0, 9.0]]], [[[2.0, 3.0, 4.4]]]])
    target = torch.tensor([[[[2.0, 2.0, NAN]]], [[[NAN, 5.0, 4.0]]]])
    assert (
        task.loss(prediction, target).tolist() == task.score(prediction, target).tolist() == pytest.approx([1.5, 1.2])
    )
    assert task.record(prediction, target).tolist() == [[3.0, 1.5, 0, 2], pytest.approx([2.4, 0.5, 1, 2])]


def test_disparity_by_hand():
    task = Disparity("t")
    prediction, target = torch.tensor([[[[0.5, 0.2, 9.0]]]]), torch.tensor([[[[0.25, 0.25, NAN]]]])
    assert task.loss(prediction, target).item() == task.score(prediction, target).item() == pytest.approx(0.15)
    assert task.record(prediction, target).tolist() == [pytest.approx([0.3, 2])]


@pytest.mark.parametrize("task", [Depth("t"), Disparity("t")], ids=repr)
def test_the_metric_weighs_pixels_not_images(task):
    g = torch.Generator().manual_seed(0)
    prediction, target = torch.rand(5, 1, 4, 4, generator=g), torch.rand(5, 1, 4, 4, generator=g) + 0.1
    target[torch.rand(5, 1, 4, 4, generator=g) < torch.linspace(0, 0.9, 5)[:, None, None, None]] = NAN
    metric, theirs = task.metric(), MeanAbsoluteError()
    metric.update(prediction, target)
    theirs.update(prediction[~target.isnan()], target[~target.isnan()])
    assert metric.compute().item() == pytest.approx(theirs.compute().item())
    assert metric.compute().item() != pytest.approx(task.score(prediction, target).mean().item())


@pytest.mark.parametrize("prediction", [-1.0, 0.0, 1.6, 2.5])
def test_what_is_not_near(prediction):
    """Of 2 m: nothing behind the camera, and neither of the borders 2 / 1.25 and 2 * 1.25."""
    record = Depth("t").record(torch.full((1, 1, 1, 1), prediction), torch.full((1, 1, 1, 1), 2.0))
    assert record[0, 2] == 0


def test_enlarged_things_are_nearer():
    metres, zoom = torch.tensor([4.0, NAN, 3.0]).reshape(3, 1, 1, 1), torch.tensor([2.0, 2.0, 0.5])
    mirror = torch.tensor([True, False, False])
    assert Depth("t").moved(metres, mirror, zoom)[[0, 2]].flatten().tolist() == [2.0, 6.0]
    assert Disparity("t").moved(metres, mirror, zoom)[[0, 2]].flatten().tolist() == [8.0, 1.5]
    product = Depth("t").moved(metres, mirror, zoom) * Disparity("t").moved(1 / metres, mirror, zoom)
    torch.testing.assert_close(product, metres / metres, equal_nan=True)  # inverse to each other before and after
