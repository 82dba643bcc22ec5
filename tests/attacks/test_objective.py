"""What an attack raises: by task, by name, by function; when it has won; and mistakes, told in one line."""

from __future__ import annotations

import helpers
import pytest
import torch

from testudo.attacks.apgd import APGD
from testudo.attacks.base import Attack
from testudo.attacks.ensemble import AutoAttack, WorstCase
from testudo.attacks.fab import FAB
from testudo.attacks.fgsm import FGSM
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.square import Square
from testudo.attacks.surrogates import DLR, Custom, Margin, TaskLoss
from testudo.attacks.threat import L2, Linf
from testudo.balance.minmax import MinMax
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.parts import build, dump
from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.regression import Regression

TASKS = {task.name: task for task in helpers.TASKS}


def outputs(data, seed=1):
    g = torch.Generator().manual_seed(seed)
    return {name: torch.randn(len(data), task.channels, generator=g) for name, task in TASKS.items()}


def test_each_task_has_its_own_surrogate():
    data, how = helpers.batch(), Objective(surrogate={"digit": Margin(), "angle": lambda task, p, t: p.square().sum(1)})
    told = outputs(data)
    columns = how.losses(TASKS, told, data.targets).T
    torch.testing.assert_close(columns[0], Margin()(TASKS["digit"], told["digit"], data.targets["digit"]))
    known = ~data.targets["angle"].isnan().all(1)
    torch.testing.assert_close(columns[1], told["angle"].square().sum(1) * known)
    torch.testing.assert_close(columns[2], TASKS["signs"].loss(told["signs"], data.targets["signs"]))
    assert isinstance(how.surrogate["angle"], Custom)


def test_a_function_is_a_surrogate_for_all_tasks():
    data, how = helpers.batch(), Objective(surrogate=lambda task, p, t: p.flatten(1).sum(1))
    told = outputs(data)
    wanted = [p.sum(1) * TASKS[name].valid(data.targets[name]) for name, p in told.items()]
    torch.testing.assert_close(how.losses(TASKS, told, data.targets), torch.stack(wanted, 1))
    lowered = Objective(surrogate=how.surrogate, targeted=True).losses(TASKS, told, data.targets)
    torch.testing.assert_close(lowered, -torch.stack(wanted, 1))


@pytest.mark.parametrize("limit", [0.05, 0.3, 0.9, 5.0])
def test_a_threshold_decides_by_the_score_in_its_own_direction(limit):
    """Regression: above it; the share of right labels: below it."""
    data, told = helpers.batch(), outputs(helpers.batch())
    for name in ("angle", "signs"):
        task = {name: TASKS[name]}
        score = TASKS[name].score(told[name], data.targets[name])
        wanted = score < limit if TASKS[name].higher_is_better else score > limit
        known = TASKS[name].valid(data.targets[name])
        how = Objective(name, success={name: limit})
        beaten = how.beaten(task, told, data.targets)
        assert torch.equal(beaten[known], wanted[known])
        assert torch.equal(
            Objective(name, success={name: limit}, targeted=True).beaten(task, told, data.targets), ~wanted
        )


def test_all_tasks_must_be_beaten_and_those_unlabelled_do_not_count():
    two = {"a": Classification("a", classes=2), "b": Classification("b", classes=2)}
    told = {name: torch.tensor([[1.0, 0.0]]).expand(5, 2) for name in two}  # class 0 throughout
    targets = {"a": torch.tensor([0, 1, 1, 1, -1]), "b": torch.tensor([1, 0, 1, -1, -1])}
    assert Objective().beaten(two, told, targets).tolist() == [False, False, True, True, True]
    assert Objective(targeted=True).beaten(two, told, targets).tolist() == [False, False, False, False, True]


def test_without_a_decision_nothing_is_beaten():
    data, told = helpers.batch(), outputs(helpers.batch())
    angle = {"angle": Regression("angle", outputs=2)}
    known = angle["angle"].valid(data.targets["angle"])
    for targeted in (False, True):
        assert not Objective(targeted=targeted).beaten(angle, told, data.targets)[known].any()


def test_merit_is_never_nan():
    losses = torch.tensor([[1.0, 2.0], [torch.nan, 1.0], [1.0, torch.inf]])
    for balance in (MinMax(), Objective().balance):
        merit = Objective(balance=balance).merit(balance.start(torch.ones(3, 2)), losses)
        assert not merit.isnan().any()
        assert merit[1] == -torch.inf


EVERY = [
    Objective("digit", surrogate={"digit": Margin()}, success={"digit": 0.5}),
    Objective(("digit", "angle"), MinMax(rate=0.5), {"angle": TaskLoss(), "digit": DLR()}, True, {"angle": 2.5}),
]


@pytest.mark.parametrize("how", EVERY)
def test_objectives_survive_a_recipe(how):
    attack = PGD(L2(0.5), how, "first", samples=3)
    assert build(Attack, dump(attack)) == attack


@pytest.mark.parametrize(
    "attack",
    [
        AutoAttack(Linf(0.1), Objective("digit"), version="plus", queries=70),
        WorstCase(
            L2(0.4),
            EVERY[1],
            "first",
            attacks={
                "ce": APGD(steps=7, targets=2, objective=EVERY[0]),
                "square": Square(queries=9),
                "inner": WorstCase(attacks={"fab": FAB(targets=2, objective=Objective("digit"))}),
            },
        ),
    ],
)
def test_ensembles_survive_a_recipe(attack):
    assert build(Attack, dump(attack)) == attack


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Objective(surrogate="margin"),
            r"a surrogate must be an object like Margin\(\), or a function; got 'mar",
        ),
        (lambda: Objective(surrogate=Margin), "a surrogate must be an object like Margin"),
        (lambda: Objective(surrogate={"digit": 3}), "a surrogate must be an object like Margin.*got 3"),
        (lambda: Objective("digit", surrogate={"digt": Margin()}), "not under attack.*'digt'; did you mean 'digit'"),
        (lambda: Objective("digit", success={"angle": 1.0}), "not under attack.*'angle'"),
    ],
)
def test_what_cannot_be_an_objective(make, message):
    with pytest.raises(TestudoError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


DIGIT = Objective("digit")
MASK = torch.ones(3, 1, 5, 4, dtype=torch.bool)


@pytest.mark.parametrize("keep", ["best", "last", "first"])
@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (FGSM(objective=Objective("digt")), "unknown task 'digt'; did you mean 'digit'"),
        (FGSM(objective=Objective(surrogate={"digt": Margin()})), "unknown task 'digt'; did you mean 'digit'"),
        (FGSM(objective=Objective(success={"digt": 0.5})), "unknown task 'digt'; did you mean 'digit'"),
        (FGSM(objective=Objective(surrogate=Margin())), "surrogate Margin is for tasks with classes; 'angle' is none"),
        (FGSM(L2(torch.ones(3)), DIGIT), "3 values of eps for 6 images"),
        (FGSM(L2(0.1, mask=MASK), DIGIT), r"mask of shape \(3, 1, 5, 4\) does not fit images of shape \(6, 2, 5, 4\)"),
        (FGSM(Linf(0.1, mask=MASK[:1, 0, :4]), DIGIT), r"mask of shape \(1, 4, 4\) does not fit"),
        (APGD(targets=3, objective=DIGIT), "targets must be at most 2 for task 'digit', got 3"),
        (APGD(targets=1), "targets must be at most 0 for task 'angle', got 1"),
        (FAB(), "fab attacks one classification task, got digit, angle, signs"),
        (FAB(objective=Objective("angle")), "fab attacks one classification task, got angle"),
        (AutoAttack(), "autoattack attacks one classification task, got digit, angle, signs"),
        (AutoAttack(objective=Objective("signs")), "autoattack attacks one classification task, got signs"),
        (WorstCase(), "worst_case needs attacks by name"),
        (WorstCase(attacks={"a": FGSM(objective=Objective("digt"))}), "unknown task 'digt'; did you mean 'digit'"),
    ],
)
def test_what_cannot_be_attacked(attack, message, keep):
    fields = {name: getattr(attack, name) for name in attack.__dataclass_fields__}
    with pytest.raises(TestudoError, match=message) as caught:
        type(attack)(**{**fields, "keep": keep})(helpers.multi(), helpers.batch())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("targeted", [False, True])
def test_classes_out_of_range_are_named(targeted):
    data = helpers.batch()
    wrong = Batch(data.images, {**data.targets, "digit": torch.full((6,), 3)}, data.ids)
    with pytest.raises(TestudoError, match="task 'digit': label 3 is out of range"):
        FGSM(objective=Objective("digit", targeted=targeted))(helpers.multi(), wrong)


def test_multilabel_tasks_are_told_from_classes():
    assert not isinstance(TASKS["signs"], Classification)
    assert isinstance(TASKS["signs"], MultiLabel)
