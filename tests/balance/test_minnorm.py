"""The exact solvers against scipy, a grid, their own optimality conditions, and hostile Gramians."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from testudo.balance.minnorm import MOST, frank_wolfe, min_norm, nonnegative
from testudo.errors import TestudoError


def rows(n, k, size, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, k, size, generator=g, dtype=torch.float64)


def assert_shortest(jacobian, weights, tol=1e-10):
    """On the simplex, <g_k, d> >= |d|^2, and equal where the weight is above 0; in units of the terms summed."""
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    point = (weights[..., None] * jacobian).sum(-2, keepdim=True)
    gap = (jacobian * point).sum(-1) - point.square().sum(-1)
    norms = jacobian.norm(dim=-1)
    parts = weights * norms
    unit = parts.amax(-1, keepdim=True)
    assert (gap >= -tol * norms * unit).all()
    assert ((weights * gap).abs() <= tol * unit**2).all()


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8])
def test_min_norm_is_scipys(k):
    """By non-negative least squares: min |J' x|^2 + (sum x - 1)^2 has the same direction."""
    jacobian = rows(6, k, 7, seed=k) + 0.3
    weights = min_norm(jacobian @ jacobian.mT)
    assert_shortest(jacobian, weights)
    for mine, j in zip(weights, jacobian, strict=True):
        system = torch.cat([j.T, torch.ones(1, k, dtype=j.dtype)]).numpy()
        best = torch.tensor(nnls(system, [0.0] * 7 + [1.0])[0])
        torch.testing.assert_close(mine, best / best.sum(), rtol=0, atol=1e-9)


def test_no_point_of_a_grid_is_shorter():
    jacobian = rows(4, 3, 4)
    gramian = jacobian @ jacobian.mT
    best = min_norm(gramian)
    ticks = torch.linspace(0, 1, 101, dtype=torch.float64)
    grid = torch.stack([t.flatten() for t in torch.meshgrid(ticks, ticks, indexing="ij")], 1)
    grid = torch.cat([grid, 1 - grid.sum(1, keepdim=True)], 1)
    grid = grid[grid[:, 2] >= -1e-12]
    for g, w in zip(gramian, best, strict=True):
        lengths = ((grid @ g) * grid).sum(1)
        assert w @ g @ w <= lengths.min() + 1e-12
        assert w @ g @ w >= lengths.min() - 0.05 * g.diagonal().max()


numbers = st.one_of(st.sampled_from([0.0, 1.0, -1.0]), st.floats(-3, 3, width=32))


@given(
    jacobian=st.integers(1, 5).flatmap(
        lambda k: st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=k, max_size=k)
    ),
    powers=st.lists(st.integers(-15, 15), min_size=5, max_size=5),
)
@settings(max_examples=300, deadline=None)
def test_conditions_hold_for_zero_duplicate_and_dependent_rows_of_any_scale(jacobian, powers):
    scale = 10.0 ** torch.tensor(powers[: len(jacobian)], dtype=torch.float64)
    jacobian = torch.tensor(jacobian, dtype=torch.float64)
    jacobian = jacobian.where(jacobian.abs() > 1e-6, 0)  # a subnormal square is not a Gramian's business
    for j in (jacobian, jacobian * scale[:, None], torch.cat([jacobian, jacobian])[:5]):
        # A gradient 1e8 times shorter than two that cancel exactly may be taken for the zero that they make.
        assert_shortest(j, min_norm(j @ j.mT), tol=1e-7)


def test_tasks_that_do_not_count():
    jacobian = rows(5, 4, 6)
    gramian = jacobian @ jacobian.mT
    keep = torch.tensor([0, 1, 3])
    known = torch.tensor([True, True, False, True]).expand(5, 4)
    spoilt = gramian.clone()
    spoilt[:, 2], spoilt[:, :, 2] = torch.nan, torch.nan
    found = min_norm(spoilt, known)
    assert (found[:, 2] == 0).all()
    torch.testing.assert_close(found[:, keep], min_norm(gramian[:, keep][:, :, keep]))


def test_a_zero_gradient_is_the_shortest():
    gramian = torch.diag(torch.tensor([1.0, 0.0, 2.0, 0.0]))
    assert min_norm(gramian).tolist() == [0, 0.5, 0, 0.5]


def test_examples_are_alone_in_blocks_and_batches():
    jacobian = rows(300, 9, 12)
    gramian = jacobian @ jacobian.mT  # more than one block of linear systems
    whole = min_norm(gramian)
    for row in (0, 127, 128, 299):
        torch.testing.assert_close(whole[row], min_norm(gramian[row]), rtol=0, atol=1e-13)


def test_nonnegative_columns_are_separate_problems():
    jacobian = rows(3, 4, 5)
    matrix = jacobian @ jacobian.mT
    target = jacobian @ rows(3, 5, 2, seed=1)
    both = nonnegative(matrix, target)
    for column in range(2):
        torch.testing.assert_close(
            both[..., column : column + 1], nonnegative(matrix, target[..., column : column + 1])
        )
    for x, m, t in zip(both, matrix, target, strict=True):
        factor = torch.linalg.cholesky(m)
        for column in range(2):
            right = torch.linalg.solve_triangular(factor, t[:, column : column + 1], upper=False)[:, 0]
            best = torch.tensor(nnls(factor.T.numpy(), right.numpy())[0])
            torch.testing.assert_close(x[:, column], best, rtol=1e-7, atol=1e-9)


def test_too_many_tasks():
    with pytest.raises(TestudoError, match=f"takes at most {MOST} tasks, got {MOST + 1}"):
        min_norm(torch.eye(MOST + 1))


def test_frank_wolfe_comes_down_to_the_exact_point():
    jacobian = rows(8, 4, 6) + 0.5
    gramian = jacobian @ jacobian.mT
    known = torch.ones(8, 4, dtype=torch.bool)
    exact = min_norm(gramian)
    best = ((gramian @ exact[..., None])[..., 0] * exact).sum(-1)
    before = torch.full((8,), torch.inf, dtype=torch.float64)
    for steps in (1, 5, 50, 2000):
        weights = frank_wolfe(gramian, known, steps)
        length = ((gramian @ weights[..., None])[..., 0] * weights).sum(-1)
        assert (length <= before + 1e-12).all()
        assert (length >= best - 1e-12).all()
        before = length
    assert (before - best <= 1e-2 * best).all()
    masked = frank_wolfe(gramian, known & torch.tensor([True, False, True, True]), 20)
    assert (masked[:, 1] == 0).all()
    torch.testing.assert_close(masked.sum(-1), torch.ones(8, dtype=torch.float64))
