"""Per-example arithmetic, and draws that belong to their example."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from testudo import tensors
from testudo.tensors import dot, normal, norms, per_example, rekey, uniform, unit

PINNED = [-7816338417348894961, -3706550568656350475]
FIRST = [0.6859404444694519, 0.12397807836532593, 0.3263886570930481]
IDS = torch.tensor([3, 0, -5, 2**62, 17])


def test_per_example_arithmetic():
    x, y = torch.randn(4, 2, 3, 5), torch.randn(4, 2, 3, 5)
    torch.testing.assert_close(dot(x, y), torch.stack([(a * b).sum() for a, b in zip(x, y, strict=True)]))
    for p in (1, 2, math.inf):
        torch.testing.assert_close(norms(x, p), torch.stack([torch.linalg.vector_norm(a, p) for a in x]))
    scaled = x * per_example(torch.arange(4.0), x)
    assert torch.equal(scaled[2], 2 * x[2])


def test_norms_of_nothing():
    assert norms(torch.zeros(0, 3, 2, 2), 2).shape == (0,)
    assert norms(torch.zeros(2, 0), math.inf).tolist() == [0, 0]


@pytest.mark.parametrize("p", [1, 2, math.inf])
@pytest.mark.parametrize("scale", [1.0, 1e-38, 1e38])
def test_unit(p, scale):
    x = torch.rand(3, 50) * scale
    torch.testing.assert_close(norms(unit(x, p), p), torch.ones(3))
    assert (unit(0 * x, p) == 0).all()


def test_unit_is_per_example():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert unit(x, 2).tolist() == [[0.0, 0.0], [pytest.approx(0.6), pytest.approx(0.8)]]


@pytest.mark.parametrize("draw", [uniform, normal])
def test_draws_belong_to_ids_and_streams(draw):
    before = torch.get_rng_state()
    whole = draw(IDS, (3, 4), 7, 1)
    assert whole.shape == (5, 3, 4)
    assert whole.dtype == torch.float32
    assert torch.equal(draw(IDS.flip(0), (3, 4), 7, 1).flip(0), whole)
    assert torch.equal(draw(IDS[2:3], (3, 4), 7, 1), whole[2:3])
    assert torch.equal(draw(IDS.to(torch.int32)[:2], (3, 4), 7, 1), whole[:2])
    for stream in ((1, 7), (7,), (7, 2), (7, 1, 0), (-7, 1)):
        assert (draw(IDS, (3, 4), *stream) != whole).any()
    assert torch.equal(torch.get_rng_state(), before)
    assert draw(IDS[:0], (3,), 0).shape == (0, 3)


def test_draws_are_what_they_are_on_every_machine():
    """Pinned: other numbers would silently change every random start of every saved result."""
    assert rekey(torch.tensor([0, 1]), 0).tolist() == PINNED
    torch.testing.assert_close(uniform(torch.tensor([0]), (3,), 0)[0], torch.tensor(FIRST), rtol=0, atol=0)


def test_uniform_draws_are_uniform_and_independent():
    draws = uniform(torch.arange(4000), (5,), 3).double()
    assert stats.kstest(draws.flatten().numpy(), "uniform").pvalue > 1e-3
    assert draws.T.corrcoef().fill_diagonal_(0).abs().max() < 0.06
    neighbours = torch.stack([draws[:-1, 0], draws[1:, 0]]).corrcoef()[0, 1]
    assert neighbours.abs() < 0.06


def test_normal_draws_are_normal():
    draws = normal(torch.arange(4000), (5,), 3).double()
    assert stats.kstest(draws.flatten().numpy(), "norm").pvalue > 1e-3
    assert draws.T.corrcoef().fill_diagonal_(0).abs().max() < 0.06


@pytest.mark.parametrize("bits", [0, -1])
def test_draws_never_reach_zero_or_one(monkeypatch, bits):
    monkeypatch.setattr(tensors, "_mix", lambda x: torch.full_like(x, bits))
    draw = uniform(IDS, (2,), 0)
    assert ((draw > 0) & (draw < 1)).all()
    assert normal(IDS, (2,), 0).isfinite().all()


def test_mixing_is_splitmix64():
    """Vigna's reference: the first outputs of a generator started at 0 and at 1234567."""
    golden = 0x9E3779B97F4A7C15
    for seed, want in ((0, 0xE220A8397B1DCDAF), (1234567, 6457827717110365317)):
        state = (seed + golden) % 2**64
        signed = state - 2**64 if state >= 2**63 else state
        assert int(tensors._mix(torch.tensor([signed]))[0]) % 2**64 == want
