"""Noise: the worst of uniform draws."""

from __future__ import annotations

import dataclasses

import helpers
import pytest
import torch

from testudo.attacks.noise import Noise
from testudo.errors import TestudoError
from testudo.registry import THREATS


@pytest.mark.parametrize("norm", THREATS.names())
def test_the_worst_of_the_draws_counts(norm):
    """The k-th draw is the random start of the k-th search, scored here by hand."""
    model, data = helpers.exact(helpers.linear().double()), helpers.batch(dtype=torch.float64)
    how, ball = helpers.objective("margin", model), helpers.threat(norm)
    hit = Noise(ball, how, draws=5, seed=3)(model, data)
    points = [data.images, *(ball.random_start(data.images, data.ids, 3, run) for run in range(5))]
    scored = [helpers.fresh_losses(model, dataclasses.replace(hit, images=each), data, how) for each in points]
    losses = torch.stack([each["digit"] for each in scored])
    torch.testing.assert_close(hit.loss, losses.amax(0))
    assert torch.equal(hit.images, torch.stack(points)[losses.argmax(0), torch.arange(len(data))])


def test_it_takes_a_forward_for_each_draw_and_no_gradient():
    hit = Noise(draws=7, keep="last")(helpers.exact(helpers.multi()), helpers.batch())
    assert (hit.forwards, hit.backwards) == (7, 0)


def test_no_draws_are_refused():
    with pytest.raises(TestudoError, match="draws must be at least 1, got 0"):
        Noise(draws=0)
