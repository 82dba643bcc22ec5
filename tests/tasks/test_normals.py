"""Normals by hand, and the histogram of their angles against the angles themselves."""

from __future__ import annotations

import math

import pytest
import torch

from testudo.errors import TestudoError
from testudo.tasks.normals import BINS, Normals
from testudo.tasks.vectors import angle

NAN = math.nan


def vectors(*rows):
    """Vectors as the pixels of one image: (1, 3, 1, n)."""
    return torch.tensor(rows, dtype=torch.float32).T[None, :, None]


def off_by(*degrees):
    """Predictions so many degrees off, and what they should be."""
    turns = [math.radians(d) for d in degrees]
    return vectors(*([math.cos(t), math.sin(t), 0] for t in turns)), vectors(*([1, 0, 0] for _ in turns))


def test_normals_by_hand():
    prediction = vectors([0, 0, -5], [1, 1, 0], [9, 9, 9])
    target = vectors([0, 0, -1], [1, 0, 0], [NAN, NAN, NAN])
    assert Normals("t").loss(prediction, target).item() == pytest.approx((4 + 1) / 2)
    cosine = Normals("t", loss_kind="cosine").loss(prediction, target).item()
    assert cosine == pytest.approx((0 + 1 - math.sqrt(0.5)) / 2, abs=1e-6)
    assert Normals("t").score(prediction, target).item() == pytest.approx(22.5)
    record = Normals("t").record(prediction, target)[0]
    assert record[[0, -1]].tolist() == pytest.approx([45.0, 2.0])
    assert record[1:-1].sum() == 2


@pytest.mark.parametrize("border", [11.25, 22.5, 30.0])
def test_a_bin_begins_at_every_border(border):
    """The bins up to it hold what is less than so many degrees off, to the rounding of an angle."""
    record = Normals("t").record(*off_by(border - 1e-3, border + 1e-3, 0.0, 180.0))[0, 1:-1]
    below = round(border * BINS / 180)
    assert below == border * BINS / 180
    assert record[:below].tolist() == [1, *[0] * (below - 2), 1]
    assert record[below] == record[-1] == 1


def test_bins_are_the_histogram_of_the_angles():
    g = torch.Generator().manual_seed(0)
    task = Normals("t")
    prediction = torch.randn(3, 3, 20, 20, generator=g)
    target = task.as_label(torch.randn(3, 3, 20, 20, generator=g))
    target[:, :, :5] = NAN
    angles = angle(prediction, target)
    for record, each in zip(task.record(prediction, target), angles, strict=True):
        theirs = each[~each.isnan()].histc(BINS, 0, 180)
        assert (record[1:-1] - theirs).abs().sum() <= 2  # one angle on a border may be put on its other side
        assert record[0] == pytest.approx(each.nansum().item(), rel=1e-5)


@pytest.mark.parametrize("prediction", [[0, 0, 0], [0, 0, 1], [0, 0, -1], [0, 0, 1e20], [1e-30, 0, 0], [1e-7, 1e-7, 0]])
def test_gradients_are_finite_at_zero_and_at_0_and_180_degrees(prediction):
    guess, aim = vectors(prediction).requires_grad_(), vectors([0, 0, 1])
    for judge in (Normals("t").loss, Normals("t", loss_kind="cosine").loss, angle):
        value = judge(guess, aim)
        (gradient,) = torch.autograd.grad(value.sum(), guess)
        assert value.isfinite().all()
        assert gradient.isfinite().all()


def test_only_the_direction_is_judged():
    g = torch.Generator().manual_seed(1)
    task, prediction = Normals("t"), torch.randn(3, 3, 4, 4, generator=g)
    target = task.as_label(torch.randn(3, 3, 4, 4, generator=g))
    torch.testing.assert_close(task.score(prediction, target), task.score(7.5 * prediction, target))
    task.check(task.as_label(prediction))


def test_a_mirror_turns_right_to_left():
    target, mirror = vectors([0.6, 0.0, -0.8], [NAN, NAN, NAN]).repeat(2, 1, 1, 1), torch.tensor([True, False])
    moved = Normals("t").moved(target, mirror, torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(moved[0], vectors([-0.6, 0.0, -0.8], [NAN, NAN, NAN])[0], equal_nan=True)
    torch.testing.assert_close(moved[1], target[1], equal_nan=True)


def test_what_a_zoom_blended_has_length_1_again():
    blended, none = vectors([0.3, 0.0, -0.4], [0.0, 0.0, 0.0]), torch.zeros(1, dtype=torch.bool)
    moved = Normals("t").moved(blended, none, torch.tensor([2.0]))
    torch.testing.assert_close(moved, vectors([0.6, 0.0, -0.8], [NAN, NAN, NAN]), equal_nan=True)
    assert torch.equal(Normals("t").moved(blended, none, torch.ones(1)), blended)


def test_an_unknown_loss_is_refused():
    with pytest.raises(TestudoError, match="did you mean 'cosine'"):
        Normals("t", loss_kind="cosin")


def test_they_speak_to_people():
    assert Normals("t").tell(vectors([0, 0, -1], [NAN, NAN, NAN])) == ["facing (0.00, 0.00, -1.00) on average"]
