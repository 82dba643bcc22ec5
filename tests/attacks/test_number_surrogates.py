"""What each surrogate for real numbers is."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from surrogate_cases import DEPTH, GAZE, NORMALS, N, labels, outputs, slope

from testudo.attacks.number_surrogates import Cosine, L1Error, L2Error
from testudo.errors import TestudoError
from testudo.tasks.regression import Regression

GAZE_RAW = Regression("t", outputs=3)


def test_errors_agree_with_the_regression_losses():
    for surrogate, loss_kind in ((L1Error(), "l1"), (L2Error(), "l2")):
        task = Regression("t", outputs=3, mean=0.5, std=2.0, loss_kind=loss_kind)
        ours = surrogate(GAZE, outputs("numbers"), labels("numbers"))
        torch.testing.assert_close(ours, task.loss(outputs("numbers"), labels("numbers")))


def test_errors_of_maps_by_hand():
    guess = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    metres = torch.tensor([[[1.0, 0.0], [torch.nan, 8.0]]])  # (N, H, W)
    assert L1Error()(DEPTH, guess, metres).item() == pytest.approx(6 / 3)
    assert L2Error()(DEPTH, guess, metres).item() == pytest.approx(20 / 2 / 3)


def test_cosine_agrees_with_torch():
    guess, aim = outputs("normals"), labels("normals")
    known = ~aim.isnan().any(1)
    each = 1 - F.cosine_similarity(guess, aim.nan_to_num(0), dim=1)
    theirs = torch.stack([each[i][known[i]].mean() for i in range(N)]).nan_to_num(0)
    torch.testing.assert_close(Cosine()(NORMALS, guess, aim), theirs)
    degrees = (1 - each).acos().rad2deg()
    theirs = torch.stack([degrees[i][known[i]].mean() for i in range(N)]).nan_to_num(0)
    torch.testing.assert_close(Cosine(angular=True)(NORMALS, guess, aim), theirs)


def test_cosine_of_standardised_vectors_is_that_of_the_vectors():
    guess, aim = outputs("numbers"), labels("numbers")
    theirs = 1 - F.cosine_similarity(guess * 2 + 0.5, aim, dim=1).nan_to_num(1)
    theirs[2] = 0  # a vector known in part is unknown
    torch.testing.assert_close(Cosine()(GAZE, guess, aim), theirs)


@pytest.mark.parametrize("angular", [False, True])
def test_cosine_where_it_is_hard(angular):
    """Right, opposed, of no length, hardly any, huge; zero targets are unknown; lengths do not matter."""
    aim = torch.tensor([[0.0, 0.0, 1.0]]).expand(7, 3).clone()
    guess = aim * torch.tensor([[1.0], [-1.0], [0.0], [1e-30], [1e30], [1e-5], [5.0]])
    aim[6] = 0
    values, gradient = slope(lambda p: Cosine(angular)(GAZE_RAW, p, aim), guess)
    want = [0.0, 180.0, 90.0, 90.0, 0.0, 0.0, 0.0] if angular else [0.0, 2.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    assert values.tolist() == pytest.approx(want)
    assert gradient.isfinite().all()
    assert (gradient[6] == 0).all()
    tilted = torch.tensor([[1e-3, 0.0, 1.0]]).expand(3, 3) * torch.tensor([[1e-2], [1.0], [1e10]])
    values, gradient = slope(lambda p: Cosine(angular)(GAZE_RAW, p, aim[:3]), tilted)
    want = math.degrees(math.atan(1e-3)) if angular else 0.5e-6
    torch.testing.assert_close(values, torch.full((3,), want), rtol=1e-4, atol=0 if angular else 1e-7)
    if angular:  # a degree is a degree however near
        length = gradient.norm(dim=1) * tilted.norm(dim=1)
        torch.testing.assert_close(length, torch.full((3,), 180 / math.pi), rtol=1e-3, atol=0)


def test_cosine_needs_vectors():
    with pytest.raises(TestudoError, match="surrogate Cosine needs vectors; task 't' has 1 number"):
        Cosine()(Regression("t"), torch.zeros(2, 1), torch.zeros(2))
