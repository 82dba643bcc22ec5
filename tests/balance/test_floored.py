"""MGDA with a floor and with preferences: certificates, scipy, a grid, closed forms, degenerate gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from testudo.balance.by_name import any_of, matches
from testudo.balance.floored import FlooredMGDA
from testudo.balance.gramian import MGDA
from testudo.balance.minnorm import MOST, min_norm
from testudo.balance.preferred import PreferredMGDA
from testudo.balance.two_hulls import min_norm_with_share
from testudo.errors import TestudoError

NAMES = ("a.clean", "a.adv", "b.clean", "b.adv", "c.clean")


def jacobians(n=50, k=5, size=6, seed=0):
    g = torch.Generator().manual_seed(seed)
    scale = 10 ** (3 * torch.rand(n, k, 1, generator=g, dtype=torch.float64) - 3)
    return torch.randn(n, k, size, generator=g, dtype=torch.float64) * scale


def groups(n, k, seed=0):
    """Rows in which at least one is named and one is not."""
    named = torch.rand(n, k, generator=torch.Generator().manual_seed(seed)) < 0.4
    named[:, 0], named[:, -1] = True, False
    return named


def yes(named):
    return torch.ones_like(named)


def product(jacobian, weights):
    """(N, K) inner products with the point that the weights make; (N,) its length."""
    point = (weights[..., None] * jacobian).sum(-2)
    return (jacobian @ point[..., None])[..., 0], point.norm(dim=-1)


def excess(jacobian, named, weights, share):
    """An upper bound of the excess norm: every allowed point p has ``<p, d> >=`` the least over the corners."""
    along, length = product(jacobian, weights)
    least = [torch.where(group, along, math.inf).amin(-1) for group in (named, ~named)]
    corner = torch.minimum(least[0], share * least[0] + (1 - share) * least[1]).clamp(min=0)
    return length - corner / length.clamp(min=1e-300)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("k", [2, 3, 5, 8])
def test_every_answer_proves_that_it_is_the_shortest_allowed(k, share):
    for size in (2, k, 12):
        jacobian, named = jacobians(100, k, size), groups(100, k)
        weights = min_norm_with_share(jacobian @ jacobian.mT, named, yes(named), share)
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(100, dtype=torch.float64))
        assert (torch.where(named, weights, 0).sum(-1) >= share - 1e-9).all()
        assert excess(jacobian, named, weights, share).max() < 1e-8


def test_scipy_finds_nothing_shorter():
    for share in (0.3, 0.8):
        jacobian, named = jacobians(20, 5), groups(20, 5)
        mine = min_norm_with_share(jacobian @ jacobian.mT, named, yes(named), share)
        for j, group, weights in zip(jacobian / 0.1, named, mine, strict=True):
            inner, chosen = (j @ j.mT).numpy(), group.numpy()
            found = minimize(
                lambda w, inner=inner: w @ inner @ w,
                torch.full((5,), 0.2).numpy(),
                jac=lambda w, inner=inner: 2 * inner @ w,
                bounds=[(0, 1)] * 5,
                constraints=[
                    {"type": "eq", "fun": lambda w: w.sum() - 1},
                    {"type": "ineq", "fun": lambda w, chosen=chosen, share=share: w[chosen].sum() - share},
                ],
                method="SLSQP",
                options={"ftol": 1e-16, "maxiter": 500},
            )
            length = max(float(weights.numpy() @ inner @ weights.numpy()), 0.0) ** 0.5
            assert length <= max(found.fun, 0.0) ** 0.5 + 1e-7
            assert max(found.fun, 0.0) ** 0.5 <= length + 1e-4


def test_no_point_of_a_grid_is_shorter():
    jacobian, share = jacobians(6, 3, 3), 0.6
    named = torch.tensor([True, False, False])
    ticks = torch.linspace(0, 1, 101, dtype=torch.float64)
    grid = torch.stack([t.flatten() for t in torch.meshgrid(ticks, ticks, indexing="ij")], 1)
    grid = torch.cat([grid, 1 - grid.sum(1, keepdim=True)], 1)
    grid = grid[(grid[:, 2] >= -1e-12) & (grid[:, 0] >= share - 1e-12)]
    for j in jacobian:
        weights = min_norm_with_share(j @ j.mT, named, yes(named), share)
        lengths = ((grid @ j) ** 2).sum(1)
        assert ((weights @ j) ** 2).sum() <= lengths.min() + 1e-12


def test_a_floor_that_is_met_anyway_changes_nothing():
    jacobian, named = jacobians(), groups(50, 5)
    free = min_norm(jacobian @ jacobian.mT)
    least = torch.where(named, free, 0).sum(-1).clamp(1e-3, 1)
    for gramian, group, w, share in zip(jacobian @ jacobian.mT, named, free, least.tolist(), strict=True):
        if w[group].sum() > 0.01:
            assert torch.equal(min_norm_with_share(gramian, group, yes(group), 0.9 * share), w)


def test_groups_without_a_task_have_no_floor():
    jacobian = jacobians(4)
    gramian, free = jacobian @ jacobian.mT, min_norm(jacobian @ jacobian.mT)
    every, none = torch.ones(4, 5, dtype=torch.bool), torch.zeros(4, 5, dtype=torch.bool)
    for named in (every, none):
        assert torch.equal(min_norm_with_share(gramian, named, every, 0.7), free)
    named = groups(4, 5)
    only = min_norm_with_share(gramian, named, ~named, 0.7)
    torch.testing.assert_close(only, min_norm(gramian, ~named))


@given(
    rows=st.lists(st.lists(st.sampled_from([0.0, 1.0, -1.0, 0.5, 1e-4, -1e-4]), min_size=3, max_size=3), min_size=2,
                  max_size=5),
    named=st.lists(st.booleans(), min_size=5, max_size=5),
    share=st.sampled_from([0.01, 0.5, 0.99, 1.0]),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_duplicate_opposed_and_dependent_gradients(rows, named, share):
    jacobian = torch.tensor([row for row in rows if any(row)] or [[1.0, 0.0, 0.0]], dtype=torch.float64)
    group = torch.tensor(named[: len(jacobian)])
    weights = min_norm_with_share(jacobian @ jacobian.mT, group, yes(group), share)
    assert (weights >= 0).all()
    assert weights.sum().item() == pytest.approx(1)
    if group.any() and not group.all():
        assert weights[group].sum() >= share - 1e-9
        assert excess(jacobian, group, weights, share) < 1e-6


def test_too_many_tasks():
    with pytest.raises(TestudoError, match=f"takes at most {MOST} tasks, got {MOST + 1}"):
        min_norm_with_share(torch.eye(MOST + 1), torch.arange(MOST + 1) < 3, torch.ones(MOST + 1).bool(), 0.5)


def weigh(balance, jacobian, losses=None):
    losses = torch.ones_like(jacobian[..., 0]) if losses is None else losses
    return balance.weigh(balance.start(losses, NAMES), losses, jacobian @ jacobian.mT)[0]


@pytest.mark.parametrize("normalise", ["none", "l2", "loss", "loss+"])
def test_named_terms_have_their_share_of_the_weights_of_the_losses(normalise):
    jacobian = jacobians()
    losses = torch.rand(50, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) + 0.2
    weights = weigh(FlooredMGDA(share=0.6, normalise=normalise), jacobian, losses)
    assert (weights[:, [1, 3]].sum(1) >= 0.6 - 1e-9).all()
    if normalise == "none":
        torch.testing.assert_close(weights.sum(1), torch.ones(50, dtype=torch.float64))
    unit = {"none": 1.0, "l2": jacobian.norm(dim=-1), "loss": losses, "loss+": losses * jacobian.norm(dim=-1)}[
        normalise
    ]
    divided = jacobian / torch.as_tensor(unit).expand(50, 5)[..., None]
    named = torch.tensor([False, True, False, True, False])
    shares = weights * unit
    shares = shares / shares.sum(-1, keepdim=True)
    assert excess(divided, named, shares, 0.6).max() < 1e-6


def test_raw_mgda_starves_what_a_floor_feeds():
    """Fitted clean terms: small gradients. The floor is for one of the two adversarial terms."""
    sizes = torch.tensor([1e-3, 1.0, 1e-3, 0.1, 1e-3], dtype=torch.float64)
    jacobian = torch.nn.functional.normalize(jacobians(20), dim=-1) * sizes[:, None]
    assert weigh(MGDA(normalise="none"), jacobian)[:, 1].max() < 0.01
    assert (weigh(FlooredMGDA(named="a.adv", share=0.4), jacobian)[:, 1] >= 0.4 - 1e-12).all()
    assert weigh(FlooredMGDA(share=0.4), jacobian)[:, 1].median() < weigh(
        FlooredMGDA(share=0.4), jacobian
    )[:, 3].median()  # fmt: skip


def test_preferences_are_the_parts_of_the_step_where_gradients_are_at_right_angles():
    lengths = torch.tensor([1.0, 20.0, 0.3, 4.0, 1e-3], dtype=torch.float64)
    jacobian = torch.diag(lengths)
    weights = weigh(PreferredMGDA(preferences={"a.*": 2.0, "*.adv": 5.0}), jacobian)
    along = (jacobian @ (weights @ jacobian)) / lengths
    torch.testing.assert_close(along / along[2], torch.tensor([2.0, 2.0, 1.0, 5.0, 1.0], dtype=torch.float64))


def test_without_preferences_it_is_mgda_and_with_them_still_lowers_every_term():
    jacobian = jacobians()
    for normalise in ("none", "l2"):
        plain, solver = weigh(MGDA(normalise=normalise), jacobian), "frank_wolfe"
        torch.testing.assert_close(weigh(PreferredMGDA(normalise=normalise), jacobian), plain)
        weights = weigh(PreferredMGDA(normalise=normalise, preferences={"*.adv": 10.0}), jacobian)
        along, _ = product(jacobian, weights)
        assert (along >= -1e-12).all()
        assert (weights[:, [1, 3]].sum(1) >= plain[:, [1, 3]].sum(1) - 1e-9).float().mean() > 0.8
        near = weigh(
            PreferredMGDA(solver=solver, steps=3000, normalise=normalise, preferences={"*.adv": 10.0}), jacobian
        )
        torch.testing.assert_close(near, weights, rtol=0, atol=0.1)


def test_patterns():
    assert matches("*", NAMES) == [True] * 5
    assert any_of(("a.adv", "*.adv"), NAMES) == [False, True, False, True, False]
    with pytest.raises(TestudoError, match=r"^no term fits '\*.hurt' \(the balance has: a.clean, a.adv"):
        any_of(("*.adv", "*.hurt"), NAMES)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FlooredMGDA(named=()), "named must hold a pattern"),
        (lambda: FlooredMGDA(share=0.0), r"share must be in \(0, 1\], got 0.0"),
        (lambda: FlooredMGDA(normalise="l3"), "unknown normalisation 'l3'"),
        (lambda: FlooredMGDA().start(torch.ones(2), ("digit", "parity")), r"no term fits '\*.adv'"),
        (lambda: PreferredMGDA(preferences={"a": 0.0}), "the preference of 'a' must be above 0 and finite, got 0.0"),
        (lambda: PreferredMGDA(preferences={"x": 1.0}).start(torch.ones(1), ("a",)), "no term fits 'x'"),
    ],
)
def test_mistakes_are_told_in_one_line(make, message):
    with pytest.raises(TestudoError, match=f"^{message}"):
        make()
