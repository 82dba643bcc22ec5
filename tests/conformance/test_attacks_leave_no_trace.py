"""An attack leaves the model and the world as it found them, and its last batch in order."""

from __future__ import annotations

import dataclasses
import random
from functools import partial

import helpers
import numpy as np
import pytest
import torch
from torch import nn

from testudo.data.batch import Batch
from testudo.models.model import Model
from testudo.models.wrap import wrap
from testudo.registry import ATTACKS, THREATS


class Plain(Model):
    """A user's own model, without a wrapper."""

    def __init__(self):
        super().__init__()
        self.tasks = dict(zip(helpers.NAMES, helpers.TASKS, strict=True))
        self.inner = helpers.network()

    def forward(self, images, tasks=None):
        found = self.inner(images)
        return {name: found[name] for name in tasks or self.tasks}


class Viewing(nn.Module):
    """Asks for contiguous memory, and cannot be traced."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(40, 3)

    def forward(self, x):
        return self.linear(x.view(len(x), -1)) if x.sum() > 0 else self.linear(x.view(-1, 40))


class Summing(nn.Module):
    """The gradient to the pixels is an expanded tensor: one number in memory."""

    def forward(self, x):
        total = x.flatten(1).sum(1)
        return torch.stack([total, -total, 0 * total], 1)


def trained():
    """A model in the middle of training: gradients, a frozen norm in eval mode, frozen weights, a hook."""
    model = helpers.multi().train()
    model.module.norm.eval()
    model.module.conv.weight.requires_grad_(False)
    data = helpers.batch()
    sum(out.sum() for out in model(data.images).values()).backward()
    model.module.conv.register_forward_hook(lambda *_: None)
    return model


@pytest.fixture(params=ATTACKS.names())
def attack(request):
    """Every attack, on every task of the model."""
    return helpers.attack(request.param)


@pytest.mark.parametrize("how", ["call", "perturb-best", "perturb-last"])
def test_model_and_random_states_are_as_found(attack, how):
    model, data = trained(), helpers.batch()
    before = helpers.snapshot(model)
    images, targets = data.images.clone(), {k: v.clone() for k, v in data.targets.items()}
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    if how == "call":
        attack(model, data)
    else:
        helpers.attack(ATTACKS.name_of(type(attack)), keep=how.rpartition("-")[2]).perturb(model, data)
    helpers.assert_unchanged(model, before)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()  # noqa: NPY002
    assert torch.equal(data.images, images)
    assert all(torch.equal(data.targets[k].nan_to_num(9), targets[k].nan_to_num(9)) for k in targets)


def test_model_is_as_found_after_an_error(attack):
    model, data = trained(), helpers.batch()
    before = helpers.snapshot(model)
    with pytest.raises(ValueError, match="out of range"):
        attack(model, Batch(data.images, {**data.targets, "digit": torch.full((6,), 7)}, data.ids))
    helpers.assert_unchanged(model, before)


def test_training_mode_is_not_what_is_attacked(attack):
    """Batch statistics and dropout would make examples depend on each other."""
    data = helpers.batch()
    one, other = attack(helpers.multi().train(), data), attack(helpers.multi().eval(), data)
    assert torch.equal(one.images, other.images)


def test_gradients_are_taken_where_the_caller_took_none(attack):
    with torch.no_grad():
        hit = attack(helpers.multi(), helpers.batch())
    assert torch.equal(hit.images, attack(helpers.multi(), helpers.batch()).images)
    assert hit.backwards > 0 or ATTACKS.name_of(type(attack)) in helpers.BLIND


def test_nothing_of_the_graph_is_kept(attack):
    hit = attack(helpers.multi(), helpers.batch())
    assert not any(t.requires_grad for t in (hit.images, hit.loss, hit.weights, *hit.task_loss.values()))


@pytest.mark.parametrize("norm", THREATS.names())
@pytest.mark.parametrize(
    "build",
    [Plain, partial(wrap, Viewing(), helpers.TASKS[:1]), partial(wrap, Summing(), helpers.TASKS[:1])],
    ids=["plain", "viewing", "summing"],
)
def test_any_module_of_the_users(attack, norm, build):
    """Traps: channels-last images break ``view``; gradients without memory of their own."""
    attack = helpers.attack(ATTACKS.name_of(type(attack)), threat=helpers.threat(norm))
    model = build().eval()
    hit = attack(model, helpers.batch())
    helpers.assert_inside(hit.images, helpers.batch().images, attack.threat)
    assert (hit.loss >= attack(model, helpers.batch()).loss).all()
    nothing = dataclasses.replace(attack, threat=type(attack.threat)(0.0))(model, helpers.batch())
    # Boundary attacks find none where a sum decides that the ball cannot turn.
    assert hit.loss.mean() > nothing.loss.mean() or ATTACKS.name_of(type(attack)) in helpers.ONE_TASK


def test_a_smaller_last_batch_keeps_ids_and_labels_together(attack):
    model, data = helpers.exact(helpers.multi()), helpers.batch(7)
    hits = [attack(model, part) for part in data.split(3)]
    assert [len(hit.loss) for hit in hits] == [3, 3, 1]
    whole = attack(model, data)
    torch.testing.assert_close(torch.cat([h.loss for h in hits]), whole.loss, rtol=1e-2, atol=1e-5)
    again = helpers.fresh_losses(helpers.multi(), whole, data, helpers.named(attack.objective))
    for name, values in again.items():
        torch.testing.assert_close(torch.cat([h.task_loss[name] for h in hits]), values, rtol=1e-2, atol=1e-5)


def test_random_starts_belong_to_ids_not_places():
    model, data = helpers.exact(helpers.multi().double()), helpers.batch(dtype=torch.float64)
    for name in helpers.random_attacks():
        attack = helpers.attack(name, keep="last", steps=1, step=1e-4)
        if not hasattr(attack, "step"):
            continue  # its first step is so long that it reaches the same corner from every start
        renamed = Batch(data.images, data.targets, data.ids + 1)
        assert (attack(model, data).images != attack(model, renamed).images).flatten(1).any(1).all()
