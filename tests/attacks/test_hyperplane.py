"""The shortest step onto a hyperplane against linear programmes, quadratic ones and the sorted reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, brentq, linprog, minimize

from testudo.attacks.hyperplane import step_to_plane

NORMS = [1, 2, math.inf]


def draw(n, d, share, seed=0, dtype=torch.float64):
    """Points of which some touch the walls, normals with ties and zeros, heights up to ``share`` of the reach."""
    g = torch.Generator().manual_seed(seed)
    points = torch.rand(n, d, generator=g, dtype=torch.float64).mul(1.4).sub(0.2).clamp(0, 1)
    normals = torch.randn(n, d, generator=g, dtype=torch.float64)
    normals[:, 1::5], normals[:, 2::7] = normals[:, :1], 0
    sign = torch.randint(0, 2, (n,), generator=g) * 2 - 1
    heights = share * sign * torch.rand(n, generator=g, dtype=torch.float64) * reach(points, normals, sign)
    return points.to(dtype), normals.to(dtype), heights.to(dtype)


def reach(points, normals, sign):
    """By how much the box lets abs(height) fall."""
    downwards = (normals * sign[:, None]) > 0
    return (normals.abs() * torch.where(downwards, points, 1 - points)).sum(1)


def size(step, p):
    return torch.linalg.vector_norm(step.double(), p, dim=-1)


def programme(point, normal, height, p):
    """The least p-norm for one row, by scipy."""
    point, normal, height = point.numpy(), normal.numpy(), float(height)
    d = len(point)
    if p == 2:
        bounds = Bounds(-point, 1 - point)
        plane = LinearConstraint(normal[None], -height, -height)
        start = np.zeros(d)
        found = minimize(
            lambda s: s @ s, start, jac=lambda s: 2 * s, bounds=bounds, constraints=plane, options={"ftol": 1e-14}
        )
        return math.sqrt(found.fun)
    if p == 1:  # up and down apart
        bounds = [(0, 1 - x) for x in point] + [(0, x) for x in point]
        return linprog(np.ones(2 * d), A_eq=[[*normal, *-normal]], b_eq=[-height], bounds=bounds).fun
    eye, last = np.eye(d), np.ones((d, 1))
    below = np.block([[eye, -last], [-eye, -last]])  # abs(step) <= the last variable
    bounds = [*zip(-point, 1 - point, strict=True), (0, None)]
    goal, plane = [0.0] * d + [1.0], [[*normal, 0.0]]
    return linprog(goal, A_ub=below, b_ub=np.zeros(2 * d), A_eq=plane, b_eq=[-height], bounds=bounds).fun


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("share", [0.01, 0.4, 0.98])
def test_it_is_the_programmes_optimum(p, share):
    rows = draw(8, 9, share)
    step = step_to_plane(*rows, p)
    best = torch.tensor([programme(*row, p) for row in zip(*rows, strict=True)], dtype=torch.float64)
    torch.testing.assert_close(size(step, p), best, rtol=1e-5, atol=1e-7)
    assert_on_the_plane(*rows, step)


def assert_on_the_plane(points, normals, heights, step):
    """Inside the box, and as low as the box allows."""
    points, normals, heights, step = (t.double() for t in (points, normals, heights, step))
    moved = points + step
    assert moved.min() >= -1e-6
    assert moved.max() <= 1 + 1e-6
    scale = normals.abs().sum(1)
    left = (heights.abs() - reach(points, normals, torch.where(heights < 0, -1, 1))).clamp(min=0)
    found = (heights + (normals * step).sum(1)).abs()
    assert ((found - left).abs() <= 1e-5 * scale + 1e-5 * heights.abs()).all(), (found, left)
    assert (step[normals == 0] == 0).all()


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("share", [1e-3, 0.1, 0.9, 0.999])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_coordinates(p, share, dtype):
    """Against the one equation solved by bisection (L2, Linf), and the greedy order by a plain loop (L1)."""
    points, normals, heights = rows = draw(4, 3072, share, dtype=dtype)
    step = step_to_plane(*rows, p)
    assert step.dtype == dtype
    assert_on_the_plane(*rows, step)
    for x, w, h, mine in zip(points.double(), normals.double(), heights.double(), step, strict=True):
        room, pull, need = torch.where(w * h > 0, x, 1 - x).numpy(), w.abs().numpy(), abs(float(h))
        if p == 1:
            best = 0.0
            for k in np.argsort(-pull):
                move = min(room[k], max(0.0, need) / max(pull[k], 1e-30))
                best, need = best + move, need - move * pull[k]
        else:
            rate = pull if p == 2 else (pull > 0) * 1.0
            at = lambda t, room=room, rate=rate: np.minimum(room, t * rate)  # noqa: E731
            gap = lambda t, at=at, pull=pull, need=need: float(pull @ at(t)) - need  # noqa: E731
            best = np.linalg.norm(at(brentq(gap, 0, 1e6, xtol=1e-15)), p)
        assert float(size(mine, p)) == pytest.approx(best, rel=2e-5 if dtype == torch.float32 else 1e-9)


@pytest.mark.parametrize("p", NORMS)
def test_where_the_plane_misses_the_box_it_goes_to_the_corner(p):
    points, normals, heights = draw(5, 40, 1.0)
    heights = heights.sign() * 1.5 * reach(points, normals, heights.sign())
    step = step_to_plane(points, normals, heights, p)
    corner = (normals * heights.sign()[:, None] < 0).double()
    moves = normals != 0
    torch.testing.assert_close((points + step)[moves], corner[moves], rtol=0, atol=1e-12)
    assert (step[~moves] == 0).all()


@pytest.mark.parametrize("p", NORMS)
def test_nothing_to_do(p):
    points, normals, heights = draw(3, 6, 0.5)
    assert (step_to_plane(points, normals * 0, heights, p) == 0).all()
    assert (step_to_plane(points, normals, heights * 0, p) == 0).all()
    assert step_to_plane(points[:0], normals[:0], heights[:0], p).shape == (0, 6)


pixels = st.one_of(st.sampled_from([0.0, 1.0, 0.5, 1e-8, 1 - 1e-7]), st.floats(0, 1, width=32))
pulls = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 1e-12, -1e-30, 1e30]), st.floats(-3, 3, width=32))
levels = st.one_of(st.sampled_from([0.0, 1e-30, -1e-7, 1e4, -1e30]), st.floats(-3, 3, width=32))
rows_ = st.tuples(st.lists(st.tuples(pixels, pulls), min_size=4, max_size=4), levels)


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(rows=st.lists(rows_, min_size=1, max_size=4), size_=st.sampled_from([1.0, 1e-6, 1e6]))
@settings(max_examples=60, deadline=None)
def test_hostile_rows(p, dtype, rows, size_):
    points = torch.tensor([[x for x, _ in row] for row, _ in rows], dtype=dtype)
    normals = torch.tensor([[w for _, w in row] for row, _ in rows], dtype=dtype) * size_
    heights = torch.tensor([h for _, h in rows], dtype=dtype) * size_
    step = step_to_plane(points, normals, heights, p)
    assert step.isfinite().all()
    assert_on_the_plane(points, normals, heights, step)
    alone = [step_to_plane(points[i : i + 1], normals[i : i + 1], heights[i : i + 1], p) for i in range(len(rows))]
    assert torch.equal(step, torch.cat(alone))


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_does_not_know_its_neighbours(p, dtype):
    """Rows that need many rounds beside rows that need one, bit for bit."""
    rows = draw(60, 500, torch.logspace(-4, 0, 60), dtype=dtype)
    whole = step_to_plane(*rows, p)
    assert torch.equal(whole, torch.cat([step_to_plane(*(t[i : i + 1] for t in rows), p) for i in range(60)]))
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    assert torch.equal(step_to_plane(*(t[order] for t in rows), p), whole[order])


@pytest.mark.parametrize("p", NORMS)
def test_the_scale_of_the_function_does_not_matter(p):
    points, normals, heights = draw(6, 100, 0.5, dtype=torch.float32)
    step = step_to_plane(points, normals, heights, p)
    for scale in (2.0**-90, 2.0**90):
        assert torch.equal(step_to_plane(points, normals * scale, heights * scale, p), step)
    assert torch.equal(step_to_plane(points, -normals, -heights, p), step)


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("share", [0.03, 0.6, 1.0])
def test_as_near_as_the_sorted_projection_of_torchattacks(p, share):
    theirs = pytest.importorskip("torchattacks.attacks.fab")
    project = {1: theirs.projection_l1, 2: theirs.projection_l2, math.inf: theirs.projection_linf}[p]
    points, normals, heights = draw(20, 300, share)
    normals = torch.where(normals == 0, 1e-3, normals)
    found = project(points.clone(), normals.clone(), (normals * points).sum(1) - heights)
    mine = step_to_plane(points, normals, heights, p)
    torch.testing.assert_close(size(mine, p), size(found, p), rtol=1e-4, atol=1e-7)
