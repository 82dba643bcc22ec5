"""Ball and box against scipy, by their definition, and on hostile input."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, NonlinearConstraint, brentq, minimize

from testudo.attacks.threat import L2, Linf
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


@pytest.mark.parametrize("eps", [1e-3, 0.3, 1.0])
@pytest.mark.parametrize("d", [3, 300])
def test_l2_projection_solves_its_one_equation(eps, d):
    """By the KKT conditions the answer is clip(c + s delta) with |clip(c + s delta) - c| = eps: bisect for s."""
    clean, images = draw(d=d)
    found = L2(eps).project(images, clean)
    for x, c, mine in zip(images.flatten(1), clean.flatten(1), found.flatten(1), strict=True):
        at = lambda s, x=x, c=c: (c + s * (x - c)).clamp(0, 1)  # noqa: E731
        s = 1.0 if (at(1.0) - c).norm() <= eps else brentq(lambda s, c=c, at=at: float((at(s) - c).norm()) - eps, 0, 1)
        torch.testing.assert_close(mine, at(s), rtol=0, atol=1e-9)


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


def test_l2_factor_of_one_does_not_wait_for_others():
    """Rounds that another example needs must not move one that has arrived, not even by its last bit."""
    g = torch.Generator().manual_seed(0)
    clean = torch.rand(300, 1, 1, 40, generator=g, dtype=torch.float64)
    far = torch.randn(300, 1, 1, 40, generator=g, dtype=torch.float64)
    images = clean + far * torch.logspace(-1, 3, 300, dtype=torch.float64)[:, None, None, None]
    whole = L2(0.3).project(images, clean)
    assert torch.equal(whole, torch.cat([L2(0.3).project(images[i : i + 1], clean[i : i + 1]) for i in range(300)]))


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
    assert ball(0.1).direction(none).shape == none.shape
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


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30, 1e-37])
def test_direction_has_norm_one_and_is_steepest(ball, dtype, scale):
    gradient = draw(d=7, dtype=dtype)[1] * scale
    way = ball(0.1).direction(gradient)
    size = torch.linalg.vector_norm(way.flatten(1), ball.p, dim=1)
    torch.testing.assert_close(size, torch.ones_like(size))
    dual = {math.inf: 1, 2: 2}[ball.p]
    gain = (way * gradient / scale).flatten(1).sum(1)
    torch.testing.assert_close(
        gain, torch.linalg.vector_norm((gradient / scale).flatten(1), dual, dim=1), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("ball", BALLS)
def test_direction_of_nothing_is_nothing(ball):
    gradient = torch.zeros(2, 1, 1, 3)
    gradient[1] = 2.0
    way = ball(0.1).direction(gradient)
    assert (way[0] == 0).all()
    assert way[1].isfinite().all()
    assert (way[1] > 0).all()


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
