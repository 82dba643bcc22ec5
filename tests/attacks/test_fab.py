"""FAB against the known distance of linear models' boundaries, and against torchattacks' port of the authors' code."""

from __future__ import annotations

import dataclasses
import math

import helpers
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from testudo.attacks.fab import FAB
from testudo.attacks.objective import Objective
from testudo.attacks.threat import L1, L2, Linf
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.encoder import seeded
from testudo.models.wrap import wrap
from testudo.tasks.classification import Classification

CLASSES, SHAPE = 4, (2, 3, 4)
SIZE = math.prod(SHAPE)
TASK = Classification("y", classes=CLASSES)
WIDE = {"linf": Linf(1.0), "l2": L2(SIZE**0.5), "l1": L1(float(SIZE))}  # balls as large as the box
DUAL = {"linf": 1, "l2": 2, "l1": math.inf}


class Logits(nn.Module):
    """A linear classifier, its logits times ``factor``."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = factor
        with seeded(5):
            self.inner = nn.Linear(SIZE, CLASSES)

    def forward(self, x):
        return self.inner(x.flatten(1)) * self.factor


def linear(factor=1.0, dtype=torch.float64):
    return helpers.exact(wrap(Logits(factor).to(dtype).eval(), [TASK]))


def labelled(model, images):
    with torch.no_grad():
        return Batch(images, {"y": model(images, ("y",))["y"].argmax(1)}, torch.arange(len(images)) * 3 + 1)


def data(model, low=0.0, high=1.0, n=12, dtype=torch.float64):
    """Images between ``low`` and ``high``, of the class the model says."""
    g = torch.Generator().manual_seed(0)
    images = torch.rand(n, *SHAPE, generator=g, dtype=torch.float64) * (high - low) + low
    return labelled(model, images.clamp(0, 1).to(dtype))


def boundaries(model, batch):
    """(N, T) heights and (N, T, D) normals of all wrong classes of a linear model."""
    layer, y = model.module.inner if hasattr(model, "module") else Logits().double().inner, batch.targets["y"]
    weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
    logits = batch.images.double().flatten(1) @ weight.T + bias
    wrong = torch.arange(CLASSES).expand(len(y), -1)[torch.arange(CLASSES) != y[:, None]].reshape(len(y), -1)
    heights = logits.gather(1, wrong) - logits.gather(1, y[:, None])
    return heights, weight[wrong] - weight[y][:, None]


def distances(attack, model, batch):
    """(N,) how far the images of another class are, infinite where there are none; and the hit."""
    hit = attack(model, batch)
    helpers.assert_inside(hit.images, batch.images, attack.threat)
    return torch.where(hit.decided, attack.threat.size(hit.images, batch.images), math.inf), hit


def shortest(point, normals, heights, norm):
    """The least distance within the box to one of the planes, by linear programmes."""
    d, best = len(point), math.inf
    for w, h in zip(normals.numpy(), heights.tolist(), strict=True):
        room = [(0, 1 - x) for x in point.tolist()] + [(0, x) for x in point.tolist()]  # up and down apart
        plane = [[*w, *-w, 0.0]]
        goal = [1.0] * (2 * d) + [0.0] if norm == "l1" else [0.0] * (2 * d) + [1.0]
        below = [[*row, -1.0] for row in torch.eye(2 * d).tolist()]
        limit = {"A_ub": below, "b_ub": [0.0] * (2 * d)} if norm == "linf" else {}
        found = linprog(goal, A_eq=plane, b_eq=[-h], bounds=[*room, (0, None)], **limit)
        best = min(best, found.fun) if found.success else best
    return best


@pytest.mark.parametrize("norm", WIDE)
@pytest.mark.parametrize("targets", [0, CLASSES - 1])
def test_linear_models_boundary_is_found(norm, targets):
    """Where the box is far, the distance is min |f| / |w| in the dual norm."""
    model = linear()
    batch = data(model, 0.45, 0.55)
    heights, normals = boundaries(model, batch)
    best = (heights.abs() / torch.linalg.vector_norm(normals, DUAL[norm], dim=2)).amin(1)
    near = best < 0.4  # no coordinate gets to the wall
    assert near.sum() > 5
    found, hit = distances(FAB(WIDE[norm], keep="last", steps=30, targets=targets), model, batch)
    assert hit.decided[near].all()
    assert (found[near] >= best[near] * (1 - 1e-9)).all()
    assert (found[near] <= best[near] * 1.01).all(), found[near] / best[near]
    closer = FAB(WIDE[norm], keep="last", steps=60, targets=targets, eta=1.0001)
    torch.testing.assert_close(distances(closer, model, batch)[0][near], best[near], rtol=3e-4, atol=0)


class Rivals(nn.Module):
    """One wrong class is reached by all pixels together, the other by a single one."""

    def forward(self, x):
        flat = x.flatten(1) - 0.5
        return torch.stack([0 * flat[:, 0], flat.sum(1) - 1, 3 * flat[:, 0] - 1], 1)


@pytest.mark.parametrize(("norm", "best"), [("linf", 1 / SIZE), ("l2", SIZE**-0.5), ("l1", 1 / 3)])
def test_the_nearest_class_depends_on_the_norm(norm, best):
    model = helpers.exact(wrap(Rivals(), [Classification("y", classes=3)]))
    found, _ = distances(FAB(WIDE[norm], keep="last", steps=20), model, data(model, 0.5, 0.5, n=1))
    assert best <= float(found) <= best * 1.01


@pytest.mark.parametrize("norm", ["linf", "l1"])
def test_where_the_box_binds_it_is_the_linear_programmes_optimum(norm):
    model = linear()
    batch = data(model, -2.0, 3.0)
    heights, normals = boundaries(model, batch)
    rows = zip(batch.images.flatten(1), normals, heights, strict=True)
    best = torch.tensor([shortest(*row, norm) for row in rows], dtype=torch.float64)
    free = (heights.abs() / torch.linalg.vector_norm(normals, DUAL[norm], dim=2)).amin(1)
    assert (best > free * 1.005).sum() > 3  # the box binds
    attack = FAB(WIDE[norm], keep="last", steps=60, targets=CLASSES - 1)
    found, sharp = (distances(each, model, batch)[0] for each in (attack, dataclasses.replace(attack, eta=1.0001)))
    assert (found >= best * (1 - 1e-7)).all()
    assert (found <= best * 1.01).all(), found / best
    torch.testing.assert_close(sharp, best, rtol=3e-4, atol=0)


class Net(nn.Module):
    """Two convolutions with kinks."""

    def __init__(self):
        super().__init__()
        with seeded(2):
            self.body = nn.Sequential(
                nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(), nn.Flatten()
            )
            self.head = nn.Linear(6 * 12, CLASSES)
            for p in self.parameters():
                p.data.mul_(2).add_(torch.randn_like(p) * 0.1)

    def forward(self, x):
        return self.head(self.body(x))


@pytest.fixture(scope="module")
def net():
    return helpers.exact(wrap(Net().eval(), [TASK]))


@pytest.mark.parametrize("norm", WIDE)
@pytest.mark.parametrize("targets", [0, CLASSES - 1])
def test_as_near_as_torchattacks(net, norm, targets):
    theirs = pytest.importorskip("torchattacks")
    batch, module = data(net, -0.3, 1.3, n=40, dtype=torch.float32), Net().eval()
    x, y = batch.images, batch.targets["y"]
    name = {"linf": "Linf", "l2": "L2", "l1": "L1"}[norm]
    reference, best = theirs.FAB(module, norm=name, eps=1e6, steps=30, n_classes=CLASSES), torch.full((40,), math.inf)
    ranks = module(x).detach().scatter(1, y[:, None], -math.inf).argsort(dim=1, descending=True)
    for rank in range(max(1, targets)):
        reference.target_class = ranks[:, rank]
        images = (reference.attack_single_run_targeted if targets else reference.attack_single_run)(x, y).detach()
        size = torch.where(module(images).argmax(1) == y, math.inf, WIDE[norm].size(images, x))
        best = torch.minimum(best, size)
    found, hit = distances(FAB(WIDE[norm], keep="last", steps=30, targets=targets), net, batch)
    assert torch.equal(hit.decided, best.isfinite())
    assert found.median() <= best.median() * 1.01
    assert (found / best).quantile(0.9) <= 1.01


@pytest.mark.parametrize("norm", WIDE)
def test_first_decides_who_is_within_eps(net, norm):
    batch = data(net, n=40, dtype=torch.float32)
    wide, _ = distances(FAB(WIDE[norm], keep="last", steps=20), net, batch)
    ball = dataclasses.replace(WIDE[norm], eps=float(wide.median()) * 1.001)
    _, hit = distances(FAB(ball, keep="first", steps=20), net, batch)
    assert torch.equal(hit.decided, wide <= ball.eps)
    assert (net(hit.images, ("y",))["y"].argmax(1) != batch.targets["y"])[hit.decided].all()
    _, long = distances(FAB(ball, keep="last", steps=20), net, batch)
    assert hit.forwards < long.forwards


def test_best_keeps_the_nearest_where_the_ball_is_the_box(net):
    batch = data(net, dtype=torch.float32)
    best, last = (FAB(Linf(1.0), keep=keep, steps=10)(net, batch).images for keep in ("best", "last"))
    assert torch.equal(best, last)


@pytest.mark.parametrize("keep", ["best", "last", "first"])
def test_who_is_wrong_or_unlabelled_stays(net, keep):
    batch = data(net, dtype=torch.float32)
    batch.targets["y"][0], batch.targets["y"][1] = (batch.targets["y"][0] + 1) % CLASSES, -1
    hit = FAB(Linf(0.3), keep=keep, steps=5)(net, batch)
    assert torch.equal(hit.images[:2], batch.images[:2])
    assert hit.decided[0]
    assert hit.decided[2:].any()


@pytest.mark.parametrize("norm", WIDE)
def test_restarts_only_help_and_come_from_the_seed(net, norm):
    batch = data(net, n=60, dtype=torch.float32)
    once = FAB(WIDE[norm], keep="last", steps=2)
    again = dataclasses.replace(once, restarts=3)
    alone, more = distances(once, net, batch)[0], distances(again, net, batch)[0]
    assert (more <= alone).all()
    assert (more < alone).any()
    assert torch.equal(distances(again, net, batch)[0], more)
    assert not torch.equal(distances(dataclasses.replace(again, seed=1), net, batch)[0], more)


@pytest.mark.parametrize("norm", WIDE)
def test_an_example_does_not_know_its_batch(norm):
    """Targeted, restarted, some decided on the way: each example alone fares the same."""
    model = helpers.exact(wrap(Net().double().eval(), [TASK]))
    batch = data(model, n=10)
    wide, _ = distances(FAB(WIDE[norm], keep="last", steps=5), model, batch)
    ball = dataclasses.replace(WIDE[norm], eps=float(wide.median()))
    attack = FAB(ball, keep="first", steps=5, targets=2, restarts=2)
    whole = attack(model, batch).images
    alone = torch.cat([attack(model, batch[i : i + 1]).images for i in range(10)])
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", WIDE)
def test_masked_values_stay(net, norm):
    mask = torch.arange(12).reshape(3, 4) % 3 > 0
    batch = data(net, n=30, dtype=torch.float32)
    ball = dataclasses.replace(WIDE[norm], mask=mask)
    found, hit = distances(FAB(ball, keep="last", steps=10, restarts=2), net, batch)
    assert hit.decided.any()
    assert torch.equal(hit.images[..., ~mask], batch.images[..., ~mask])
    free, _ = distances(FAB(WIDE[norm], keep="last", steps=10, restarts=2), net, batch)
    assert found[hit.decided].median() > free[hit.decided].median()


@pytest.mark.parametrize("norm", WIDE)
def test_the_scale_of_the_logits_does_not_matter(norm):
    attack = FAB(WIDE[norm], keep="last", steps=10)
    usual, large = linear(dtype=torch.float32), linear(2.0**20, dtype=torch.float32)
    batch = data(usual, dtype=torch.float32)
    torch.testing.assert_close(attack(large, batch).images, attack(usual, batch).images, rtol=0, atol=1e-5)
    constant = linear(0.0, dtype=torch.float32)
    told = labelled(constant, batch.images)
    assert torch.equal(attack(constant, told).images, batch.images)


def test_mistakes_are_one_line(net):
    batch = helpers.batch()
    with pytest.raises(TestudoError, match=r"fab attacks one classification task, got angle: name one"):
        FAB(objective=Objective("angle"))(helpers.multi(), batch)
    with pytest.raises(TestudoError, match=r"got digit, angle, signs: name one"):
        FAB()(helpers.multi(), batch)
    with pytest.raises(TestudoError, match="targets must be at most 3"):
        FAB(targets=CLASSES, steps=1)(net, data(net, dtype=torch.float32))
    with pytest.raises(TestudoError, match="must not be targeted"):
        FAB(objective=Objective(targeted=True))
    for name, value in (("alpha_max", 1.5), ("eta", 0.9), ("eta", math.inf), ("beta", math.nan), ("targets", -1)):
        with pytest.raises(TestudoError, match=f"^{name} must be .*, got {value}$"):
            FAB(**{name: value})
