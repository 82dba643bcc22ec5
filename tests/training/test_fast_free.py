"""Fast and free adversarial training: their steps, the guard, what is carried from batch to batch."""

from __future__ import annotations

import math
from dataclasses import replace

import helpers
import pytest
import torch
from torch import nn

from testudo.attacks.pgd import PGD
from testudo.attacks.threat import L2, Linf
from testudo.balance.fixed import Fixed
from testudo.balance.gramian import MGDA
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.encoder import seeded
from testudo.models.wrap import wrap
from testudo.tasks.classification import Classification
from testudo.training.methods import fast, free
from testudo.training.methods.fast import Fast
from testudo.training.methods.free import Free

SIDE = (Classification("side", classes=2),)
EPS = 0.3


class Crater(nn.Module):
    """One pixel x; sure of side 0 at 0.5 and again at both ends of the ball of 0.3, and of side 1 in between."""

    def __init__(self, waves=1.0):
        super().__init__()
        self.height = nn.Parameter(torch.tensor(5.0))
        self.waves = waves

    def forward(self, x):
        cosine = torch.cos(2 * math.pi * self.waves * (x.flatten(1) - 0.5) / EPS)
        return torch.cat([self.height * cosine, torch.zeros_like(cosine)], 1)


def pixels(n=16):
    return Batch(torch.full((n, 1, 1, 1), 0.5), {"side": torch.zeros(n, dtype=torch.int64)})


def digits(n=12):
    return helpers.batch(n, dtype=torch.float64)


def test_fast_is_the_loss_one_step_of_one_and_a_quarter_eps_away():
    net, data = helpers.multi().double().eval(), digits()
    attack = PGD(Linf(0.1), steps=1, step=0.125, keep="last")
    want = net.tasks["signs"].loss(net(attack(net, data).images)["signs"], data.targets["signs"])
    terms = Fast(threat=Linf(0.1)).terms(net, data)
    torch.testing.assert_close(terms["signs.adv"], want.mean())
    (steps,) = Fast(threat=Linf(0.1)).steps(net, data, {})
    torch.testing.assert_close(steps, terms)


def test_without_a_ball_fast_is_the_clean_loss():
    net, data = helpers.multi().double().eval(), digits()
    terms = Fast(threat=Linf(0.0)).terms(net, data)
    torch.testing.assert_close(terms, Fast().task_terms(net, data, "adv"))


def guarded(**fields):
    return Fast(threat=Linf(EPS), length=2.0, guard=3, guard_steps=20, **fields)


def worst(net, state, method):
    """The loss that one batch is learnt from."""
    (terms,) = method.steps(net, pixels(), state)
    return float(terms["side.adv"].detach())


def test_the_guard_sees_through_a_model_that_hides_from_one_step_and_lets_go_when_it_no_longer_does():
    method, state = guarded(), {}
    hiding, open_ = (wrap(Crater(waves), SIDE).train() for waves in (1.0, 0.4))
    assert worst(hiding, {}, replace(method, guard=0)) < 0.01  # the one step sees nothing
    kept = [(worst(net, state, method), *state[fast.KEY].tolist()) for net in (hiding, hiding, open_, open_, open_)]
    losses, seen, stepped_in = zip(*kept, strict=True)
    assert seen == (1, 2, 3, 4, 5)
    assert stepped_in == (1, 1, 1, 0, 0)  # looks at batches 0 and 3 alone
    assert min(losses[:2]) > 4
    one = worst(open_, {}, replace(method, guard=0))
    assert losses[3] == pytest.approx(one)


def test_a_guard_that_is_patient_enough_lets_it_be():
    state = {}
    assert worst(wrap(Crater(), SIDE).train(), state, guarded(guard_factor=1e6)) < 0.01
    assert state[fast.KEY].tolist() == [1, 0]


def test_the_guards_state_decides_and_is_all_it_needs():
    """Going on from a checkpoint: the same images as without the interruption."""
    net, method = wrap(Crater(), SIDE).train(), guarded()
    for seen, stepped_in, hidden in ((1, 0, True), (1, 1, False), (3, 0, False)):
        state = {fast.KEY: torch.tensor([seen, stepped_in])}
        assert (worst(net, state, method) < 0.01) == hidden


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"length": 0.0}, "length must be above 0 and finite, in units of eps; got 0.0"),
        ({"guard": -1}, "guard must be at least 0 batches"),
        ({"guard": 1, "guard_factor": 0.5}, "guard_steps and guard_factor at least 1 and finite; got 1, 7 and 0.5"),
        ({"threat": Linf(torch.tensor([0.1, 0.2]))}, "fast needs one eps for all examples"),
    ],
)
def test_what_means_nothing_to_fast_is_refused(fields, words):
    with pytest.raises(TestudoError, match=words):
        Fast(**fields)


def test_fast_with_a_guard_wants_whole_batches():
    assert Fast().divisible
    assert not Fast(guard=2).divisible
    assert not Free().divisible


def linear(seed=0):
    with seeded(seed):
        return wrap(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), helpers.TASKS[:1]).double().train()


def grey(n, seed):
    """Images far from the faces of the box, two of them without a label."""
    g = torch.Generator().manual_seed(seed)
    images = 0.4 + 0.2 * torch.rand(n, 1, 3, 4, generator=g, dtype=torch.float64)
    return Batch(images, {"digit": torch.arange(n) % 4 - 1})


def run(method, net, batches, lr=0.5):
    """Plain SGD as the trainer does it; returns what the method kept."""
    state = {}
    for batch in batches:
        for terms in method.steps(net, batch, state):
            net.zero_grad()
            sum(terms.values()).backward()
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter -= lr * parameter.grad
    return state


def released(net, batches, eps, replays, lr=0.5):
    """Algorithm 1 as its code has it: the noise of all places, of which a smaller batch takes the first."""
    weight, bias = (p.detach().clone() for p in (net.module[1].weight, net.module[1].bias))
    noise = torch.zeros(max(map(len, batches)), 1, 3, 4, dtype=torch.float64)
    for batch in batches:
        label = batch.targets["digit"]
        for _ in range(replays):
            x, w, b = (t.clone().requires_grad_() for t in (noise[: len(batch)], weight, bias))
            logits = (batch.images + x).clamp(0, 1).flatten(1) @ w.T + b
            loss = torch.nn.functional.cross_entropy(logits, label, ignore_index=-1)
            slopes = torch.autograd.grad(loss, (x, w, b))
            noise[: len(batch)] = (noise[: len(batch)] + eps * slopes[0].sign()).clamp(-eps, eps)
            weight, bias = weight - lr * slopes[1], bias - lr * slopes[2]
    return weight, bias, noise


def test_free_is_the_released_codes_loop():
    net, batches = linear(), [grey(8, 0), grey(8, 1), grey(5, 2), grey(8, 3)]
    weight, bias, noise = released(net, batches, 0.1, 4)
    state = run(Free(threat=Linf(0.1), replays=4), net, batches)
    torch.testing.assert_close(net.module[1].weight.detach(), weight)
    torch.testing.assert_close(net.module[1].bias.detach(), bias)
    torch.testing.assert_close(state[free.KEY][:, 0], noise)
    assert noise.abs().max() == pytest.approx(0.1)


def test_frees_perturbation_goes_on_with_the_next_batch_and_with_nothing_else():
    """From what was kept the run is the same as in one piece; from nothing it is another."""
    method, batches = Free(threat=Linf(0.1), replays=3), [grey(8, 0), grey(8, 1)]
    whole, parts, lost = linear(), linear(), linear()
    state = run(method, whole, batches)
    kept = {name: value.clone() for name, value in run(method, parts, batches[:1]).items()}
    run(method, lost, batches[:1])
    for net, begun in ((parts, kept), (lost, {})):
        for terms in method.steps(net, batches[1], begun):
            net.zero_grad()
            sum(terms.values()).backward()
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter -= 0.5 * parameter.grad
    assert torch.equal(whole.module[1].weight, parts.module[1].weight)
    assert not torch.equal(whole.module[1].weight, lost.module[1].weight)
    assert torch.equal(state[free.KEY], kept[free.KEY])


@pytest.mark.parametrize("threat", [Linf(0.05), L2(0.2)])
def test_frees_images_stay_in_ball_and_box(threat):
    net, data = wrap(helpers.network(0), helpers.TASKS).train(), helpers.batch(8)
    seen, state = [], {}
    net.module.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach()))
    for _ in range(2):
        for terms in Free(threat=threat, replays=3).steps(net, data, state):
            sum(terms.values()).backward()
    assert len(seen) == 6
    assert torch.equal(seen[0], data.images)
    for images in seen[1:]:
        helpers.assert_inside(images, data.images, threat)
        assert not torch.equal(images, data.images)


def test_free_begins_anew_with_images_of_another_size_and_waits_for_a_skipped_step():
    method, net = Free(threat=Linf(0.1), replays=2), linear()
    state = {free.KEY: torch.full((8, 1, 1, 2, 2), 0.1)}
    assert len(list(method.steps(net, grey(4, 0), state))) == 2  # nobody goes backwards
    assert torch.equal(state[free.KEY], torch.zeros(4, 1, 1, 3, 4, dtype=torch.float64))


def test_free_takes_a_balance_of_losses_and_refuses_one_of_gradients():
    Free(balance=Fixed({"digit": 1.0}))
    with pytest.raises(TestudoError, match="free has one backward pass for weights and images, and MGDA needs one for"):
        Free(balance=MGDA())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"replays": 0}, "replays must be at least 1, length above 0 and finite, in units of eps; got 0 and 1.0"),
        ({"length": -1.0}, "got 8 and -1.0"),
        ({"threat": Linf(torch.tensor([0.1, 0.2]))}, "free needs one eps for all examples"),
    ],
)
def test_what_means_nothing_to_free_is_refused(fields, words):
    with pytest.raises(TestudoError, match=words):
        Free(**fields)
