"""The suites by name: what is in them for each kind of main task."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny

from testudo.attacks.pgd import PGD
from testudo.attacks.threat import L2, Linf
from testudo.data.chexpert import CheXpert
from testudo.data.fraction import Fraction
from testudo.data.xray import NIH
from testudo.errors import TestudoError
from testudo.suite import SUITES, suite_of
from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.depth import Depth
from testudo.tasks.normals import Normals
from testudo.tasks.regression import Regression
from testudo.tasks.segmentation import Segmentation

TASKS = (
    Classification("digit", classes=10),
    MultiLabel("signs", labels=("a", "b")),
    Regression("age"),
    Segmentation("rooms", classes=3),
    Depth("depth"),
    Normals("normal"),
)
RECIPE = tiny.recipe("x.csv")


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize("main", TASKS, ids=lambda task: task.name)
def test_every_suite_fits_every_main_task(name, main):
    tasks = {task.name: task for task in (main, *(task for task in TASKS if task is not main))}
    suite = suite_of(name, replace(RECIPE, suite={}), tuple(tasks.values()))
    assert "clean" not in suite
    for attack in suite.values():
        attack.check(attack.objective.attacked(tasks, tasks))
        assert attack.objective.tasks in ((), (main.name,))


def test_the_standard_suite_takes_the_ball_of_the_recipe():
    tasks = TASKS[:1]
    assert list(suite_of("standard", RECIPE, tasks)) == ["pgd20 linf 0.05", "autoattack linf 0.05"]
    other = replace(RECIPE, validation=None)
    assert list(suite_of("standard", other, tasks)) == ["pgd20 linf 0.1", "autoattack linf 0.1"]
    none = replace(other, suite={})
    assert list(suite_of("standard", none, tasks)) == ["pgd20 linf 8/255", "autoattack linf 8/255"]
    found = suite_of("standard", replace(RECIPE, validation=PGD(L2(0.5))), TASKS[3:5])
    assert {type(attack.threat) for attack in found.values()} == {L2}
    assert [name for name in found if "all" in name] == [
        f"apgd100 all {b} l2 0.5" for b in ("equal", "minmax", "softmin")
    ]


def test_maos_suite_has_the_papers_radii_and_steps():
    suite = suite_of("paper-mao", RECIPE, TASKS[3:5])
    steps = {1: 2, 2: 3, 4: 5, 8: 10, 16: 20}
    for level, count in steps.items():
        attack = suite[f"pgd{count} linf {level}/255"]
        assert (attack.steps, attack.step, attack.threat) == (count, 1 / 255, Linf(level / 255))
        assert suite[f"pgd{count} all linf {level}/255"].objective.tasks == ()
    assert {f"pgd{n} linf 4/255" for n in (5, 10, 20, 50, 100)} <= set(suite)
    assert suite["houdini100 linf 4/255"].objective.surrogate.task_loss == "iou"
    assert {attack.keep for attack in suite.values()} == {"last"}
    assert "houdini100 linf 4/255" not in suite_of("paper-mao", RECIPE, TASKS[4:])


def test_the_other_papers():
    tasks = TASKS[:2]
    assert [a.iterations for a in suite_of("paper-contrastive", RECIPE, tasks).values()] == [1, 7, 20, 50]
    assert list(suite_of("paper-gat", RECIPE, tasks)) == ["pgd10 linf 8/255", "autoattack linf 8/255"]
    for data in (NIH(), CheXpert(), Fraction(NIH(), share=0.5)):
        assert list(suite_of("paper-gat", replace(RECIPE, data=data), TASKS[1:3])) == ["pgd10 linf 4/255"]
    found = suite_of("paper-minmax", RECIPE, tasks)
    assert len(found) == 18
    assert found["pgd10 minmax linf 4/255"].step == pytest.approx(1 / 255)
    assert found["pgd10 equal l2 2.5"].step == pytest.approx(0.5)


def test_a_wrong_name_is_told_with_the_nearest():
    with pytest.raises(TestudoError, match="unknown suite 'paper-mat'; did you mean 'paper-"):
        suite_of("paper-mat", RECIPE, TASKS)
