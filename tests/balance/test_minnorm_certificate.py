"""The exact minimum norm on ten thousand random Gramians: each answer proves itself, and scipy agrees on a sample.

For weights w with d = sum_k w_k g_k, every point p of the hull has ``<p, d> >= min_k <g_k, d>``, the shortest one too,
so that its length is at least ``min_k <g_k, d> / |d|``: what d is longer than that is an upper bound of its excess
norm, whoever found w.
"""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import minimize

from testudo.balance.minnorm import frank_wolfe, min_norm

MOST, EACH = 7, 1_667  # terms; Gramians of 2 to 7 terms, 10,002 in all


def gramians(count, terms, seed=0):
    """(count, terms, terms) of gradients with lengths from 0.01 to 1 and, in one half, a common direction.

    They live in spaces of 2 to 12 dimensions: the shortest vector is often zero, often at a corner, often inside.
    """
    g = torch.Generator().manual_seed(seed + terms)
    rows = torch.randn(count, terms, 12, generator=g, dtype=torch.float64)
    sizes = torch.arange(count) % 11 + 2
    rows = rows * (torch.arange(12) < sizes[:, None])[:, None]
    rows[count // 2 :, :, 0] += 1.5
    rows = torch.nn.functional.normalize(rows, dim=-1)
    rows = rows * 10 ** (-2 * torch.rand(count, terms, 1, generator=g, dtype=torch.float64))
    return rows @ rows.mT


def length(gramian, weights):
    return ((gramian @ weights[..., None])[..., 0] * weights).sum(-1).clamp(min=0).sqrt()


def excess(gramian, weights):
    """An upper bound of by how much the norm at ``weights`` is above the least."""
    norm = length(gramian, weights)
    least = (gramian @ weights[..., None])[..., 0].amin(-1)
    bound = torch.where(norm > 0, least / torch.where(norm > 0, norm, 1), 0).clamp(min=0)
    return norm - bound


@pytest.mark.parametrize("terms", range(2, MOST + 1))
def test_every_answer_proves_that_it_is_the_shortest(terms, record_property):
    gramian = gramians(EACH, terms)
    weights = min_norm(gramian)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(EACH, dtype=torch.float64))
    worst = excess(gramian, weights).max().item()
    approximate = frank_wolfe(gramian, torch.ones(EACH, terms, dtype=torch.bool), 100)
    above = length(gramian, approximate) - length(gramian, weights)
    record_property("excess norm, exact", worst)
    record_property("excess norm, Frank-Wolfe (100 steps)", above.max().item())
    print(f"{terms} terms, {EACH} Gramians: excess norm {worst:.1e}; Frank-Wolfe's at most {above.max():.1e}")
    assert worst < 1e-6
    assert (above > -1e-7).all()  # where the least is zero, rounding in its square shows
    if terms > 2:  # two are solved by one exact line search
        assert above.max() > 1e-3


def test_the_certificate_is_no_lower_than_the_excess():
    """So that it can fail: on weights that are not the best."""
    gramian = gramians(200, 5, seed=50)
    for weights in (torch.full((200, 5), 0.2, dtype=torch.float64), frank_wolfe(gramian, gramian[..., 0] < 9, 5)):
        above = length(gramian, weights) - length(gramian, min_norm(gramian))
        assert (excess(gramian, weights) >= above - 1e-9).all()
        assert excess(gramian, weights).max() > 1e-2


@pytest.mark.parametrize("terms", range(3, MOST + 1))
def test_scipy_finds_nothing_shorter_and_comes_as_near(terms):
    """By sequential quadratic programming, from equal weights: 200 in all."""
    for gramian, weights in zip(g := gramians(40, terms, seed=100), min_norm(g), strict=True):
        inner = gramian.numpy()
        found = minimize(
            lambda w, inner=inner: w @ inner @ w,
            torch.full((terms,), 1 / terms).numpy(),
            jac=lambda w, inner=inner: 2 * inner @ w,
            bounds=[(0, 1)] * terms,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            method="SLSQP",
            options={"ftol": 1e-16, "maxiter": 500},
        )
        its = max(found.fun, 0.0) ** 0.5
        assert length(gramian, weights).item() <= its + 1e-8
        assert its <= length(gramian, weights).item() + 1e-4
