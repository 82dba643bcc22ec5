"""Even progress: its derivative, its limits, whom it favours."""

from __future__ import annotations

import pytest
import torch

from testudo.balance.even_progress import EvenProgress
from testudo.balance.growth import growth
from testudo.balance.softmin import Softmin
from testudo.errors import TestudoError


def losses(n=20, k=4, seed=0):
    return torch.rand(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 7.0])
def test_the_weights_are_the_derivative_of_the_merit(sharpness):
    balance = EvenProgress(sharpness)
    first, now = losses(), losses(seed=1).requires_grad_()
    first[0, 1] = torch.nan
    state = balance.start(first)
    (slope,) = torch.autograd.grad(balance.merit(state, now).sum(), now)
    torch.testing.assert_close(balance.weigh(state, now.detach())[0], slope)
    assert slope[0, 1] == 0


def test_the_merit_lies_between_the_mean_growth_and_the_greatest():
    first, now = losses(), losses(seed=1)
    grown = growth(now, first, 0.1)
    for sharpness, want in ((1e-7, grown.mean(1)), (1e4, grown.amax(1))):
        balance = EvenProgress(sharpness)
        torch.testing.assert_close(balance.merit(balance.start(first), now), want, rtol=0, atol=1e-3)


def test_who_is_behind_counts_most_where_softmin_starves_it():
    """A fitted clean term and an adversarial one that is not."""
    first, now = torch.tensor([2.3, 2.3]), torch.tensor([0.02, 1.2])
    shares = []
    for balance in (EvenProgress(), Softmin()):
        weights = balance.weigh(balance.start(first), now)[0]
        shares.append((weights / weights.sum())[1].item())
    assert shares[0] > 0.5 > 0.1 > shares[1]


def test_mistakes():
    with pytest.raises(TestudoError, match=r"even progress needs sharpness and floor above 0 and finite, got 0\.0"):
        EvenProgress(sharpness=0.0)
