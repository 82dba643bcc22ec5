"""What Houdini is."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from surrogate_cases import CLASS, PIXELS, TASKS, N, labels, outputs, slope
from torchmetrics.functional import jaccard_index

from testudo.attacks.houdini import Houdini
from testudo.attacks.surrogates import (
    Margin,
)
from testudo.errors import TestudoError
from testudo.tasks.classification import Classification


def phi(d):
    return 0.5 * (1 + math.erf(d / math.sqrt(2)))


@pytest.mark.parametrize("d", [-5.0, -1.0, 0.0, 0.3, 4.0])
def test_houdini_is_the_chance_to_lose(d):
    """Value Phi(d), slope the normal density at d, for margins of both signs."""
    logits = torch.tensor([[0.5, -30.0, 0.5 + d, -70.0]], dtype=torch.float64)
    values, gradient = slope(lambda p: Houdini()(CLASS, p, torch.tensor([0])), logits)
    density = math.exp(-d * d / 2) / math.sqrt(2 * math.pi)
    assert values.item() == pytest.approx(phi(d))
    torch.testing.assert_close(gradient, torch.tensor([[-density, 0, density, 0]], dtype=torch.float64))


def test_houdini_by_drawing_noise():
    logits = torch.tensor([[0.4, 0.1, -0.3, -2.0]], dtype=torch.float64)
    noise = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    share = (noise > 0.4 - 0.1).double().mean().item()
    assert Houdini()(CLASS, logits, torch.tensor([0])).item() == pytest.approx(share, abs=5e-3)


def test_houdini_is_blind_far_off_and_says_so():
    """In float32 it has a slope at 13 and none at 15; Margin has one everywhere."""
    two = Classification("t", classes=2)
    for gap, seen in ((13.0, True), (15.0, False), (1e4, False)):
        for sign in (-1, 1):
            logits = torch.tensor([[0.0, sign * gap]])
            values, gradient = slope(lambda p: Houdini()(two, p, torch.tensor([0])), logits)
            assert values.isfinite().all()
            assert bool((gradient != 0).any()) is seen
            assert (slope(lambda p: Margin()(two, p, torch.tensor([0])), logits)[1] != 0).all()


@pytest.mark.parametrize("name", ["class", "pixels"])
def test_houdini_times_the_loss(name):
    """The factor is a number of each example's own: it scales its value and its slope, and has none itself."""
    task, logits, target = TASKS[name], outputs(name), labels(name)
    factor = task.loss(logits, target)
    plain, times = (slope(lambda p, h=h: h(task, p, target), logits) for h in (Houdini(), Houdini("loss")))
    torch.testing.assert_close(times[0], plain[0] * factor)
    torch.testing.assert_close(times[1], plain[1] * factor.reshape(-1, *[1] * (logits.dim() - 1)))
    assert factor.unique().numel() == N


def test_houdini_of_sure_pixels_is_one_minus_mean_iou():
    logits, target = outputs("pixels") * 1e6, labels("pixels")
    ours = Houdini("iou")(PIXELS, logits, target)
    for i in (0, 2, 3, 4, 5):
        present = [c for c in range(4) if (target[i] == c).any()]
        each = jaccard_index(
            logits[i].argmax(0)[None], target[i][None], "multiclass", num_classes=4, average="none", ignore_index=255
        )
        assert ours[i].item() == pytest.approx(1 - each[present].mean().item(), abs=1e-6)


def test_houdini_weighs_a_pixel_by_what_losing_it_costs():
    """Among nine pixels right and sure, one in doubt: half of the mean IoU it would cost, by brute force."""
    target = torch.tensor([[[0, 0, 0], [0, 0, 1], [1, 2, 3]]])
    sure = F.one_hot(target, 4).movedim(-1, 1).double() * 1e3
    for row, column in ((0, 0), (1, 2), (2, 1)):
        true, other = int(target[0, row, column]), (int(target[0, row, column]) + 1) % 4
        flipped = target.clone()
        flipped[0, row, column] = other
        each = [
            ((flipped == c) & (target == c)).sum().item() / ((flipped == c) | (target == c)).sum().item()
            for c in range(4)
        ]
        cost = 1 - sum(each) / 4
        logits = sure.clone()
        logits[0, :, row, column] = 0
        logits[0, [true, other], row, column] = 1.0
        values, gradient = slope(lambda p: Houdini("iou")(PIXELS, p, target), logits)
        size = (target == other).sum().item()
        own = 1 / (target == true).sum().item() / 4
        halfway = own / 2 + (1 - size / (size + 0.5)) / 4
        assert values.item() == pytest.approx(halfway)
        chord = cost - own
        slope_of_other = size / (size + 0.5) ** 2 / 4
        assert abs(slope_of_other - chord) < chord  # the union grows by half a pixel rather than by one
        density = (own + slope_of_other) / math.sqrt(2 * math.pi)
        assert gradient[0, other, row, column].item() == pytest.approx(density)


def test_houdini_of_unknown_task_losses():
    with pytest.raises(TestudoError, match=r"unknown task_loss 'iuo'; did you mean 'iou'\?"):
        Houdini("iuo")
    with pytest.raises(TestudoError, match="needs one class per pixel; task 't' has no pixels"):
        Houdini("iou")(CLASS, outputs("class"), labels("class"))
