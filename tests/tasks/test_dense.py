"""Depth and normals by hand; angles against the arc cosine in exact arithmetic."""

from __future__ import annotations

import math

import pytest
import torch
from torchmetrics.regression import MeanAbsoluteError

from testudo.errors import TestudoError
from testudo.tasks.dense import Depth, Normals, angle, direction

NAN = math.nan


def vectors(*rows):
    """Vectors as the pixels of one image: (1, 3, 1, n)."""
    return torch.tensor(rows, dtype=torch.float32).T[None, :, None]


def test_depth_by_hand():
    task = Depth("t")
    prediction = torch.tensor([[[[1.0, 4.0, 9.0]]], [[[2.0, 2.0, 2.0]]]])
    target = torch.tensor([[[[2.0, 2.0, NAN]]], [[[NAN, NAN, 5.0]]]])
    assert task.loss(prediction, target).tolist() == task.score(prediction, target).tolist() == [1.5, 3.0]
    assert task.record(prediction, target).tolist() == [[3.0, 1.5, 2.0], [3.0, pytest.approx(0.6), 1.0]]


def test_the_metric_weighs_pixels_not_images():
    g = torch.Generator().manual_seed(0)
    prediction, target = torch.rand(5, 1, 4, 4, generator=g), torch.rand(5, 1, 4, 4, generator=g) + 0.1
    target[torch.rand(5, 1, 4, 4, generator=g) < torch.linspace(0, 0.9, 5)[:, None, None, None]] = NAN
    metric, theirs = Depth("t").metric(), MeanAbsoluteError()
    metric.update(prediction, target)
    theirs.update(prediction[~target.isnan()], target[~target.isnan()])
    assert metric.compute().item() == pytest.approx(theirs.compute().item())
    assert metric.compute().item() != pytest.approx(Depth("t").score(prediction, target).mean().item())


def test_normals_by_hand():
    prediction = vectors([0, 0, -5], [1, 1, 0], [9, 9, 9])
    target = vectors([0, 0, -1], [1, 0, 0], [NAN, NAN, NAN])
    assert Normals("t").loss(prediction, target).item() == pytest.approx((4 + 1) / 2)
    cosine = Normals("t", loss_kind="cosine").loss(prediction, target).item()
    assert cosine == pytest.approx((0 + 1 - math.sqrt(0.5)) / 2, abs=1e-6)
    assert Normals("t").score(prediction, target).item() == pytest.approx(22.5)
    assert Normals("t").record(prediction, target).flatten().tolist() == pytest.approx([45.0, 2.0])


@pytest.mark.parametrize("degrees", [0, 1e-3, 0.1, 1, 60, 90, 179, 179.9, 179.999, 180])
@pytest.mark.parametrize("length", [1e-20, 1.0, 1e20])
def test_angles_are_exact_to_rounding_everywhere(degrees, length):
    turn = math.radians(degrees)
    a, b = vectors([length, 0, 0]), vectors([math.cos(turn), math.sin(turn), 0]).double().float()
    assert angle(a, b).item() == pytest.approx(degrees, rel=1e-6, abs=1e-4 if degrees > 90 else 1e-6)


def test_a_vector_of_no_length_is_90_degrees_off():
    assert angle(vectors([0, 0, 0], [1, 0, 0]), vectors([0, 1, 0], [0, 0, 0])).tolist() == [[[90.0, 90.0]]]


@pytest.mark.parametrize("prediction", [[0, 0, 0], [0, 0, 1], [0, 0, -1], [0, 0, 1e20], [1e-30, 0, 0], [1e-7, 1e-7, 0]])
def test_gradients_are_finite_at_zero_and_at_0_and_180_degrees(prediction):
    guess, aim = vectors(prediction).requires_grad_(), vectors([0, 0, 1])
    for judge in (Normals("t").loss, Normals("t", loss_kind="cosine").loss, angle):
        value = judge(guess, aim)
        (gradient,) = torch.autograd.grad(value.sum(), guess)
        assert value.isfinite().all()
        assert gradient.isfinite().all()


def test_angle_has_the_gradient_of_an_angle():
    g = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, 3, 2, 2, generator=g, dtype=torch.float64).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(lambda x: angle(x, b.detach()), a)
    assert torch.autograd.gradcheck(direction, a)


def test_only_the_direction_is_judged():
    g = torch.Generator().manual_seed(1)
    task, prediction = Normals("t"), torch.randn(3, 3, 4, 4, generator=g)
    target = task.as_label(torch.randn(3, 3, 4, 4, generator=g))
    torch.testing.assert_close(task.score(prediction, target), task.score(7.5 * prediction, target))
    task.check(task.as_label(prediction))


def test_unknown_is_a_pixel_with_any_nan():
    target = vectors([1, 0, 0], [NAN, 0, 1])
    assert Normals("t").known(target).tolist() == [[[True, False]]]
    assert Normals("t").loss(vectors([1, 0, 0], [5, 5, 5]), target).item() == 0


@pytest.mark.parametrize("task", [Depth("t"), Normals("t")], ids=repr)
def test_predictions_of_another_size_are_refused_in_one_line(task):
    with pytest.raises(TestudoError, match="predictions of 4x4 for targets of 8x8 pixels") as caught:
        task.loss(torch.zeros(1, task.channels, 4, 4), torch.ones(1, task.channels, 8, 8))
    assert "\n" not in str(caught.value)


def test_an_unknown_loss_is_refused():
    with pytest.raises(TestudoError, match="did you mean 'cosine'"):
        Normals("t", loss_kind="cosin")


def test_they_speak_to_people():
    assert Depth("t").tell(torch.tensor([[[[2.0, 3.0, NAN]]]])) == ["2.5 m on average"]
    assert Normals("t").tell(vectors([0, 0, -1], [NAN, NAN, NAN])) == ["facing (0.00, 0.00, -1.00) on average"]
