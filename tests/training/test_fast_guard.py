"""On a few real digits a network overfits to fast training's one step; with the guard it does so less."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.data.digits import Digits
from testudo.models.encoder import seeded
from testudo.models.fast import fast
from testudo.models.prepare import reusing
from testudo.models.wrap import wrap
from testudo.tasks.classification import Classification
from testudo.training.methods.fast import KEY, Fast

BALL = Linf(0.3)
TRAIN, BATCH, EPOCHS, RATE = 256, 32, 40, 0.2


def network():
    """Three convolutions with batch norm."""
    parts = []
    for before, after, stride in ((1, 16, 1), (16, 32, 2), (32, 32, 1)):
        parts += [nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(512, 10))


def trained(method, examples):
    """The model after SGD at a rate that rises and falls, and how many steps the guard stood in."""
    with seeded(0):
        model = wrap(network(), [Classification("digit", classes=10)]).train()
    optimiser = torch.optim.SGD(model.parameters(), RATE, momentum=0.9)
    order, state, stood_in, total = torch.Generator().manual_seed(0), {}, 0, EPOCHS * TRAIN // BATCH
    rates = iter(RATE * min(step / 0.3, (total - step) / 0.7) / total for step in range(total))
    with reusing(model, "float32"):
        for _ in range(EPOCHS):
            for rows in torch.randperm(TRAIN, generator=order).split(BATCH):
                optimiser.param_groups[0]["lr"] = next(rates)
                for terms in method.steps(model, examples[rows], state):
                    optimiser.zero_grad()
                    sum(terms.values()).backward()
                    optimiser.step()
                stood_in += int(state[KEY][1]) if KEY in state else 0
    return model.eval(), stood_in


@pytest.fixture(scope="module")
def outcomes():
    """For each method: how many of 300 test digits stand under one step and under PGD-20, and the guard's steps."""
    found, test = {}, Digits().load("test").batch(range(300))
    test = type(test)(test.images, {"digit": test.targets["digit"]})
    train = Digits().load("train").batch(range(TRAIN))
    train = type(train)(train.images, {"digit": train.targets["digit"]})
    for name, guard in (("fast", 0), ("guarded", 4)):
        model, stood_in = trained(Fast(threat=BALL, guard=guard), train)
        frozen = fast(model, "float32")
        hits = [PGD(BALL, steps=1, step=1.25 * BALL.eps)(frozen, test), PGD(BALL, steps=20)(frozen, test)]
        found[name] = (*(float((~hit.decided).float().mean()) for hit in hits), stood_in)
    return found


def test_it_overfits_to_the_step_it_is_trained_with(outcomes):
    one_step, pgd, _ = outcomes["fast"]
    assert pgd < one_step - 0.15


def test_the_guard_steps_in_now_and_then_and_helps(outcomes):
    steps = EPOCHS * TRAIN // BATCH
    assert steps / 10 < outcomes["guarded"][2] < steps * 0.9
    assert outcomes["guarded"][1] > outcomes["fast"][1] + 0.04
