"""Divergences from the clean prediction: their formulas, their masks, and attacks that raise them."""

from __future__ import annotations

from dataclasses import replace

import helpers
import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from scipy.stats import entropy
from surrogate_cases import TASKS, N, labels, outputs

from testudo.attacks.apgd import APGD
from testudo.attacks.drift import Drift
from testudo.attacks.ensemble import WorstCase
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.square import Square
from testudo.attacks.threat import Linf
from testudo.errors import TestudoError
from testudo.models.fast import fast
from testudo.tasks.classification import Classification
from testudo.tasks.depth import Depth
from testudo.tasks.normals import Normals
from testudo.tasks.regression import Regression

EVERY = pytest.mark.parametrize("name", TASKS)
DRIFT = Objective(surrogate=Drift())


def drift(name, after, before, target):
    return Drift().since(TASKS[name], after, before, target)


def bernoulli(before, after):
    """KL of Bernoulli distributions, elementwise, from their logits."""
    p, q = (1 / (1 + np.exp(-np.asarray(x))) for x in (before, after))
    return rel_entr(p, q) + rel_entr(1 - p, 1 - q)


def test_classes_diverge_by_scipys_entropy_of_two_distributions():
    after, before, target = outputs("class", 1), outputs("class"), labels("class")
    want = entropy(softmax(before, 1).T, softmax(after, 1).T)
    want[1] = 0  # without a label
    torch.testing.assert_close(drift("class", after, before, target), torch.as_tensor(want))


def test_pixels_diverge_by_the_mean_over_those_known():
    after, before, target = outputs("pixels", 1), outputs("pixels"), labels("pixels")
    each = rel_entr(softmax(before, 1), softmax(after, 1)).sum(1)
    known = (target != 255).numpy()
    want = [row[at].mean() if at.any() else 0.0 for row, at in zip(each, known, strict=True)]
    torch.testing.assert_close(drift("pixels", after, before, target), torch.as_tensor(want).double())


def test_labels_diverge_by_the_mean_of_those_known_and_binary_classes_by_the_sum():
    after, before, target = outputs("labels", 1), outputs("labels"), labels("labels")
    known = ~target.isnan().numpy()
    each = bernoulli(before, after)
    want = [row[at].mean() if at.any() else 0.0 for row, at in zip(each, known, strict=True)]
    torch.testing.assert_close(drift("labels", after, before, target), torch.as_tensor(want).double())
    task, target = Classification("t", classes=3, loss_kind="binary"), labels("three")
    want = torch.as_tensor(each.sum(1)) * (target >= 0)
    torch.testing.assert_close(Drift().since(task, after, before, target), want)


def test_numbers_drift_by_their_own_loss_with_the_clean_prediction_as_label():
    after, before, target = outputs("numbers", 1), outputs("numbers"), labels("numbers")
    gap = (after - before).abs()
    known = ~target.isnan()
    want = torch.stack([g[k].mean() if k.any() else g.new_zeros(()) for g, k in zip(gap, known, strict=True)])
    torch.testing.assert_close(drift("numbers", after, before, target), want)  # in units of std, as the head gives them
    one = Regression("t", mean=40.0, std=10.0, loss_kind="l2")
    value = Drift().since(one, torch.tensor([[1.0]]), torch.tensor([[3.0]]), torch.tensor([17.0]))
    assert value.item() == pytest.approx(2.0)


def test_maps_drift_over_known_pixels_whatever_the_prediction():
    """A predicted depth below 0 is no label, and drifts all the same."""
    before, after = torch.tensor([[[[-1.0, 2.0]]]]), torch.tensor([[[[-1.5, 9.0]]]])
    target = torch.tensor([[[[3.0, torch.nan]]]])
    assert Drift().since(Depth("t"), after, before, target).item() == 0.5
    up, ahead = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ([0.0, 0.0, -2.0], [0.0, 1.0, 0.0]))
    cosine = Normals("t", loss_kind="cosine")
    assert Drift().since(cosine, up, ahead, ahead).item() == pytest.approx(1.0)
    assert Drift().since(cosine, up, 3 * up, ahead).item() == pytest.approx(0.0, abs=1e-6)


@EVERY
def test_no_move_is_no_drift_and_any_is_more(name):
    after, before, target = outputs(name, 1), outputs(name), labels(name)
    nothing, some = drift(name, before, before, target), drift(name, after, before, target)
    torch.testing.assert_close(nothing, torch.zeros_like(nothing), rtol=0, atol=1e-12)
    known = torch.ones(N, dtype=torch.bool).index_fill(0, torch.tensor([1]), False)
    assert (some[known] > 1e-3).all()
    assert some[1] == 0


@EVERY
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4, 1e12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_sides_have_finite_gradients_at_any_size(name, scale, dtype):
    after, before = ((outputs(name, seed) * scale).to(dtype).requires_grad_() for seed in (1, 0))
    values = drift(name, after, before, labels(name))
    assert values.isfinite().all()
    for gradient in torch.autograd.grad(values.sum(), (after, before)):
        assert gradient.isfinite().all()
        assert (gradient[1] == 0).all()


@EVERY
def test_gradients_are_those_of_the_value_on_both_sides(name):
    pair = outputs(name, 1).requires_grad_(), outputs(name).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: drift(name, a, b, labels(name)), pair, fast_mode=True)


def said(model, images, names=None):
    with torch.no_grad():
        return model(images, names)


@pytest.mark.parametrize("keep", ["best", "last", "first"])
def test_an_attack_reports_the_drift_it_reached_from_the_clean_images(keep):
    model, data = helpers.exact(helpers.multi()), helpers.batch()
    hit = PGD(Linf(0.1), DRIFT, keep, steps=5)(model, data)
    clean, moved = said(model, data.images), said(model, hit.images)
    for name, task in model.tasks.items():
        want = Drift().since(task, moved[name], clean[name], data.targets[name])
        torch.testing.assert_close(hit.task_loss[name], want, rtol=1e-4, atol=1e-6)
    if keep == "best":
        assert (hit.loss > 0).all()


def test_it_is_the_drift_that_is_raised_not_the_loss():
    model, data = helpers.exact(helpers.multi().double()), helpers.batch(12, dtype=torch.float64)
    clean = said(model, data.images, ["digit"])["digit"]
    found = {}
    for objective in (Objective("digit", surrogate=Drift()), Objective("digit")):
        hit = PGD(Linf(0.1), objective, "last", steps=20)(model, data)
        moved = said(model, hit.images, ["digit"])["digit"]
        found[objective.surrogate] = Drift().since(model.tasks["digit"], moved, clean, data.targets["digit"])
    mine, other = found.values()
    assert mine.sum() > other.sum()


def test_examples_do_not_know_each_other_nor_labels_their_value():
    model, data = helpers.exact(helpers.multi().double()), helpers.batch(dtype=torch.float64)
    attack = PGD(Linf(0.1), DRIFT, "last", steps=4, jitter=1e-3)
    whole, order = attack(model, data), torch.tensor([4, 2, 0])
    torch.testing.assert_close(whole.images[order], attack(model, data[order]).images, rtol=0, atol=1e-12)
    digit = torch.where(data.targets["digit"] >= 0, 2 - data.targets["digit"], -1)
    other = replace(data, targets={**data.targets, "digit": digit})
    assert torch.equal(whole.images, attack(model, other).images)


def test_decided_examples_leave_with_their_references():
    model, data = helpers.exact(helpers.multi()), helpers.batch(12)
    attack = PGD(Linf(0.3), Objective("digit", surrogate=Drift()), "first", steps=8, restarts=2)
    whole = attack(model, data)
    assert whole.decided.any()
    for row in range(len(data)):
        alone = attack(model, data[row : row + 1])
        torch.testing.assert_close(whole.images[row : row + 1], alone.images, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "attack",
    [
        APGD(Linf(0.1), DRIFT, steps=8),
        Square(Linf(0.1), DRIFT, queries=50),
        WorstCase(Linf(0.1), DRIFT, attacks={"pgd": PGD(objective=DRIFT, steps=5), "loss": PGD(steps=5)}),
    ],
    ids=lambda attack: type(attack).__name__,
)
def test_other_attacks_raise_it_too(attack):
    model, data = helpers.exact(helpers.multi()), helpers.batch()
    hit = attack(model, data)
    clean, moved = said(model, data.images), said(model, hit.images)
    want = Drift().since(model.tasks["digit"], moved["digit"], clean["digit"], data.targets["digit"])
    torch.testing.assert_close(hit.task_loss["digit"], want, rtol=1e-4, atol=1e-6)
    assert want.sum() > 0


def test_a_targeted_attack_goes_for_the_labels():
    model, data = helpers.exact(helpers.multi()), helpers.batch()
    one, other = (
        PGD(Linf(0.1), Objective("digit", surrogate=surrogate, targeted=True), steps=3)(model, data).images
        for surrogate in (Drift(), Objective().surrogate)
    )
    assert torch.equal(one, other)


def test_in_half_precision_the_reference_is_of_the_same_network():
    model, data = fast(helpers.multi(), "bf16"), helpers.batch()
    hit = PGD(Linf(0.0), DRIFT, "last", steps=1)(model, data)
    assert hit.images.equal(data.images)
    assert (hit.loss.abs() < 1e-3).all()  # reported in full precision, against bf16's word


def test_the_reference_costs_one_forward_pass():
    model, data = helpers.exact(helpers.multi()), helpers.batch()
    for objective, more in ((Objective(), 0), (DRIFT, 1)):
        hit = PGD(Linf(0.1), objective, "last", steps=3)(model, data)
        assert (hit.forwards, hit.backwards) == (3 + 1 + more, 3)  # three steps, and the last images


def test_a_start_with_normal_noise_is_that_and_its_own():
    model, data = helpers.exact(helpers.multi()), helpers.batch(600)
    attack = PGD(Linf(0.05), steps=1, step=1e-12, keep="last", jitter=1e-3)
    moves = attack.perturb(model, data) - data.images
    free = (data.images > 0.01) & (data.images < 0.99)
    assert moves[free].std().item() == pytest.approx(1e-3, rel=0.05)
    assert moves[free].mean().abs() < 3e-5
    again, other = (replace(attack, seed=seed).perturb(model, data) for seed in (0, 1))
    assert torch.equal(again - data.images, moves)
    assert not torch.equal(other - data.images, moves)
    helpers.assert_inside(data.images + moves, data.images, Linf(0.05))


@pytest.mark.parametrize("fields", [{"jitter": -1.0}, {"jitter": float("nan")}, {"jitter": 0.1, "random_start": False}])
def test_starts_that_mean_nothing_are_refused(fields):
    with pytest.raises(TestudoError, match="jitter must be at least 0, and 0 without random_start, got"):
        PGD(**fields)
