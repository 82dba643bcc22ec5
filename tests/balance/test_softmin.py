"""Softmin by its definition: closed forms, limits, finite differences, labels, hostile losses."""

from __future__ import annotations

import math

import pytest
import torch

from testudo.balance.growth import growth, slope
from testudo.balance.softmin import Softmin
from testudo.errors import TestudoError

CLEAN = torch.tensor([[0.001, 5.0, -3.0], [0.4, 0.4, 0.4]], dtype=torch.float64)
LOSSES = torch.tensor([[0.3, 40.0, -2.0], [0.5, 0.1, 1e4]], dtype=torch.float64)


def test_growth_is_the_logarithm_of_the_ratio_far_above_the_floor():
    losses = torch.tensor([30.0, 1e6], dtype=torch.float64)
    clean = torch.tensor([10.0, 1e3], dtype=torch.float64)
    torch.testing.assert_close(growth(losses, clean, 0.01), (losses / clean).log(), rtol=1e-5, atol=0)
    assert growth(clean, clean, 0.01).eq(0).all()
    small = torch.tensor([1e-4], dtype=torch.float64)
    torch.testing.assert_close(growth(small, -small, 0.1), 20 * small, rtol=1e-5, atol=0)


def test_slope_is_the_derivative_of_growth():
    losses = LOSSES.clone().requires_grad_()
    growth(losses, CLEAN, 0.1).sum().backward()
    torch.testing.assert_close(slope(LOSSES, 0.1), losses.grad)


@pytest.mark.parametrize("sharpness", [0.01, 1.0, 4.0, 300.0])
def test_weights_are_the_derivative_of_the_merit(sharpness):
    balance = Softmin(sharpness)
    state = balance.start(CLEAN)
    weights, _ = balance.weigh(state, LOSSES)
    for task in range(3):
        h = 1e-6 * (1 + LOSSES[:, task].abs())
        up, down = LOSSES.clone(), LOSSES.clone()
        up[:, task] += h
        down[:, task] -= h
        numeric = (balance.merit(state, up) - balance.merit(state, down)) / (2 * h)
        torch.testing.assert_close(weights[:, task], numeric, rtol=1e-4, atol=1e-8)


def test_limits_of_sharpness():
    h = growth(LOSSES, CLEAN, 0.1)
    for dtype, tol in ((torch.float64, 1e-4), (torch.float32, 1e-4)):
        for sharpness, wanted in ((1e-6, h.mean(-1)), (1e6, h.amin(-1))):
            balance = Softmin(sharpness)
            merit = balance.merit(balance.start(CLEAN.to(dtype)), LOSSES.to(dtype))
            torch.testing.assert_close(merit, wanted.to(dtype), rtol=tol, atol=tol)


def test_a_task_without_a_label_is_absent():
    balance = Softmin(2.0)
    marked = CLEAN.clone()
    marked[:, 1] = math.nan
    keep = torch.tensor([0, 2])
    state, alone = balance.start(marked), balance.start(CLEAN[:, keep])
    weights, _ = balance.weigh(state, LOSSES)
    assert (weights[:, 1] == 0).all()
    torch.testing.assert_close(weights[:, keep], balance.weigh(alone, LOSSES[:, keep])[0])
    torch.testing.assert_close(balance.merit(state, LOSSES), balance.merit(alone, LOSSES[:, keep]))


@pytest.mark.parametrize(("sharpness", "floor"), [(0.0, 0.1), (1.0, 0.0), (math.nan, 0.1), (1.0, math.inf)])
def test_constants_that_mean_nothing_are_refused(sharpness, floor):
    with pytest.raises(TestudoError, match="softmin needs sharpness and floor above 0 and finite, got"):
        Softmin(sharpness, floor)
