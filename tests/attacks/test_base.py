"""The final call, seen with attacks of a user's own; and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import helpers
import pytest
import torch
from torch import nn

from testudo.attacks.base import Attack
from testudo.attacks.fgsm import FGSM
from testudo.attacks.mim import MIM
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import L2, Linf
from testudo.balance.fixed import Equal
from testudo.balance.minmax import MinMax
from testudo.balance.normalised import Normalised
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.wrap import wrap


@dataclass(frozen=True)
class Returns(Attack):
    """A user's attack that hands back the clean images plus a number, wherever that leads."""

    shift: float = 0.0

    def search(self, problem):
        return problem.clean + self.shift


@dataclass(frozen=True)
class Lures(Attack):
    """First a good image inside the ball, then a much better one outside of it that projects to the clean one."""

    @property
    def runs(self):
        return 2

    def search(self, problem):
        if problem.run == 0:
            return problem.project(problem.clean + 0.02)
        return problem.clean - 3.0


@dataclass(frozen=True)
class Wrong(Attack):
    """Hands back another shape."""

    def search(self, problem):
        return problem.clean[:, :1]


@dataclass(frozen=True)
class Sums(Attack):
    """Returns another precision, and a tensor with a graph."""

    def search(self, problem):
        return (problem.clean.double() + 0.01).requires_grad_() * 1


class Brightness(nn.Module):
    """Two logits; the second one's margin over the first is the mean pixel."""

    def forward(self, x):
        mean = x.flatten(1).mean(1)
        return torch.stack([mean, -mean], 1)


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("shift", [0.5, -3.0, 1e30])
@pytest.mark.parametrize("ball", [Linf(0.03), L2(0.3)])
def test_images_outside_are_projected_and_scored_there(ball, shift, keep):
    model, data = helpers.multi(), helpers.batch()
    attack = Returns(ball, shift=shift, keep=keep)
    hit = attack(helpers.exact(model), data)
    helpers.assert_inside(hit.images, data.images, ball)
    how = helpers.objective("equal", model)
    for name, values in helpers.fresh_losses(model, hit, data, how).items():
        torch.testing.assert_close(hit.task_loss[name], values, rtol=1e-4, atol=1e-5)
    assert torch.equal(attack.perturb(helpers.exact(model), data), hit.images)


@pytest.mark.parametrize("shift", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("ball", [Linf(0.03), L2(0.3)])
def test_nan_and_infinity_are_refused(ball, shift):
    for call in (Returns(ball, shift=shift, keep="last").perturb, Returns(ball, shift=shift)):
        with pytest.raises(TestudoError, match="Returns returned images with NaN or infinite"):
            call(helpers.multi(), helpers.batch())


def test_another_shape_is_refused():
    with pytest.raises(TestudoError, match=r"Wrong returned images of another shape: \(6, 1, 5, 4\)"):
        Wrong()(helpers.multi(), helpers.batch())


def test_another_precision_is_brought_back():
    hit = Sums()(helpers.multi(), helpers.batch())
    assert hit.images.dtype == torch.float32
    assert not hit.images.requires_grad


def test_a_claim_made_outside_the_ball_does_not_beat_a_true_one():
    model = wrap(Brightness(), (helpers.Classification("digit", classes=2),))
    data = Batch(torch.full((1, 1, 2, 2), 0.1), {"digit": torch.tensor([1])})
    hit = Lures(Linf(0.05))(model, data)
    torch.testing.assert_close(hit.images, data.images + 0.02)


def test_models_that_give_nan_on_clean_images_are_named_by_task_and_id():
    model, data = helpers.multi(), helpers.batch()
    model.module.heads["angle"].bias.data.fill_(torch.nan)
    for keep in ("best", "last"):
        for attack in (
            FGSM(keep=keep),
            PGD(keep=keep),
            MIM(keep=keep),
            MIM(objective=Objective(balance=MinMax()), keep=keep),
        ):
            with pytest.raises(TestudoError, match="loss of task 'angle' is NaN on clean image 3"):
                attack(model, data)


class NaNAbove(nn.Module):
    """NaN as soon as the image is brighter than it was: nothing that was found can be scored."""

    def forward(self, x):
        mean = x.flatten(1).mean(1)
        mean = torch.where(mean > 0.5 + 1e-4, torch.nan, mean)
        return torch.stack([-mean, mean], 1)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_where_all_that_was_found_gives_nan_the_clean_images_come_back(keep):
    model = wrap(NaNAbove(), (helpers.Classification("digit", classes=2),))
    data = Batch(torch.full((2, 1, 2, 2), 0.5), {"digit": torch.tensor([0, 0])})
    hit = Returns(Linf(0.1), shift=0.1, keep=keep)(model, data)
    assert torch.equal(hit.images, data.images)
    assert hit.loss.isfinite().all()
    assert hit.task_loss["digit"].isfinite().all()


@pytest.mark.parametrize("balance", [Equal(), Normalised(), MinMax(), MinMax("raw")])
@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("random_start", [True, False])
def test_passes_of_pgd(balance, keep, random_start):
    attack = PGD(steps=5, objective=Objective(balance=balance), keep=keep, random_start=random_start)
    hit = attack(helpers.exact(helpers.multi()), helpers.batch())
    assert hit.backwards == 5
    assert 6 <= hit.forwards <= 7


def test_books_are_true():
    model = helpers.exact(helpers.multi())
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    model._exact.register_forward_hook(lambda *_: calls.append(1))
    for attack in (FGSM(), PGD(steps=3, restarts=2), MIM(steps=3), MIM(steps=3, objective=Objective(balance=MinMax()))):
        calls.clear()
        hit = attack(model, helpers.batch())
        # Every float32 pass of the copy goes through its exact part; the copy itself adds its own hook.
        inner = sum(calls) - _outer(model, attack)
        assert hit.forwards == inner


def _outer(model, attack):
    """Passes through the copy's own forward: one per gradient and one per search."""
    return attack.runs * (attack.iterations + 1)


def test_minmax_costs_what_equal_costs_from_the_clean_image():
    model, data = helpers.exact(helpers.multi()), helpers.batch()
    for attack in (PGD(steps=4, random_start=False), MIM(steps=4), FGSM()):
        costs = set()
        for balance in (Equal(), MinMax(), MinMax("raw"), Normalised()):
            hit = replace(attack, objective=Objective(balance=balance))(model, data)
            costs.add((hit.forwards, hit.backwards))
        assert len(costs) == 1


def test_training_pays_for_no_scores():
    model, data = helpers.exact(helpers.multi()), helpers.batch()
    calls = []
    model._exact.register_forward_hook(lambda *_: calls.append(1))  # every float32 pass goes through it
    PGD(steps=5, keep="last").perturb(model, data)
    assert sum(calls) == 5  # equal weights need no clean losses either
    PGD(steps=5, keep="last", objective=Objective(balance=Normalised())).perturb(model, data)
    assert sum(calls) == 5 + 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PGD(steps=0), "steps and restarts must be at least 1, got 0 and 1"),
        (lambda: PGD(restarts=0), "steps and restarts must be at least 1, got 10 and 0"),
        (lambda: PGD(step=0.0), "step must be above 0"),
        (lambda: MIM(step=float("nan")), "step must be above 0"),
        (lambda: MIM(decay=-1), "decay must be at least 0, got -1"),
        (lambda: MIM(decay=float("nan")), "decay must be at least 0, got nan"),
        (lambda: FGSM(keep="worst"), "keep must be 'best', 'last' or 'first', got 'worst'"),
        (lambda: Objective(("a", "a")), "names each task once, got a, a"),
        (lambda: FGSM(objective=Objective("digt"))(helpers.multi(), helpers.batch()), "did you mean 'digit'"),
        (lambda: FGSM(L2(torch.ones(3)))(helpers.multi(), helpers.batch()), "3 values of eps for 6 images"),
    ],
)
def test_mistakes_are_told_in_one_line(make, message):
    with pytest.raises(TestudoError, match=message.replace("(", r"\(")) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_task_without_labels_is_refused():
    data = helpers.batch()
    with pytest.raises(
        TestudoError, match=r"'signs' is under attack but the batch has no labels for it \(it has: digit\)"
    ):
        FGSM(objective=Objective("signs"))(helpers.multi(), Batch(data.images, {"digit": data.targets["digit"]}))
