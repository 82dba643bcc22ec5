"""What labels every registered task takes, and what becomes of them."""

from __future__ import annotations

import pytest
import torch
from task_cases import CASES, labels, outputs

from testudo.errors import TestudoError


@pytest.fixture(params=CASES.values(), ids=CASES)
def task(request):
    return request.param


@pytest.fixture(params=[name for name, task in CASES.items() if task.dense])
def dense(request):
    return CASES[request.param]


def same(first, second):
    return first.dtype == second.dtype and torch.equal(first.nan_to_num(-99), second.nan_to_num(-99))


def test_one_pixel_is_an_image_of_equal_ones(dense):
    prediction, target = outputs(dense, dtype=torch.float64)[..., :1, :1], labels(dense)[..., :1, :1]
    known = dense.known(target)[:, 0, 0]
    assert known.tolist() == [i not in (1, 2) and (i != 3 or not target.is_floating_point()) for i in range(12)]
    larger = prediction.expand(-1, -1, 3, 4), target.expand(*target.shape[:-2], 3, 4)
    for judge in (dense.loss, dense.score):
        torch.testing.assert_close(judge(*larger), judge(prediction, target), equal_nan=True)
    assert torch.equal(dense.score(prediction, target).isnan(), ~known)
    assert ((dense.loss(prediction, target) > 0) == known).all()


def test_labels_in_half_precision_are_those_numbers(task):
    """Maps lie in memory like this."""
    target, prediction = labels(task), outputs(task)
    if not target.is_floating_point():
        return
    half = target.half()
    for judge in (task.loss, task.score, task.record):
        assert same(judge(prediction, half), judge(prediction, half.float()))
    task.check(half)


def test_what_is_moved_back_is_what_it_was(task):
    target = labels(task)
    if task.dense and target.is_floating_point():
        target = target.masked_fill(~task.known(target)[:, None], torch.nan)
    mirror, still, zoom = torch.arange(12) % 2 == 0, torch.ones(12), 2.0 ** torch.arange(-6, 6)
    moved = task.moved(target, mirror, zoom)
    torch.testing.assert_close(task.moved(moved, mirror, 1 / zoom), target, rtol=1e-6, atol=1e-6, equal_nan=True)
    assert same(task.moved(task.moved(target, mirror, still), mirror, still), target)
    assert same(task.moved(target, ~still.bool(), still), target)
    assert same(task.moved(target[3:5], mirror[3:5], zoom[3:5]), moved[3:5])
    assert torch.equal(task.valid(moved), task.valid(target))
    task.check(moved)
    if not task.dense:
        assert same(moved, target)
    elif target.is_floating_point():
        assert torch.equal(task.known(moved), task.known(target))
        assert task.moved(target.half(), mirror, zoom).dtype == torch.float16


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
        (torch.tensor([[0.0, 1.5, 1.0]]), r"label 1.5 must be in \[0, 1\] or NaN"),
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
    "disparity": [
        (torch.full((1, 1, 2, 2), -0.5), "disparity -0.5 must be at least 0 and finite, or NaN where unknown"),
        (torch.ones(2, 3, 3, 4), r"must be floats of shape \(N, 1, H, W\)"),
    ],
    "reshading": [
        (torch.full((1, 1, 2, 2), 255.0), "reshading 255 must be 0 to 1, or NaN where unknown"),
        (torch.zeros(2, 3, 4), r"must be floats of shape \(N, 1, H, W\)"),
    ],
    "curvature": [
        (torch.full((1, 2, 2, 2), -torch.inf), "curvature -inf must be finite, or NaN where unknown"),
        (torch.zeros(1, 1, 2, 2), r"must be floats of shape \(N, 2, H, W\)"),
    ],
    "edges": [(torch.full((1, 1, 2, 2), -0.5), "edges -0.5 must be at least 0 and finite, or NaN")],
    "keypoints": [(torch.full((1, 1, 2, 2), torch.inf), "keypoints inf must be at least 0 and finite")],
    "autoencoder": [(torch.zeros(1, 2, 2, 2).byte(), r"floats of shape \(N, 2, H, W\), got torch.uint8")],
    "hog": [(torch.zeros(1, 9, 2, 2), r"must be floats of shape \(N, 5, H, W\), got torch.float32 \(1, 9, 2, 2\)")],
    "normals": [
        (torch.ones(2, 1, 3, 4), r"must be floats of shape \(N, 3, H, W\)"),
        (torch.ones(2, 3, 3, 4), r"must have length 1, or be NaN \(unknown\); found 1.73"),
        (torch.zeros(2, 3, 3, 4), "found 0"),
        (torch.full((1, 3, 1, 1), torch.inf), "normals inf must be finite"),
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
