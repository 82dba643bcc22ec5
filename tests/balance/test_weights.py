"""Equal, fixed and normalised weights, by their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from testudo.balance.fixed import Equal, Fixed
from testudo.balance.normalised import Normalised
from testudo.errors import TestudoError


def test_equal_is_the_mean():
    losses = torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]])
    balance = Equal()
    torch.testing.assert_close(balance.merit(balance.start(losses), losses), losses.mean(1))


def test_fixed_goes_by_name():
    balance = Fixed({"digit": 1.0, "parity": 0.01, "loop": 0.0})
    for names in (["digit", "loop"], ["loop", "digit"], ["parity", "loop", "digit"]):
        state = balance.start(torch.ones(2, len(names)), names)
        weights, _ = balance.weigh(state, torch.ones(2, len(names)))
        assert weights.tolist() == [[pytest.approx(balance.weights[name]) for name in names]] * 2


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_fixed_refuses_weights_that_mean_nothing(weight):
    with pytest.raises(TestudoError, match="the weight of task 'digit' must be at least 0 and finite"):
        Fixed({"digit": weight})


def test_fixed_lacks_a_task():
    with pytest.raises(TestudoError, match=r"unknown task \(it has no fixed weight\) 'party'; did you mean 'parity'"):
        Fixed({"parity": 1.0}).start(torch.ones(1), ["party"])
    with pytest.raises(TestudoError, match="1 fixed weights for 2 tasks"):
        Fixed({"parity": 1.0}).start(torch.ones(2))


def test_normalised_puts_clean_losses_on_one_scale():
    clean = torch.tensor([[0.1, 10.0, 1.0], [2.0, 2.0, 2.0]], dtype=torch.float64)
    balance = Normalised()
    weights, _ = balance.weigh(balance.start(clean), clean * 3)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(weights * clean, (weights * clean)[:, :1].expand(2, 3))


def test_normalised_has_a_floor():
    balance = Normalised(floor=0.5)
    weights, _ = balance.weigh(balance.start(torch.tensor([0.0, 1.0])), torch.ones(2))
    torch.testing.assert_close(weights, torch.tensor([2 / 3, 1 / 3]))
    with pytest.raises(TestudoError, match="floor must be above 0, got 0"):
        Normalised(floor=0.0)
