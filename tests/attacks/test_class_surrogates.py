"""What each surrogate for classes and labels is."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.spatial.distance import jensenshannon
from surrogate_cases import CLASS, FOUND, PIXELS, VARIANTS, labels, outputs, slope, tag

from testudo.attacks.houdini import Houdini
from testudo.attacks.label_surrogates import BinaryCrossEntropy, MultiLabelMargin
from testudo.attacks.surrogates import (
    DLR,
    CrossEntropy,
    JensenShannon,
    Margin,
    MaskedCrossEntropy,
)
from testudo.errors import TestudoError
from testudo.tasks.classification import Classification


def pixelwise(logits):
    """(N, C) logits as an image of one row: (1, C, 1, N)."""
    return logits.T[None, :, None]


@pytest.mark.parametrize("surrogate", [CrossEntropy(), Margin(), DLR(), JensenShannon(), Houdini()], ids=tag)
def test_pixels_are_worth_the_mean_of_as_many_examples(surrogate):
    logits, target = outputs("class"), labels("class")
    known = target >= 0
    values = surrogate(CLASS, logits, target)
    whole = surrogate(PIXELS, pixelwise(logits), torch.where(known, target, 255)[None, None])
    torch.testing.assert_close(whole, values[known].mean()[None])
    aim = (target.clamp(min=0) + 1) % 4
    values = surrogate.towards(CLASS, logits, target, aim)
    masked = torch.where(known, target, 255)[None, None]
    whole = surrogate.towards(PIXELS, pixelwise(logits), masked, torch.where(known, aim, 255)[None, None])
    torch.testing.assert_close(whole, values[known].mean()[None])


@pytest.mark.parametrize("surrogate", [s for s in VARIANTS if s.fits == ("classes",)], ids=tag)
def test_a_shift_of_all_logits_changes_nothing(surrogate):
    logits, target = outputs("pixels"), labels("pixels")
    one, other = surrogate(PIXELS, logits, target), surrogate(PIXELS, logits + 7, target)
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)  # the loss of the test's task is in float32


@pytest.mark.parametrize("surrogate", [s for s in VARIANTS if "classes" in s.fits and hasattr(s, "each")], ids=tag)
def test_no_aim_counts_nothing(surrogate):
    """Where the label is known and the aim is not, there is nothing to go for."""
    target = torch.tensor([[[0, 1, 2]]])
    logits, aim = outputs("class", n=3).T[None, :, None].requires_grad_(), torch.tensor([[[1, 255, 255]]])
    value = surrogate.towards(PIXELS, logits, target, aim)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert (gradient[..., 1:] == 0).all()
    if surrogate != Houdini("loss"):
        alone = surrogate.towards(PIXELS, logits[..., :1], target[..., :1], aim[..., :1])
        torch.testing.assert_close(value, alone)


def test_dlr_has_no_scale():
    logits, target, aim = outputs("class"), labels("class"), labels("class", seed=1)
    for scale in (1e-3, 1e6):
        torch.testing.assert_close(DLR()(CLASS, logits * scale, target), DLR()(CLASS, logits, target))
        one, other = (DLR().towards(CLASS, z, target, aim) for z in (logits * scale, logits))
        torch.testing.assert_close(one, other)
    assert not torch.allclose(Margin()(CLASS, logits * 10, target), Margin()(CLASS, logits, target))


def test_dlr_by_hand():
    logits = torch.tensor([[1.0, 4.0, 2.0, 0.0]])
    assert DLR()(CLASS, logits, torch.tensor([1])).item() == pytest.approx(-2 / 3)
    assert DLR()(CLASS, logits, torch.tensor([0])).item() == pytest.approx(3 / 3)
    assert DLR().towards(CLASS, logits, torch.tensor([1]), torch.tensor([3])).item() == pytest.approx(-4 / 3.5)
    three = Classification("t", classes=3)
    assert DLR().towards(three, logits[:, :3], torch.tensor([1]), torch.tensor([0])).item() == pytest.approx(-3 / 3)


def test_dlr_needs_three_classes():
    two = Classification("t", classes=2)
    for call in (DLR(), lambda *args: DLR().towards(*args, args[-1])):
        with pytest.raises(TestudoError, match=r"^surrogate DLR needs at least 3 classes; task 't' has 2 \(use margin"):
            call(two, torch.zeros(1, 2), torch.tensor([0]))


def test_dlr_agrees_with_torchattacks():
    torchattacks = pytest.importorskip("torchattacks")
    logits, target = outputs("class", n=50), torch.randint(0, 4, (50,), generator=torch.Generator().manual_seed(1))
    aim = (target + 1) % 4
    model = torch.nn.Identity()
    theirs = torchattacks.APGD(model).dlr_loss(logits, target)
    torch.testing.assert_close(DLR()(CLASS, logits, target), theirs, check_dtype=False)
    theirs = torchattacks.APGDT(model, n_classes=4).dlr_loss_targeted(logits, target, aim)
    torch.testing.assert_close(DLR().towards(CLASS, logits, target, aim), theirs, check_dtype=False)


def test_margin_by_hand():
    logits = torch.tensor([[1e4, -1e4, 0.0, 0.0], [0.0, 2.0, 5.0, 1.0]])
    target = torch.tensor([0, 1])
    assert Margin()(CLASS, logits, target).tolist() == [-1e4, 3.0]
    assert Margin().towards(CLASS, logits, target, torch.tensor([1, 3])).tolist() == [-2e4, -1.0]


def test_cross_entropies_agree_with_torch():
    logits, target = outputs("pixels"), labels("pixels")
    known = target != 255
    theirs = torch.stack([F.cross_entropy(z[:, k].T, t[k]) for z, t, k in zip(logits, target, known, strict=True)])
    torch.testing.assert_close(CrossEntropy()(PIXELS, logits, target), theirs.nan_to_num(0))
    binary = Classification("t", classes=4, loss_kind="binary")
    ours = BinaryCrossEntropy()(CLASS, outputs("class"), labels("class"))
    torch.testing.assert_close(ours, binary.loss(outputs("class"), labels("class")))
    target = labels("labels")[0]
    ours = BinaryCrossEntropy()(FOUND, outputs("labels")[:1], target[None])
    torch.testing.assert_close(ours[0], F.binary_cross_entropy_with_logits(outputs("labels")[0], target))


def test_jensen_shannon_agrees_with_scipy():
    logits, target = outputs("class", n=40) * 4, torch.arange(40) % 4
    theirs = jensenshannon(logits.softmax(1).numpy(), F.one_hot(target, 4).numpy(), axis=1) ** 2
    torch.testing.assert_close(JensenShannon()(CLASS, logits, target), torch.from_numpy(theirs))


@pytest.mark.parametrize("margin", [1.0, 10.0, 14.0, 1e4, 1e12])
def test_jensen_shannon_at_large_margins(margin):
    """In float32 as in float64, value and slope, where the label is nearly sure as where it is nearly excluded."""
    logits = torch.tensor([[0.0, -margin], [-margin, 0.0]], dtype=torch.float64)
    two, target = Classification("t", classes=2), torch.tensor([0, 0])
    exact, single = (slope(lambda p: JensenShannon()(two, p, target), z) for z in (logits, logits.float()))
    for one, other in zip(single, exact, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=2e-7)
    if margin >= 1e4:
        assert exact[0].tolist() == pytest.approx([0, math.log(2)])


def test_masked_cross_entropy_ranks_by_pixels_lost():
    """The slope is that of the right pixels' cross-entropy alone; a lost pixel is never worth less than a right one."""
    logits, target = outputs("pixels"), labels("pixels")
    right = (logits.argmax(1) == target) & (target != 255)
    known = (target != 255).sum((1, 2)).clamp(min=1)
    _, gradient = slope(lambda p: MaskedCrossEntropy()(PIXELS, p, target), logits)
    kept = torch.where(right, target, 255)
    _, want = slope(lambda p: CrossEntropy()(PIXELS, p, kept) * right.sum((1, 2)) / known, logits)
    torch.testing.assert_close(gradient, want)
    assert right.any()
    assert not right[target != 255].all()
    row = torch.tensor([[3.0, 0.0, 0.0, 0.0], [1e-3, 0.0, 0.0, 0.0], [0.0, 1e-3, 0.0, 0.0], [0.0, 50.0, 0.0, 0.0]])
    values = MaskedCrossEntropy()(CLASS, row, torch.zeros(4, dtype=torch.long))
    assert values[0] < values[1] < values[2] == values[3] == pytest.approx(math.log(4))


def test_masked_cross_entropy_goes_for_a_class_where_it_is_not_yet():
    """Wanting a class is minus the cross-entropy of the pixels that lack it; those that have it are done with."""
    logits, wanted = outputs("pixels"), labels("pixels")
    reached = logits.argmax(1) == wanted
    rest, known = torch.where(reached, 255, wanted), (wanted != 255).sum((1, 2)).clamp(min=1)
    for pull in (
        lambda p: MaskedCrossEntropy().wanting(PIXELS, p, wanted),
        lambda p: MaskedCrossEntropy().towards(PIXELS, p, wanted, wanted),
    ):
        found = slope(pull, logits)
        want = slope(lambda p: -CrossEntropy()(PIXELS, p, rest) * (rest != 255).sum((1, 2)) / known, logits)
        for one, other in zip(found, want, strict=True):
            torch.testing.assert_close(one, other)
    assert (found[1][reached[:, None].expand_as(logits)] == 0).all()
    assert reached.any()
    assert found[1].abs().max() > 0


def test_multilabel_margin_by_hand():
    logits, nan = torch.tensor([[2.0, -1.0, 9.0], [1e4, 1e4, 1e4]]), torch.nan
    target = torch.tensor([[1.0, 0.0, nan], [0.0, 0.0, 0.0]])
    assert MultiLabelMargin()(FOUND, logits, target).tolist() == [-1.5, 1e4]
    assert MultiLabelMargin().towards(FOUND, logits, target, 1 - target).tolist() == [-1.5, 1e4]
