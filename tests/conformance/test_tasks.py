"""What holds for every registered task."""

from __future__ import annotations

import pytest
import torch

from testudo.errors import TestudoError
from testudo.evaluation.metrics import METRICS
from testudo.registry import TASKS
from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.dense import Depth, Normals
from testudo.tasks.regression import Regression
from testudo.tasks.segmentation import Segmentation

CASES = {
    "classification": Classification("t", classes=4),
    "classification-binary": Classification("t", classes=4, loss_kind="binary"),
    "multilabel": MultiLabel("t", labels=("a", "b", "c")),
    "regression": Regression("t", mean=3.0, std=2.0),
    "regression-l2": Regression("t", outputs=2, loss_kind="l2", mean=-1.0, std=0.5),
    "segmentation": Segmentation("t", classes=4),
    "depth": Depth("t"),
    "normals": Normals("t"),
    "normals-cosine": Normals("t", loss_kind="cosine"),
}
ADDITIVE = [name for name, task in CASES.items() if task.metric_name in ("accuracy", "error")]


def test_every_registered_task_is_here():
    assert {type(task) for task in CASES.values()} == {TASKS.get(name) for name in TASKS.names()}


@pytest.fixture(params=CASES.values(), ids=CASES)
def task(request):
    return request.param


def labels(task, n=12, unknown=True, seed=0):
    """Labels of which the second is unknown and the third half known."""
    g = torch.Generator().manual_seed(seed)
    if task.dense:
        return maps(task, n, unknown, g)
    if isinstance(task, Classification):
        target = torch.randint(0, task.classes, (n,), generator=g)
        if unknown:
            target[1] = -1
        return target
    shape = (n, task.channels)
    target = (
        torch.randint(0, 2, shape, generator=g).float()
        if isinstance(task, MultiLabel)
        else torch.randn(shape, generator=g)
    )
    if unknown:
        target[1] = torch.nan
        if task.channels > 1:
            target[2, 0] = torch.nan
    return target


def maps(task, n, unknown, generator):
    """The labels of 3 x 4 pixels."""
    if isinstance(task, Segmentation):
        target, nothing = torch.randint(0, task.classes, (n, 3, 4), generator=generator), task.ignore
    elif isinstance(task, Depth):
        target, nothing = torch.rand(n, 1, 3, 4, generator=generator) * 9 + 1, torch.nan
    else:
        target, nothing = task.as_label(torch.randn(n, 3, 3, 4, generator=generator)), torch.nan
    if unknown:
        target[1], target[2, ..., :2] = nothing, nothing
    return target


def outputs(task, n=12, seed=0, dtype=torch.float32):
    shape = (n, task.channels, 3, 4) if task.dense else (n, task.channels)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_losses_are_per_example_and_masked(task):
    target, prediction = labels(task), outputs(task)
    loss, valid, score = task.loss(prediction, target), task.valid(target), task.score(prediction, target)
    assert loss.shape == valid.shape == score.shape == (12,)
    assert valid.tolist() == [i != 1 for i in range(12)]
    assert loss.isfinite().all()
    assert (loss >= 0).all()
    assert loss[1] == 0
    assert torch.equal(score.isnan(), ~valid)


@pytest.mark.parametrize("scale", [1e4, 1e12])
def test_saturated_outputs(task, scale):
    prediction = (outputs(task) * scale).requires_grad_()
    loss = task.loss(prediction, labels(task))
    (gradient,) = torch.autograd.grad(loss.sum(), prediction)
    assert loss.isfinite().all()
    assert gradient.isfinite().all()


def test_half_precision_outputs_are_judged_in_float32(task):
    for dtype in (torch.bfloat16, torch.float16):
        half = outputs(task).to(dtype)
        loss = task.loss(half, labels(task))
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, task.loss(half.float(), labels(task)), rtol=0, atol=0)
        assert task.record(half, labels(task)).dtype == torch.float32
        assert torch.equal(
            task.score(half, labels(task)).nan_to_num(9), task.score(half.float(), labels(task)).nan_to_num(9)
        )


def test_gradient_is_that_of_the_loss(task):
    prediction = outputs(task, n=5, dtype=torch.float64).requires_grad_()
    target = labels(task, 5)
    assert torch.autograd.gradcheck(lambda p: task.loss(p, target), prediction)
    (gradient,) = torch.autograd.grad(task.loss(prediction, target).sum(), prediction)
    assert (gradient[1] == 0).all()
    assert (gradient[0] != 0).any()


def test_examples_do_not_know_each_other(task):
    prediction, target = outputs(task, dtype=torch.float64), labels(task)
    order = torch.tensor([3, 1, 0, 7])
    for judge in (task.loss, task.record, task.score):
        whole, part = judge(prediction, target)[order], judge(prediction[order], target[order])
        torch.testing.assert_close(whole, part, rtol=0, atol=0, equal_nan=True)
        assert len(judge(prediction[:0], target[:0])) == 0
    assert torch.equal(task.valid(target)[order], task.valid(target[order]))
    assert task.valid(target[:0]).shape == (0,)


def test_rows_without_any_label(task):
    target = labels(task)[1:2].expand(4, *labels(task).shape[1:])
    prediction = outputs(task, 4).requires_grad_()
    loss = task.loss(prediction, target)
    assert (loss == 0).all()
    assert (torch.autograd.grad(loss.sum(), prediction)[0] == 0).all()
    assert task.score(prediction, target).isnan().all()
    assert not task.valid(target).any()
    task.check(target)


def test_metric_of_halves_is_metric_of_the_whole(task):
    prediction, target = outputs(task, 40), labels(task, 40)
    whole, halves = task.metric(), task.metric()
    whole.update(prediction, target)
    for start in (0, 15):
        end = 15 if start == 0 else 40
        halves.update(prediction[start:end], target[start:end])
    torch.testing.assert_close(whole.compute(), halves.compute())
    assert whole.compute().isfinite()


def test_metric_does_not_see_unknown_labels(task):
    prediction, target = outputs(task, 40), labels(task, 40)
    other = prediction.clone()
    other[1] = 77.0  # the unlabelled example
    values = []
    for outs in (prediction, other):
        metric = task.metric()
        metric.update(outs, target)
        values.append(metric.compute())
    assert torch.equal(*values)


def test_metric_agrees_with_the_rows(task):
    """The metric of training's validation and that of the report, from records, are one number."""
    prediction, target = outputs(task, 40), labels(task, 40)
    metric = task.metric()
    metric.update(prediction, target)
    record = task.record(prediction, target)[task.valid(target)].double().numpy()
    want = METRICS[task.metric_name].compute(record, None)
    assert METRICS[task.metric_name].higher_is_better == task.higher_is_better
    assert metric.compute().item() == pytest.approx(float(want), rel=1e-5)


def test_metric_of_nothing_known(task):
    metric = task.metric()
    nothing = labels(task)[1:2]
    metric.update(outputs(task, 1), nothing)
    assert not metric.compute() > 0  # NaN or 0, without a warning


@pytest.mark.parametrize("name", ADDITIVE)
def test_metric_is_the_mean_score(name):
    task = CASES[name]
    prediction, target = outputs(task, 40), labels(task, 40, unknown=False)
    metric = task.metric()
    metric.update(prediction, target)
    torch.testing.assert_close(metric.compute(), task.score(prediction, target).mean())


def test_record_holds_what_the_metric_needs(task):
    """As many numbers as stated; of one example alone, they give its score (AUROC has none of one example)."""
    prediction, target = outputs(task), labels(task)
    record, valid = task.record(prediction, target), task.valid(target)
    both = 2 * task.channels
    widths = {"accuracy": 2, "auroc": both, "error": both, "miou": task.channels**2, "aerr": 3, "mdist": 2}
    assert record.shape == (12, widths[task.metric_name])
    if task.metric_name == "auroc":
        assert torch.equal(record[:, : task.channels], prediction)
        return
    for index in valid.nonzero()[:, 0].tolist():
        alone = METRICS[task.metric_name].compute(record[index : index + 1].double().numpy(), None)
        assert float(alone) == pytest.approx(float(task.score(prediction, target)[index]), rel=1e-5)


def test_good_predictions_score_better_and_lose_less(task):
    target = labels(task, unknown=False)
    if isinstance(task, Classification):
        good = torch.nn.functional.one_hot(target, task.classes).float() * 8 - 4
    elif isinstance(task, Segmentation):
        good = torch.nn.functional.one_hot(target, task.classes).movedim(3, 1).float() * 8 - 4
    elif isinstance(task, MultiLabel):
        good = target * 8 - 4
    elif task.dense:
        good = target
    else:
        good = (target.reshape(12, -1) - task.mean) / task.std
    assert (task.loss(good, target) < task.loss(-3 * good - 1, target)).all()
    gap = task.score(good, target) - task.score(-3 * good - 1, target)
    assert (gap > 0).all() if task.higher_is_better else (gap < 0).all()


def test_descriptions_are_for_people(task):
    told = task.describe(outputs(task, 3))
    assert len(told) == 3
    assert all(isinstance(line, str) and line and "\n" not in line for line in told)


WRONG = {
    "classification": [
        (torch.tensor([0.0, 1.0]), "must be integers of shape"),
        (torch.tensor([[0], [1]]), "must be integers of shape"),
        (torch.tensor([0, 4]), r"label 4 is out of range \(allowed: 0 to 3, -1 = unknown\)"),
        (torch.tensor([0, -2]), "label -2 is out of range"),
    ],
    "multilabel": [
        (torch.tensor([[0, 1, 1]]), "must be floats of shape"),
        (torch.tensor([[0.0, 1.0]]), r"must be floats of shape \(N, 3\), got torch.float32 \(1, 2\)"),
        (torch.tensor([0.0]), "must be floats of shape"),
        (torch.tensor([[0.0, 0.5, 1.0]]), "label 0.5 must be 0, 1 or NaN"),
    ],
    "regression": [
        (torch.tensor([1]), "must be floats of shape"),
        (torch.tensor([[1.0, 2.0]]), "must be floats of shape"),
        (torch.tensor([1.0, -torch.inf]), "must be finite, or NaN where unknown; found infinity"),
    ],
    "segmentation": [
        (torch.zeros(2, 3, 4), r"must be integers of shape \(N, H, W\)"),
        (torch.zeros(2, 1, 3, 4, dtype=torch.long), "must be integers of shape"),
        (torch.full((1, 2, 2), 4), r"label 4 is out of range \(allowed: 0 to 3, 255 = unknown\)"),
        (torch.full((1, 2, 2), -1), "label -1 is out of range"),
    ],
    "depth": [
        (torch.ones(2, 3, 4), r"must be floats of shape \(N, 1, H, W\)"),
        (torch.ones(2, 1, 3, 4, dtype=torch.long), "must be floats"),
        (torch.zeros(2, 1, 3, 4), "depth 0 must be above 0 and finite, or NaN where unknown"),
        (torch.full((2, 1, 3, 4), torch.inf), "depth inf must be"),
    ],
    "normals": [
        (torch.ones(2, 1, 3, 4), r"must be floats of shape \(N, 3, H, W\)"),
        (torch.ones(2, 3, 3, 4), r"must have length 1, or be NaN \(unknown\); found 1.73"),
        (torch.zeros(2, 3, 3, 4), "found 0"),
    ],
}


@pytest.mark.parametrize(("name", "target", "message"), [(n, *case) for n, cases in WRONG.items() for case in cases])
def test_labels_of_another_kind_are_refused(name, target, message):
    with pytest.raises(TestudoError, match=message) as caught:
        CASES[name].check(target)
    assert "'t'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_right_labels_are_not(task):
    task.check(labels(task))
    task.check(labels(task)[:0])
