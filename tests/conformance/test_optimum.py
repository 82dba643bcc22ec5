"""On linear models the strongest perturbation is known; every attack must come within 1 % of it."""

from __future__ import annotations

import itertools
import math

import helpers
import pytest
import torch
from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint, milp, minimize
from torch import nn

from testudo.attacks.objective import Objective
from testudo.attacks.surrogates import Margin
from testudo.balance.fixed import Equal, Fixed
from testudo.data.batch import Batch
from testudo.models.encoder import seeded
from testudo.models.wrap import wrap
from testudo.registry import ATTACKS, THREATS
from testudo.tasks.classification import Classification
from testudo.tasks.regression import Regression

DUAL = {math.inf: 1, 2: 2, 1: math.inf}
SMALL = (1, 2, 2)


class TwoHeads(nn.Module):
    """A linear classifier of two classes and a linear regressor on the same pixels."""

    def __init__(self, shape=helpers.SHAPE):
        super().__init__()
        self.sides = nn.Linear(math.prod(shape), 2)
        self.height = nn.Linear(math.prod(shape), 1)

    def forward(self, x):
        flat = x.flatten(1)
        return {"side": self.sides(flat), "height": self.height(flat)}


TASKS = [Classification("side", classes=2), Regression("height", loss_kind="l1")]


def model(shape=helpers.SHAPE):
    with seeded(3):
        return wrap(TwoHeads(shape).double(), TASKS)


def batch(low, high, shape=helpers.SHAPE, n=5):
    """Targets far below the regression's reach, so that its error is linear in the image."""
    g = torch.Generator().manual_seed(1)
    images = torch.rand(n, *shape, generator=g, dtype=torch.float64) * (high - low) + low
    targets = {"side": torch.randint(0, 2, (n,), generator=g), "height": torch.full((n,), -50.0, dtype=torch.float64)}
    return Batch(images, targets)


def gains(net, data):
    """{task: (N, D)} how fast margin and error grow with the pixels."""
    sides, height = net.module.sides.weight.detach(), net.module.height.weight.detach()
    own, other = data.targets["side"], 1 - data.targets["side"]
    return {"side": sides[other] - sides[own], "height": height.expand(len(data), -1)}


def solve(gain, clean, ball):
    """The largest gain . delta over ball and box, by scipy, for one example."""
    bounds = Bounds(-clean, 1 - clean)
    if ball.p == math.inf:
        free = LinearConstraint([[0.0] * len(clean)], -math.inf, math.inf)
        box = Bounds((-clean).clip(-ball.eps), (1 - clean).clip(max=ball.eps))
        return -milp(-gain, bounds=box, constraints=free).fun
    if ball.p == 1:  # the move split in what is added and what is taken
        spent = LinearConstraint([[1.0] * 2 * len(clean)], -math.inf, ball.eps)
        return -milp([*-gain, *gain], bounds=Bounds(0, [*1 - clean, *clean]), constraints=spent).fun
    norm = NonlinearConstraint(lambda d: d @ d, -math.inf, ball.eps**2, jac=lambda d: [2 * d])
    found = minimize(lambda d: -gain @ d, 0.1 * clean * 0, jac=lambda d: -gain, bounds=bounds, constraints=norm)
    assert found.success
    return -found.fun


def attack(name, ball, objective):
    return helpers.attack(name, threat=ball, objective=objective, steps=40, step=ball.eps / 4 or None)


# FAB and friendly PGD stop soon after the boundary, and those that take no gradients climb by chance: an optimum is not
# what they are for.
CLIMBERS = [name for name in ATTACKS.names() if name not in (*helpers.ONE_TASK, *helpers.BLIND, "friendly")]
GRID = list(itertools.product(CLIMBERS, THREATS.names()))


@pytest.mark.parametrize(("name", "norm"), GRID)
def test_margin_of_two_classes_falls_by_eps_times_the_dual_norm(name, norm):
    net, data, ball = model(), batch(0.4, 0.6), helpers.threat(norm)
    hit = attack(name, ball, Objective("side", surrogate=Margin()))(net, data)
    gain = gains(net, data)["side"]
    clean = helpers.fresh_losses(net, _Clean(data), data, Objective("side", surrogate=Margin()))["side"]
    best = ball.eps * gain.norm(DUAL[ball.p], dim=1)
    torch.testing.assert_close(hit.loss - clean, best, rtol=1e-2, atol=0)
    assert (hit.loss - clean <= best * (1 + 1e-9)).all()


@pytest.mark.parametrize(("name", "norm"), GRID)
@pytest.mark.parametrize("weights", [None, {"side": 3.0, "height": 1.0}, {"side": 0.0, "height": 2.0}])
def test_weighted_tasks_fall_along_their_weighted_gradient(name, norm, weights):
    net, data, ball = model(), batch(0.4, 0.6), helpers.threat(norm)
    net.tasks["side"] = LinearSide("side", classes=2)
    balance = Equal() if weights is None else Fixed(weights)
    weights = weights or {"side": 0.5, "height": 0.5}
    hit = attack(name, ball, Objective(("side", "height"), balance))(net, data)
    nothing = attack(name, type(ball)(0.0), Objective(("side", "height"), balance))(net, data)
    gain = sum(weights[task] * value for task, value in gains(net, data).items())
    best = ball.eps * gain.norm(DUAL[ball.p], dim=1)
    torch.testing.assert_close(hit.loss - nothing.loss, best, rtol=1e-2, atol=0)
    for task, weight in weights.items():
        assert (hit.weights[:, list(hit.task_loss).index(task)] == weight).all()


@pytest.mark.parametrize(("name", "norm"), GRID)
@pytest.mark.parametrize("eps", [0.2, 0.7])
def test_optimum_where_the_box_cuts_the_ball(name, norm, eps):
    net, data, ball = model(SMALL), batch(0.0, 1.0, SMALL), helpers.threat(norm, eps)
    hit = attack(name, ball, Objective("height"))(net, data)
    clean = helpers.fresh_losses(net, _Clean(data), data, Objective("height"))["height"]
    gain = gains(net, data)["height"].numpy()
    flat = data.images.flatten(1).numpy()
    best = torch.tensor([solve(g, c, ball) for g, c in zip(gain, flat, strict=True)])
    # One step cannot follow the bent edge of an L2 ball cut by the box: it is held to half; in L1, where it
    # moves few values by all of eps, to a tenth.
    share = 0.99 if norm == "linf" or hit.backwards > 1 else {"l2": 0.5, "l1": 0.1}[norm]
    assert (hit.loss - clean >= share * best).all()
    assert (hit.loss - clean <= best * (1 + 1e-5)).all()


class LinearSide(Classification):
    """Its loss is the margin itself, so that a weighted sum of tasks is linear too."""

    def loss(self, prediction, target):
        return Margin()(self, prediction, target)


class _Clean:
    """The clean images in the place of a hit's."""

    def __init__(self, data):
        self.images = data.images
