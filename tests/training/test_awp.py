"""Weights perturbed around another method: the proxy step, what is put back, what is handed on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import helpers
import pytest
import torch
from torch import nn

from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.balance.fixed import Fixed
from testudo.balance.minmax import MinMax
from testudo.data.rotation import Rotation
from testudo.errors import TestudoError
from testudo.models.encoder import seeded
from testudo.models.wrap import wrap
from testudo.training.methods import awp
from testudo.training.methods.awp import AWP
from testudo.training.methods.fast import Fast
from testudo.training.methods.free import Free
from testudo.training.methods.hendrycks import Hendrycks
from testudo.training.methods.madry import Madry
from testudo.training.methods.mao import Mao
from testudo.training.methods.standard import Standard
from testudo.training.methods.trades import Trades

DIGIT = helpers.TASKS[:1]
INNER = PGD(Linf(0.1), steps=2, keep="last")
METHODS = {"madry": Madry(attack=INNER), "trades": Trades(), "mao": Mao(attack=INNER), "standard": Standard()}


def linear(seed=0):
    with seeded(seed):
        return wrap(nn.Sequential(nn.Flatten(), nn.Linear(40, 3)), DIGIT).double().train()


def convolutional():
    return wrap(helpers.network(0), helpers.TASKS).train()


def fit(method, net, batches, lr=0.1, state=None):
    """Plain SGD as the trainer does it; gives every step's terms."""
    told, state = [], {} if state is None else state
    optimiser = torch.optim.SGD(net.parameters(), lr)
    for batch in batches:
        for terms in method.steps(net, batch, state):
            told.append({name: float(term.detach()) for name, term in terms.items()})
            optimiser.zero_grad()
            sum(terms.values()).backward()
            optimiser.step()
    return told


def by_hand(net, images, label, gamma, lr):
    """Released code's order on a linear model: v = gamma |w| g / |g|, step at w + v, then v is taken off."""
    weight, bias = (p.detach().clone().requires_grad_() for p in (net.module[1].weight, net.module[1].bias))

    def loss(w, b):
        return torch.nn.functional.cross_entropy(images.flatten(1) @ w.T + b, label, ignore_index=-1)

    (slope,) = torch.autograd.grad(loss(weight, bias), weight)
    v = gamma * weight.detach().norm() / slope.norm() * slope
    there = (weight + v).detach().requires_grad_()
    value = loss(there, bias)
    step = torch.autograd.grad(value, (there, bias))
    return value, there.detach() - lr * step[0] - v, bias.detach() - lr * step[1]


def test_the_proxy_step_on_a_linear_model_is_the_formula():
    net, data, inner = linear(), helpers.batch(8, dtype=torch.float64), Madry(attack=INNER)
    value, weight, bias = by_hand(net, INNER.perturb(net, data), data.targets["digit"], 0.1, 0.5)
    plain = inner.terms(net, data)["digit.adv"]
    (terms,) = fit(AWP(method=inner, gamma=0.1), net, [data], lr=0.5)
    assert terms["digit.adv"] == pytest.approx(value.item(), abs=1e-12)
    assert terms["digit.adv"] > plain
    torch.testing.assert_close(net.module[1].weight.detach(), weight)
    torch.testing.assert_close(net.module[1].bias.detach(), bias)


def test_the_perturbation_is_as_long_as_gamma_says_and_leaves_biases_and_norms_alone():
    net, data = convolutional(), helpers.batch(8)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    steps = AWP(method=METHODS["madry"], gamma=0.05).steps(net, data, {})
    next(steps)
    for name, p in net.named_parameters():
        moved = (p.detach() - before[name]).norm() / before[name].norm()
        assert moved.item() == pytest.approx(0.05 if p.dim() > 1 else 0.0, rel=1e-4)
    assert next(steps, None) is None
    assert all(torch.equal(p, before[name]) for name, p in net.named_parameters())  # nobody made a step


@pytest.mark.parametrize("name", METHODS)
def test_gamma_0_is_the_inner_method(name):
    inner, nets = METHODS[name], [convolutional(), convolutional()]
    told = [
        fit(method, net, [helpers.batch(8)] * 2)
        for method, net in zip((inner, AWP(method=inner, gamma=0.0)), nets, strict=True)
    ]
    assert told[0] == told[1]
    one, other = (net.state_dict() for net in nets)
    assert all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize("name", METHODS)
def test_batch_norm_sees_as_many_batches_as_without(name):
    inner, counts = METHODS[name], []
    for method in (inner, AWP(method=inner)):
        net = convolutional()
        fit(method, net, [helpers.batch(8)])
        counts.append(int(net.module.norm.num_batches_tracked))
    assert counts[0] == counts[1] > 0


def test_the_images_are_those_of_the_weights_as_they_were_in_each_of_maos_steps():
    seen = []

    @dataclass(frozen=True)
    class Watched(PGD):
        def perturb(self, model, batch):
            seen.append(model.module.conv.weight.detach().clone())
            return super().perturb(model, batch)

    net, steps = convolutional(), []
    optimiser = torch.optim.SGD(net.parameters(), 0.1)
    with_awp = AWP(method=Mao(attack=Watched(steps=1, keep="last")), gamma=0.05)
    for terms in with_awp.steps(net, helpers.batch(8), {}):
        optimiser.zero_grad()
        sum(terms.values()).backward()
        steps.append(net.module.conv.weight.grad.clone())
        optimiser.step()
    assert len(seen) == 2
    torch.testing.assert_close(seen[1], seen[0] - 0.1 * steps[0])
    torch.testing.assert_close(net.module.conv.weight.detach(), seen[1] - 0.1 * steps[1])


def test_a_run_that_breaks_off_within_a_step_leaves_the_weights_as_they_were():
    net = convolutional()
    before = net.module.conv.weight.detach().clone()
    steps = AWP(method=METHODS["madry"], gamma=0.05).steps(net, helpers.batch(8), {})
    next(steps)
    assert not torch.equal(net.module.conv.weight, before)
    steps.close()
    assert torch.equal(net.module.conv.weight, before)


def test_the_warm_up_counts_steps_and_is_in_the_state():
    inner, data = METHODS["mao"], [helpers.batch(8)]
    state, nets = {}, [convolutional(), convolutional()]
    told = [fit(inner, nets[0], data * 2), fit(AWP(method=inner, gamma=0.05, warmup=3), nets[1], data * 2, state=state)]
    assert told[0][:3] == told[1][:3]
    assert told[0][3] != told[1][3]
    assert state[awp.KEY].tolist() == [4]
    fresh = convolutional()
    begun = fit(AWP(method=inner, gamma=0.05, warmup=3), fresh, data, state={awp.KEY: torch.tensor([2])})
    assert begun[0] == told[0][0]
    assert begun[1] != told[0][1]


def test_under_autocast_the_terms_are_those_of_the_perturbed_weights():
    """torch keeps half-precision copies of weights for as long as a block of autocast lasts."""
    net, data = convolutional().eval(), helpers.batch(8)
    with torch.autocast("cpu", torch.bfloat16):
        steps = AWP(method=Standard(), gamma=0.5).steps(net, data, {})
        terms = next(steps)
    with torch.autocast("cpu", torch.bfloat16):
        again = Standard().terms(net, data)
        plain = Standard().terms(convolutional().eval(), data)
    for name, term in terms.items():
        assert term.item() == pytest.approx(again[name].item())
    assert sum(terms.values()) > sum(plain.values()) + 0.01
    sum(terms.values()).backward()
    assert net.module.conv.weight.grad.abs().sum() > 0


def test_nothing_to_learn_moves_nothing():
    net, none = convolutional(), helpers.unlabelled(4)
    before = net.module.conv.weight.detach().clone()
    for terms in AWP(gamma=0.1).steps(net, none, {}):
        assert sum(terms.values()) == 0
        assert torch.equal(net.module.conv.weight, before)


def test_a_loss_that_is_nan_leaves_finite_weights():
    net, data = convolutional(), helpers.batch(4)
    with torch.no_grad():
        net.module.heads["digit"].bias[0] = torch.nan
    steps = AWP(method=Standard(), gamma=0.1).steps(net, data, {})
    assert not all(term.isfinite() for term in next(steps).values())
    steps.close()
    assert net.module.conv.weight.isfinite().all()


def test_what_is_said_of_either_holds_for_both():
    balance, turned = MinMax(rate=0.3), (Rotation(),)
    for made in (
        AWP({"digit": 2.0}, balance, turned, "transformed"),
        AWP(method=Madry({"digit": 2.0}, balance, turned, "transformed")),
        replace(AWP(method=Madry(balance=balance)), weights={"digit": 2.0}, pretexts=turned, main_sees="transformed"),
    ):
        for method in (made, made.method):
            assert (method.weights, method.balance, method.pretexts) == ({"digit": 2.0}, balance, turned)
            assert method.main_sees == "transformed"
    with pytest.raises(TestudoError, match="balance is given twice, for awp and for its method, and not the same"):
        AWP(balance=balance, method=Madry(balance=Fixed({"digit": 1.0})))


def test_the_inner_method_poses_weighs_and_has_its_twin():
    data = helpers.batch(8)
    inner = Hendrycks()
    around = AWP(method=inner)
    tasks = {task.name: task for task in (*helpers.TASKS, Rotation().task)}
    assert around.weight("rotation") == inner.weight("rotation") == 0.5
    square = replace(data, images=data.images[:, :, :4])
    one, other = (method.pose(square, tasks, torch.arange(8)) for method in (inner, around))
    assert torch.equal(one.images, other.images)
    assert around.images == inner.images
    twin = AWP({"digit": 2.0, "angle": 3.0}, gamma=0.01, method=Mao(attack=INNER)).alone("digit")
    assert twin == AWP(gamma=0.01, method=Mao({"digit": 2.0}, attack=INNER).alone("digit"))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: AWP(method=Free()), "awp asks for a step's terms twice, at images made before, which Free cannot"),
        (lambda: AWP(method=AWP()), "which AWP cannot give"),
        (lambda: AWP(method=Fresh()), "which Fresh cannot give"),
        (lambda: AWP(gamma=-0.1), "gamma must be at least 0 and finite, warmup at least 0 steps; got -0.1 and 0"),
        (lambda: AWP(warmup=-1), "got 0.005 and -1"),
    ],
)
def test_what_cannot_work_is_refused(made, words):
    with pytest.raises(TestudoError, match=words):
        made()


@dataclass(frozen=True)
class Fresh(Standard):
    """A method from elsewhere, whose terms attack anew each time they are asked for."""

    attack: PGD = INNER

    def terms(self, model, batch):
        return super().terms(model, batch.with_images(self.attack.perturb(model, batch)))


def test_fast_with_its_guard_goes_inside():
    net, state = convolutional(), {}
    fit(AWP(method=Fast(guard=2)), net, [helpers.batch(8)] * 3, state=state)
    assert state["method.fast"][0] == 3
