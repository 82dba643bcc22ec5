"""What every training method spends, survives and owes to each example alone."""

from __future__ import annotations

from dataclasses import replace

import helpers
import pytest
import tiny
import torch

from testudo.attacks.fgsm import FGSM
from testudo.attacks.friendly import Friendly
from testudo.attacks.objective import Objective
from testudo.attacks.oracle import Oracle
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.data.batch import Batch
from testudo.models.wrap import wrap
from testudo.parts import build, dump
from testudo.registry import METHODS
from testudo.run import train
from testudo.training import journal
from testudo.training.methods.awp import AWP
from testudo.training.methods.base import Method
from testudo.training.methods.fast import Fast
from testudo.training.methods.fat import Fat
from testudo.training.methods.free import Free
from testudo.training.methods.goodfellow import Goodfellow
from testudo.training.methods.madry import Madry
from testudo.training.methods.mao import Mao
from testudo.training.methods.mart import Mart
from testudo.training.methods.standard import Standard
from testudo.training.methods.trades import Trades

TASKS = helpers.TASKS[:2]
SLOW = PGD(Linf(0.1), steps=3, keep="last")
SPENT = {
    "standard": (Standard(), 0),
    "madry": (Madry(attack=SLOW), 0),
    "mixed": (Madry(attack=SLOW, clean=0.5), 0),
    "mao": (Mao(attack=SLOW), 0),
    "goodfellow": (Goodfellow(), 0),
    "trades": (Trades(), 1),  # what the model says of the clean images, to drift from
    "mart": (Mart(), 0),
    "fast": (Fast(), 0),
    "free": (Free(replays=3), 0),
    "fat": (Fat(attack=Friendly(steps=3, tau=3, keep="last")), 0),
    "awp": (AWP(method=Madry(attack=SLOW)), 0),
    "awp_mao": (AWP(method=Mao(attack=SLOW)), 0),
    "awp_trades": (AWP(method=Trades()), 1),
}
each = pytest.mark.parametrize("name", METHODS.names())


def model(factor=1.0, dtype=torch.float32):
    """Two tasks, their outputs times ``factor``."""
    network = helpers.network(0, TASKS)
    return wrap(network if factor == 1 else helpers.Scaled(network, factor), TASKS).to(dtype).train()


def batch(n=8, dtype=torch.float32):
    full = helpers.batch(n, dtype=dtype)
    return Batch(full.images, {name: full.targets[name] for name in ("digit", "angle")}, full.ids)


@pytest.mark.parametrize("name", SPENT)
def test_passes_are_those_that_are_made(name, monkeypatch):
    method, forward_alone = SPENT[name]
    net, data, oracles, forwards, backwards = model(), batch(), [], [], []
    begin = Oracle.__init__
    monkeypatch.setattr(Oracle, "__init__", lambda self, *given: (oracles.append(self), begin(self, *given))[0])
    norm = net.module.norm  # whose hooks frozen copies have, too
    norm.register_forward_hook(lambda which, *_: forwards.append(1) if which is norm else None)
    norm.register_full_backward_hook(lambda which, *_: backwards.append(1) if which is norm else None)
    for terms in method.steps(net, data, {}):
        sum(terms.values()).backward()
    asked, sloped = (sum(getattr(oracle, kind) for oracle in oracles) / len(data) for kind in ("asked", "sloped"))
    passes = method.passes(tuple(net.tasks.values()))
    assert sloped + len(backwards) == passes
    assert asked + len(forwards) == passes + forward_alone
    assert len(backwards) == method.updates(tuple(net.tasks.values()))


def test_a_guard_costs_on_average_what_is_said():
    method, net, data, spent = Fast(guard=5, guard_steps=5, guard_factor=1e9), model(), batch(), []
    slope = Oracle.slope

    def counted(self, total, leaves, keep=False):
        spent.append(1)
        return slope(self, total, leaves, keep)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Oracle, "slope", counted)
        state = {}
        for _ in range(10):
            for terms in method.steps(net, data, state):
                sum(terms.values()).backward()
    assert len(spent) + 10 == 10 * method.passes(())


@each
def test_margins_of_ten_thousand_stay_finite(name):
    net, data, state = model(1e4), batch(), {}
    for _ in range(2):
        for terms in METHODS.get(name)().steps(net, data, state):
            assert all(term.isfinite() for term in terms.values())
            net.zero_grad()
            sum(terms.values()).backward()
            assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("name", [name for name in METHODS.names() if name != "awp"])
def test_a_batch_is_the_mean_of_its_examples(name):
    """In eval mode, where no batch statistics tie them together: attacks know no neighbours, nor do losses.

    All but awp, which moves the weights by what all examples together say.
    """
    method, net, data = METHODS.get(name)(), model(dtype=torch.float64).eval(), batch(6, torch.float64)
    whole = next(method.steps(net, data, {}))
    sums = {key: 0.0 for key in whole if key.partition(".")[0] in net.tasks}
    for row in range(len(data)):
        alone = next(method.steps(net, data[row : row + 1], {}))
        sums = {key: total + alone[key] for key, total in sums.items()}
    for key, total in sums.items():
        task = key.partition(".")[0]
        count = net.tasks[task].valid(data.targets[task]).sum()
        torch.testing.assert_close(whole[key], total / count, rtol=1e-9, atol=1e-12)


def test_goodfellow_and_fat_are_madry_with_their_own_images():
    net, data = model().eval(), batch()
    for method, attack, share in (
        (Goodfellow(), FGSM(), 0.5),
        (Fat(attack=Friendly(Linf(0.2), Objective("digit"), "last", tau=0)), None, 0.0),
    ):
        attack = attack or method.attack
        hurt = Standard().terms(net, data.with_images(attack.perturb(net, data)))
        clean, terms = Standard().terms(net, data), method.terms(net, data)
        for task in net.tasks:
            torch.testing.assert_close(terms[f"{task}.adv"], (1 - share) * hurt[f"{task}.clean"])
            if share:
                torch.testing.assert_close(terms[f"{task}.clean"], share * clean[f"{task}.clean"])


BALL = Linf(0.1)
STATEFUL = {
    "fast": Fast(threat=BALL, guard=3, guard_factor=1.01, guard_steps=2),
    "free": Free(threat=BALL, replays=2),
    "awp": AWP(method=Mao(attack=tiny.INNER), gamma=0.05, warmup=3),
    "awp_fast": AWP(method=Fast(threat=BALL, guard=3), gamma=0.05),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tiny.images(tmp_path_factory.mktemp("images"))


@pytest.mark.parametrize("name", STATEFUL)
def test_what_a_method_keeps_goes_on_bit_for_bit(file, name, tmp_path, monkeypatch):
    recipe = tiny.recipe(file, STATEFUL[name], suite=False)
    straight = train(recipe, tmp_path / "straight")
    monkeypatch.setattr(journal, "SAVE_EVERY", -1.0)
    for batch_number in (2, 6):
        with pytest.raises(tiny.Stop):
            train(recipe, tmp_path / "run", watchers=(tiny.Stopper(batch_number),))
    assert tiny.same_run(straight, train(recipe, tmp_path / "run")) is None


@pytest.mark.parametrize("name", SPENT)
def test_recipes_hold_methods(name):
    method = SPENT[name][0]
    assert build(Method, dump(method)) == method
    if name.startswith("awp"):
        heavy = replace(method, weights={"digit": 2.0})
        assert build(Method, dump(heavy)) == heavy
