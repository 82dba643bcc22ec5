"""NT-Xent against a double loop, and what must not change it."""

from __future__ import annotations

import json
import math
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import testudo as td
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.evaluation.evaluate import evaluate
from testudo.evaluation.metrics import METRICS
from testudo.models.fast import fast
from testudo.models.heads import LinearHead, ProjectionHead
from testudo.models.multitask import MultiTaskModel
from testudo.models.resnet import ResNet18
from testudo.tasks.classification import Classification
from testudo.tasks.contrast import Contrast
from testudo.training.methods.base import check_attack
from testudo.training.methods.madry import Madry

DRIVER = Path(__file__).with_name("contrast_driver.py")
TASK = Contrast("t", temperature=0.3, channels=5)
MIXED = torch.tensor([3, 8, 3, -1, 0, 8, 5, 5, 5, -1])  # pairs, three views of one image, a stranger, unknown ones


def views(numbers=MIXED, seed=0, dtype=torch.float64):
    return torch.randn(len(numbers), 5, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_hand(prediction, target, tau):
    """One row after the other, as the formula says."""
    rows, numbers = prediction.double().tolist(), target.tolist()

    def similarity(a, b):
        product = sum(x * y for x, y in zip(rows[a], rows[b], strict=True))
        return product / math.hypot(*rows[a]) / math.hypot(*rows[b]) / tau

    found = []
    for i, number in enumerate(numbers):
        known = [k for k, other in enumerate(numbers) if k != i and other >= 0]
        partners = [k for k in known if number >= 0 and numbers[k] == number]
        whole = math.log(sum(math.exp(similarity(i, k)) for k in known)) if known else 0.0
        found.append(sum(whole - similarity(i, k) for k in partners) / len(partners) if partners else 0.0)
    return torch.tensor(found, dtype=torch.float64)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-1, 4), min_size=1, max_size=9), st.integers(0, 99), st.floats(0.05, 5))
def test_loss_is_that_of_a_double_loop(numbers, seed, tau):
    target = torch.tensor(numbers)
    task, prediction = Contrast("t", temperature=tau, channels=5), views(target, seed)
    loss = task.loss(prediction, target)
    torch.testing.assert_close(loss, by_hand(prediction, target, tau), rtol=1e-10, atol=1e-10)
    paired = [n >= 0 and numbers.count(n) > 1 for n in numbers]
    assert task.valid(target).tolist() == paired
    assert (loss[~task.valid(target)] == 0).all()


def test_gradients_are_finite_differences_and_can_be_differentiated_again():
    prediction = views().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: TASK.loss(p, MIXED), prediction)
    assert torch.autograd.gradgradcheck(lambda p: TASK.loss(p, MIXED).sum(), prediction)
    (gradient,) = torch.autograd.grad(TASK.loss(prediction, MIXED).sum(), prediction)
    assert (gradient[MIXED < 0] == 0).all()
    assert (gradient[4] != 0).any()  # a stranger is pushed away all the same


def test_nothing_known_is_no_loss_but_has_a_gradient():
    for numbers in ([], [-1, -1], [4], [4, 5, 6]):
        target = torch.tensor(numbers, dtype=torch.int64)
        prediction = views(target).requires_grad_()
        loss = TASK.loss(prediction, target)
        assert loss.shape == (len(numbers),)
        assert (loss == 0).all()
        assert (torch.autograd.grad(loss.sum(), prediction)[0] == 0).all()
        assert not TASK.valid(target).any()
        assert TASK.score(prediction, target).isnan().all()
        assert TASK.record(prediction, target).shape == (len(numbers), 2)
        metric = TASK.metric()
        metric.update(prediction, target)
        assert metric.compute().isnan()


def test_order_length_and_names_do_not_matter():
    prediction = views()
    loss, order = TASK.loss(prediction, MIXED), torch.randperm(10, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(TASK.loss(prediction[order], MIXED[order]), loss[order])
    longer = prediction * torch.logspace(-3, 3, 10, dtype=torch.float64)[:, None]
    torch.testing.assert_close(TASK.loss(longer, MIXED), loss)
    renamed = torch.where(MIXED < 0, -1, 10**12 - 7 * MIXED)
    assert torch.equal(TASK.loss(prediction, renamed), loss)
    turned = prediction @ torch.linalg.qr(views(torch.zeros(5), 3)).Q
    torch.testing.assert_close(TASK.loss(turned, MIXED), loss)


def test_both_of_a_pair_are_once_the_anchor():
    """Where a pair is alone, its two anchors have no other row: loss 0. With a third row each sees it at its angle."""
    pair = torch.tensor([0, 0, 1])
    prediction = torch.tensor([[1.0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0], [0, 1.0, 0, 0, 0]])
    assert TASK.loss(prediction[:2], pair[:2]).abs().max() == 0
    found = Contrast("t", temperature=1.0, channels=5).loss(prediction, pair)
    want = torch.tensor([math.log(2.0), math.log(1 + math.e), 0.0])
    torch.testing.assert_close(found, want)


@pytest.mark.parametrize("scale", [1e-4, 1e12, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saturated_and_half_precision_projections(scale, dtype):
    prediction = (views(dtype=torch.float32) * scale).to(dtype).requires_grad_()
    loss = TASK.loss(prediction, MIXED)
    (gradient,) = torch.autograd.grad(loss.sum(), prediction)
    assert loss.dtype == torch.float32
    assert gradient.isfinite().all()
    torch.testing.assert_close(loss.double(), by_hand(prediction.detach(), MIXED, 0.3), rtol=1e-4, atol=1e-4)
    small = Contrast("t", temperature=1e-3, channels=5).loss(prediction, MIXED)
    assert small.isfinite().all()
    assert torch.isfinite(TASK.loss(torch.zeros(10, 5), MIXED)).all()


def test_autocast_does_not_round_the_angles():
    prediction = views(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        inside = TASK.loss(prediction, MIXED)
    assert torch.equal(inside, TASK.loss(prediction, MIXED))


def test_the_metric_is_the_share_that_lies_next_to_a_partner():
    prediction = torch.eye(5)[[0, 0, 1, 2, 2, 3]] + 0.01 * torch.eye(6, 5)
    target = torch.tensor([0, 0, 1, 1, 2, 2])
    score = TASK.score(prediction, target)
    nearest = torch.nn.functional.normalize(prediction.double(), dim=1)
    nearest = (nearest @ nearest.T - 9 * torch.eye(6)).argmax(1)
    assert score.tolist() == (target[nearest] == target).float().tolist() != [1.0] * 6
    record = TASK.record(prediction, target)
    assert record[:, 0].tolist() == target[nearest].tolist()
    metric = TASK.metric()
    metric.update(prediction, target)
    metric.update(prediction[:2], target[:2])
    assert metric.compute() == pytest.approx(float((score.sum() + 2) / 8))
    assert METRICS[TASK.metric_name].compute(record.numpy(), None) == pytest.approx(float(score.mean()))
    assert METRICS[TASK.metric_name].higher_is_better == TASK.higher_is_better


def test_descending_on_it_brings_views_together():
    target = torch.arange(8) % 4
    prediction = views(target, dtype=torch.float32).requires_grad_()
    optimiser = torch.optim.SGD([prediction], 1.0)
    for _ in range(100):
        optimiser.zero_grad()
        TASK.loss(prediction, target).mean().backward()
        optimiser.step()
    assert (TASK.score(prediction, target) == 1).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Contrast("t", temperature=0.0),
            "temperature must be above 0 and channels at least 1, got 0.0 and 128",
        ),
        (lambda: Contrast("t", channels=0), "got 0.5 and 0"),
        (lambda: TASK.check(torch.tensor([0.0])), r"must be integers of shape \(N,\), got torch.float32 \(1,\)"),
        (lambda: TASK.check(torch.tensor([[0]])), "must be integers of shape"),
        (lambda: TASK.check(torch.tensor([3, -2])), r"label -2 must be at least 0, or -1 \(unknown\)"),
    ],
)
def test_mistakes_are_told_in_one_line(make, words):
    with pytest.raises(TestudoError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_what_people_are_told():
    TASK.check(MIXED)
    assert TASK.tell(MIXED)[2:4] == ["a view of image 3", "unknown"]
    assert len(TASK.describe(views())) == 10
    assert TASK.as_label(views()).tolist() == [-1] * 10
    assert TASK.unknown(MIXED).tolist() == [-1] * 10


@pytest.fixture
def net():
    tasks = (Classification("kind", classes=3), Contrast("pairs", channels=6))
    return MultiTaskModel(ResNet18(width=4).build(1), tasks, [0.5], [0.5]).eval()


@pytest.fixture
def data():
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return Batch(images, {"kind": torch.arange(6) % 3, "pairs": torch.arange(6) // 2})


def test_its_head_projects_and_others_do_not(net, data):
    head = net.heads["task_pairs"]
    assert isinstance(head, ProjectionHead)
    assert isinstance(net.heads["task_kind"], LinearHead)
    pooled = net.features(data.images).mean((2, 3))
    want = head.linear(head.hidden(pooled).relu())
    torch.testing.assert_close(net(data.images)["pairs"], want)
    torch.testing.assert_close(fast(net, "float32")(data.images)["pairs"], want, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert net(data.images)["pairs"].dtype == torch.float32
    assert sum(p.numel() for p in head.parameters()) == 32 * 32 + 32 + 32 * 6 + 6
    kind = net(data.images)["kind"]
    net.drop_head("pairs")
    assert torch.equal(net(data.images)["kind"], kind)


def test_it_is_judged_batch_by_batch_but_not_attacked(net, data):
    rows = evaluate(net, data, {"clean": None})
    found = rows.filter(task="pairs")["score"].to_list()
    assert found == net.tasks["pairs"].score(net(data.images)["pairs"], data.targets["pairs"]).tolist()
    words = r"task 'pairs' compares images with each other, .* name the objective's tasks \(allowed: kind\)"
    for attack in (td.PGD(td.Linf(0.1), steps=1), td.FGSM(td.Linf(0.1), td.Objective(("pairs",)))):
        with pytest.raises(TestudoError, match=words):
            attack(net, data)
        with pytest.raises(TestudoError, match=words):
            check_attack(attack, net.tasks)
    with pytest.raises(TestudoError, match=words):
        Madry().check(net.tasks)
    assert td.PGD(td.Linf(0.1), td.Objective(("kind",)), steps=1)(net, data).images.shape == data.images.shape


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, str(DRIVER), str(folder / "store")]
    running = [subprocess.Popen([*command, str(n), str(folder / f"{n}.json")], stderr=subprocess.PIPE) for n in (0, 1)]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()[-3000:]
    return [json.loads((folder / f"{n}.json").read_text()) for n in (0, 1)]


driver = runpy.run_path(str(DRIVER))


@pytest.mark.slow
@pytest.mark.parametrize("share", driver["SHARES"])
def test_two_processes_find_what_one_does(two, share):
    alone = driver["told"](share)
    for found in two:
        for what in ("loss", "gradient", "metric"):
            assert found[share][what] == pytest.approx(alone[what], rel=1e-9, abs=1e-12, nan_ok=True)
    assert [first + second for first, second in zip(*(found[share]["each"] for found in two), strict=True)] == alone[
        "each"
    ]
