"""What holds for every registered balance, in an attack (N, K) and in training (K,)."""

from __future__ import annotations

import helpers
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from testudo.balance.stealthy import Stealthy
from testudo.registry import BALANCES

NAMES = list(helpers.NAMES)


@pytest.fixture(params=BALANCES.names())
def balance(request):
    return helpers.balance(request.param)


def walk(balance, clean, steps, names=NAMES, gradients=None):
    """Weights, states and merits of a few steps; ``gradients`` (*B, K, D) grow with the steps."""
    gradients = jacobians(clean) if gradients is None else gradients
    state, weights, states, merits = balance.start(clean, names), [], [], []
    for step, losses in enumerate(steps):
        merits.append(balance.merit(state, losses))
        found, state = weigh(balance, state, losses, gradients, step)
        weights.append(found)
        states.append(state)
    return weights, states, merits


def weigh(balance, state, losses, gradients, step=0):
    """Weights and state, with a Gramian that turns from step to step."""
    turned = gradients + step * gradients.flip(-1)
    return balance.weigh(state, losses, (turned[..., None, :] * turned[..., None, :, :]).sum(-1))


def jacobians(losses):
    """(*B, K, D) gradients of tasks on different scales, the same for every example."""
    g = torch.Generator().manual_seed(1)
    count = losses.shape[-1]
    rows = torch.randn(3, 5, generator=g, dtype=torch.float64) * torch.tensor([[0.1], [1.0], [10.0]])
    return rows[:count].expand(*losses.shape, 5)


def contract(balance, weights):
    """Finite, and none negative unless the class says so."""
    return bool(weights.isfinite().all() and (balance.signed or (weights >= 0).all()))


def draws(n=5, steps=6, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    clean = torch.rand(n, 3, generator=g, dtype=dtype) * torch.tensor([2.0, 0.1, 30.0], dtype=dtype)
    return clean, [clean * (1 + torch.rand(n, 3, generator=g, dtype=dtype) * t) for t in range(1, steps)]


def test_weights_are_finite_and_signed_only_if_said_so(balance):
    clean, steps = draws()
    for weights, merit in zip(*walk(balance, clean, steps)[::2], strict=True):
        assert weights.shape == clean.shape
        assert merit.shape == clean.shape[:1]
        assert merit.isfinite().all()
        assert contract(balance, weights)
        assert (weights != 0).any(-1).all()
        assert weights.dtype == clean.dtype


values = st.one_of(st.sampled_from([0.0, 1e-30, 1e4, 1e12, -5.0]), st.floats(-100, 100, width=32))


@given(rows=st.lists(st.lists(values, min_size=3, max_size=3), min_size=2, max_size=5))
@settings(max_examples=80, deadline=None)
def test_hostile_losses(rows):
    clean, *steps = torch.tensor(rows)[:, None]
    for name in BALANCES.names():
        for weights, merit in zip(*walk(helpers.balance(name), clean, steps)[::2], strict=True):
            assert merit.isfinite().all()
            assert contract(helpers.balance(name), weights)


def test_order_of_tasks_is_only_an_order(balance):
    clean, steps = draws()
    order = torch.tensor([2, 0, 1])
    names = [NAMES[i] for i in order]
    plain = walk(balance, clean, steps)
    turned = walk(balance, clean[:, order], [losses[:, order] for losses in steps], names, jacobians(clean)[:, order])
    for one, other in zip(plain[0], turned[0], strict=True):
        torch.testing.assert_close(one[:, order], other, rtol=1e-9, atol=1e-12)
    for one, other in zip(plain[2], turned[2], strict=True):
        torch.testing.assert_close(one, other)


def test_examples_do_not_know_each_other(balance):
    clean, steps = draws()
    whole = walk(balance, clean, steps)
    for row in range(len(clean)):
        alone = walk(balance, clean[row : row + 1], [losses[row : row + 1] for losses in steps])
        for one, other in zip(whole[0] + whole[2], alone[0] + alone[2], strict=True):
            assert torch.equal(one[row : row + 1], other)


def test_training_is_an_attack_on_one_example(balance):
    clean, steps = draws()
    one = walk(balance, clean[0], [losses[0] for losses in steps])
    batched = walk(balance, clean[:1], [losses[:1] for losses in steps])
    for mine, its in zip(one[0] + one[2], batched[0] + batched[2], strict=True):
        assert torch.equal(mine, its[0])


def test_nothing_is_kept_but_the_state(balance):
    """A state is a dict of tensors that a checkpoint can hold, and going on from it is going on."""
    clean, steps = draws()
    weights, states, merits = walk(balance, clean, steps)
    for state in states:
        assert all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items())
    saved = {key: value.clone() for key, value in states[1].items()}
    walk(balance, clean * 9, steps)
    found, _ = weigh(balance, saved, steps[2], jacobians(clean), 2)
    assert torch.equal(found, weights[2])
    assert torch.equal(balance.merit(saved, steps[2]), merits[2])


def test_some_examples_go_on_without_the_others(balance):
    """Attacks drop examples in mid-search: the state of some rows is those rows of the state."""
    clean, steps = draws()
    rows = torch.tensor([3, 0])
    weights, states, merits = walk(balance, clean, steps)
    some = {key: value[rows] for key, value in states[1].items()}
    for step in (2, 3):
        assert torch.equal(balance.merit(some, steps[step][rows]), merits[step][rows])
        found, some = weigh(balance, some, steps[step][rows], jacobians(clean)[rows], step)
        assert torch.equal(found, weights[step][rows])


def test_a_task_without_a_label_is_as_if_it_were_not_there(balance):
    """Its clean loss is NaN and its loss 0; the other weights are those without it, up to one factor."""
    clean, steps = draws()
    others = torch.tensor([0, 2])
    marked = clean.clone()
    marked[:, 1] = torch.nan
    zeroed = [losses * torch.tensor([1.0, 0.0, 1.0], dtype=losses.dtype) for losses in steps]
    found = walk(balance, marked, zeroed)
    names, gradients = [NAMES[i] for i in others], jacobians(clean)
    alone = walk(balance, clean[:, others], [losses[:, others] for losses in steps], names, gradients[:, others])
    for one, other in zip(found[0], alone[0], strict=True):
        assert contract(balance, one)
        mine = one[:, others] / one[:, others].abs().sum(1, keepdim=True)
        torch.testing.assert_close(mine, other / other.abs().sum(1, keepdim=True))
    for one, other in zip(found[2], alone[2], strict=True):
        torch.testing.assert_close(one / one.sum(), other / other.sum())
    for weights, merit in zip(*walk(balance, clean * torch.nan, [losses * 0 for losses in steps])[::2], strict=True):
        assert weights.isfinite().all()
        assert merit.isfinite().all()


def test_weighing_changes_neither_state_nor_losses(balance):
    clean, steps = draws()
    state = balance.start(clean, NAMES)
    before = {key: value.clone() for key, value in state.items()}
    losses = steps[0].clone()
    for _ in range(2):
        weigh(balance, state, losses, jacobians(clean))
        balance.merit(state, losses)
    assert all(torch.equal(state[key], before[key]) for key in before)
    assert torch.equal(losses, steps[0])


def test_merit_grows_where_every_loss_grows(balance):
    """Where all are raised; what stealthy holds may not grow, so there they all fall and are within budget."""
    clean, steps = draws()
    state = balance.start(clean, NAMES)
    if isinstance(balance, Stealthy):
        steps = [0.5 * clean]
    more = steps[0] + 0.1 * clean
    assert (balance.merit(state, more) >= balance.merit(state, steps[0])).all()


def test_one_task_is_that_task(balance):
    """Up to a factor per example, which changes no direction."""
    clean, steps = draws()
    for weights in walk(balance, clean[:, :1], [losses[:, :1] for losses in steps], NAMES[:1])[0]:
        assert (weights > 0).all()
