"""What dense tasks of numbers share."""

from __future__ import annotations

import math

import pytest
import torch

from testudo.errors import TestudoError
from testudo.tasks.dense import mean, totals
from testudo.tasks.depth import Depth, Disparity
from testudo.tasks.maps import HOG, Curvature
from testudo.tasks.normals import Normals

NAN = math.nan


def test_totals_and_means_by_hand():
    each = torch.tensor([[[1.0, 3.0], [NAN, 5.0]], [[7.0, 7.0], [7.0, 7.0]]])
    known = torch.tensor([[[True, True], [False, False]], [[False, False], [False, False]]])
    assert [part.tolist() for part in totals(each, known)] == [[4, 0], [2, 0]]
    assert mean(each, known).tolist() == [2, 0]


@pytest.mark.parametrize("task", [Depth("t"), Disparity("t"), Normals("t"), Curvature("t"), HOG("t")], ids=repr)
def test_predictions_of_another_size_are_refused_in_one_line(task):
    for judge in (task.loss, task.record, task.score):
        with pytest.raises(TestudoError, match="predictions of 4x4 for targets of 8x8 pixels") as caught:
            judge(torch.zeros(1, task.channels, 4, 4), torch.ones(1, task.channels, 8, 8))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("task", [Normals("t"), Curvature("t"), HOG("t", bins=3)], ids=repr)
def test_unknown_is_a_pixel_with_any_nan(task):
    target = torch.tensor([1.0, 0.0, 0.0])[: task.channels].reshape(1, -1, 1, 1).repeat(1, 1, 1, 2)
    target[0, 1, 0, 1] = NAN
    assert task.known(target).tolist() == [[[True, False]]]
    prediction = target.nan_to_num(99).requires_grad_()
    loss = task.loss(prediction, target)
    assert loss.item() == 0
    (gradient,) = torch.autograd.grad((loss + task.loss(prediction + 1, target)).sum(), prediction)
    assert (gradient[..., 0] != 0).any()
    assert (gradient[..., 1] == 0).all()


def test_they_speak_to_people():
    assert Depth("t").tell(torch.tensor([[[[2.0, 3.0, NAN]]]])) == ["2.5 m on average"]
    assert Disparity("t").tell(torch.tensor([[[[2.0, 3.0, NAN]]]])) == ["2.5 on average"]
    assert Curvature("t").describe(torch.tensor([2.0, -3.0]).reshape(1, 2, 1, 1)) == ["2, -3 1/m on average"]
