"""Ball and box against scipy, by their definition, and on hostile input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint, brentq, minimize
from torch.overrides import TorchFunctionMode

from testudo.attacks.threat import L1, L2, Linf
from testudo.errors import TestudoError
from testudo.registry import THREATS

BALLS = [THREATS.get(name) for name in THREATS.names()]
pixels = st.one_of(st.sampled_from([0.0, 1.0, 0.5, 1e-8, 1 - 1e-7]), st.floats(0, 1, width=32))
moves = st.one_of(st.sampled_from([0.0, 1e-30, -1e-30, 1e30, -1e30, 1e-7]), st.floats(-3, 3, width=32))
radii = st.one_of(st.sampled_from([0.0, 1e-12, 1e-6, 1 / 255, 0.5, 2.0, 1e6]), st.floats(0, 4))


def draw(n=4, d=6, seed=0, dtype=torch.float64):
    """Clean images of which some values lie on the box, and points around them."""
    g = torch.Generator().manual_seed(seed)
    clean = torch.rand(n, 1, 1, d, generator=g, dtype=dtype).mul(1.4).sub(0.2).clamp(0, 1)
    return clean, clean + torch.randn(n, 1, 1, d, generator=g, dtype=dtype)


def inside(images, clean, ball):
    size = torch.linalg.vector_norm((images.double() - clean.double()).flatten(1), ball.p, dim=1)
    limit = torch.as_tensor(ball.eps, dtype=torch.float64)
    return bool((size <= limit + 1e-6).all() and (images >= 0).all() and (images <= 1).all())


@pytest.mark.parametrize("eps", [0.05, 0.3, 1.0, 2.5])
def test_l2_projection_is_scipys_nearest_point(eps):
    clean, images = draw()
    found = L2(eps).project(images, clean)
    for x, c, mine in zip(images.flatten(1).numpy(), clean.flatten(1).numpy(), found.flatten(1), strict=True):
        best = minimize(
            lambda z, x=x: ((z - x) ** 2).sum(),
            c,
            jac=lambda z, x=x: 2 * (z - x),
            method="SLSQP",
            bounds=Bounds(0, 1),
            constraints=NonlinearConstraint(lambda z, c=c: ((z - c) ** 2).sum(), -math.inf, eps**2),
            options={"ftol": 1e-14, "maxiter": 500},
        )
        torch.testing.assert_close(mine, torch.tensor(best.x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("eps", [0.05, 0.3, 1.0, 2.5])
def test_l1_projection_is_scipys_nearest_point(eps):
    """With the move split in what is added and what is taken, all constraints are linear."""
    clean, images = draw()
    found = L1(eps).project(images, clean)
    for x, c, mine in zip(images.flatten(1).numpy(), clean.flatten(1).numpy(), found.flatten(1), strict=True):
        d = len(c)
        gap = lambda z, x=x, c=c, d=d: c + z[:d] - z[d:] - x  # noqa: E731
        best = minimize(
            lambda z, gap=gap: (gap(z) ** 2).sum(),
            [0.0] * 2 * d,
            jac=lambda z, gap=gap: 2 * np.concatenate([gap(z), -gap(z)]),
            method="SLSQP",
            bounds=Bounds(0, np.concatenate([1 - c, c])),
            constraints=LinearConstraint([[1.0] * 2 * d], -math.inf, eps),
            options={"ftol": 1e-14, "maxiter": 500},
        )
        torch.testing.assert_close(mine, torch.tensor(gap(best.x) + x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("ball", [L1, L2])
@pytest.mark.parametrize("eps", [1e-3, 0.3, 1.0])
@pytest.mark.parametrize("d", [1, 3, 300])
def test_projection_solves_its_one_equation(ball, eps, d):
    """By the KKT conditions the moves are cut by one number, at which they spend eps: bisect for it."""
    clean, images = draw(d=d)
    found = ball(eps).project(images, clean)
    for x, c, mine in zip(images.flatten(1), clean.flatten(1), found.flatten(1), strict=True):
        cut = {
            L1: lambda t, x=x, c=c: (x - c).sign() * ((x - c).abs() - t).clamp(min=0),
            L2: lambda t, x=x, c=c: (x - c) / (1 + t),
        }[ball]
        at = lambda t, c=c, cut=cut: (c + cut(t)).clamp(0, 1)  # noqa: E731
        over = lambda t, c=c, at=at: float((at(t) - c).norm(ball.p)) - eps  # noqa: E731
        t = 0.0 if over(0.0) <= 0 else brentq(over, 0, 1e5, xtol=1e-15, rtol=1e-14)
        torch.testing.assert_close(mine, at(t), rtol=0, atol=1e-9)


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e2])
def test_no_point_of_ball_and_box_is_nearer(ball, scale):
    """The variational inequality: seen from the projection, all else that is allowed lies away from the point."""
    clean, images = draw(n=30, d=8)
    images = clean + (images - clean) * scale
    for eps in (0.0, 1e-6, 0.1, 0.7, 3.0, 1e9):
        nearest = ball(eps).project(images, clean)
        for stream in range(40):
            other = ball(eps).random_start(clean, torch.arange(30), stream)
            if stream % 2:  # towards the projection, where it is tight
                other = nearest + (other - nearest) * 1e-3
            towards = (images - nearest).flatten(1).mul((other - nearest).flatten(1)).sum(1)
            assert (towards <= 1e-12 * (images - nearest).flatten(1).norm(dim=1)).all()


@pytest.mark.parametrize("ball", [L1, L2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("eps", [0.5, 12.0, 60.0])
def test_a_large_ball_is_filled_and_not_left(ball, dtype, eps):
    clean, images = draw(n=8, d=3072, dtype=torch.float32)
    clean, images = clean.to(dtype), images.to(dtype)
    found = ball(eps).project(images, clean).double()
    size = torch.linalg.vector_norm((found - clean.double()).flatten(1), ball.p, dim=1)
    whole = torch.linalg.vector_norm((images.clamp(0, 1) - clean).double().flatten(1), ball.p, dim=1)
    assert (size <= eps * (1 + 1e-12)).all()
    assert (size >= whole.clamp(max=eps) * (1 - 1e-5)).all()
    exact = ball(eps).project(images.double(), clean.double())
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-7)


def test_l1_threshold_takes_few_rounds():
    """Trap: Newton's steps alone take thousands of rounds where magnitudes differ widely."""
    g = torch.Generator().manual_seed(0)
    clean = torch.rand(32, 3, 32, 32, generator=g)
    for spread in (1.0, 3.0, 6.0):
        size = (spread * torch.randn(clean.shape, generator=g)).exp()
        images = clean + size * torch.randn(clean.shape, generator=g)
        for eps in (1e-3, 1.0, 12.0):
            with Rounds() as rounds:
                L1(eps).project(images, clean)
            assert 2 <= rounds.count <= 60


class Rounds(TorchFunctionMode):
    """Counts the calls of torch.minimum: one a round, and one more."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.minimum
        return func(*args, **(kwargs or {}))


def test_linf_projection_is_the_nearest_point_by_coordinates():
    clean, images = draw()
    found = Linf(0.2).project(images, clean)
    grid = torch.linspace(0, 1, 100001, dtype=torch.float64)
    for x, c, mine in zip(images.flatten(), clean.flatten(), found.flatten(), strict=True):
        allowed = grid[(grid - c).abs() <= 0.2]
        assert abs(mine - allowed[(allowed - x).abs().argmin()]) < 2e-5


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(
    rows=st.lists(st.tuples(st.lists(st.tuples(pixels, moves), min_size=3, max_size=3), radii), min_size=1, max_size=4)
)
@settings(max_examples=60, deadline=None)
def test_projection_of_hostile_input(ball, dtype, rows):
    clean = torch.tensor([[[[p for p, _ in row]]] for row, _ in rows], dtype=dtype)
    images = clean + torch.tensor([[[[m for _, m in row]]] for row, _ in rows], dtype=dtype)
    threat = ball(torch.tensor([eps for _, eps in rows], dtype=torch.float64))
    once = threat.project(images, clean)
    assert once.dtype == dtype
    assert inside(once, clean, threat)
    assert torch.equal(threat.project(once, clean), once)
    alone = torch.cat([ball(e).project(images[i : i + 1], clean[i : i + 1]) for i, (_, e) in enumerate(rows)])
    torch.testing.assert_close(once, alone, rtol=0, atol=1e-7)  # eps itself is rounded to the images' precision


@pytest.mark.parametrize("ball", BALLS)
def test_projection_does_not_know_the_batch(ball):
    for dtype in (torch.float32, torch.float64):
        clean, images = draw(n=20, d=50, dtype=dtype)
        images[::3] = clean[::3] + (images[::3].clamp(0, 1) - clean[::3]) * 1e-3  # some are inside already
        images = torch.where(torch.arange(20)[:, None, None, None] % 2 == 0, images, clean + (images - clean) * 0.1)
        whole = ball(0.4).project(images, clean)
        assert torch.equal(
            whole, torch.cat([ball(0.4).project(images[i : i + 1], clean[i : i + 1]) for i in range(20)])
        )
        within = ball(0.4).size(images, clean) < 0.39
        boxed = ((images >= 0) & (images <= 1)).flatten(1).all(1)
        assert (within & boxed).any()
        assert torch.equal(whole[within & boxed], images[within & boxed])


@pytest.mark.parametrize("ball", BALLS)
def test_rounds_that_another_example_needs_move_none_that_has_arrived(ball):
    """Not even by its last bit."""
    g = torch.Generator().manual_seed(0)
    clean = torch.rand(300, 1, 1, 40, generator=g, dtype=torch.float64)
    far = torch.randn(300, 1, 1, 40, generator=g, dtype=torch.float64)
    images = clean + far * torch.logspace(-1, 3, 300, dtype=torch.float64)[:, None, None, None]
    whole = ball(0.3).project(images, clean)
    assert torch.equal(whole, torch.cat([ball(0.3).project(images[i : i + 1], clean[i : i + 1]) for i in range(300)]))


@pytest.mark.parametrize("ball", BALLS)
def test_even_images_do_not_round_out_of_the_ball(ball):
    """Every pixel rounds the same way, so the rounding errors add up to sqrt(D) of them."""
    clean = torch.full((8, 3, 64, 64), 0.5) + torch.arange(8)[:, None, None, None] / 64
    for eps in (0.3, 0.5, 1.0):
        assert inside(ball(eps).project(clean + 0.4, clean), clean, ball(eps))


@pytest.mark.parametrize("ball", BALLS)
def test_no_radius_no_change(ball):
    clean, images = draw(dtype=torch.float32)
    assert torch.equal(ball(0.0).project(images, clean), clean)
    assert torch.equal(ball(0.0).random_start(clean, torch.arange(4), 0), clean)


@pytest.mark.parametrize("ball", BALLS)
def test_empty_batches(ball):
    none = torch.zeros(0, 3, 4, 4)
    assert ball(0.1).project(none, none).shape == none.shape
    assert ball(0.1).direction(none, none).shape == none.shape
    assert ball(0.1).random_start(none, torch.arange(0), 0).shape == none.shape


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("eps", [1e-3, 0.3, 50.0])
def test_random_starts_are_inside_and_belong_to_their_id(ball, dtype, eps):
    clean, _ = draw(n=6, d=12, dtype=dtype)
    ids = torch.tensor([5, 3, 1000003, 0, 1, 2])
    start = ball(eps).random_start(clean, ids, 1, 2)
    assert start.dtype == dtype
    assert inside(start, clean, ball(eps))
    assert torch.equal(ball(eps).random_start(clean[2:4], ids[2:4], 1, 2), start[2:4])
    for stream in ((1, 3), (2, 2)):
        assert not torch.equal(ball(eps).random_start(clean, ids, *stream), start)


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize(
    ("eps", "told"),
    [
        (-0.1, "-0.1"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (torch.tensor([0.1, -2.0]), "-2.0"),
        (torch.tensor([0.1, math.inf]), "inf"),
    ],
)
def test_a_radius_that_means_nothing_is_refused(ball, eps, told):
    with pytest.raises(TestudoError, match=f"eps must be at least 0 and finite, in .* got {told}$"):
        ball(eps)
