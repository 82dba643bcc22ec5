"""Where a search starts and which way it goes: in the whole image, and where a mask allows it."""

from __future__ import annotations

import math

import pytest
import torch

from testudo.attacks.threat import L1, L2, Linf, Threat
from testudo.errors import TestudoError
from testudo.parts import build, dump
from testudo.registry import THREATS

BALLS = [THREATS.get(name) for name in THREATS.names()]


def draw(n=4, shape=(3, 4, 5), seed=0, dtype=torch.float64):
    """Clean images of which some values lie on the box, and points around them."""
    g = torch.Generator().manual_seed(seed)
    clean = torch.rand(n, *shape, generator=g, dtype=dtype).mul(1.4).sub(0.2).clamp(0, 1)
    return clean, clean + torch.randn(n, *shape, generator=g, dtype=dtype)


def some(*shape, seed=0):
    """A mask that allows about half."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.5


MASKS = {
    "(H, W)": some(4, 5),
    "(1, H, W)": some(1, 4, 5),
    "(C, H, W)": some(3, 4, 5),
    "(C, 1, 1)": torch.tensor([True, False, True])[:, None, None],
    "(N, 1, H, W)": some(4, 1, 4, 5),
    "(N, C, H, W)": some(4, 3, 4, 5),
    "all": torch.ones(4, 5, dtype=torch.bool),
    "none": torch.zeros(4, 5, dtype=torch.bool),
}
masks = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
balls = pytest.mark.parametrize("ball", BALLS)


def test_random_starts_are_uniform():
    clean = torch.full((20000, 1, 1, 3), 0.5)
    ids = torch.arange(20000)
    moved = (Linf(0.2).random_start(clean, ids, 0) - clean).flatten(1)
    assert moved.mean(0).abs().max() < 0.004
    assert (moved.std(0) - 0.4 / 12**0.5).abs().max() < 0.002
    assert moved.T.corrcoef().fill_diagonal_(0).abs().max() < 0.03
    moved = (L2(0.2).random_start(clean, ids, 0) - clean).flatten(1)
    shares = (moved.norm(dim=1) / 0.2) ** 3  # uniform in the ball: the volume within the radius is uniform
    assert abs(shares.mean() - 0.5) < 0.01
    assert abs(shares.std() - 12**-0.5) < 0.005
    assert moved.mean(0).abs().max() < 0.004
    torch.testing.assert_close(moved.T.cov(), torch.eye(3) * 0.2**2 / 5, rtol=0, atol=3e-4)
    moved = (L1(0.2).random_start(clean, ids, 0) - clean).flatten(1)
    shares = (moved.norm(1, dim=1) / 0.2) ** 3
    assert abs(shares.mean() - 0.5) < 0.01
    assert abs(shares.std() - 12**-0.5) < 0.005
    assert moved.mean(0).abs().max() < 0.004
    torch.testing.assert_close(moved.T.cov(), torch.eye(3) * 0.2**2 / 10, rtol=0, atol=3e-4)
    assert abs((moved.abs().T.cov() / 0.2**2)[0, 1] - (1 / 20 - 1 / 16)) < 1e-3  # on the simplex they compete


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30, 1e-37])
def test_direction_has_norm_one_and_is_steepest(ball, dtype, scale):
    gradient = draw(shape=(1, 1, 7), dtype=dtype)[1] * scale
    way = ball(0.1).direction(gradient, torch.full_like(gradient, 0.5))
    size = torch.linalg.vector_norm(way.flatten(1), ball.p, dim=1)
    torch.testing.assert_close(size, torch.ones_like(size))
    dual = {math.inf: 1, 2: 2, 1: math.inf}[ball.p]
    gain = (way * gradient / scale).flatten(1).sum(1)
    torch.testing.assert_close(
        gain, torch.linalg.vector_norm((gradient / scale).flatten(1), dual, dim=1), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("ball", BALLS)
def test_direction_of_nothing_is_nothing(ball):
    gradient = torch.zeros(2, 1, 1, 3)
    gradient[1] = 2.0
    way = ball(0.1).direction(gradient, torch.full_like(gradient, 0.5))
    assert (way[0] == 0).all()
    assert way[1].isfinite().all()
    assert (way[1] > 0).all()


def test_l1_direction_is_the_sign_on_the_steepest_hundredth():
    gradient = torch.randn(5, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    way = L1(1.0).direction(gradient, torch.full_like(gradient, 0.5)).flatten(1)
    for row, g in zip(way, gradient.flatten(1), strict=True):
        top = g.abs().argsort(descending=True)[:3]
        assert sorted(row.nonzero().flatten().tolist()) == sorted(top.tolist())
        torch.testing.assert_close(row[top], g[top].sign() / 3)


def test_l1_direction_passes_over_values_at_the_wall():
    images = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.5]).reshape(1, 1, 1, 5)
    gradient = torch.tensor([-9.0, 8.0, 3.0, -4.0, 2.0]).reshape(1, 1, 1, 5)
    assert L1(1.0).direction(gradient, images).flatten().tolist() == [0, 0, 0, -1, 0]
    assert L1(1.0).direction(gradient.sign() * (images * 2 - 1), images * 0 + 1).flatten().tolist()[1] == 0


def test_l1_direction_takes_all_that_tie():
    gradient = torch.tensor([1.0, -2.0, 2.0, 0.0]).reshape(1, 1, 2, 2)
    way = L1(1.0).direction(gradient, torch.full_like(gradient, 0.5))
    assert way.flatten().tolist() == [0, -0.5, 0.5, 0]


@balls
@masks
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_mask_is_exact(ball, mask, dtype):
    """What it forbids keeps every bit, and the rest is projected as if it were all there is."""
    clean, images = draw(dtype=dtype)
    threat = ball(0.4, mask=mask)
    found = threat.project(images, clean)
    allowed = mask.expand(clean.shape)
    assert torch.equal(found[~allowed], clean[~allowed])
    assert torch.equal(threat.project(found, clean), found)
    for row in range(4):
        x, c = images[row][allowed[row]], clean[row][allowed[row]]
        alone = ball(0.4).project(x[None, None, None], c[None, None, None])[0, 0, 0]
        torch.testing.assert_close(
            found[row][allowed[row]], alone, rtol=0, atol=1e-12 if c.dtype.itemsize > 4 else 1e-7
        )


@balls
@masks
def test_random_starts_and_directions_stay_in_the_mask(ball, mask):
    clean, images = draw()
    threat, allowed = ball(0.4, mask=mask), mask.expand(clean.shape)
    start = threat.random_start(clean, torch.arange(4), 0)
    assert torch.equal(start[~allowed], clean[~allowed])
    assert ((start != clean).flatten(1).any(1) == allowed.flatten(1).any(1)).all()
    way = threat.direction(images - clean, torch.full_like(clean, 0.5))
    assert (way[~allowed] == 0).all()
    size = torch.linalg.vector_norm(way.flatten(1), ball.p, dim=1)
    torch.testing.assert_close(size, allowed.flatten(1).any(1).to(size))  # all of the step is spent in the mask


@pytest.mark.parametrize("ball", [L1, L2])
def test_random_starts_are_uniform_in_the_mask(ball):
    clean = torch.full((5000, 1, 4, 5), 0.5)
    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask[1, :3] = True
    moved = (ball(0.2, mask=mask).random_start(clean, torch.arange(5000), 0) - clean).flatten(1)
    shares = (moved.norm(ball.p, dim=1) / 0.2) ** 3  # of three dimensions, not of twenty
    assert abs(shares.mean() - 0.5) < 0.02
    assert abs(shares.std() - 12**-0.5) < 0.01


def test_l1_direction_counts_what_the_mask_allows():
    gradient = torch.arange(1.0, 401.0).reshape(1, 1, 20, 20).repeat(2, 1, 1, 1)
    mask = torch.ones(2, 1, 20, 20, dtype=torch.bool)
    mask[1, :, 10:] = False
    way = L1(1.0, mask=mask).direction(gradient, torch.full_like(gradient, 0.5)).flatten(1)
    assert way[0].nonzero().flatten().tolist() == [396, 397, 398, 399]
    assert way[1].nonzero().flatten().tolist() == [198, 199]


@balls
@masks
@pytest.mark.parametrize("eps", [0.3, torch.tensor([0.1, 0.2, 0.3, 0.4])], ids=["one", "each"])
def test_take_is_the_threat_of_those_rows(ball, mask, eps):
    clean, images = draw()
    threat = ball(eps, mask=mask)
    whole, ids = threat.project(images, clean), torch.arange(4)
    starts = threat.random_start(clean, ids, 0)
    for index in (torch.tensor([2, 0]), torch.tensor([True, False, False, True]), torch.tensor([], dtype=torch.int64)):
        part = threat.take(index)
        assert torch.equal(part.project(images[index], clean[index]), whole[index])
        assert torch.equal(part.random_start(clean[index], ids[index], 0), starts[index])


@balls
@pytest.mark.parametrize("mask", [torch.ones(4, 5), [[True]], torch.ones(4, 5, dtype=torch.uint8)])
def test_a_mask_that_is_not_bool_is_refused(ball, mask):
    with pytest.raises(TestudoError, match="mask must be a bool tensor, got"):
        ball(0.1, mask=mask)


@balls
@pytest.mark.parametrize("shape", [(5, 4), (4,), (2, 4, 5), (2, 3, 4, 5), (1, 4, 3, 4, 5)])
def test_a_mask_that_does_not_fit_is_refused(ball, shape):
    clean, images = draw()
    threat = ball(0.1, mask=torch.ones(shape, dtype=torch.bool))
    told = r"does not fit images of shape \(4, 3, 4, 5\): allowed are \(4, 5\), \(3, 4, 5\) and \(4, 3, 4, 5\)"
    for act in (
        lambda: threat.project(images, clean),
        lambda: threat.random_start(clean, torch.arange(4), 0),
        lambda: threat.direction(images, clean),
    ):
        with pytest.raises(TestudoError, match=told):
            act()


@balls
def test_a_threat_without_a_mask_goes_into_a_recipe_and_back(ball):
    assert build(Threat, dump(ball(0.1))) == ball(0.1)
    assert dump(ball(0.1)).keys() == {"kind", "eps"}
