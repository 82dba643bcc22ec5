import pytest
import torch

from testudo.data.derived import Relabel
from testudo.errors import TestudoError
from testudo.tasks.classification import Classification
from testudo.tasks.regression import Regression

DIGIT = Classification("digit", classes=10)
PARITY = Relabel("parity", "digit", ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9)), ("even", "odd"))


def test_unknown_and_ungrouped_have_no_label():
    small = Relabel("small", "digit", ((0, 1), (2,)), ("few", "two"))
    assert small.targets(torch.tensor([0, 1, 2, 3, 9, -1])).tolist() == [0, 0, 1, -1, -1, -1]
    assert small.targets(torch.tensor([], dtype=torch.int64)).tolist() == []


def test_parity_is_the_remainder():
    digits = torch.arange(10)
    assert torch.equal(PARITY.targets(digits), digits % 2)


def test_task_has_the_groups_as_classes():
    task = PARITY.task(DIGIT)
    assert (task.name, task.classes, task.labels) == ("parity", 2, ("even", "odd"))
    task.check(PARITY.targets(torch.tensor([-1, 3])))


@pytest.mark.parametrize(
    ("groups", "labels", "words"),
    [
        (((0, 1),), ("a",), "two or more groups"),
        (((0,), (1,)), ("a",), "a label for each"),
        (((0, 1), (1, 2)), ("a", "b"), "class 1 is in two groups"),
        (((0,), (-1,)), ("a", "b"), "classes count from 0"),
    ],
)
def test_groups_that_make_no_task(groups, labels, words):
    with pytest.raises(TestudoError, match=words):
        Relabel("x", "digit", groups, labels)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Regression("digit"), "no classification"),
        (None, "no classification"),
        (Classification("digit", classes=9), "class 9 is out"),
    ],
)
def test_sources_that_do_not_fit(source, words):
    with pytest.raises(TestudoError, match=words):
        PARITY.task(source)
