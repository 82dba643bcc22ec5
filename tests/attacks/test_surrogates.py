"""What holds for every surrogate on every task that it fits."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from surrogate_cases import CLASS, SHAPES, TASKS, VARIANTS, N, every, labels, outputs, slope, tag

from testudo.attacks.houdini import Houdini
from testudo.attacks.number_surrogates import Cosine, scale
from testudo.attacks.surrogates import (
    DLR,
    Custom,
    MaskedCrossEntropy,
    kind,
)
from testudo.errors import TestudoError
from testudo.registry import SURROGATES


@every
def test_values_are_per_example_and_masked(surrogate, name):
    task, target = TASKS[name], labels(name)
    values, gradient = slope(lambda p: surrogate(task, p, target), outputs(name))
    assert values.shape == (N,)
    assert values.isfinite().all()
    assert values[1] == 0
    assert (gradient[1] == 0).all()
    assert gradient[0].abs().max() > 0 or isinstance(surrogate, MaskedCrossEntropy | DLR)
    nothing = target[1:2].expand_as(target).clone()
    values, gradient = slope(lambda p: surrogate(task, p, nothing), outputs(name))
    assert (values == 0).all()
    assert (gradient == 0).all()
    assert surrogate(task, outputs(name)[:0], target[:0]).shape == (0,)


@every
def test_gradient_is_that_of_the_value(surrogate, name):
    if surrogate == Houdini("loss"):
        pytest.skip("its factor is not differentiated, see test_houdini_times_the_loss")
    task, target, aim = TASKS[name], labels(name, n=3), labels(name, seed=1, n=3)
    prediction = outputs(name, n=3).requires_grad_()
    for function in (surrogate, lambda *args: surrogate.towards(*args, aim)):
        assert torch.autograd.gradcheck(lambda p, f=function: f(task, p, target), prediction, fast_mode=True)


@every
@pytest.mark.parametrize("scale", [0, 1e-30, 1e4, 1e12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_at_any_size(surrogate, name, scale, dtype):
    task, target, aim = TASKS[name], labels(name), labels(name, seed=1)
    prediction = (outputs(name, dtype=torch.float32) * scale).to(dtype)
    for function in (surrogate, lambda *args: surrogate.towards(*args, aim)):
        values, gradient = slope(lambda p, f=function: f(task, p, target), prediction)
        assert values.dtype == torch.float32
        assert values.isfinite().all()
        assert gradient.isfinite().all()
    # One example sure and right, one sure and wrong, of equal logits otherwise.
    sure = torch.zeros_like(prediction)
    sure[0, 0], sure[2, 1] = scale, -scale
    values, gradient = slope(lambda p: surrogate(task, p, target), sure)
    assert values.isfinite().all()
    assert gradient.isfinite().all()


@every
def test_half_precision_is_judged_in_float32(surrogate, name):
    task, target = TASKS[name], labels(name)
    for dtype in (torch.bfloat16, torch.float16):
        half = outputs(name).to(dtype)
        one, other = surrogate(task, half, target), surrogate(task, half.float(), target)
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@every
def test_examples_do_not_know_each_other(surrogate, name):
    task, prediction, target, aim = TASKS[name], outputs(name), labels(name), labels(name, seed=1)
    order = torch.tensor([5, 0, 2])
    whole, part = surrogate(task, prediction, target), surrogate(task, prediction[order], target[order])
    torch.testing.assert_close(whole[order], part, rtol=0, atol=1e-14)
    whole = surrogate.towards(task, prediction, target, aim)
    part = surrogate.towards(task, prediction[order], target[order], aim[order])
    torch.testing.assert_close(whole[order], part, rtol=0, atol=1e-14)


@every
def test_better_predictions_are_worth_less(surrogate, name):
    if isinstance(surrogate, Custom):
        pytest.skip("says what it likes")
    task, target = TASKS[name], labels(name)
    if kind(task) == "classes":
        known = (target >= 0) & (target != 255)
        good = F.one_hot(torch.where(known, target, 0), SHAPES[name][0]).movedim(-1, 1).double()
        bad = good.roll(1, 1)
    elif name == "labels":
        good = target.nan_to_num(0) * 2 - 1
        bad = -good
    else:
        mean, std = scale(task)
        good = (target.nan_to_num(0) - mean) / std
        bad = -good - 1
    gap = surrogate(task, bad, target) - surrogate(task, good, target)
    assert gap[1] == 0
    assert (gap[[0, 3, 4, 5]] > 1e-3).all()
    assert gap[2] > 1e-3 or (isinstance(surrogate, Cosine) and name == "numbers")  # known in part: an unknown vector


@every
def test_unknown_parts_do_not_matter(surrogate, name):
    if name in ("class", "three") or isinstance(surrogate, Custom):
        pytest.skip("no parts")
    task, target, prediction = TASKS[name], labels(name), outputs(name)
    other = prediction.clone()
    if name == "pixels":
        other[2].flatten(1)[:, :2] = 77
    elif isinstance(surrogate, Cosine):
        other[2].reshape(3, -1)[:, : 1 if name == "numbers" else 2] = 77
    else:
        other[2].flatten()[:2] = 77
    assert (other != prediction).any()
    assert torch.equal(surrogate(task, prediction, target), surrogate(task, other, target))


@pytest.mark.parametrize("surrogate", [s for s in VARIANTS if kind(CLASS) in s.fits], ids=tag)
def test_towards_a_class_leads_there(surrogate):
    """Steps along its slope end with the wanted class above the true one."""
    if isinstance(surrogate, Custom) or surrogate == Houdini("iou"):
        pytest.skip("not for classes of an example")
    task, target, aim = CLASS, torch.tensor([0, 1, 2, 3]), torch.tensor([2, 0, 3, 1])
    logits = F.one_hot(target, 4).double() * 2 + outputs("class", n=4) * 0.1
    for _ in range(60):
        gradient = slope(lambda p: surrogate.towards(task, p, target, aim), logits)[1]
        logits = logits + 0.1 * gradient / gradient.norm(dim=1, keepdim=True).clamp(min=1e-12)
    assert (logits.gather(1, aim[:, None]) > logits.gather(1, target[:, None])).all()


MISFITS = [(s, n) for s in VARIANTS for n in ("class", "labels", "numbers") if kind(TASKS[n]) not in s.fits]


@pytest.mark.parametrize(("surrogate", "name"), MISFITS, ids=tag)
def test_a_task_of_another_kind_is_refused(surrogate, name):
    with pytest.raises(TestudoError) as caught:
        surrogate(TASKS[name], outputs(name), labels(name))
    message = str(caught.value)
    assert "\n" not in message
    assert type(surrogate).__name__ in message
    assert "'t' is none" in message
    fitting = message.split("(fitting: ")[1].rstrip(")").split(", ")
    assert fitting == [n for n in SURROGATES.names() if kind(TASKS[name]) in SURROGATES.get(n).fits]
    for other in fitting:
        SURROGATES.get(other)()(TASKS[name], outputs(name), labels(name))


def test_a_function_of_ones_own():
    def mine(task, prediction, target):
        assert prediction.dtype == torch.float32
        return task.loss(prediction, target) + 1

    target = torch.tensor([0, -1])
    values = Custom(mine)(CLASS, torch.zeros(2, 4, dtype=torch.bfloat16), target)
    assert values.tolist() == pytest.approx([math.log(4) + 1, 0.0])


WRONG = {
    "float32 (): ": lambda t, p, y: p.sum(),
    "float32 (2, 4)": lambda t, p, y: p,
    "int64 (2,)": lambda t, p, y: y,
    "float": lambda t, p, y: 1.0,
}


@pytest.mark.parametrize("found", WRONG)
def test_what_a_function_returns_is_checked(found):
    with pytest.raises(
        TestudoError, match=r"task 't': a surrogate's function must return floats of shape \(2,\), got "
    ):
        Custom(WRONG[found])(CLASS, torch.zeros(2, 4), torch.tensor([0, 1]))
