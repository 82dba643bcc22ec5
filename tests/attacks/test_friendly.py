"""PGD that stops soon after it has won."""

from __future__ import annotations

from dataclasses import replace

import helpers
import pytest
import torch

from testudo.attacks.friendly import Friendly
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.data.batch import Batch
from testudo.errors import TestudoError

DIGIT = Objective("digit")
BALL = Linf(0.2)


def by_hand(model, batch, tau, steps=8, step=0.02):
    """The released code's loop, one example at a time, from the clean image."""
    rows = []
    for row in range(len(batch)):
        clean, label, left = batch.images[row : row + 1], int(batch.targets["digit"][row]), tau
        x = clean
        for _ in range(steps):
            leaf = x.clone().requires_grad_()
            logits = model(leaf, ["digit"])["digit"]
            if int(logits.argmax(1)) != label or label < 0:
                if left == 0:
                    break
                left -= 1
            loss = torch.nn.functional.cross_entropy(logits, torch.tensor([label]), ignore_index=-1, reduction="sum")
            (slope,) = torch.autograd.grad(loss, leaf)
            x = torch.clamp(x + step * slope.sign(), clean - BALL.eps, clean + BALL.eps).clamp(0, 1)
        rows.append(x)
    return torch.cat(rows)


@pytest.fixture(scope="module")
def case():
    return helpers.exact(helpers.multi().double()), helpers.batch(24, dtype=torch.float64)


@pytest.mark.parametrize("tau", [0, 1, 3, 8])
def test_it_is_the_papers_loop(case, tau):
    model, data = case
    attack = Friendly(BALL, DIGIT, "last", steps=8, step=0.02, random_start=False, tau=tau)
    hit = attack.perturb(model, data)
    torch.testing.assert_close(hit, by_hand(model, data, tau), rtol=0, atol=1e-12)
    stayed = (hit == data.images).flatten(1).all(1)
    wrong = model(data.images, ["digit"])["digit"].argmax(1) != data.targets["digit"]
    assert torch.equal(stayed, (wrong & (tau == 0)) | (data.targets["digit"] < 0))


def test_with_time_enough_it_is_pgd(case):
    model, data = case
    friendly = Friendly(BALL, DIGIT, "last", steps=5, tau=5).perturb(model, data)
    plain = PGD(BALL, DIGIT, "last", steps=5).perturb(model, data)
    known = data.targets["digit"] >= 0
    assert torch.equal(friendly[known], plain[known])


def test_at_tau_0_the_images_are_wrong_but_hardly(case):
    model, data = case
    mild, strong = (
        Friendly(BALL, DIGIT, "last", steps=10, tau=tau, random_start=False)(model, data) for tau in (0, 10)
    )
    known = data.targets["digit"] >= 0
    assert torch.equal(mild.decided, strong.decided)
    assert (mild.loss <= strong.loss + 1e-9).all()
    started_right = known & mild.decided & (mild.images != data.images).flatten(1).any(1)
    assert started_right.any()
    assert (mild.loss[started_right] < strong.loss[started_right]).any()


def test_a_task_without_a_decision_makes_it_pgd_unless_it_has_a_threshold(case):
    model, data = case
    both = Objective(("digit", "angle"))
    friendly = Friendly(BALL, both, "last", steps=5, tau=0).perturb(model, data)
    assert torch.equal(friendly, PGD(BALL, both, "last", steps=5).perturb(model, data))
    easy = replace(both, success={"angle": 0.0})
    assert not torch.equal(friendly, Friendly(BALL, easy, "last", steps=5, tau=0).perturb(model, data))


def test_it_stops_asking_when_all_have_stopped(case):
    model, data = case
    wrong = model(data.images, ["digit"])["digit"].argmax(1) != data.targets["digit"]
    hit = Friendly(BALL, DIGIT, "last", steps=8, random_start=False, tau=0)(model, data[wrong])
    assert hit.backwards == 1
    assert torch.equal(hit.images, data.images[wrong])


def test_neighbours_do_not_matter(case):
    model, data = case
    attack = Friendly(BALL, DIGIT, "last", steps=6, tau=1)
    whole = attack.perturb(model, data)
    longer = attack.perturb(model, Batch.cat([helpers.batch(9, seed=5, dtype=torch.float64), data]))
    torch.testing.assert_close(longer[9:], whole, rtol=0, atol=1e-12)


def test_a_negative_tau_is_refused():
    with pytest.raises(TestudoError, match="tau must be at least 0 steps, got -1"):
        Friendly(tau=-1)
