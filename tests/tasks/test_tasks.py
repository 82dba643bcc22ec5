"""Values by hand, and what each task alone has."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import roc_auc_score

from testudo.errors import TestudoError
from testudo.evaluation.metrics import auroc
from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.regression import Regression

NAN = math.nan


def test_cross_entropy_by_hand():
    loss = Classification("t", classes=3).loss(torch.tensor([[0.0, math.log(2), math.log(5)]]), torch.tensor([1]))
    assert loss.item() == pytest.approx(math.log(8 / 2))


def test_binary_by_hand():
    """Right class at log 3 (probability 3/4), two wrong ones at 0 (1/2 each)."""
    task = Classification("t", classes=3, loss_kind="binary")
    loss = task.loss(torch.tensor([[math.log(3), 0.0, 0.0]]), torch.tensor([0]))
    assert loss.item() == pytest.approx(math.log(4 / 3) + 2 * math.log(2))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.int64, torch.bool])
def test_any_integer_is_a_class(dtype):
    for kind in ("cross_entropy", "binary"):
        task, target = Classification("t", classes=2, loss_kind=kind), torch.tensor([0, 1]).to(dtype)
        task.check(target)
        prediction = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        assert torch.equal(task.loss(prediction, target), task.loss(prediction, target.long()))
        assert task.score(prediction, target).tolist() == [1, 0]


def test_multilabel_by_hand():
    task = MultiLabel("t", labels=("a", "b", "c"))
    prediction, target = torch.tensor([[math.log(3), 0.0, 9.0]]), torch.tensor([[1.0, 0.0, NAN]])
    assert task.loss(prediction, target).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    assert task.score(prediction, target).item() == 1.0


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_auroc_is_scikit_learns_per_label(scale):
    """Also of large logits, which a sigmoid would tie at one."""
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(60, 3, generator=g) * scale + scale
    target = torch.randint(0, 2, (60, 3), generator=g).float()
    target[torch.rand(60, 3, generator=g) < 0.3] = NAN
    metric = MultiLabel("t", labels=("a", "b", "c")).metric()
    metric.update(logits, target)
    known = ~target.isnan()
    want = [roc_auc_score(target[known[:, i], i], logits[known[:, i], i]) for i in range(3)]
    assert metric.compute().item() == pytest.approx(sum(want) / 3, abs=1e-6)


def test_auroc_leaves_out_labels_of_one_kind():
    """torchmetrics counts the all-absent label as 0 and fails where nothing is known; the rows' metric does neither."""
    target = torch.tensor([[1.0, 0.0, NAN], [0.0, 0.0, NAN], [1.0, 0.0, NAN]])
    logits = torch.tensor([[2.0, 1.0, 0.0], [1.0, 3.0, 0.0], [1.0, 0.0, 0.0]])
    task = MultiLabel("t", labels=("a", "b", "c"))
    metric = task.metric()
    metric.update(logits, target)
    assert metric.compute() == 0.75
    assert auroc(task.record(logits, target).double().numpy()) == 0.75


def test_accuracy_counts_labelled_examples_only():
    metric = Classification("t", classes=3).metric()
    metric.update(torch.eye(3)[[0, 1, 2, 2]], torch.tensor([0, 1, 0, -1]))
    assert metric.compute().item() == pytest.approx(2 / 3)


def test_regression_speaks_the_targets_unit():
    task = Regression("age", mean=40.0, std=10.0, unit="years")
    prediction, target = torch.tensor([[1.0], [0.0]]), torch.tensor([45.0, NAN])
    assert task.loss(prediction, target).tolist() == [0.5, 0.0]
    assert task.score(prediction, target)[0] == 5.0
    assert task.record(prediction, target)[0].tolist() == [50.0, 45.0]
    assert task.describe(prediction) == ["50 years", "40 years"]
    metric = task.metric()
    metric.update(prediction, target)
    assert metric.compute() == 5.0


def test_squared_error_is_halved_and_averaged_over_known_numbers():
    task = Regression("t", outputs=3, loss_kind="l2", std=2.0)
    loss = task.loss(torch.tensor([[1.0, 2.0, 7.0]]), torch.tensor([[0.0, 2.0, NAN]]))
    assert loss.item() == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_one_output_takes_flat_and_columned_targets_alike():
    task, prediction = Regression("t"), torch.tensor([[1.0], [2.0], [4.0]])
    flat = torch.tensor([0.0, NAN, 1.0])
    for judge in (task.loss, task.score, task.record):
        torch.testing.assert_close(judge(prediction, flat), judge(prediction, flat[:, None]), equal_nan=True)
    for target in (flat, flat[:, None]):
        metric = task.metric()
        metric.update(prediction, target)
        assert metric.compute() == 2.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Classification("a b"), "must be letters, digits and _, got 'a b'"),
        (lambda: Classification("a", classes=1), "classes must be at least 2, got 1"),
        (lambda: Classification("a", classes=3, labels=("x",)), "1 labels for 3 classes"),
        (lambda: Classification("a", loss_kind="crossentropy"), "did you mean 'cross_entropy'"),
        (lambda: MultiLabel("a"), "labels must name at least one label"),
        (lambda: Regression("a", outputs=0), "got 0 and 1.0"),
        (lambda: Regression("a", std=0.0), "got 1 and 0.0"),
        (lambda: Regression("a", loss_kind="L1"), "unknown loss_kind 'L1'"),
    ],
)
def test_mistakes_are_told_in_one_line(make, message):
    with pytest.raises(TestudoError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
