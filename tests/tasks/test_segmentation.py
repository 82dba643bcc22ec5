"""Segmentation by hand and against independent libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score
from torchmetrics.classification import MulticlassJaccardIndex

from testudo.errors import TestudoError
from testudo.evaluation.metrics import miou
from testudo.tasks.classification import Classification
from testudo.tasks.segmentation import Segmentation


def random_maps(seed, classes=5, n=6, unknown=0.3):
    """Logits and labels in which the last class never occurs."""
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, 5, 7, generator=g)
    logits[:, -1] = -9
    target = torch.randint(0, classes - 1, (n, 5, 7), generator=g)
    return logits, target.masked_fill(torch.rand(n, 5, 7, generator=g) < unknown, 255)


def test_loss_is_the_mean_over_known_pixels():
    logits = torch.tensor([[[[0.0, 0.0, 7.0]], [[math.log(3), 0.0, -7.0]]]])  # (1, 2, 1, 3)
    loss = Segmentation("t", classes=2).loss(logits, torch.tensor([[[1, 0, 255]]]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


@pytest.mark.parametrize("weights", [(1.0,) * 5, (0.5, 2.0, 1.0, 0.0, 3.0)])
def test_weighted_loss_is_torchs_of_every_image_by_itself(weights):
    logits, target = random_maps(1)
    loss = Segmentation("t", classes=5, class_weights=weights).loss(logits, target)
    for index in range(len(target)):
        theirs = F.cross_entropy(
            logits[index : index + 1], target[index : index + 1], torch.tensor(weights), ignore_index=255
        )
        torch.testing.assert_close(loss[index], theirs)
    if len(set(weights)) == 1:
        torch.testing.assert_close(loss, Segmentation("t", classes=5).loss(logits, target))


def test_weights_change_nothing_but_the_loss():
    logits, target = random_maps(2)
    task, plain = Segmentation("t", classes=5, class_weights=(0.0, 1.0, 9.0, 0.0, 0.0)), Segmentation("t", classes=5)
    for name in ("score", "record", "valid", "known"):
        args = (logits, target) if name in ("score", "record") else (target,)
        assert torch.equal(getattr(task, name)(*args), getattr(plain, name)(*args))
    assert not torch.allclose(task.loss(logits, target), plain.loss(logits, target))


def test_an_image_of_classes_without_weight_has_no_loss():
    task = Segmentation("t", classes=2, class_weights=(0.0, 1.0))
    logits = torch.randn(2, 2, 1, 2).requires_grad_()
    loss = task.loss(logits, torch.tensor([[[0, 0]], [[0, 1]]]))
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert loss[0] == 0
    assert (gradient[0] == 0).all()
    assert loss[1] > 0
    assert (gradient[1, :, 0, 1] != 0).all()


def test_one_pixel_is_a_classification():
    logits, target = torch.randn(8, 4, 1, 1), torch.randint(0, 4, (8, 1, 1))
    flat = Classification("t", classes=4).loss(logits[:, :, 0, 0], target[:, 0, 0])
    torch.testing.assert_close(Segmentation("t", classes=4).loss(logits, target), flat)


@pytest.mark.parametrize("seed", range(5))
def test_miou_is_torchmetrics_and_scikit_learns(seed):
    logits, target = random_maps(seed)
    task, theirs = Segmentation("t", classes=5), MulticlassJaccardIndex(5, ignore_index=255)
    metric = task.metric()
    for part in (slice(0, 2), slice(2, 6)):
        metric.update(logits[part], target[part])
        theirs.update(logits[part], target[part])
    known = target != 255
    scikit = jaccard_score(target[known], logits.argmax(1)[known], average="macro")
    assert metric.compute().item() == pytest.approx(theirs.compute().item(), abs=1e-6) == pytest.approx(scikit)
    assert float(miou(task.record(logits, target).double().numpy())) == pytest.approx(scikit)


def test_score_is_scikit_learns_per_image():
    logits, target = random_maps(7)
    scores = Segmentation("t", classes=5).score(logits, target)
    for guess, truth, score in zip(logits.argmax(1), target, scores, strict=True):
        known = truth != 255
        assert score.item() == pytest.approx(jaccard_score(truth[known], guess[known], average="macro"))


@given(st.integers(0, 2**31), st.integers(1, 4))
@settings(deadline=None, max_examples=30)
def test_rivals_are_the_wrong_classes_in_order(seed, rank):
    logits, target = random_maps(seed, n=2)
    logits = logits.round(decimals=1)  # equal logits occur
    aim = Segmentation("t", classes=5).rival(logits, target, rank)
    assert torch.equal(aim == 255, target == 255)
    known = target != 255
    assert (aim != target)[known].all()
    values = np.sort(logits.masked_fill(torch.arange(5)[:, None, None] == target[:, None], -np.inf).numpy(), 1)
    reached = logits.gather(1, aim.where(known, 0)[:, None])[:, 0]
    assert np.array_equal(values[:, -rank][known], reached[known])


def test_all_rivals_differ():
    logits, target = torch.zeros(1, 4, 2, 2), torch.full((1, 2, 2), 2)
    task = Segmentation("t", classes=4)
    aims = [task.rival(logits, target, rank) for rank in (1, 2, 3)]
    assert torch.stack(aims).unique(dim=0).shape[0] == task.rivals == 3
    with pytest.raises(TestudoError, match="asked for number 4"):
        task.rival(logits, target, 4)


def test_labels_may_be_bytes_and_ignore_any_value():
    logits, target = random_maps(3)
    task = Segmentation("t", classes=5)
    for judge in (task.loss, task.score, task.record):
        assert torch.equal(judge(logits, target), judge(logits, target.byte()))
    minus = Segmentation("t", classes=5, ignore=-1)
    assert torch.equal(minus.loss(logits, target.where(target != 255, -1)), task.loss(logits, target))
    assert torch.equal(minus.record(logits, target.where(target != 255, -1)), task.record(logits, target))


def test_predictions_of_another_size_are_refused_in_one_line():
    message = r"predictions of 4x4 for targets of 8x8 pixels"
    task = Segmentation("t", classes=2)
    for judge in (task.loss, task.score, task.record):
        with pytest.raises(TestudoError, match=message) as caught:
            judge(torch.zeros(1, 2, 4, 4), torch.zeros(1, 8, 8, dtype=torch.long))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"classes": 1}, "at least 2, got 1"),
        ({"classes": 3, "ignore": 2}, "ignore must be none of the classes, got 2"),
        ({"classes": 3, "labels": ("a",)}, "1 labels for 3 classes"),
        ({"classes": 3, "class_weights": (1.0,)}, "class_weights must be 3, one for each class, got 1"),
        ({"classes": 2, "class_weights": (1.0, -2.0)}, "finite, at least 0 and not all 0, got -2"),
        ({"classes": 2, "class_weights": (math.nan, 1.0)}, "not all 0, got nan"),
        ({"classes": 2, "class_weights": (0.0, 0.0)}, "not all 0, got only zeros"),
    ],
)
def test_impossible_settings_are_refused(wrong, message):
    with pytest.raises(TestudoError, match=message):
        Segmentation("t", **wrong)


def test_it_tells_the_commonest_classes():
    task = Segmentation("t", classes=3, labels=("wall", "bed", "tv"))
    assert task.tell(torch.tensor([[[0, 0, 0, 1, 255]], [[255] * 5]])) == ["wall 75%, bed 25%", "unknown"]
    assert task.describe(torch.eye(3)[None, :, None]) == ["wall 33%, bed 33%, tv 33%"]
