"""Labels counted in parts are the labels counted at once, and what a loop would count."""

from __future__ import annotations

import pytest
import torch
from task_cases import CASES, labels

from testudo.data.tally import Tally
from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.regression import Regression
from testudo.tasks.segmentation import Segmentation


def told(task, *parts):
    tally = Tally(task)
    for part in parts:
        tally.add(part)
    return tally.told()


@pytest.mark.parametrize("task", CASES.values(), ids=CASES)
def test_parts_add_up(task):
    target = labels(task)
    whole, parts = told(task, target), told(task, *target.split(5))
    assert whole.keys() == parts.keys()
    assert list(whole.values()) == pytest.approx(list(parts.values()))


def test_counts_by_hand():
    nan = torch.nan
    cats = Classification("t", classes=3, labels=("cat", "dog", "fox"))
    assert told(cats, torch.tensor([0, 2, -1, 2])) == {"cat": 1, "dog": 0, "fox": 2, "unknown": 1}
    flags = torch.tensor([[1, 0], [nan, 1], [nan, nan]])
    assert told(MultiLabel("t", labels=("a", "b")), flags) == {"a": 1, "b": 1, "unknown": 1}
    numbers = torch.tensor([[1.0], [nan], [5.0]])
    assert told(Regression("t"), numbers) == {"least": 1, "mean": 3, "greatest": 5, "unknown": 1}
    pixels = torch.tensor([[[0, 1, 1, 255]], [[1, 255, 255, 255]]])
    assert told(Segmentation("t", classes=2), pixels) == {"0": 0.25, "1": 0.75, "unknown": 0.5}


def test_nothing_known():
    assert told(Regression("t"), torch.full((2, 1), torch.nan)) == {"unknown": 2}
    assert told(Regression("t")) == {}
    assert told(Segmentation("t", classes=2), torch.full((1, 2, 2), 255)) == {"0": 0, "1": 0, "unknown": 1}
