"""Normals from depth: exact on planes, close on a sphere, unknown where nothing is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from testudo.data.normals import Camera, normals
from testudo.tasks.normals import Normals
from testudo.tasks.vectors import angle

CAMERA = Camera(110.0, 105.0, 40.3, 28.9, (60, 80))


def rays(camera=CAMERA):
    """(3, H, W) the direction that each pixel looks in, at depth 1."""
    v, u = (torch.arange(n, dtype=torch.float64) for n in camera.size)
    u, v = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    return torch.stack([u.expand(camera.size), v[:, None].expand(camera.size), torch.ones(camera.size)])


def plane(normal, distance=2.0):
    """The depth of the plane normal . x = -distance, NaN where it is behind the camera, and the unit normal."""
    normal = torch.tensor(normal, dtype=torch.float64)
    normal = normal / normal.norm()
    depth = -distance / (normal[:, None, None] * rays()).sum(0)
    return torch.where(depth > 0, depth, torch.nan).float(), normal.float()


@pytest.mark.parametrize("normal", [(0, 0, -1), (0.3, -0.8, -0.5), (-1, 0.1, -0.6), (0, -1, -0.05)], ids=str)
@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_planes_are_exact_up_to_the_border(normal, sigma):
    depth, expected = plane(normal)
    found = normals(depth, CAMERA, sigma)
    known = ~found.isnan().any(0)
    assert known.float().mean() > 0.4
    assert torch.equal(known, ~depth.isnan() & known)
    assert (found[:, known] - expected[:, None]).abs().max() < 1e-4


def test_they_are_the_cross_product_of_neighbouring_points():
    g = torch.Generator().manual_seed(0)
    waves = 3 + sum(0.2 * torch.sin(rays()[i] * f + torch.rand(1, generator=g)) for i, f in ((0, 9), (1, 7), (0, 4)))
    points = (rays() * waves).numpy()
    right, down = np.gradient(points, axis=2), np.gradient(points, axis=1)
    cross = np.cross(down, right, axis=0)
    cross = torch.from_numpy(cross / np.linalg.norm(cross, axis=0)).float()
    found = normals(waves.float(), CAMERA, 1.0)
    apart = angle(found[None], cross[None])[0, 3:-3, 3:-3]
    assert apart.max() < 3
    assert apart.mean() < 0.5


def test_a_sphere_has_the_normals_of_a_sphere():
    centre, radius = torch.tensor([0.1, 0.0, 4.0], dtype=torch.float64), 1.0
    d = rays()
    along = (d * centre[:, None, None]).sum(0)
    root = along**2 - d.square().sum(0) * (centre.square().sum() - radius**2)
    depth = torch.where(root > 0, (along - root.clamp(min=0).sqrt()) / d.square().sum(0), torch.nan)
    expected = (d * depth - centre[:, None, None]) / radius
    found = normals(depth.float(), CAMERA, 1.0)
    inner = expected[2] < -0.5  # away from the outline
    assert inner.sum() > 300
    assert angle(found[None], expected[None].float())[0][inner].max() < 3


def test_steps_of_four_centimetres_are_smoothed():
    depth, expected = plane((0.3, -0.8, -0.5))
    coarse = (depth * 25.5).round() / 25.5
    errors = [
        angle(normals(coarse, CAMERA, sigma)[None], expected[None, :, None, None].expand(1, 3, 60, 80))[0]
        for sigma in (1.0, 3.0)
    ]
    assert errors[1].nanmean() < 5
    assert errors[1].nanmean() < errors[0].nanmean() / 2


def test_unknown_depth_has_no_normal_and_does_not_disturb_its_neighbours():
    depth, expected = plane((0.3, -0.8, -0.5))
    depth[10:30, 20:50] = math.nan
    depth[:, :9] = math.nan
    depth[5, 3] = 2.0  # alone: a point has no normal
    depth[20:25, 30] = 2.0  # nor has a line
    found = normals(depth, CAMERA, 1.0)
    known = ~found.isnan().any(0)
    assert not known[depth.isnan()].any()
    assert not known[5, 3]
    assert not known[20:25, 30].any()
    assert known[35:, 60:].all()
    assert (found[:, known] - expected[:, None]).abs().max() < 1e-4
    Normals("t").check(found[None])


def test_a_resized_camera_sees_the_same():
    small = CAMERA.at((30, 40))
    corner = lambda camera, u, v: ((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy)  # noqa: E731
    assert corner(small, -0.5, -0.5) == pytest.approx(corner(CAMERA, -0.5, -0.5))
    assert corner(small, 39.5, 29.5) == pytest.approx(corner(CAMERA, 79.5, 59.5))
