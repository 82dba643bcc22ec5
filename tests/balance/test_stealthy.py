"""Stealthy: merit and weights by hand, and that steps of it stay within budget where naive ones do not."""

from __future__ import annotations

import helpers
import pytest
import torch

from testudo.balance.growth import growth
from testudo.balance.stealthy import Stealthy
from testudo.errors import TestudoError

NAMES = list(helpers.NAMES)


def test_merit_is_growth_within_budget_and_minus_the_excess_beyond():
    balance = Stealthy(("digit",), budget=0.1, floor=0.5)
    clean = torch.tensor([1.0, 2.0, 0.1], dtype=torch.float64)
    state = balance.start(clean, NAMES)
    rows = torch.tensor([[3.0, 2.19, 0.14], [3.0, 2.3, 0.0], [3.0, 2.3, 0.2]], dtype=torch.float64)
    within = growth(rows[0, 0], clean[0], 0.5).item()
    assert [balance.merit(state, row).item() for row in rows] == pytest.approx([within, -0.05, -0.15])
    assert balance.merit(state, clean) == 0


def test_weights_raise_the_named_and_lower_the_rest_the_more_they_have_grown():
    balance = Stealthy("angle")
    state = balance.start(torch.tensor([[1.0, 1.0, 1.0]] * 2), NAMES)
    weights, _ = balance.weigh(state, torch.tensor([[1.0, 5.0, 1.0], [1.1, 5.0, 3.0]]))
    assert (weights[:, 1] > 0).all()
    assert (weights[:, [0, 2]] < 0).all()
    assert (weights[1, [0, 2]] < weights[0, [0, 2]]).all()
    assert weights[0, 0] == pytest.approx(-torch.tensor(-2.0).sigmoid().item())
    assert weights[1, 2] == pytest.approx(-1)


def test_weights_are_the_derivative_of_growth_less_a_soft_hinge():
    balance = Stealthy(("digit", "signs"), budget=0.2)
    clean = torch.tensor([0.3, 2.0, 0.01], dtype=torch.float64)
    losses = torch.tensor([0.9, 2.2, 0.5], dtype=torch.float64, requires_grad=True)
    weights, _ = balance.weigh(balance.start(clean, NAMES), losses.detach())
    spent = (losses[1] - 2) / 2 / 0.2
    hinge = 0.2 / 4 * torch.nn.functional.softplus(4 * (spent - 0.5))
    (growth(losses, clean, 0.1)[[0, 2]].mean() - hinge).backward()
    torch.testing.assert_close(weights, losses.grad)


def climb(balance, losses_of, images, steps=30, eps=0.1):
    """Signed steps in a ball, the best by merit kept; its growths (N, K) in units of the budget."""
    clean = losses_of(images).detach()
    state = balance.start(clean, NAMES)
    now, best, kept = images, balance.merit(state, clean), clean
    for _ in range(steps):
        leaf = now.clone().requires_grad_()
        losses = losses_of(leaf)
        weights, state = balance.weigh(state, losses.detach())
        (gradient,) = torch.autograd.grad((weights * losses).sum(), leaf)
        now = (images + (now + 2.5 * eps / steps * gradient.sign() - images).clamp(-eps, eps)).clamp(0, 1)
        losses = losses_of(now).detach()
        merit = balance.merit(state, losses)
        kept = torch.where((merit > best)[:, None], losses, kept)
        best = torch.maximum(merit, best)
    return clean, kept


class Naive(Stealthy):
    """The named tasks alone are raised; what happens to the others is only watched."""

    def weigh(self, state, losses, gramian=None):
        weights, state = super().weigh(state, losses)
        return weights.clamp(min=0), state


@pytest.mark.parametrize("hurt", [("digit",), ("signs",)])
def test_the_others_stay_within_budget_while_the_named_rise(hurt):
    model, data = helpers.multi(), helpers.batch(24, seed=3)

    def losses_of(images):
        outputs = model(images)
        return torch.stack([task.loss(outputs[n], data.targets[n]) for n, task in model.tasks.items()], 1)

    named = torch.tensor([name in hurt for name in NAMES])
    reached = {}
    for balance in (Stealthy(hurt), Naive(hurt)):
        clean, kept = climb(balance, losses_of, data.images)
        limit = clean + 0.1 * clean.abs().clamp(min=0.1)
        assert (kept <= limit + 1e-6)[:, ~named].all()
        reached[type(balance)] = growth(kept, clean, 0.1)[:, named].mean()
    assert reached[Stealthy] > 0.1
    assert reached[Stealthy] > 1.2 * reached[Naive]


def test_mistakes_are_told_in_one_line():
    with pytest.raises(TestudoError, match=r"^stealthy must be told which tasks to hurt: hurt = \(\) of digit, angle"):
        Stealthy().start(torch.ones(3), NAMES)
    with pytest.raises(
        TestudoError, match=r"^unknown task \(to be hurt, but not under attack\) 'digits'; did you mean"
    ):
        Stealthy(("digits",)).start(torch.ones(3), NAMES)
    for fields in ({"budget": 0.0}, {"floor": -1.0}, {"budget": float("nan")}):
        with pytest.raises(TestudoError, match="stealthy needs budget and floor above 0 and finite, got"):
            Stealthy(("digit",), **fields)
