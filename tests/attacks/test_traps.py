"""The traps that attack libraries are known to have fallen into, each for every registered attack.

Two more are held in tests/conformance: half-precision images that overshoot the ball
(``test_half_precision_images_and_models_stay_inside_the_ball``) and a smaller last batch that loses its labels
(``test_a_smaller_last_batch_keeps_ids_and_labels_together``).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import helpers
import numpy as np
import pytest
import torch
from torch import nn

from testudo.attacks.base import Attack
from testudo.attacks.mim import MIM
from testudo.attacks.objective import Objective
from testudo.attacks.surrogates import JensenShannon
from testudo.attacks.threat import Linf
from testudo.data.batch import Batch
from testudo.models.wrap import wrap
from testudo.registry import ATTACKS
from testudo.tasks.classification import Classification

DIGIT = Objective("digit")
KEEPS = ["best", "last", "first"]


@pytest.fixture(params=ATTACKS.names())
def attack(request):
    """Every attack, on one classification task, which all of them take."""
    return helpers.attack(request.param, objective=DIGIT, threat=Linf(0.06))


class Viewing(nn.Module):
    """Asks for contiguous memory after a convolution."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.head = nn.Linear(80, 3)

    def forward(self, x):
        return self.head(self.conv(x).view(len(x), -1))


def test_channels_last_breaks_no_reshape(attack):
    data = helpers.batch()
    laid = data.with_images(data.images.to(memory_format=torch.channels_last))
    model = wrap(Viewing(), helpers.TASKS[:1])
    one, other = attack(model, data), attack(model, laid)
    assert torch.equal(one.images, other.images)
    assert other.images.is_contiguous()


class Flat(nn.Module):
    """No slope on dark images, so that the first gradient of some examples is zero."""

    def forward(self, x):
        bright = (x.mean((1, 2, 3)) - 0.5).relu()
        return torch.stack([-bright, bright, 0 * bright], 1)


@pytest.mark.parametrize("keep", KEEPS)
def test_a_zero_gradient_poisons_nothing(attack, keep):
    """Trap: momentum divides by the gradient's norm, and stays NaN for good."""
    model = wrap(Flat(), helpers.TASKS[:1])
    images = torch.cat([torch.full((3, *helpers.SHAPE), 0.1), torch.full((3, *helpers.SHAPE), 0.6)])
    hit = replace(attack, keep=keep)(model, Batch(images, {"digit": torch.tensor([0, 1, 2, 0, 1, 2])}))
    assert hit.images.isfinite().all()
    assert hit.loss.isfinite().all()
    if isinstance(attack, MIM) and keep == "last":  # the others climb all the same
        assert (hit.images[4] < images[4]).all()


def test_a_frozen_norm_stays_frozen(attack):
    """Trap: ``model.eval()`` and then ``model.train()`` put it back in training mode."""
    model = helpers.multi().train()
    model.module.norm.eval()
    mean = model.module.norm.running_mean.clone()
    attack(model, helpers.batch())
    assert model.training
    assert model.module.training
    assert not model.module.norm.training
    assert torch.equal(model.module.norm.running_mean, mean)


def test_no_gradient_is_left_on_the_parameters(attack):
    model = helpers.multi()
    attack(model, helpers.batch())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_the_global_random_states_are_as_they_were(attack):
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    attack(helpers.multi(), helpers.batch())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()  # noqa: NPY002


def test_global_random_states_have_no_say(attack):
    hits = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        hits.append(attack(helpers.multi(), helpers.batch()).images)
    assert torch.equal(*hits)


@dataclass(frozen=True)
class Late(Attack):
    """Its only good images are those it returns."""

    def search(self, problem):
        problem.ascend(problem.clean)
        return problem.project(problem.clean + 0.05)


@pytest.mark.parametrize("keep", KEEPS)
def test_the_last_step_is_scored(keep):
    model = wrap(Flat(), helpers.TASKS[:1])
    data = Batch(torch.full((2, *helpers.SHAPE), 0.5), {"digit": torch.tensor([0, 0])})
    hit = Late(Linf(0.1), DIGIT, keep)(model, data)
    torch.testing.assert_close(hit.images, data.images + 0.05)
    assert hit.decided.all()


@pytest.mark.parametrize("keep", KEEPS)
def test_jensen_shannon_is_finite_at_large_margins(attack, keep):
    attack = replace(attack, keep=keep, objective=Objective("digit", surrogate=JensenShannon()))
    model = helpers.multi()
    model.module = helpers.Scaled(model.module, 1e4)
    hit = attack(model, helpers.batch())
    assert hit.images.isfinite().all()
    assert hit.loss.isfinite().all()
    assert (hit.loss <= 0.6932).all()


class NaNAbove(nn.Module):
    """NaN on images brighter than 0.5."""

    def forward(self, x):
        mean = x.mean((1, 2, 3))
        mean = torch.where(mean > 0.5 + 1e-4, torch.nan, mean)
        return torch.stack([-mean, mean], 1)


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("name", ATTACKS.names())
def test_an_answer_of_nan_beats_nobody(name, keep):
    model = wrap(NaNAbove(), [Classification("digit", classes=2)])
    data = Batch(torch.full((4, 1, 4, 4), 0.5), {"digit": torch.tensor([1, 1, 1, 1])})
    hit = helpers.attack(name, objective=DIGIT, threat=Linf(0.1), keep=keep)(model, data)
    assert not hit.decided.any()
    assert hit.loss.isfinite().all()
