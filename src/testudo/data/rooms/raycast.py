"""What a pinhole sees of solids: the nearest surface along every ray of a grid.

Everything is computed in inverse depth, w = 1/z, with z the distance along the optical axis. Along the ray (x, y, 1)
of the camera's frame a plane is met where w is a linear function of x and y, so that a box costs six sums and a
few comparisons over the part of the grid that it covers, and one solid after another goes through a buffer of the
largest w yet. (With homogeneous coordinates nothing needs to be clipped: Olano and Greer, *Triangle scan conversion
using 2D homogeneous coordinates*, 1997.)

Shapes: S solids, h x w rays. A surface is 6 * solid + face; solid 0 is the room itself, seen from inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from testudo.data.rooms.solids import BALL, BOX, Solids

NEAR = 0.02  # metres: parts of solids nearer than this do not widen the part of the grid that is searched
_EDGES = np.array([(a, b) for a in range(8) for b in range(8) if a < b and bin(a ^ b).count("1") == 1])
_CORNERS = np.array([[(corner >> axis & 1) * 2 - 1 for axis in range(3)] for corner in range(8)])
_SIGNS = np.array([-1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Eye:
    """A pinhole at ``place`` (3,); the rows of ``turn`` (3, 3) are what is right, down and ahead in the world."""

    place: np.ndarray
    turn: np.ndarray

    @classmethod
    def looking(cls, place: np.ndarray, yaw: float, pitch: float, roll: float) -> Eye:
        """Looking to the north for yaw 0, to the west for pi/2; up for a positive pitch; all in radians."""
        (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
        ahead = np.array([-sy * cp, cy * cp, sp])
        right = np.array([cy, sy, 0.0])
        down = np.cross(ahead, right)
        return cls(np.asarray(place, dtype=float), np.stack([cr * right + sr * down, cr * down - sr * right, ahead]))


class Seen(NamedTuple):
    """What each ray meets: 1/z (h, w) float32, and the surface (h, w) int32."""

    inverse: np.ndarray
    surface: np.ndarray


class _Cut(NamedTuple):
    """Solids as one eye sees them: what each costs no more than once per view.

    ``planes`` (S, 6, 3) hold w = a x + b y + c for the planes of the faces ``face`` (S, 6), first the ``fronts`` (S,)
    ones that the eye is outside of; ``origin`` (S, 3) is the eye and ``turn`` (S, 3, 3) the directions in the solids'
    frames; ``radius`` (S,); ``window`` (S, 4) are the first and last rows and columns that a solid may cover.
    """

    planes: np.ndarray
    face: np.ndarray
    fronts: np.ndarray
    origin: np.ndarray
    turn: np.ndarray
    radius: np.ndarray
    window: np.ndarray


def seen(solids: Solids, eye: Eye, x: np.ndarray, y: np.ndarray) -> Seen:
    """The nearest surfaces along the rays (x, y, 1) of the eye's frame.

    Args:
        solids: the first is the room, which the eye must be in; it must be in no other.
        eye: whose frame.
        x: (w,) rising.
        y: (h,) rising.
    """
    cut = _cut(solids, eye, x, y)
    x, y = x.astype(np.float32), y.astype(np.float32)
    inverse, surface = _inside(cut, x, y)
    order = np.flatnonzero((cut.window[:, 1] > cut.window[:, 0]) & (cut.window[:, 3] > cut.window[:, 2]))
    kinds, windows = solids.kind.tolist(), cut.window.tolist()
    for index in order[order > 0].tolist():
        top, bottom, left, right = windows[index]
        part = slice(top, bottom), slice(left, right)
        draw = _box if kinds[index] == BOX else _ball if kinds[index] == BALL else _tube
        draw(cut, index, (x[left:right], y[top:bottom]), Seen(inverse[part], surface[part]))
    return Seen(inverse, surface)


def _cut(solids: Solids, eye: Eye, x: np.ndarray, y: np.ndarray) -> _Cut:
    """See :class:`_Cut`."""
    turn = solids.turn @ eye.turn.T
    origin = np.einsum("sij,sj->si", solids.turn, eye.place - solids.centre)
    gap = _SIGNS * solids.half[:, :, None] - origin[:, :, None]  # from the eye to each face, along its axis
    front = gap * _SIGNS < 0
    planes = (turn[:, :, None, :] / np.where(gap == 0, 1e-12, gap)[..., None]).reshape(-1, 6, 3)
    front = front.reshape(-1, 6)
    face = np.argsort(~front, axis=1, kind="stable")
    planes = np.take_along_axis(planes, face[:, :, None], 1).astype(np.float32)
    return _Cut(planes, face, front.sum(1), origin, turn, solids.half[:, 0], _windows(solids, eye, x, y))


def _windows(solids: Solids, eye: Eye, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(S, 4) rows from and to, columns from and to, that contain every ray that can meet the solid; empty: none."""
    reach = solids.half[:, None, :] * _CORNERS
    corners = np.einsum("sij,sci->scj", solids.turn, reach) + (solids.centre - eye.place)[:, None, :]
    corners = corners @ eye.turn.T
    one, two = corners[:, _EDGES[:, 0]], corners[:, _EDGES[:, 1]]
    rise = two[..., 2] - one[..., 2]
    share = (NEAR - one[..., 2]) / np.where(rise == 0, 1, rise)
    crossing = one + np.clip(share, 0, 1)[..., None] * (two - one)
    points = np.concatenate([corners, crossing], 1)
    ahead = points[..., 2] > NEAR / 2
    bounds = []
    for axis, grid in ((1, y), (0, x)):
        at = points[..., axis] / np.where(ahead, points[..., 2], 1)
        least = np.where(ahead, at, np.inf).min(1)
        most = np.where(ahead, at, -np.inf).max(1)
        bounds += [np.searchsorted(grid, least) - 1, np.searchsorted(grid, most) + 1]
    limits = np.array([len(y), len(y), len(x), len(x)])
    return np.clip(np.stack(bounds, 1), 0, limits)


def _sums(planes: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The sums a x + b y + c for rows (a, b, c) of ``planes`` (n, 3): (n, h, w)."""
    columns = planes[:, 0:1] * x
    rows = planes[:, 1:2] * y + planes[:, 2:3]
    return rows[:, :, None] + columns[:, None, :]


def _inside(cut: _Cut, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The walls of the room: where the ray leaves it, after the least z above 0, hence the largest w."""
    walls = _sums(cut.planes[0], x, y)
    inverse = walls[0].copy()
    surface = np.full(inverse.shape, cut.face[0, 0], dtype=np.int32)
    for wall, face in zip(walls[1:], cut.face[0, 1:].tolist(), strict=True):
        nearer = wall > inverse
        np.copyto(inverse, wall, where=nearer)
        np.copyto(surface, face, where=nearer)
    return inverse, surface


def _put(so_far: Seen, enter: np.ndarray, nearer: np.ndarray, faces: list[tuple[int, np.ndarray | None]]) -> None:
    """Note what is nearer than all before: at ``enter``, on the last of ``faces`` whose mask is set (None: all set)."""
    np.copyto(so_far.inverse, enter, where=nearer)
    for face, mask in faces:
        np.copyto(so_far.surface, face, where=nearer if mask is None else nearer & mask)


def _box(cut: _Cut, index: int, rays: tuple[np.ndarray, np.ndarray], so_far: Seen) -> None:
    """A box is entered past all planes that face the eye, if that is before any that faces away."""
    walls, fronts, names = _sums(cut.planes[index], *rays), int(cut.fronts[index]), cut.face[index].tolist()
    enter, faces = walls[0], [(6 * index + names[0], None)]
    for wall, name in zip(walls[1:fronts], names[1:fronts], strict=True):
        faces.append((6 * index + name, wall < enter))
        enter = np.minimum(enter, wall)
    leave = np.maximum.reduce(walls[fronts:], 0)
    np.maximum(leave, so_far.inverse, out=leave)
    _put(so_far, enter, enter > leave, faces)


def _ball(cut: _Cut, index: int, rays: tuple[np.ndarray, np.ndarray], so_far: Seen) -> None:
    """A ball is entered at the larger root w of c w^2 + 2 b w + a = 0, with a = |d|^2, b = o.d, c = |o|^2 - r^2."""
    x, y = rays
    origin, radius = cut.origin[index], cut.radius[index]
    c = np.float32(origin @ origin - radius * radius)
    b = _sums((origin @ cut.turn[index])[None].astype(np.float32), x, y)[0]
    under = b * b
    under -= c * ((y * y + 1)[:, None] + x * x)
    met = under > 0
    np.sqrt(under, out=under, where=met)
    under -= b
    under /= c
    met &= under > so_far.inverse
    _put(so_far, under, met, [(6 * index, None)])


def _tube(cut: _Cut, index: int, rays: tuple[np.ndarray, np.ndarray], so_far: Seen) -> None:
    """A tube's round side is entered as a ball without its third axis, its ends as a box's."""
    origin, turn, radius = cut.origin[index], cut.turn[index], cut.radius[index]
    c = np.float32(origin[0] ** 2 + origin[1] ** 2 - radius * radius)
    across = _sums(np.stack([turn[0], turn[1], origin[:2] @ turn[:2]]).astype(np.float32), *rays)
    b = across[2]
    squares = np.square(across[:2])
    under = b * b - c * (squares[0] + squares[1])
    met = under > 0
    root = np.sqrt(np.maximum(under, 0, out=under), out=under)
    leave = (-b - root) / c
    # from within the endless tube only an end can be entered by
    enter = (root - b) / c if c > 0 else np.full_like(b, np.inf if cut.fronts[index] else 0)
    faces: list[tuple[int, np.ndarray | None]] = [(6 * index, None)]
    for place, face in enumerate(cut.face[index].tolist()):
        if face < 4:
            continue
        end = _sums(cut.planes[index, place : place + 1], *rays)[0]
        if place < cut.fronts[index]:
            faces.append((6 * index + face, end < enter))
            enter = np.minimum(enter, end)
        else:
            leave = np.maximum(leave, end)
    met &= enter > np.maximum(leave, so_far.inverse)
    _put(so_far, enter, met, faces)
