"""Balances of gradients, softmin and stealthy, seen through an attack: closed forms on linear tasks."""

from __future__ import annotations

from dataclasses import replace

import helpers
import pytest
import torch
from torch import nn

from testudo.attacks.apgd import APGD
from testudo.attacks.fgsm import FGSM
from testudo.attacks.mim import MIM
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.surrogates import Margin
from testudo.attacks.threat import L2, Linf
from testudo.balance.base import Balance
from testudo.balance.gramian import IMTLG, MGDA, DualProj, GradientBalance, UPGrad
from testudo.balance.softmin import Softmin
from testudo.balance.stealthy import Stealthy
from testudo.balance.surgery import GradVac, PCGrad
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.encoder import seeded
from testudo.models.fast import fast
from testudo.models.multitask import MultiTaskModel
from testudo.models.wrap import wrap
from testudo.registry import BALANCES
from testudo.tasks.classification import Classification
from testudo.tasks.regression import Regression

TASKS = (Classification("left", classes=2), Classification("right", classes=2))
N = 8
TINY = 1e-6
HALF_SPACES = (MGDA(normalise="none"), MGDA(), UPGrad(), DualProj(), PCGrad(), IMTLG())


class Planes(nn.Module):
    """Two tasks whose margins are linear in the image: their gradients are known."""

    def __init__(self, seed=0):
        super().__init__()
        with seeded(seed):
            self.left, self.right = nn.Linear(40, 2).double(), nn.Linear(40, 2).double()

    def forward(self, x):
        return {"left": self.left(x.flatten(1)), "right": 3 * self.right(x.flatten(1))}


def planes(seed=0):
    """The model, data far from the box, and the two margins' gradients (N, 40)."""
    module = Planes(seed)
    images = helpers.batch(N, dtype=torch.float64).images * 0.2 + 0.4
    targets = {"left": torch.arange(N) % 2, "right": torch.arange(N) // 2 % 2}
    sign = {name: (1 - 2 * label)[:, None] for name, label in targets.items()}
    one = sign["left"] * (module.left.weight[1] - module.left.weight[0])
    two = sign["right"] * 3 * (module.right.weight[1] - module.right.weight[0])
    return wrap(module, TASKS), Batch(images, targets), one.detach(), two.detach()


def closed_form(balance, one, two):
    """The step's direction from two gradients, from the papers."""
    if isinstance(balance, MGDA):
        if balance.normalise == "l2":
            one, two = one / one.norm(dim=1, keepdim=True), two / two.norm(dim=1, keepdim=True)
        share = (((two - one) * two).sum(1) / (one - two).square().sum(1)).clamp(0, 1)[:, None]
        return share * one + (1 - share) * two
    if isinstance(balance, IMTLG):  # equal projections: the sum of the unit gradients, for two
        return one / one.norm(dim=1, keepdim=True) + two / two.norm(dim=1, keepdim=True)

    def without(a, b):
        """What is left of ``a`` where it goes against ``b``."""
        return a - (a * b).sum(1, keepdim=True).clamp(max=0) / b.square().sum(1, keepdim=True) * b

    if isinstance(balance, DualProj):  # the mean, against at most one of the two
        mean = (one + two) / 2
        return without(without(mean, one), two)
    return without(one, two) + without(two, one)  # UPGrad and PCGrad alike, for two tasks


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("balance", HALF_SPACES, ids=lambda balance: repr(balance).replace("gradients='exact', ", ""))
def test_the_step_is_the_closed_form(balance, seed):
    model, data, one, two = planes(seed)
    assert ((one * two).sum(1) < 0).any()  # some conflict
    how = Objective(balance=balance, surrogate=Margin())
    moved = FGSM(L2(0.05), how, "last").perturb(model, data) - data.images
    wanted = closed_form(balance, one, two)
    wanted = 0.05 * wanted / wanted.norm(dim=1, keepdim=True)
    torch.testing.assert_close(moved.flatten(1), wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("surrogate", [Margin(), None])
@pytest.mark.parametrize("balance", [*HALF_SPACES[:4], PCGrad(), GradVac(), Softmin(sharpness=50.0)])
def test_every_task_gets_worse_at_a_small_step(balance, surrogate):
    """The minimum norm is above zero here, so a way up for both exists; a soft minimum takes the least."""
    model, data, _, _ = planes()
    how = Objective(balance=balance) if surrogate is None else Objective(balance=balance, surrogate=surrogate)
    images = FGSM(L2(TINY), how, "last").perturb(model, data)
    before, after = (how.losses(model.tasks, model(x), data.targets) for x in (data.images, images))
    if isinstance(balance, Softmin):
        assert (balance.merit(balance.start(before), after) > 0).all()
    else:
        assert (after > before).all()


@pytest.mark.parametrize("name", BALANCES.names())
def test_backward_passes(name):
    """One per task and step where gradients are compared, otherwise one."""
    balance = helpers.balance(name)
    passes = 3 if balance.needs == "gramian" else 1
    model, data = helpers.exact(helpers.multi()), helpers.batch()
    for attack in (PGD, MIM, APGD):
        assert attack(steps=4, objective=Objective(balance=balance))(model, data).backwards == 4 * passes


class Turned(nn.Module):
    """An encoder that keeps all inner products: an orthogonal map of the pixels, as a 1 x 1 feature map."""

    features = 40

    def __init__(self, factor=1.0):
        super().__init__()
        with seeded(7):
            turn = torch.linalg.qr(torch.randn(40, 40, dtype=torch.float64)).Q
        self.turn = nn.Parameter(factor * turn)

    def forward(self, x):
        return (x.flatten(1) @ self.turn)[:, :, None, None]


def headed(factor=1.0):
    tasks = (Classification("digit", classes=3), Regression("angle", outputs=2))
    with seeded(2):
        model = MultiTaskModel(Turned(factor), tasks, [0.0, 0.0], [1.0, 1.0]).double()
    return model.eval()


def headed_batch():
    data = helpers.batch(dtype=torch.float64)
    targets = {"digit": data.targets["digit"].clamp(min=0), "angle": data.targets["angle"].nan_to_num(0.5)}
    return Batch(data.images * 0.2 + 0.4, targets, data.ids)


@pytest.mark.parametrize("name", [n for n in BALANCES.names() if issubclass(BALANCES.get(n), GradientBalance)])
def test_gradients_at_features_are_those_at_the_input_where_the_encoder_turns(name):
    model, data = fast(headed(3.0)), headed_batch()
    hits = {
        where: PGD(Linf(0.1), Objective(balance=replace(helpers.balance(name), gradients=where)), "last", steps=5)(
            model, data
        )
        for where in ("exact", "features")
    }
    torch.testing.assert_close(hits["exact"].images, hits["features"].images, rtol=0, atol=1e-9)
    torch.testing.assert_close(hits["exact"].weights, hits["features"].weights, rtol=1e-6, atol=1e-9)
    assert (hits["exact"].backwards, hits["features"].backwards) == (10, 5)
    assert hits["exact"].forwards == hits["features"].forwards


@pytest.mark.parametrize("samples", [1, 2])
def test_features_are_refused_for_models_without_them(samples):
    attack = FGSM(objective=Objective(balance=MGDA(gradients="features")), samples=samples)
    with pytest.raises(TestudoError, match="gradients at the features need a MultiTaskModel") as caught:
        attack(helpers.multi(), helpers.batch())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("attack", [PGD(Linf(0.3), steps=15), APGD(Linf(0.3), steps=15), MIM(Linf(0.3), steps=15)])
@pytest.mark.parametrize("keep", ["best", "first"])
def test_stealthy_attacks_hold_the_other_tasks_within_budget(attack, keep):
    balance = Stealthy(("digit",), budget=0.1)
    model, data = helpers.exact(helpers.multi()), helpers.batch()
    hit = type(attack)(attack.threat, Objective(balance=balance), keep, steps=15)(model, data)
    how = helpers.named(Objective())
    clean = FGSM(Linf(0.0), how)(model, data).task_loss
    now = helpers.fresh_losses(helpers.multi(), hit, data, how)
    for name in ("angle", "signs"):
        room = 0.1 * clean[name].abs().clamp(min=balance.floor)
        assert (now[name] <= clean[name] + room * 1.001 + 1e-6).all()
    grown = now["digit"] - clean["digit"]
    assert (grown >= 0).all()
    assert (grown[data.targets["digit"] >= 0] > 0).sum() >= 3


def test_softmins_step_is_the_gradient_of_its_closed_form():
    model, data = helpers.exact(helpers.multi().double()), helpers.batch(dtype=torch.float64)[[0, 4, 5]]
    balance, how = Softmin(sharpness=2.0, floor=0.1), helpers.named(Objective())
    clean = how.losses(model.tasks, model(data.images), data.targets).detach()
    start = data.images * 0.9 + 0.05
    leaf = start.clone().requires_grad_()
    grown = torch.asinh(how.losses(model.tasks, model(leaf), data.targets) / 0.1) - torch.asinh(clean / 0.1)
    merit = -((-2 * grown).exp().mean(1)).log() / 2
    (slope,) = torch.autograd.grad(merit.sum(), leaf)
    seen = []

    class Looks(FGSM):
        """Asks at ``start``."""

        def search(self, problem):
            seen.append(problem.ascend(start, inside=False))
            return problem.clean

    Looks(objective=Objective(balance=balance))(model, data)
    torch.testing.assert_close(seen[0].gradient, slope, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(seen[0].merit, merit.detach(), rtol=1e-9, atol=1e-12)


def test_a_balance_without_a_gramian_is_told():
    with pytest.raises(TestudoError, match="MGDA weighs by the gradients' inner products"):
        MGDA().weigh(MGDA().start(torch.ones(2)), torch.ones(2))
    assert isinstance(MGDA(), Balance)
