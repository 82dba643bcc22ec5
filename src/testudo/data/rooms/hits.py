"""Where rays end: exact depth, place, normal and curvature on the surface that each ray meets.

Shapes: n rays (x, y, 1) of an eye's frame, any order; S solids.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from testudo.data.rooms.raycast import Eye
from testudo.data.rooms.solids import BALL, BOX, Solids

_AXIS = np.array([0, 0, 1, 1, 2, 2])
_SIGN = np.array([-1.0, 1.0] * 3)


class Points(NamedTuple):
    """Where rays end, in the world: place and unit normal, which is towards the eye's side, (3, n)."""

    place: np.ndarray
    normal: np.ndarray


def round_faces(solids: Solids) -> np.ndarray:
    """(6 S,) bool: the faces that are not flat."""
    flags = np.zeros((len(solids), 6), bool)
    flags[:, 0] = solids.kind > 0
    return flags.ravel()


def face_normals(solids: Solids) -> np.ndarray:
    """(3, 6 S) unit normals in the world, outwards (of solid 0, the room, inwards); of round faces without meaning."""
    normals = solids.turn[:, _AXIS] * _SIGN[:, None]
    normals[0] *= -1
    return normals.reshape(-1, 3).T


def inverse_depth(solids: Solids, eye: Eye, x: np.ndarray, y: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """1/z (n,) in float64 of where rays meet the surfaces (n,) that they are known to meet first."""
    normals = face_normals(solids)
    rows = np.arange(normals.shape[1])
    gap = solids.half[:, _AXIS].ravel() * np.where(rows < 6, -1, 1)
    gap = gap - np.einsum("ir,ri->r", normals, eye.place - solids.centre[rows // 6])
    planes = (eye.turn @ normals) / np.where(gap == 0, 1, gap)
    a, b, c = planes[:, surface]
    inverse = a * x + b * y + c
    curved = np.flatnonzero(round_faces(solids)[surface])
    inverse[curved] = _round(solids, eye, x[curved], y[curved], surface[curved] // 6)
    return inverse


def _round(solids: Solids, eye: Eye, x: np.ndarray, y: np.ndarray, which: np.ndarray) -> np.ndarray:
    """1/z on balls and on the sides of tubes: the larger root, as in :mod:`testudo.data.rooms.raycast`."""
    origin = np.einsum("sij,sj->si", solids.turn, eye.place - solids.centre)[which]
    turn = (solids.turn @ eye.turn.T)[which]
    way = turn[:, :, 0] * x[:, None] + turn[:, :, 1] * y[:, None] + turn[:, :, 2]
    axes = np.where(solids.kind[which] == BALL, 1.0, 0.0)
    weight = np.stack([np.ones_like(axes), np.ones_like(axes), axes], 1)
    a, b = (weight * way * way).sum(1), (weight * way * origin).sum(1)
    c = (weight * origin * origin).sum(1) - solids.half[which, 0] ** 2
    root = np.sqrt(np.maximum(b * b - a * c, 0))
    # the larger root of c w^2 + 2 b w + a, without cancellation
    return np.where(b < 0, (root - b) / c, a / -(b + root))


class Fan:
    """Rays between ``first`` (n, 3) and ``last`` (n, 3) of an eye's frame, each with one solid ``which`` (n,)."""

    def __init__(self, solids: Solids, eye: Eye, which: np.ndarray, first: np.ndarray, last: np.ndarray) -> None:
        kind, turn = solids.kind[which], (solids.turn @ eye.turn.T)[which]
        self._start = np.einsum("sij,sj->is", solids.turn, eye.place - solids.centre)[:, which]
        self._first, self._last = (np.einsum("nij,nj->in", turn, rays) for rays in (first, last))
        self._half, self._room, self._box = solids.half[which].T, which == 0, kind == BOX
        self._flat = np.stack([kind == BOX, kind == BOX, kind != BALL])
        self._round = np.stack([kind != BOX, kind != BOX, kind == BALL]).astype(float)
        self._beyond = (self._round * self._start**2).sum(0) - self._half[0] ** 2

    def entered(self, share: np.ndarray) -> np.ndarray:
        """1/z (n,) of where the rays this far (n,) from first to last enter their solids; 0 if they miss.

        If the solid is the room, it is where they leave it. Whatever else is there is not looked at.
        """
        way = self._first + share * (self._last - self._first)
        way[way == 0] = 1e-300
        middle, reach = -self._start / way, self._half / np.abs(way)
        enter = np.where(self._flat, middle - reach, -np.inf).max(0)
        leave = np.where(self._flat, middle + reach, np.inf).min(0)
        weighted = self._round * way
        a, b = (weighted * way).sum(0), (weighted * self._start).sum(0)
        under = b * b - a * self._beyond
        root, a = np.sqrt(np.maximum(under, 0)), np.where(self._box, 1, a)
        enter = np.where(self._box, enter, np.maximum(enter, (-b - root) / a))
        leave = np.where(self._box, leave, np.minimum(leave, (root - b) / a))
        met = (enter < leave) & (enter > 0) & ((under > 0) | self._box)
        return 1 / np.where(self._room, leave, np.where(met, enter, np.inf))


def points(
    solids: Solids, eye: Eye, rays: tuple[np.ndarray, np.ndarray], inverse: np.ndarray, surface: np.ndarray
) -> Points:
    """Places and normals, in the precision of ``inverse``.

    Args:
        solids: what is met.
        eye: where the rays start.
        rays: x (n,) and y (n,).
        inverse: 1/z (n,).
        surface: (n,).
    """
    kind = inverse.dtype
    turn, start = eye.turn.astype(kind), eye.place.astype(kind)
    x, y = rays
    place = np.empty((3, len(inverse)), kind)
    for axis in range(3):
        np.multiply(turn[0, axis], x, out=place[axis])
        place[axis] += turn[1, axis] * y
        place[axis] += turn[2, axis]
        place[axis] /= inverse
        place[axis] += start[axis]
    # rows are gathered ten times as fast as columns
    normal = np.ascontiguousarray(np.take(face_normals(solids).T.astype(kind), surface, axis=0).T)
    curved = np.flatnonzero(np.take(round_faces(solids), surface))
    which = surface[curved] // 6
    out = place[:, curved] - solids.centre[which].T.astype(kind)
    axis_ = solids.turn[which, 2].T.astype(kind)
    along = (out * axis_).sum(0) * (solids.kind[which] != BALL)
    normal[:, curved] = (out - along * axis_) / solids.half[which, 0].astype(kind)
    return Points(place, normal)


def curvatures(solids: Solids, surface: np.ndarray) -> np.ndarray:
    """Principal curvatures (2, n) in 1/m, the larger first: of a ball twice 1/r, of a tube's side 1/r and 0, else 0."""
    table = np.zeros((2, len(solids), 6))
    table[0, :, 0] = np.where(solids.kind > 0, 1 / solids.half[:, 0], 0)
    table[1, :, 0] = np.where(solids.kind == BALL, 1 / solids.half[:, 0], 0)
    return table.reshape(2, -1)[:, surface]
