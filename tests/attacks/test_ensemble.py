"""Several attacks of which the worst counts: AutoAttack's members as published, and any suite on any tasks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import helpers
import pytest
import torch

from testudo.attacks.apgd import APGD
from testudo.attacks.base import Attack
from testudo.attacks.ensemble import AutoAttack, WorstCase
from testudo.attacks.fab import FAB
from testudo.attacks.mim import MIM
from testudo.attacks.noise import Noise
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.square import Square
from testudo.attacks.surrogates import DLR, CrossEntropy, Margin
from testudo.attacks.threat import L1, L2, Linf
from testudo.balance.minmax import MinMax
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.tasks.classification import Classification

DIGIT = Objective("digit")
TEN = {"digit": Classification("digit", classes=10)}


def members(threat=None, classes=10, **fields):
    return AutoAttack(threat or Linf(0.1), DIGIT, **fields).members({"digit": Classification("digit", classes=classes)})


def test_the_standard_members_are_the_published_ones():
    found = members()
    assert [(name, type(each)) for name, each in found.items()] == [
        ("apgd-ce", APGD),
        ("apgd-t", APGD),
        ("fab-t", FAB),
        ("square", Square),
    ]
    ce, towards, walk, square = found.values()
    assert (ce.steps, ce.restarts, ce.targets, ce.objective.surrogate) == (100, 1, 0, CrossEntropy())
    assert (towards.steps, towards.restarts, towards.targets, towards.objective.surrogate) == (100, 1, 9, DLR())
    assert (walk.steps, walk.restarts, walk.targets) == (100, 1, 9)
    assert (square.queries, square.restarts, square.p_init, square.rescale) == (5000, 1, 0.8, False)
    assert square.objective.surrogate == Margin()
    assert all(each.keep == "first" for each in found.values())


def test_in_l1_there_are_more_starts_and_fewer_targets():
    found = members(L1(12.0))
    assert (found["apgd-ce"].restarts, found["apgd-t"].targets, found["fab-t"].targets) == (5, 5, 9)


def test_plus_and_rand():
    plus = members(version="plus")
    assert list(plus) == ["apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"]
    assert (plus["apgd-ce"].restarts, plus["apgd-dlr"].restarts, plus["fab"].restarts) == (5, 5, 5)
    assert (plus["fab"].targets, plus["apgd-t"].restarts, plus["apgd-dlr"].objective.surrogate) == (0, 1, DLR())
    assert [each.samples for each in members(version="rand").values()] == [20, 20]


def test_few_classes():
    assert members(classes=3)["apgd-t"].targets == members(classes=3)["fab-t"].targets == 2
    two = members(classes=2)
    assert (two["apgd-t"].targets, two["apgd-t"].objective.surrogate) == (1, Margin())


def test_threat_and_seed_reach_the_members():
    for each in members(L2(0.7), seed=5, steps=7, queries=11).values():
        assert (each.threat, each.seed) == (L2(0.7), 5)
        assert 7 in (getattr(each, "steps", 7), each.iterations)


@pytest.mark.parametrize("classes", [2, 3])
def test_it_runs_on_few_classes(classes):
    task = (Classification("digit", classes=classes),)
    model = helpers.wrap(helpers.network(0, task), task)
    data = helpers.batch()
    data = Batch(data.images, {"digit": data.targets["digit"] % classes}, data.ids)
    hit = AutoAttack(Linf(0.3), DIGIT, steps=5, queries=20)(model, data)
    alone = PGD(Linf(0.3), DIGIT, "first", steps=20)(model, data)
    assert 4 < hit.decided.sum() >= alone.decided.sum()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AutoAttack(version="standart"), "did you mean 'standard'"),
        (lambda: AutoAttack(steps=0), "steps and restarts must be at least 1, got 0 and 1"),
        (lambda: AutoAttack(queries=0), "queries and restarts must be at least 1, got 0 and 1"),
    ],
)
def test_mistakes_are_told_in_one_line(make, message):
    with pytest.raises(TestudoError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


SUITE = {"pgd": PGD(steps=4), "mim": MIM(steps=4, objective=Objective("angle")), "noise": Noise(draws=3)}


@pytest.mark.parametrize("how", [DIGIT, Objective(("digit", "angle")), Objective(balance=MinMax()), Objective()])
def test_the_worst_case_is_the_members_best_by_its_own_objective(how):
    """Members may attack tasks that the ensemble's objective leaves out."""
    model, data, ball = helpers.exact(helpers.multi().double()), helpers.batch(dtype=torch.float64), Linf(0.08)
    hit = WorstCase(ball, how, attacks=SUITE)(model, data)
    clean = PGD(Linf(0.0), how, steps=1)(model, data)
    tasks = {name: model.tasks[name] for name in hit.task_loss}
    state = how.balance.start(
        torch.stack(
            [torch.where(t.valid(data.targets[n]), clean.task_loss[n], torch.nan) for n, t in tasks.items()], 1
        ),
        tuple(tasks),
    )
    every = [data.images, *(replace(each, threat=ball)(model, data).images for each in SUITE.values())]
    with torch.no_grad():
        merits = [how.merit(state, how.losses(tasks, model(x), data.targets)) for x in every]
    torch.testing.assert_close(hit.loss, torch.stack(merits).amax(0), rtol=0, atol=1e-12)
    best = torch.stack(merits).argmax(0)
    assert torch.equal(hit.images, torch.stack(every)[best, torch.arange(len(data))])
    helpers.assert_inside(hit.images, data.images, ball)


def test_passes_are_the_sum_of_the_members():
    model, data = helpers.exact(helpers.multi()), helpers.batch()
    hit = WorstCase(Linf(0.08), attacks=SUITE)(model, data)
    alone = [replace(each, threat=Linf(0.08))(model, data) for each in SUITE.values()]
    assert hit.backwards == pytest.approx(sum(each.backwards for each in alone))
    assert 0 < hit.forwards - sum(each.forwards for each in alone) <= len(SUITE) + 2  # each is judged, and the start


@dataclass(frozen=True)
class Counts(Attack):
    """Writes down whom it gets."""

    def search(self, problem):
        seen.append(problem.ids.tolist())
        return problem.clean


seen: list[list[int]] = []


def test_members_get_what_those_before_left_undecided():
    model, data = helpers.multi(), helpers.batch()
    seen.clear()
    first = PGD(steps=8, keep="first", objective=DIGIT)
    ball = Linf(0.06)
    hit = WorstCase(ball, DIGIT, "first", attacks={"a": Counts(), "b": first, "c": Counts()})(model, data)
    after = replace(first, threat=ball)(model, data)
    clean = PGD(Linf(0.0), DIGIT, "first", steps=1)(model, data)
    assert seen[0] == data.ids[~clean.decided].tolist()
    assert seen[1:] == ([data.ids[~after.decided].tolist()] if not after.decided.all() else [])
    assert torch.equal(hit.decided, after.decided)


@pytest.mark.parametrize("keep", ["best", "first"])
def test_more_members_never_do_less(keep):
    model, data = helpers.exact(helpers.multi().double()), helpers.batch(dtype=torch.float64)
    few = WorstCase(Linf(0.06), DIGIT, keep, attacks={"noise": Noise(draws=2, objective=DIGIT)})(model, data)
    more = WorstCase(Linf(0.06), DIGIT, keep, attacks={"noise": Noise(draws=2, objective=DIGIT), **SUITE})(model, data)
    assert (more.decided | ~few.decided).all()
    assert (more.loss >= few.loss - 1e-12)[~few.decided].all()


def test_the_seed_moves_every_member():
    model, data = helpers.exact(helpers.multi()), helpers.batch()
    suite = {"one": Noise(draws=1, seed=3), "other": Noise(draws=1, seed=4)}
    found = WorstCase(Linf(0.08), seed=5, attacks=suite).members(model.tasks)
    assert {name: member.seed for name, member in found.items()} == {"one": 8, "other": 9}
    first, second = (WorstCase(Linf(0.08), seed=seed, attacks=suite)(model, data) for seed in (0, 5))
    assert not torch.equal(first.images, second.images)


@pytest.mark.parametrize(
    ("late", "message"),
    [
        (AutoAttack(), "autoattack attacks one classification task"),
        (PGD(objective=Objective("colour")), "unknown task 'colour'"),
        (FAB(objective=Objective("angle")), "fab attacks one classification task"),
    ],
)
def test_what_a_later_member_cannot_attack_is_told_before_the_first_begins(late, message):
    model, data = helpers.multi(), helpers.batch()
    seen.clear()
    with pytest.raises(TestudoError, match=message):
        WorstCase(Linf(0.08), attacks={"first": Counts(), "late": late})(model, data)
    assert seen == []
