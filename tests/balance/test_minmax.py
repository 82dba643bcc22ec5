"""Min-max by hand, its simplex against scipy, its merit against a numerical minimum."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from testudo.balance.minmax import MinMax, project_simplex
from testudo.errors import TestudoError

SUM_TO_ONE = {"type": "eq", "fun": lambda w: w.sum() - 1}


def on_simplex(function, gradient, k):
    """The numerical minimum over the probability simplex."""
    found = minimize(
        function,
        [1 / k] * k,
        jac=gradient,
        method="SLSQP",
        bounds=[(0, 1)] * k,
        constraints=SUM_TO_ONE,
        options={"ftol": 1e-15, "maxiter": 500},
    )
    assert found.success
    return found


@pytest.mark.parametrize("k", [1, 2, 3, 7])
def test_projection_is_scipys(k):
    g = torch.Generator().manual_seed(k)
    points = torch.randn(6, k, generator=g, dtype=torch.float64)
    for point, mine in zip(points.numpy(), project_simplex(points), strict=True):
        best = on_simplex(lambda w, p=point: ((w - p) ** 2).sum(), lambda w, p=point: 2 * (w - p), k)
        torch.testing.assert_close(mine, torch.tensor(best.x), rtol=0, atol=1e-6)


@given(st.lists(st.one_of(st.sampled_from([0.0, 1e12, -1e12, 1e-30]), st.floats(-10, 10)), min_size=1, max_size=6))
@settings(max_examples=200, deadline=None)
def test_projection_obeys_its_conditions(point):
    """On the simplex; where a weight is positive, point - weight is one number that no other exceeds."""
    point = torch.tensor(point, dtype=torch.float64)
    found = project_simplex(point)
    scale = 1 + point.abs().max()
    assert (found >= 0).all()
    assert abs(found.sum() - 1) <= 1e-14
    gap = point - found
    assert (gap[found > 0] - gap.max()).abs().max() <= 1e-12 * scale
    torch.testing.assert_close(project_simplex(found), found, rtol=0, atol=1e-15)


def test_one_step_by_hand():
    """Equation 3 with r = (L - L0) / L0: w - rate (r + gamma (w - 1/K)), then the simplex of two."""
    balance = MinMax(rate=0.1, gamma=2.0)
    clean = torch.tensor([1.0, 4.0], dtype=torch.float64)
    state = balance.start(clean)
    first, state = balance.weigh(state, clean)
    assert first.tolist() == [0.5, 0.5]
    second, state = balance.weigh(state, torch.tensor([3.0, 6.0], dtype=torch.float64))
    # r = (2, 0.5); w - 0.1 r = (0.3, 0.45), which is 0.25 short of one: both get half of it.
    torch.testing.assert_close(second, torch.tensor([0.425, 0.575], dtype=torch.float64))
    third, _ = balance.weigh(state, torch.tensor([2.0, 4.0], dtype=torch.float64))
    # r = (1, 0); pull = 2 (w - 0.5) = (-0.15, 0.15); w - 0.1 (r + pull) = (0.34, 0.56), short by 0.1.
    torch.testing.assert_close(third, torch.tensor([0.39, 0.61], dtype=torch.float64))


def test_raw_losses_by_hand():
    balance = MinMax("raw", rate=0.1, gamma=0.0)
    state = balance.start(torch.tensor([1.0, 4.0]))
    _, state = balance.weigh(state, torch.tensor([1.0, 4.0]))
    torch.testing.assert_close(balance.weigh(state, torch.tensor([3.0, 6.0]))[0], torch.tensor([0.65, 0.35]))


@pytest.mark.parametrize("scale", ["raw", "relative"])
@pytest.mark.parametrize("gamma", [0.0, 0.1, 1.0, 50.0])
def test_merit_is_the_inner_minimum(scale, gamma):
    g = torch.Generator().manual_seed(1)
    clean = torch.rand(5, 3, generator=g, dtype=torch.float64) + 0.2
    losses = clean * (1 + torch.rand(5, 3, generator=g, dtype=torch.float64))
    balance = MinMax(scale, gamma=gamma, floor=1e-3)
    merit = balance.merit(balance.start(clean), losses)
    measured = (losses if scale == "raw" else losses / clean - 1).numpy()
    for mine, r in zip(merit, measured, strict=True):
        best = on_simplex(
            lambda w, r=r: w @ r + gamma / 2 * ((w - 1 / 3) ** 2).sum(), lambda w, r=r: r + gamma * (w - 1 / 3), 3
        )
        assert abs(mine - best.fun) < 1e-7


def test_weight_goes_to_the_task_that_is_hurt_least():
    balance = MinMax(rate=0.5, gamma=0.1)
    state = balance.start(torch.tensor([1.0, 100.0]))
    for _ in range(5):
        weights, state = balance.weigh(state, torch.tensor([1.1, 300.0]))
    assert weights[0] > 0.9
    raw = MinMax("raw", rate=0.5, gamma=0.1)
    state = raw.start(torch.tensor([1.0, 100.0]))
    for _ in range(5):
        weights, state = raw.weigh(state, torch.tensor([9.0, 101.0]))
    assert weights[0] == 1  # by its numbers, not by its damage


def test_certain_tasks_do_not_divide_by_zero():
    balance = MinMax(floor=1e-3)
    state = balance.start(torch.zeros(2, 2))
    assert balance.merit(state, torch.tensor([[1.0, 2.0], [0.0, 0.0]])).isfinite().all()


@pytest.mark.parametrize("fields", [{"rate": 0.0}, {"gamma": -1.0}, {"floor": 0.0}, {"rate": float("nan")}])
def test_constants_that_mean_nothing_are_refused(fields):
    with pytest.raises(TestudoError, match="min-max needs rate > 0, gamma >= 0, floor > 0; got"):
        MinMax(**fields)


def test_unknown_scale_is_refused():
    with pytest.raises(TestudoError, match="unknown scale 'relativ'; did you mean 'relative'"):
        MinMax(scale="relativ")
