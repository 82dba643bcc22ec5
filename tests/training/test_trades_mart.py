"""TRADES and MART against their formulas, written out with numpy and scipy."""

from __future__ import annotations

from dataclasses import replace

import helpers
import numpy as np
import pytest
import torch
from scipy.special import log_softmax, rel_entr, softmax
from torch import nn

from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.encoder import seeded
from testudo.models.wrap import wrap
from testudo.tasks.classification import Classification
from testudo.tasks.depth import Depth
from testudo.tasks.segmentation import Segmentation
from testudo.tensors import normal
from testudo.training.methods.mart import Mart
from testudo.training.methods.trades import Trades

DIGIT = helpers.TASKS[:1]


@pytest.fixture
def net():
    return wrap(helpers.network(0), helpers.TASKS).double().eval()


@pytest.fixture
def data():
    return helpers.batch(12, dtype=torch.float64)


def logits(net, images, name="digit"):
    with torch.no_grad():
        return net(images)[name].numpy()


def divergences(clean, moved):
    """(N,) KL of the softmax, by scipy."""
    return rel_entr(softmax(clean, 1), softmax(moved, 1)).sum(1)


def value(number):
    return torch.as_tensor(float(number), dtype=torch.float64)


def test_trades_is_the_clean_loss_and_beta_times_the_divergence(net, data):
    method = Trades(beta=6.0, weights={"digit": 2.0})
    terms = method.terms(net, data)
    moved = method.attack.perturb(net, data)
    clean, hurt, label = logits(net, data.images), logits(net, moved), data.targets["digit"].numpy()
    known = label >= 0
    loss = -np.take_along_axis(log_softmax(clean[known], 1), label[known, None], 1).mean()
    torch.testing.assert_close(terms["digit.clean"], value(2 * loss))
    torch.testing.assert_close(terms["digit.drift"], value(2 * 6 * divergences(clean, hurt)[known].mean()))
    assert set(terms) == {f"{name}.{kind}" for name in helpers.NAMES for kind in ("clean", "drift")}
    gap = np.abs(logits(net, data.images, "angle") - logits(net, moved, "angle"))
    seen = ~data.targets["angle"].isnan().numpy()
    each = (gap * seen).sum(1) / seen.sum(1).clip(min=1)
    torch.testing.assert_close(terms["angle.drift"], value(6 * each.mean()))


def test_both_sides_of_the_divergence_are_moved(net, data):
    """The released code lets the clean prediction follow, too."""
    method = Trades(weights={"angle": 0.0, "signs": 0.0})
    moved, known = method.attack.perturb(net, data), data.targets["digit"] >= 0
    found = torch.autograd.grad(method.terms(net, data)["digit.drift"], net.module.conv.weight)[0]
    log_p, log_q = (net(images)["digit"][known].log_softmax(1) for images in (data.images, moved))
    for side, same in ((log_p, True), (log_p.detach(), False)):
        wanted = 6 * (side.exp() * (side - log_q)).sum(1).mean()
        (slope,) = torch.autograd.grad(wanted, net.module.conv.weight, retain_graph=True)
        assert torch.allclose(found, slope, rtol=1e-8, atol=1e-12) == same


def test_trades_attacks_as_the_released_code_does(data):
    """Normal noise of 0.001, then ten sign steps on the divergence from the clean prediction."""
    net = wrap(helpers.network(0, DIGIT), DIGIT).double().eval()
    images = data.images + 1e-3 * normal(data.ids, helpers.SHAPE, 0, 0).double()
    images = images.clamp(data.images - 8 / 255, data.images + 8 / 255).clamp(0, 1)
    with torch.no_grad():
        p = net(data.images)["digit"].softmax(1)
    for _ in range(10):
        leaf = images.clone().requires_grad_()
        divergence = torch.nn.functional.kl_div(net(leaf)["digit"].log_softmax(1), p, reduction="sum")
        (slope,) = torch.autograd.grad(divergence, leaf)
        images = (images + 2 / 255 * slope.sign()).clamp(data.images - 8 / 255, data.images + 8 / 255).clamp(0, 1)
    known = data.targets["digit"] >= 0
    found = Trades().attack.perturb(net, data)
    torch.testing.assert_close(found[known], images[known], rtol=0, atol=1e-12)


def test_mart_is_the_boosted_loss_and_the_weighted_divergence(net, data):
    method = Mart(strength=5.0, weights={"digit": 2.0})
    terms = method.terms(net, data)
    moved = method.attack.perturb(net, data)
    label = data.targets["digit"].numpy()
    known, y = label >= 0, label[label >= 0, None]
    clean, hurt = (logits(net, images)[known] for images in (data.images, moved))
    p, q = softmax(clean, 1), softmax(hurt, 1)
    others = q.copy()
    np.put_along_axis(others, y, -1, 1)
    boosted = -np.log(np.take_along_axis(q, y, 1)[:, 0]) - np.log(1 - others.max(1))
    torch.testing.assert_close(terms["digit.adv"], value(2 * boosted.mean()))
    weighted = divergences(clean, hurt) * (1 - np.take_along_axis(p, y, 1)[:, 0])
    torch.testing.assert_close(terms["digit.drift"], value(2 * 5 * weighted.mean()))
    assert set(terms) == {"digit.adv", "digit.drift", "angle.adv", "signs.adv"}
    for name in ("angle", "signs"):  # other tasks: their loss there
        task, target = net.tasks[name], data.targets[name]
        wanted = task.loss(net(moved)[name], target).sum() / task.valid(target).sum()
        torch.testing.assert_close(terms[f"{name}.adv"], wanted)


def test_the_released_codes_small_constants_change_little(net, data):
    """Its loss, with its 1e-4 and 1e-12, on the same images."""
    method = Mart()
    terms, moved, y = method.terms(net, data), method.attack.perturb(net, data), data.targets["digit"]
    p, q = (net(images)["digit"][y >= 0].softmax(1) for images in (data.images, moved))
    y = y[y >= 0, None]
    rival = q.scatter(1, y, -1).argmax(1, keepdim=True)
    margin = -torch.log(1.0001 - q.gather(1, rival) + 1e-12)
    loss = (-q.gather(1, y).log() + margin).mean()
    drift = ((p * (p.log() - (q + 1e-12).log())).sum(1) * (1.0000001 - p.gather(1, y)[:, 0])).mean()
    torch.testing.assert_close(terms["digit.adv"], loss, rtol=1e-3, atol=0)
    torch.testing.assert_close(terms["digit.drift"], 5 * drift, rtol=1e-5, atol=0)


def test_mart_on_mixed_labels_of_one_class_is_mart(net, data):
    y = data.targets["digit"]
    shares = torch.nn.functional.one_hot(y.clamp(min=0), 3).double()
    mixed = torch.where(y[:, None] < 0, torch.nan, shares)
    one, other = Mart().terms(net, data), Mart().terms(net, replace(data, targets={**data.targets, "digit": mixed}))
    for name, term in one.items():
        torch.testing.assert_close(term, other[name])


def test_mart_wants_a_classification():
    tasks = {task.name: task for task in helpers.TASKS[1:]}
    with pytest.raises(
        TestudoError, match=r"mart is for classification by cross-entropy, and the run has only 'angle'"
    ):
        Mart().check(tasks)
    binary = Classification("kind", loss_kind="binary")
    with pytest.raises(TestudoError, match="has only 'kind'; use madry"):
        Mart().check({"kind": binary})


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: Trades(beta=-1.0), "beta must be at least 0 and finite, got -1.0"),
        (lambda: Trades(beta=float("nan")), "beta must be at least 0 and finite, got nan"),
        (lambda: Mart(strength=float("inf")), "strength must be at least 0 and finite, got inf"),
    ],
)
def test_factors_that_mean_nothing_are_refused(made, words):
    with pytest.raises(TestudoError, match=words):
        made()


def test_tasks_under_attack_must_be_the_models():
    for method in (Trades, Mart):
        attack = replace(method().attack, objective=Objective("digt"))
        with pytest.raises(TestudoError, match="'digt'; did you mean 'digit'"):
            method(attack=attack).check({task.name: task for task in helpers.TASKS})


class Pixelwise(nn.Module):
    """Three logits and one number for every pixel."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)

    def forward(self, x):
        return self.conv(x).split((3, 1), 1)


def test_trades_on_pixels_counts_those_known():
    tasks = (Segmentation("room", classes=3), Depth("depth"))
    with seeded(0):
        net = wrap(Pixelwise(), tasks)
    room, depth = torch.randint(0, 3, (4, 5, 4)), torch.rand(4, 1, 5, 4) + 0.5
    room[0], room[1, :2], depth[2], depth[3, :, :3] = 255, 255, torch.nan, torch.nan
    data = Batch(torch.rand(4, 2, 5, 4), {"room": room, "depth": depth})
    method = Trades(attack=PGD(Linf(0.1), Trades().attack.objective, "last", steps=3, jitter=1e-3))
    terms, moved = method.terms(net, data), method.attack.perturb(net, data)
    with torch.no_grad():
        before, after = net(data.images), net(moved)
    each = torch.from_numpy(rel_entr(*(softmax(x["room"].numpy(), 1) for x in (before, after))).sum(1))
    rows = [each[i][room[i] != 255].mean() for i in (1, 2, 3)]
    torch.testing.assert_close(terms["room.drift"], 6 * torch.stack(rows).mean(), rtol=1e-4, atol=1e-7)
    gap = (before["depth"] - after["depth"]).abs()
    rows = [gap[i][~depth[i].isnan()].mean() for i in (0, 1, 3)]
    torch.testing.assert_close(terms["depth.drift"], 6 * torch.stack(rows).mean())
