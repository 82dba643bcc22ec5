"""Distributions in the place of class numbers: what mixed images are labelled with in training."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers import batch, conv

from testudo.attacks.fab import FAB
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.surrogates import CrossEntropy, Margin, TaskLoss
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.wrap import wrap
from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.soft import hard, soft

TASKS = [Classification("t", classes=4), Classification("t", classes=4, loss_kind="binary")]
NUMBERS = torch.tensor([2, -1, 0, 3, 1, 1])


def logits(n=6, dtype=torch.float32, seed=0):
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 3


def distributions(n=6, seed=1):
    """Random ones, the second unknown."""
    found = logits(n, seed=seed).softmax(1)
    found[1] = torch.nan
    return found


@pytest.fixture(params=TASKS, ids=lambda task: task.loss_kind)
def task(request):
    return request.param


def test_all_on_one_class_is_that_class(task):
    prediction, target = logits(), soft(NUMBERS, 4)
    torch.testing.assert_close(task.loss(prediction, target), task.loss(prediction, NUMBERS))
    assert torch.equal(task.valid(target), task.valid(NUMBERS))
    assert torch.equal(hard(target), NUMBERS)
    assert torch.equal(task.score(prediction, target).nan_to_num(9), task.score(prediction, NUMBERS).nan_to_num(9))
    assert torch.equal(task.beaten(prediction, target), task.beaten(prediction, NUMBERS))
    assert torch.equal(task.rival(prediction, target, 2), task.rival(prediction, NUMBERS, 2))
    assert task.tell(target) == task.tell(NUMBERS) == ["2", "unknown", "0", "3", "1", "1"]
    task.check(target)


def test_cross_entropy_is_torchs_and_the_mean_over_classes():
    prediction, target = logits(), distributions()
    loss = TASKS[0].loss(prediction, target)
    known = torch.tensor([0, 2, 3, 4, 5])
    torch.testing.assert_close(loss[known], F.cross_entropy(prediction[known], target[known], reduction="none"))
    each = torch.stack([TASKS[0].loss(prediction, torch.full((6,), k)) for k in range(4)], 1)
    torch.testing.assert_close(loss[known], (each * target)[known].sum(1))


def test_binary_is_the_sum_over_classes_written_out():
    prediction, target = logits(dtype=torch.float64), distributions().double()
    p = prediction.sigmoid()
    want = -(target * p.log() + (1 - target) * (1 - p).log()).sum(1)
    torch.testing.assert_close(TASKS[1].loss(prediction, target), want.nan_to_num(0))


def test_the_gradient_is_that_of_the_loss_and_none_where_unknown(task):
    prediction, target = logits(dtype=torch.float64).requires_grad_(), distributions()
    assert torch.autograd.gradcheck(lambda z: task.loss(z, target), prediction)
    (gradient,) = torch.autograd.grad(task.loss(prediction, target).sum(), prediction)
    assert (gradient[1] == 0).all()
    assert (gradient[0] != 0).all()
    assert task.loss(prediction, target)[1] == 0
    assert torch.equal(task.valid(target), torch.arange(6) != 1)


@pytest.mark.parametrize("scale", [1e4, 1e20, 1e38])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saturated_logits_give_no_nan(task, scale, dtype):
    """Hopeless classes have a log-probability of minus infinity and, in half of the rows, no probability."""
    prediction = (logits() * scale).clamp(-3e38, 3e38).to(dtype).requires_grad_()
    target = torch.where(torch.arange(6)[:, None] < 3, distributions(), soft(NUMBERS, 4))
    loss = task.loss(prediction, target)
    (gradient,) = torch.autograd.grad(loss.sum(), prediction)
    assert loss.dtype == torch.float32
    assert not loss.isnan().any()
    assert gradient.isfinite().all()


def test_examples_do_not_know_each_other(task):
    prediction, target, order = logits(), distributions(), torch.tensor([3, 1, 0])
    for judge in (task.loss, task.score):
        torch.testing.assert_close(
            judge(prediction, target)[order],
            judge(prediction[order], target[order]),
            rtol=0,
            atol=0,
            equal_nan=True,
        )
        assert len(judge(prediction[:0], target[:0])) == 0


def test_the_most_probable_class_is_the_one_to_be_right_about(task):
    target = torch.tensor([[0.3, 0.4, 0.2, 0.1], [0.6, 0.4, 0.0, 0.0]])
    right = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    assert task.score(right, target).tolist() == [1, 0]
    assert task.rival(right, target, 1).tolist() == [0, 1]


def test_unknown_is_like_the_target(task):
    nothing = task.unknown(distributions())
    assert nothing.shape == (6, 4)
    assert not task.valid(nothing).any()
    assert task.unknown(NUMBERS).tolist() == [-1] * 6
    task.check(nothing)
    assert not task.valid(torch.cat([nothing, task.unknown(soft(NUMBERS, 4))])).any()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.ones(2, 3) / 3, r"or distributions of shape \(N, 4\), got torch.float32 \(2, 3\)"),
        (torch.ones(2), r"must be integers of shape \(N,\), or distributions"),
        (torch.ones(2, 4), "sum to 1, or be NaN .unknown., found 1, 1, 1, 1$"),
        (torch.tensor([[1.5, -0.5, 0.0, 0.0]]), "at least 0 everywhere .* found 1.5, -0.5, 0, 0$"),
        (torch.tensor([[torch.nan, 1.0, 0.0, 0.0]]), "found nan, 1, 0, 0$"),
        (torch.tensor([[torch.inf, 0.0, 0.0, 0.0]]), "found inf, 0, 0, 0$"),
    ],
)
def test_what_is_no_distribution_is_refused_in_one_line(task, target, message):
    with pytest.raises(TestudoError, match=message) as caught:
        task.check(target)
    assert "\n" not in str(caught.value)


def test_many_classes_are_not_all_told():
    with pytest.raises(TestudoError, match=r"found 1, 1, 1, 1, \.\.\.$"):
        Classification("t", classes=100).check(torch.ones(1, 100))


def test_distributions_in_half_precision_pass(task):
    task.check(distributions().half())
    task.check(distributions().bfloat16())


def test_records_and_metrics_are_of_whole_labels_alone(task):
    target, metric = torch.tensor([[0.75, 0.25, 0.0, 0.0]]), task.metric()
    for judge in (task.record, metric.update):
        with pytest.raises(TestudoError, match=r"task 't' is judged by whole labels; found one .* mixed, 0.75 of it"):
            judge(logits(1), target)
    whole = soft(NUMBERS, 4)
    assert torch.equal(task.record(logits(), whole), task.record(logits(), NUMBERS))
    metric.update(logits(), whole)
    other = task.metric()
    other.update(logits(), NUMBERS)
    assert torch.equal(metric.compute(), other.compute())


def test_several_labels_may_lie_between_in_training_alone():
    task, prediction = MultiLabel("t", labels=("a", "b")), torch.tensor([[2.0, -1.0]])
    between = torch.tensor([[0.25, 1.0]])
    task.check(between)
    ends = [task.loss(prediction, torch.tensor([[end, 1.0]])) for end in (0.0, 1.0)]
    torch.testing.assert_close(task.loss(prediction, between), 0.75 * ends[0] + 0.25 * ends[1])
    for judge in (task.record, task.metric().update):
        with pytest.raises(TestudoError, match=r"judged by whole labels; found one that is mixed, 0.25 of it"):
            judge(prediction, between)


@pytest.mark.parametrize("surrogate", [TaskLoss(), CrossEntropy(), Margin()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("keep", ["last", "best"])
def test_an_attack_on_them_is_one_on_the_classes_they_stand_for(surrogate, keep):
    model, data = conv(), batch()
    same = Batch(data.images, {"digit": soft(data.targets["digit"], 3)}, data.ids)
    attack = PGD(objective=Objective(("digit",), surrogate=surrogate), steps=3, keep=keep)
    hurt = attack.perturb(model, same)
    torch.testing.assert_close(hurt, attack.perturb(model, data), rtol=0, atol=1e-6)
    assert not torch.equal(hurt, data.images)


def test_fab_takes_the_most_probable_class():
    model, data = conv(), batch(3)
    same = Batch(data.images, {"digit": soft(data.targets["digit"], 3)}, data.ids)
    attack = FAB(objective=Objective(("digit",)), steps=3)
    torch.testing.assert_close(attack(model, same).images, attack(model, data).images, rtol=0, atol=1e-6)


def test_an_attack_raises_the_mixed_loss():
    """On a linear model, one step against a distribution is the sign of the mixed gradient."""
    model = wrap(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)), [Classification("digit", classes=3)])
    images = torch.full((1, 1, 2, 2), 0.5)
    target = torch.tensor([[0.7, 0.3, 0.0]])
    attack = PGD(objective=Objective(("digit",)), steps=1, step=0.01, random_start=False, keep="last")
    moved = attack.perturb(model, Batch(images, {"digit": target})) - images
    weight, prediction = model.module[1].weight, model(images)["digit"].softmax(1)
    want = ((prediction - target) @ weight).sign().reshape(images.shape) * 0.01
    torch.testing.assert_close(moved, want.detach(), rtol=0, atol=1e-6)
