"""Models that draw random numbers: averaged over samples, reproducible, and the world's states left alone."""

from __future__ import annotations

import random

import helpers
import numpy as np
import pytest
import torch
from torch import nn

from testudo.attacks.apgd import APGD
from testudo.attacks.base import draws_of_its_own
from testudo.attacks.ensemble import AutoAttack
from testudo.attacks.fab import FAB
from testudo.attacks.fgsm import FGSM
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.surrogates import Margin
from testudo.attacks.threat import L2, Linf
from testudo.balance.gramian import MGDA
from testudo.data.batch import Batch
from testudo.models.encoder import seeded
from testudo.models.fast import fast
from testudo.models.wrap import wrap
from testudo.registry import ATTACKS
from testudo.tasks.classification import Classification
from testudo.tasks.regression import Regression

TASK = Classification("digit", classes=3)


class Noisy(nn.Module):
    """Normal noise on the input, then a linear map; ``how`` it is drawn is up to the user."""

    def __init__(self, how="like", size=0.3):
        super().__init__()
        self.how, self.size = how, size
        self.linear = nn.Linear(40, 3)

    def forward(self, x):
        noise = {
            "like": lambda: torch.randn_like(x),
            "shape": lambda: torch.randn(x.shape, dtype=x.dtype),
            "constant": lambda: torch.randn(1, 2, 5, 4, dtype=x.dtype),
            "python": lambda: random.gauss(0, 1),
            "dropout": lambda: nn.functional.dropout(torch.ones_like(x), 0.5, training=True),
        }[self.how]()
        return self.linear((x + self.size * noise).flatten(1))


def noisy(how="like", size=0.3):
    with seeded(0):
        return wrap(Noisy(how, size).double(), [TASK])


def batch(n=5):
    data = helpers.batch(n, dtype=torch.float64)
    return Batch(data.images * 0.4 + 0.3, {"digit": torch.arange(n) % 3}, data.ids)


@pytest.mark.parametrize("samples", [1, 7])
def test_the_gradient_is_the_mean_over_draws(samples):
    """Cross-entropy of a linear model: the gradient is W'(softmax - label), averaged over the draws of the noise."""
    model, data = noisy(), batch()
    attack = FGSM(L2(0.1), Objective("digit"), keep="last", seed=4, samples=samples)
    linear = model.module.linear
    with draws_of_its_own(4, torch.device("cpu")), torch.no_grad():
        slopes = []
        for _ in range(samples):
            noise = torch.randn_like(data.images.to(memory_format=torch.channels_last))  # as the copy has them
            logits = linear((data.images + 0.3 * noise).flatten(1))
            gap = logits.softmax(1) - nn.functional.one_hot(data.targets["digit"], 3)
            slopes.append((gap @ linear.weight).view_as(data.images))
    mean = torch.stack(slopes).mean(0)
    wanted = data.images + 0.1 * mean / mean.flatten(1).norm(dim=1)[:, None, None, None]
    torch.testing.assert_close(attack.perturb(model, data), wanted, rtol=0, atol=1e-12)


def test_more_samples_bring_the_gradient_nearer_to_its_mean():
    model, data = noisy(size=3.0), batch()
    still = FGSM(L2(0.1), Objective("digit", surrogate=Margin()), "last")
    far = {}
    for samples in (1, 200):
        ways = [
            FGSM(L2(0.1), still.objective, "last", seed, samples).perturb(model, data) - data.images for seed in (1, 2)
        ]
        far[samples] = (ways[0] - ways[1]).norm()
    assert far[200] < far[1] / 3


@pytest.mark.parametrize("name", ATTACKS.names())
def test_a_seed_gives_the_same_draws_and_another_seed_others(name):
    model, data = noisy(size=1.0), batch()
    torch.manual_seed(0)
    hits = []
    for seed in (3, 3, 4):
        attack = helpers.attack(
            name, objective=Objective("digit"), threat=Linf(0.2), seed=seed, samples=2, keep="first"
        )
        if name == "worst_case":
            attack = helpers.attack(name, objective=Objective("digit"), threat=Linf(0.2), seed=seed)
        hits.append(attack(model, data))
        torch.randn(5)  # the caller's own draws have no say
    assert torch.equal(hits[0].images, hits[1].images)
    assert torch.equal(hits[0].loss, hits[1].loss)
    assert not torch.equal(hits[0].loss, hits[2].loss)


@pytest.mark.parametrize("how", ["like", "shape", "constant", "python", "dropout"])
def test_no_draw_is_frozen_into_the_copy_and_torchs_state_is_put_back(how):
    model, data = noisy(how), batch()
    frozen = fast(model)
    assert not torch.equal(frozen(data.images)["digit"], frozen(data.images)["digit"])
    state, others = torch.get_rng_state(), (random.getstate(), np.random.get_state()[1].copy())  # noqa: NPY002
    PGD(steps=2, samples=3, objective=Objective("digit"))(model, data)
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == others[1]).all()  # noqa: NPY002
    assert how == "python" or random.getstate() == others[0]  # the model's own doing


def test_state_is_put_back_after_an_error():
    model, data = noisy(), batch()
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match="targets must be at most"):
        APGD(targets=5, objective=Objective("digit"))(model, data)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("samples", [1, 4])
def test_passes_count_every_sample(samples):
    model, data = noisy(), batch()
    count = []
    model.module.register_forward_hook(lambda *_: count.append(1))
    frozen = fast(model)
    frozen._exact.register_forward_hook(lambda *_: count.append(1))
    hit = PGD(steps=3, objective=Objective("digit"), samples=samples)(frozen, data)
    assert hit.backwards == 3 * samples
    assert hit.forwards == samples * 5  # the start, three steps and the last, and the clean images
    walk = FAB(steps=3, targets=1, objective=Objective("digit"), samples=samples)(frozen, data)
    assert walk.backwards == 3 * samples


class Two(nn.Module):
    """Two tasks, read from one noisy input."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(40, 3), nn.Linear(40, 2)

    def forward(self, x):
        flat = (x + 0.5 * torch.randn_like(x)).flatten(1)
        return {"digit": self.one(flat), "angle": self.two(flat)}


@pytest.mark.parametrize("samples", [1, 3])
def test_balances_of_gradients_see_the_mean_gradients(samples):
    """The Gramian is that of the gradients averaged over the samples: the shortest vector between two of them."""
    with seeded(1):
        model = wrap(Two().double(), [TASK, Regression("angle", outputs=2)])
    data = batch()
    data = Batch(data.images, {**data.targets, "angle": torch.ones(5, 2, dtype=torch.float64)}, data.ids)
    how = Objective(balance=MGDA(normalise="none"))
    moved = FGSM(L2(0.1), how, "last", 2, samples).perturb(model, data) - data.images
    frozen = fast(model)
    with draws_of_its_own(2, torch.device("cpu")):
        leaf = data.images.clone().requires_grad_()
        losses = [torch.zeros(5, dtype=torch.float64)] * 2
        for _ in range(samples):
            out = frozen(leaf)
            for k, task in enumerate(model.tasks.values()):
                losses[k] = losses[k] + task.loss(out[task.name], data.targets[task.name]) / samples
        one, two = (torch.autograd.grad(loss.sum(), leaf, retain_graph=True)[0].flatten(1) for loss in losses)
    share = (((two - one) * two).sum(1) / (one - two).square().sum(1)).clamp(0, 1)[:, None]
    wanted = share * one + (1 - share) * two
    wanted = 0.1 * (wanted / wanted.norm(dim=1, keepdim=True)).view_as(moved)
    torch.testing.assert_close(moved, wanted, rtol=0, atol=1e-9)


def test_autoattacks_rand_version_averages_over_twenty_samples():
    members = AutoAttack(objective=Objective("digit"), version="rand").members({"digit": TASK})
    assert {name: (member.samples, member.steps) for name, member in members.items()} == {
        "apgd-ce": (20, 100),
        "apgd-dlr": (20, 100),
    }
