"""Examples that are decided are left alone: with the same result, at a lower price."""

from __future__ import annotations

from dataclasses import dataclass, replace

import helpers
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from testudo.attacks.apgd import APGD
from testudo.attacks.base import Attack
from testudo.attacks.ensemble import AutoAttack, WorstCase
from testudo.attacks.fab import FAB
from testudo.attacks.mim import MIM
from testudo.attacks.noise import Noise
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.problem import Problem
from testudo.attacks.square import Square
from testudo.attacks.surrogates import DLR
from testudo.attacks.threat import Linf
from testudo.data.batch import Batch
from testudo.models.fast import fast
from testudo.models.wrap import wrap
from testudo.registry import BALANCES
from testudo.tasks.classification import Classification
from testudo.tasks.regression import Regression

TASKS = (Classification("digit", classes=3), Classification("shape", classes=4), Regression("angle", outputs=2))
FIRST = {"keep": "first", "objective": Objective("digit")}
BALLS = {"linf": helpers.threat("linf", 0.05), "l2": helpers.threat("l2", 0.2), "l1": helpers.threat("l1", 0.7)}
CE_T = {"keep": "first", "objective": Objective("digit", surrogate=DLR())}
ATTACKS = {
    "pgd": PGD(steps=8, restarts=2, **FIRST),
    "mim": MIM(steps=8, **FIRST),
    "apgd": APGD(steps=20, restarts=2, **FIRST),
    "apgd-t": APGD(steps=10, targets=2, **CE_T),
    "fab": FAB(steps=6, **FIRST),
    "fab-t": FAB(steps=6, targets=2, restarts=2, **FIRST),
    "square": Square(queries=60, **FIRST),
    "noise": Noise(draws=12, **FIRST),
    "autoattack": AutoAttack(steps=10, queries=30, objective=Objective("digit")),
    "worst_case": WorstCase(attacks={"pgd": PGD(steps=3, **FIRST), "mim": MIM(steps=3)}, **FIRST),
}


def net():
    """Every class is about as likely, so that some examples are near a boundary and some far."""
    module = helpers.network(3, TASKS).double()
    with torch.no_grad():
        for name, out in module(helpers.batch(14, seed=5, dtype=torch.float64).images).items():
            module.heads[name].bias -= out.mean(0)
    return wrap(module, TASKS)


def batch(n=14):
    """Most examples are told right, two are not, two have no label for one or both of the classes."""
    images = helpers.batch(n, seed=5, dtype=torch.float64).images
    with torch.no_grad():
        outputs = net()(images)
    digit, shape = outputs["digit"].argmax(1), outputs["shape"].argmax(1)
    digit[0], shape[1], digit[2], shape[2], digit[3] = (digit[0] + 1) % 3, (shape[1] + 1) % 4, -1, -1, -1
    return Batch(images, {"digit": digit, "shape": shape, "angle": outputs["angle"]}, torch.arange(n) * 3 + 1)


def never(self, *tensors, share=0.0):
    return list(tensors)


def full(monkeypatch, attack, model, data):
    """The same search of all examples to the end."""
    with monkeypatch.context() as patch:
        patch.setattr(Problem, "drop", never)
        patch.setattr(Problem, "_shrink", lambda self, left: None)
        return attack(model, data)


def assert_same(one, other, rows=slice(None)):
    """Equal in everything but the passes."""
    assert torch.equal(one.decided[rows], other.decided)
    for mine, its in [
        (one.images, other.images),
        (one.loss, other.loss),
        (one.weights, other.weights),
        *((one.task_loss[name], other.task_loss[name]) for name in one.task_loss),
    ]:
        torch.testing.assert_close(mine[rows], its, rtol=0, atol=1e-12)


def assert_true(hit, attack, data):
    """The flags are what the model itself says, asked afresh."""
    how = attack.objective
    with torch.no_grad():
        outputs = net()(hit.images)
    assert torch.equal(
        hit.decided, how.beaten({name: net().tasks[name] for name in hit.task_loss}, outputs, data.targets)
    )


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("name", ATTACKS)
def test_dropping_changes_the_price_alone(monkeypatch, name, norm):
    attack, model, data = replace(ATTACKS[name], threat=BALLS[norm]), helpers.exact(net()), batch()
    hit = attack(model, data)
    whole = full(monkeypatch, attack, model, data)
    assert_same(hit, whole)
    assert_true(hit, attack, data)
    assert 3 < hit.decided.sum() < 14  # otherwise this says nothing
    assert hit.forwards < whole.forwards
    assert hit.backwards < whole.backwards or name in helpers.BLIND
    helpers.assert_inside(hit.images, data.images, attack.threat)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_example_does_not_know_when_its_neighbours_were_decided(name):
    attack, model, data = replace(ATTACKS[name], threat=BALLS["linf"]), helpers.exact(net()), batch()
    whole = attack(model, data)
    for row in range(0, len(data), 3):
        assert_same(whole, attack(model, data[row : row + 1]), slice(row, row + 1))


@pytest.mark.parametrize("balance", BALANCES.names())
def test_states_of_balances_go_with_their_examples(monkeypatch, balance):
    """Two tasks, each decided at another step; the latest weights of a decided example are those of its last step."""
    weigh = BALANCES.get(balance)
    made = {
        "stealthy": lambda: weigh(("digit",)),
        "fixed": lambda: weigh({"digit": 1.0, "shape": 0.5}),
        "mgda_floored": lambda: weigh(named=("digit",)),
    }
    how = made.get(balance, weigh)()
    model, data = helpers.exact(net()), batch()
    for attack in (PGD(Linf(0.3), steps=12, step=0.05), APGD(Linf(0.3), steps=12), MIM(Linf(0.3), steps=12)):
        attack = replace(attack, keep="first", objective=Objective(("digit", "shape"), how))
        hit = attack(model, data)
        assert_same(hit, full(monkeypatch, attack, model, data))
        assert_same(hit, attack(model, data[7:8]), slice(7, 8))
        assert_true(hit, attack, data)


def test_both_tasks_must_be_beaten():
    model, data = helpers.exact(net()), batch()
    hits = {
        names: PGD(Linf(0.06), Objective(names), "first", steps=10)(model, data)
        for names in (("digit",), ("shape",), ("digit", "shape"))
    }
    both = hits["digit", "shape"]
    with torch.no_grad():
        told = net()(both.images)
    beaten = {name: told[name].argmax(1) != data.targets[name] for name in ("digit", "shape")}
    unknown = {name: data.targets[name] == -1 for name in beaten}
    assert torch.equal(both.decided, (beaten["digit"] | unknown["digit"]) & (beaten["shape"] | unknown["shape"]))
    assert both.decided[2]  # nothing is known of it, so nothing is left to do
    assert (hits["digit",].decided & ~both.decided).any()  # a beaten task alone does not end the search
    assert both.decided[3:].any()


def test_a_task_without_a_decision_is_never_beaten_but_by_a_threshold():
    model, data = helpers.exact(net()), batch()
    attack = PGD(Linf(0.2), Objective(("digit", "angle")), "first", steps=4)
    hit = attack(model, data)
    assert not hit.decided.any()
    assert hit.backwards == 4  # all examples, to the end
    for limit in (1e9, 1e-3):
        attack = replace(attack, objective=Objective(("digit", "angle"), success={"angle": limit}))
        assert attack(model, data).decided.any() == (limit < 1)
    assert_true(attack(model, data), attack, data)


def test_targeted_objectives_are_decided_where_the_target_is_said():
    model, data = helpers.exact(net()), batch()
    wanted = Batch(data.images, {**data.targets, "digit": torch.full((14,), 2)}, data.ids)
    hit = PGD(Linf(0.06), Objective("digit", targeted=True), "first", steps=20)(model, wanted)
    with torch.no_grad():
        assert torch.equal(hit.decided, net()(hit.images)["digit"].argmax(1) == 2)
    assert 0 < hit.decided.sum() < 14
    assert not PGD(Linf(0.2), Objective("angle", targeted=True), "first", steps=2)(model, wanted).decided.any()


@pytest.mark.parametrize("name", ATTACKS)
def test_the_search_ends_when_all_are_decided(name):
    """Labels that are all wrong cost one pass; those beaten by the first images end the search there."""
    attack, data = replace(ATTACKS[name], threat=Linf(0.9)), batch()
    wrong = Batch(data.images, {**data.targets, "digit": (data.targets["digit"] + 1) % 3}, data.ids)
    rows = (net()(wrong.images)["digit"].argmax(1) != wrong.targets["digit"]).nonzero()[:, 0]
    hit = attack(helpers.exact(net()), wrong[rows])
    assert (hit.forwards, hit.backwards) == (1, 0)
    assert torch.equal(hit.images, wrong[rows].images)
    assert hit.decided.all()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 9), st.floats(0.02, 0.4), st.integers(0, 99), st.sampled_from(["equal", "minmax", "gradvac"]))
def test_dropping_changes_nothing_whatever_the_batch(n, eps, seed, balance):
    attack = PGD(Linf(eps), Objective(("digit", "shape"), BALANCES.get(balance)()), "first", seed, steps=6)
    model, data = helpers.exact(net()), batch()[torch.randperm(14, generator=torch.Generator().manual_seed(seed))[:n]]
    with pytest.MonkeyPatch.context() as patch:
        assert_same(attack(model, data), full(patch, attack, model, data))


class Cutoff(nn.Module):
    """Class 1 wins above a mean of 0.75 plus ``margin``, and bf16 reads 0.7487 and 0.7505 as 0.75.

    At a mean of 0.6 two more classes are nearly as good as class 0: a larger loss, but no win.
    """

    def __init__(self, margin):
        super().__init__()
        self.margin = margin

    def forward(self, x):
        mean = x.mean((1, 2, 3))
        third = -0.05 - 64 * (mean - 0.6).clamp(min=0)
        return torch.stack([torch.zeros_like(mean), 64 * (mean - 0.75 - self.margin), third, third], 1)


@dataclass(frozen=True)
class Goes(Attack):
    """A user's attack: the clean images plus a number."""

    shift: float = 0.0

    def search(self, problem):
        problem.measure(problem.project(problem.clean + self.shift))
        problem.drop()
        return problem.clean


def halves(margin):
    """A model, and its copy in bf16."""
    model = wrap(Cutoff(margin), (Classification("digit", classes=4),))
    return model, fast(model, "bf16")


def test_what_is_beaten_in_bf16_alone_is_not_decided():
    model, frozen = halves(-0.001)
    data = Batch(torch.full((1, 1, 2, 2), 0.7), {"digit": torch.tensor([0])})
    shift = 0.0487  # 0.7487: bf16 rounds it to 0.75
    images = data.images + shift
    assert frozen(images)["digit"].argmax(1) == 1
    assert model(images)["digit"].argmax(1) == 0
    hit = Goes(Linf(0.1), Objective("digit"), "first", shift=shift)(frozen, data)
    assert not hit.decided.any()
    assert hit.loss == model.tasks["digit"].loss(model(hit.images)["digit"], data.targets["digit"])


def test_an_ensemble_takes_its_members_word_in_full_precision():
    """A member's images that fool the model, but not in bf16, are not given up for others of larger loss."""
    model, frozen = halves(0.0)
    data = Batch(torch.full((1, 1, 2, 2), 0.7), {"digit": torch.tensor([0])})
    shift = 0.0505  # 0.7505: bf16 rounds it to 0.75, which is no winner
    images = data.images + shift
    assert frozen(images)["digit"].argmax(1) == 0
    assert model(images)["digit"].argmax(1) == 1
    member = Goes(Linf(0.1), Objective("digit"), "best", shift=shift)
    assert member(frozen, data).decided.all()
    hit = WorstCase(Linf(0.1), Objective("digit"), "first", attacks={"a": member, "b": replace(member, shift=-0.1)})(
        frozen, data
    )
    assert hit.decided.all()
