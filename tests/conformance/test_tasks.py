"""What holds for every registered task."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from task_cases import CASES, PAIRED, labels, outputs

from testudo.evaluation.columns import Column
from testudo.evaluation.metrics import METRICS, named
from testudo.registry import TASKS
from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.segmentation import Segmentation

ADDITIVE = [name for name, task in CASES.items() if task.metric_name in ("accuracy", "error")]


def test_every_registered_task_is_here():
    assert {type(task) for task in (CASES | PAIRED).values()} == {TASKS.get(name) for name in TASKS.names()}
    assert all(task.paired == (name in PAIRED) for name, task in (CASES | PAIRED).items())


@pytest.fixture(params=CASES.values(), ids=CASES)
def task(request):
    return request.param


def test_losses_are_per_example_and_masked(task):
    target, prediction = labels(task), outputs(task)
    loss, valid, score = task.loss(prediction, target), task.valid(target), task.score(prediction, target)
    assert loss.shape == valid.shape == score.shape == (12,)
    assert valid.tolist() == [i != 1 for i in range(12)]
    assert loss.isfinite().all()
    assert (loss >= 0).all()
    assert loss[1] == 0
    assert torch.equal(score.isnan(), ~valid)


@pytest.mark.parametrize("scale", [1e4, 1e12, 1e20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saturated_outputs(task, scale, dtype):
    """Squares of 1e20 are beyond float32: such a loss is infinite, but never NaN, and neither is its gradient."""
    prediction = (outputs(task) * scale).to(dtype).requires_grad_()
    loss = task.loss(prediction, labels(task))
    (gradient,) = torch.autograd.grad(loss.sum(), prediction)
    assert not loss.isnan().any()
    assert gradient.isfinite().all()
    if scale < 1e20 or getattr(task, "loss_kind", "") != "l2":
        assert loss.isfinite().all()
        assert task.record(prediction, labels(task))[0].isfinite().all()


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
    assert task.metric_name not in task.further
    column = Column(task.metric_name, task.further, record, np.ones(len(record), bool), {})
    for name in task.further:
        part = column.by(name)
        assert np.isfinite(named(part.metric).compute(part.records, None)), name


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
    widths = {"accuracy": 2, "auroc": both, "error": both, "miou": task.channels**2, "mdist": 242}
    assert record.shape == (12, widths.get(task.metric_name, 2 + len(task.further)))
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
