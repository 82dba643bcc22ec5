"""Auto-PGD and AutoAttack's other members: against the published code, closed forms, and the paper's own rules."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from testudo.attacks.apgd import APGD
from testudo.attacks.ensemble import AutoAttack, WorstCase
from testudo.attacks.objective import Objective
from testudo.attacks.surrogates import Margin
from testudo.attacks.threat import L1, L2, Linf
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.fast import fast
from testudo.models.wrap import wrap
from testudo.tasks.classification import Classification
from testudo.tasks.regression import Regression

BALLS = {"Linf": Linf(0.12), "L2": L2(0.6), "L1": L1(1.2)}
STEPS, QUERIES, SEEDS, TARGETS, RESTARTS = 20, 80, 2, 2, 2
PARTS = ("apgd-ce", "apgd-t", "fab-t", "square")
DIGIT = Objective("digit")


def published(net, norm, eps, parts, seed):
    """The authors' attack with as few steps as ours."""
    found = pytest.importorskip("pyautoattack").AutoAttack(
        net, norm=norm, eps=eps, version="custom", attacks=list(parts), seed=seed, device="cpu"
    )
    found.verbose = False
    for part in (found.apgd, found.apgd_targeted, found.fab):
        part.n_iter = STEPS
        part.n_restarts = 1
    found.apgd.n_restarts = RESTARTS if norm == "L1" else 1
    found.apgd_targeted.n_target_classes = TARGETS
    found.fab.n_target_classes = TARGETS
    found.apgd.use_largereps = found.apgd_targeted.use_largereps = norm == "L1"
    found.square.n_queries = QUERIES
    return found


def robust_accuracy(net, images, batch):
    with torch.no_grad():
        return 100 * (net(images).argmax(1) == batch.targets["digit"]).float().mean().item()


def both(robust, norm, part):
    """(ours, theirs): robust accuracies in per cent, one per seed; few targets and restarts, to be quick."""
    model, net, batch = robust
    frozen, ours, theirs = fast(model, "float32"), [], []
    for seed in range(SEEDS):
        members = AutoAttack(BALLS[norm], DIGIT, seed=seed, steps=STEPS, queries=QUERIES).members(model.tasks)
        members["apgd-ce"] = replace(members["apgd-ce"], restarts=RESTARTS if norm == "L1" else 1)
        members |= {name: replace(members[name], targets=TARGETS) for name in ("apgd-t", "fab-t")}
        parts = PARTS if part == "all" else (part,)
        found = {name: members[name] for name in parts}
        attack = WorstCase(BALLS[norm], DIGIT, "first", attacks=found)
        ours.append(robust_accuracy(net, attack(frozen, batch).images, batch))
        other = published(net, norm, BALLS[norm].eps, parts, seed)
        hit = other.run_standard_evaluation(batch.images, batch.targets["digit"], batch_size=len(batch))
        theirs.append(robust_accuracy(net, hit[0] if isinstance(hit, tuple) else hit, batch))
    return ours, theirs


@pytest.mark.parametrize(("part", "norm"), [*product(PARTS, BALLS), ("all", "Linf")])
def test_agrees_with_the_published_code(robust, norm, part):
    """Not above it by more than two examples; nor far below, but for Square.

    The published Square has one place per query for the whole batch, and never reaches the last row and column.
    """
    ours, theirs = (np.array(found) for found in both(robust, norm, part))
    assert 20 < theirs.mean() < 86
    assert ours.mean() <= theirs.mean() + 200 / len(robust[2]), (ours, theirs)
    noise = 100 * math.sqrt(0.25 / len(robust[2]))
    assert part == "square" or ours.mean() >= theirs.mean() - 2 * noise, (ours, theirs)


WINDOWS = (22, 19, 16, 13, 10, 7, 6, 6)  # of 100 steps: 0.22 of them, then 0.03 less each time, at least 0.06


def iterates(value, slope, start, eps, steps):
    """Algorithm 1 of Croce and Hein 2020 for one number, from the paper but for ``<=`` (their code, condition 1)."""
    checks = np.cumsum(WINDOWS).tolist()
    low, high = max(start - eps, 0), min(start + eps, 1)
    length, x, before, halved, seen = 2 * eps, start, start, [], [(value(start), start)]
    for k in range(steps):
        there = min(max(x + length * np.sign(slope(x)), low), high)
        new = there if k == 0 else min(max(x + 0.75 * (there - x) + 0.25 * (x - before), low), high)
        before, x = x, new
        seen.append((value(x), x))
        if k + 1 in checks:
            last = k + 1 - WINDOWS[checks.index(k + 1)]
            rises = sum(seen[i + 1][0] > seen[i][0] for i in range(last, k + 1))
            stuck = not any(halved[-1:]) and max(seen)[0] == max(seen[: last + 1])[0]
            halved.append(rises <= 0.75 * (k + 1 - last) or stuck)
            if halved[-1]:
                length, x = length / 2, max(seen)[1]
    return [x for _, x in seen], halved


WAVES = [
    (lambda x, lib: lib.sin(40 * x) + x, lambda x: 40 * math.cos(40 * x) + 1),
    (lambda x, lib: -abs(x - 0.7371), lambda x: -np.sign(x - 0.7371)),
    (
        lambda x, lib: lib.sin(9 * x) * lib.cos(31 * x),
        lambda x: 9 * math.cos(9 * x) * math.cos(31 * x) - 31 * math.sin(9 * x) * math.sin(31 * x),
    ),
    (lambda x, lib: x, lambda x: 1.0),
]


@pytest.mark.parametrize("wave", range(len(WAVES)))
@pytest.mark.parametrize("ball", [Linf(0.4), L2(0.4)])
def test_steps_are_halved_by_the_papers_rule(wave, ball):
    value, slope = WAVES[wave]
    wanted, halved = iterates(lambda x: value(x, math), slope, 0.45, 0.4, 100)
    assert any(halved)
    found = []

    def recorded(task, prediction, target):
        if prediction.requires_grad:
            found.append(prediction.item())
        return value(prediction, torch)[:, 0]

    model = wrap(nn.Flatten().double(), [Regression("level", outputs=1)])
    data = Batch(torch.full((1, 1, 1, 1), 0.45, dtype=torch.float64), {"level": torch.zeros(1, 1, dtype=torch.float64)})
    hit = APGD(ball, Objective("level", surrogate=recorded), keep="last", steps=100, random_start=False)(model, data)
    np.testing.assert_allclose([*found, hit.images.item()], wanted, atol=1e-9)


@pytest.mark.parametrize("targets", [0, 1])
@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize("ball", [Linf(0.1), L2(0.7), L1(1.5)], ids=["linf", "l2", "l1"])
def test_reaches_the_optimum_of_a_linear_model(ball, random_start, targets):
    """Two classes, grey images: the margin grows by eps times the weights' dual norm; in L1 pixels fill up."""
    linear = nn.Linear(40, 2).double()
    model = wrap(nn.Sequential(nn.Flatten(), linear), [Classification("digit", classes=2)])
    data = Batch(torch.full((5, 1, 8, 5), 0.5, dtype=torch.float64), {"digit": torch.tensor([0, 1, 0, 1, 0])})
    attack = APGD(ball, Objective("digit", surrogate=Margin()), steps=60, targets=targets, random_start=random_start)
    hit = attack(model, data)
    clean = replace(attack, threat=type(ball)(0.0))(model, data).loss
    way = linear.weight[1] - linear.weight[0]
    if ball.p == 1:
        order = way.detach().abs().sort(descending=True).values  # each value has room for 0.5
        rise = 0.5 * order[:3].sum()
    else:
        rise = ball.eps * torch.linalg.vector_norm(way.detach(), 1 if ball.p == math.inf else 2)
    torch.testing.assert_close(hit.loss - clean, rise.expand(5), rtol=0.04 if ball.p == 1 else 1e-6, atol=0)


def test_steps_are_counted_and_shared_out():
    model = wrap(nn.Sequential(nn.Flatten(), nn.Linear(40, 3)), [Classification("digit", classes=3)])
    data = Batch(torch.rand(4, 1, 8, 5), {"digit": torch.tensor([0, 1, 2, 0])})
    for ball in (Linf(0.1), L2(0.5), L1(1.0)):
        for steps in (1, 2, 3, 7, 30):
            for targets, restarts in ((0, 1), (2, 2)):
                hit = APGD(ball, Objective("digit"), steps=steps, targets=targets, restarts=restarts)(model, data)
                assert hit.backwards == steps * restarts * max(1, targets), (ball, steps)
    assert APGD(targets=9, restarts=2).runs == 18


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "steps and restarts must be at least 1, got 0 and 1"),
        ({"targets": -1}, "targets must be at least 0, got -1"),
        ({"targets": 3}, "targets must be at most 2 for task 'digit', got 3"),
    ],
)
def test_mistakes_are_told_in_one_line(fields, message):
    model = wrap(nn.Sequential(nn.Flatten(), nn.Linear(40, 3)), [Classification("digit", classes=3)])
    with pytest.raises(TestudoError, match=message):
        APGD(objective=DIGIT, **fields)(model, Batch(torch.rand(4, 1, 8, 5), {"digit": torch.tensor([0, 1, 2, 0])}))
