"""Labels of rendered rooms against geometry: an independent ray tracer, differences of depth, closed forms."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tracer

from testudo.data.nyuv2_files import CLASSES
from testudo.data.rooms import labels
from testudo.data.rooms.hits import curvatures, inverse_depth, points
from testudo.data.rooms.jumps import jumps
from testudo.data.rooms.plan import room
from testudo.data.rooms.raycast import Eye, seen
from testudo.data.rooms.render import render
from testudo.data.rooms.shading import Lit
from testudo.data.rooms.solids import Piece, Solids, Stuff
from testudo.data.rooms.tones import WHITE, painted
from testudo.data.rooms.views import view

ROOMS, SIZE = 10, (48, 64)
STUFF = Stuff("objects", "body", painted(WHITE))


@pytest.fixture(scope="module")
def frames():
    """One view of each of ten rooms."""
    lit = [Lit.of(room(3, number)) for number in range(ROOMS)]
    return [render(each, view(each.room, 3, number, 0), SIZE, 1) for number, each in enumerate(lit)]


def walked(frame, draw, count=10):
    """``count`` random pixels as the tracer sees them: row, column, distance, length of (x, y, 1), normal, solid."""
    for _ in range(count):
        row, column = draw.integers(SIZE[0]), draw.integers(SIZE[1])
        way, length = tracer.ray(frame.eye, frame.x[column], frame.y[row])
        distance, normal, solid = tracer.nearest(frame.room.solids, frame.eye.place.tolist(), way)
        yield row, column, distance, length, np.array(normal), solid


def test_an_independent_tracer_sees_the_same(frames):
    draw = np.random.default_rng(0)
    for frame in frames:
        metres, far, normal = labels.depth(frame)[0], labels.euclidean(frame)[0], labels.normal(frame)
        near, shade, classes = labels.disparity(frame)[0], labels.reshading(frame)[0], labels.segmentation(frame)
        for row, column, distance, length, upright, solid in walked(frame, draw):
            at = row, column
            assert far[at] == pytest.approx(distance, rel=1e-9)
            assert metres[at] == pytest.approx(distance / length, rel=1e-9)
            assert near[at] == pytest.approx(length / distance, rel=1e-9)
            np.testing.assert_allclose(normal[:, row, column], frame.eye.turn @ upright, atol=1e-9)
            toward = -np.array([frame.x[column], frame.y[row], 1]) / length
            assert shade[at] == pytest.approx(toward @ (frame.eye.turn @ upright), abs=1e-9)
            assert frame.surface[at] // 6 == solid
            if solid == 0:
                expected = {1.0: "floor", -1.0: "ceiling"}.get(float(np.round(upright[2], 9)), "wall")
                assert CLASSES[classes[at]] == expected


def neighbours_alike(frame):
    """(H - 2, W - 2) bool: all eight neighbours lie on the same face."""
    own = frame.surface[1:-1, 1:-1]
    high, wide = frame.surface.shape
    around = [frame.surface[r : high - 2 + r, c : wide - 2 + c] for r in range(3) for c in range(3)]
    return np.all([part == own for part in around], 0)


def derived_normals(frame):
    """Normals (3, H - 2, W - 2) from differences of the points that the depth places in space."""
    x, y = np.broadcast_arrays(frame.x[None, :], frame.y[:, None])
    place = labels.depth(frame) * np.stack([x, y, np.ones_like(x)])
    right = place[:, 1:-1, 2:] - place[:, 1:-1, :-2]
    down = place[:, 2:, 1:-1] - place[:, :-2, 1:-1]
    normal = np.cross(down, right, axis=0)
    return normal / np.linalg.norm(normal, axis=0)


def test_normals_are_the_normalised_gradient_of_depth(frames):
    """On planes to rounding; on round faces to a few degrees, where the surface bends little between neighbours."""
    seen_round = 0
    for frame in frames:
        normal, found, alike = frame.normal[:, 1:-1, 1:-1], derived_normals(frame), neighbours_alike(frame)
        bend = curvatures(frame.room.solids, frame.surface[1:-1, 1:-1].ravel())[0].reshape(alike.shape)
        flat = alike & (bend == 0)
        assert flat.mean() > 0.4
        np.testing.assert_allclose(found[:, flat], normal[:, flat], atol=1e-7)
        step = 2 * frame.depth[1:-1, 1:-1] * (frame.x[1] - frame.x[0])
        facing = -normal[2] > 0.7
        gentle = alike & (bend > 0) & (bend * step < 0.4) & facing
        cosine = (found * normal).sum(0)[gentle]
        seen_round += gentle.sum()
        assert (cosine > np.cos(np.radians(6))).all()
    assert seen_round > 20


def solo(add):
    """A room of 4 x 4 x 3 metres, one thing in it, and an eye in the middle of its south wall that looks north."""
    piece = Piece()
    piece.box(STUFF, (0, 4), (0, 4), (0, 3))
    add(piece)
    return Solids.of(piece.solids), Eye.looking(np.array([2.0, 0.5, 1.5]), 0.0, 0.0, 0.0)


def surface_points(solids, eye, x, y):
    """Places, normals (3, h, w) and surfaces (h, w) on a grid of rays, in the world."""
    surface = seen(solids, eye, x, y).surface
    rays = tuple(part.ravel() for part in np.broadcast_arrays(x, y[:, None]))
    inverse = inverse_depth(solids, eye, *rays, surface.ravel())
    ends = points(solids, eye, rays, inverse, surface.ravel())
    return *(part.reshape(3, *surface.shape) for part in ends), surface


THINGS = {
    "ball": (lambda piece: piece.ball(STUFF, (2, 3, 1.5), 0.4), (2.5, 2.5)),
    "tube": (lambda piece: piece.tube(STUFF, (2, 3, 0.5), 0.25, 2.0), (4.0, 0.0)),
    "lying tube": (lambda piece: piece.tube(STUFF, (1, 3, 1.5), 0.25, 2.0, axis=0), (4.0, 0.0)),
    "box": (lambda piece: piece.box(STUFF, (1.5, 2.5), (3, 3.5), (1, 2)), (0.0, 0.0)),
}


@pytest.mark.parametrize("name", THINGS)
def test_curvatures_are_the_rates_at_which_the_normal_turns(name):
    """The eigenvalues of the map from a step on the surface to the change of its normal, by differences."""
    add, expected = THINGS[name]
    solids, eye = solo(add)
    grid = np.linspace(-0.01, 0.01, 5)
    place, normal, surface = surface_points(solids, eye, grid, grid + 0.001)
    assert (surface // 6 == 1).all()
    np.testing.assert_array_equal(
        curvatures(solids, surface.ravel()), np.repeat(np.array(expected)[:, None], surface.size, 1)
    )
    steps = np.stack([place[:, 2, 3] - place[:, 2, 1], place[:, 3, 2] - place[:, 1, 2]], 1)
    turns = np.stack([normal[:, 2, 3] - normal[:, 2, 1], normal[:, 3, 2] - normal[:, 1, 2]], 1)
    shape = np.linalg.lstsq(steps, turns, rcond=None)[0]
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(shape).real), sorted(expected), atol=2e-3)


def test_curvature_of_rooms_is_that_of_their_solids(frames):
    for frame in frames:
        found = labels.curvature(frame)
        kind, radius = (part[frame.surface // 6] for part in (frame.room.solids.kind, frame.room.solids.half[:, 0]))
        round_ = (kind > 0) & (frame.surface % 6 == 0)
        np.testing.assert_allclose(found[0], np.where(round_, 1 / radius, 0))
        np.testing.assert_allclose(found[1], np.where(round_ & (kind == 1), 1 / radius, 0))


def longest_steps(frame, axis, finer):
    """Between neighbours: the largest step of 1/z over its larger end, and how often the face changes."""
    x, y = frame.x, frame.y
    grid = (x if axis else y)[0] + np.arange(finer * (SIZE[axis] - 1) + 1) / finer * (x[1] - x[0])
    found = seen(frame.room.solids, frame.eye, *((grid, y) if axis else (x, grid)))
    inverse, surface = (np.moveaxis(part.astype(float), axis, 0) for part in found)
    step = np.abs(np.diff(inverse, axis=0)) / np.maximum(inverse[1:], inverse[:-1])
    changes = np.diff(surface, axis=0) != 0
    parts = [part.reshape(-1, finer, part.shape[1]) for part in (step, changes)]
    return np.moveaxis(parts[0].max(1), 0, axis), np.moveaxis(parts[1].sum(1), 0, axis)


def test_occlusion_edges_are_where_depth_jumps_between_pixels(frames):
    """64 rays between neighbours find a jump where the label has one, of its size, and none where it has none.

    Compared where no third face shows between the two, which is narrower than a pixel.
    """
    gaps, edges = [], 0
    for frame in frames:
        found = jumps(frame)
        most, simple = np.zeros(SIZE), np.ones(SIZE, bool)
        for axis in (0, 1):
            step, changes = longest_steps(frame, axis, 64)
            for part in (np.s_[:-1], np.s_[1:]) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:]):
                most[part] = np.maximum(most[part], step)
                simple[part] &= changes <= 1
        gaps.append(np.abs(found - most)[simple])
        assert (most[simple & (found > 0.02)] > 0.01).all()
        edges += (found[simple] > 0.02).sum()
    gap = np.concatenate(gaps)
    assert gap.max() < 0.1  # a face may be seen so steeply that it takes less than 1/64 of the way
    assert (gap < 0.01).mean() > 0.99
    assert len(gap) > 0.7 * ROOMS * SIZE[0] * SIZE[1]
    assert edges > 1000


def test_a_box_on_the_floor_jumps_at_its_top_and_not_at_its_foot():
    solids, eye = solo(lambda piece: piece.box(STUFF, (1.5, 2.5), (2.5, 3.0), (0, 2)))
    frame = looking(solids, eye, (96, 128), 0.7)
    found = jumps(frame)
    thing = frame.surface // 6 == 1
    rows, column = np.flatnonzero(thing[:, 64]), 64
    top, foot = rows[0], rows[-1]
    wall, front = frame.depth[top - 1, column], frame.depth[top + 1, column]
    assert front == pytest.approx(2.0, abs=0.2)
    assert found[top, column] == pytest.approx(1 - frame.depth[top, column] / wall, abs=0.05)
    assert found[foot - 1 : foot + 2, column].max() == 0
    assert found[top + 3 : foot - 2, 60:68].max() == 0
    corner = found[frame.surface < 6]
    assert (corner > 0).mean() < 0.02  # floor, walls and ceiling meet without a jump


def looking(solids, eye, size, focal):
    """A frame of solids that are no furnished room, without a picture."""
    y, x = ((np.arange(n) - (n - 1) / 2) / (focal * size[1]) for n in size)
    surface = seen(solids, eye, x, y).surface
    rays = tuple(part.ravel() for part in np.broadcast_arrays(x, y[:, None]))
    inverse = inverse_depth(solids, eye, *rays, surface.ravel())
    normal = eye.turn @ points(solids, eye, rays, inverse, surface.ravel()).normal
    return SimpleNamespace(
        room=SimpleNamespace(solids=solids), eye=eye, x=x, y=y, surface=surface,
        depth=1 / inverse.reshape(size), normal=normal.reshape(3, *size),
    )  # fmt: skip


def test_keypoints_are_corners_of_the_scene_and_not_planes_or_edges():
    solids, eye = solo(lambda piece: None)
    up = Eye.looking(eye.place, 0.6, 0.5, 0.0)  # towards a corner under the ceiling
    found = labels.keypoints3d(looking(solids, up, (96, 128), 0.7))[0]
    row, column = np.unravel_index(found.argmax(), found.shape)
    corner = up.turn @ (np.array([0, 4, 3.0]) - up.place)
    assert column == pytest.approx(corner[0] / corner[2] * 0.7 * 128 + 63.5, abs=2)
    assert row == pytest.approx(corner[1] / corner[2] * 0.7 * 128 + 47.5, abs=2)
    assert found.max() > 0.8
    assert (found > 0.1).mean() < 0.02


def test_reshading_is_brightest_where_the_surface_faces_the_camera():
    solids, eye = solo(lambda piece: piece.ball(STUFF, (2, 3, 1.5), 0.4))
    frame = looking(solids, eye, (65, 65), 1.0)
    shade = labels.reshading(frame)[0]
    assert shade[32, 32] == pytest.approx(1)
    ball = frame.surface // 6 == 1
    assert ball.sum() > 200
    assert shade[ball].min() < 0.4  # dark at the rim
    assert shade.min() >= 0
    assert shade.max() <= 1
