"""Boxes, balls and tubes: what rooms are built of, one by one and as arrays.

The world: x to the east, y to the north, z up, in metres. A piece of furniture is built in a frame of its own, its
back on y = 0 and its front towards +y, and then placed.

Shapes: S solids, each with 6 faces, in the order -x, +x, -y, +y, -z, +z of its own axes. A ball's only face is 0; a
tube's axis is its third, its side is face 0, its ends are 4 and 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

BOX, BALL, TUBE = 0, 1, 2
FRONT = 3
AXES = np.array([[[0, 1, 0], [0, 0, 1], [1, 0, 0]], [[0, 0, 1], [1, 0, 0], [0, 1, 0]], np.eye(3)])

Colour = tuple[float, float, float]
Span = tuple[float, float]
Point = tuple[float, float, float]


class Look(NamedTuple):
    """The colours of a surface: from ``dark`` to ``light`` as its pattern goes from 0 to 1.

    ``tile`` are the metres that the pattern repeats after, along and across; 0 fits it to the face once. ``glow`` is
    the light that the surface sends out by itself.
    """

    pattern: str
    dark: Colour
    light: Colour
    tile: tuple[float, float] = (1.0, 1.0)
    glow: float = 0.0


class Stuff(NamedTuple):
    """What a solid is: its class, its part, its look, and the look of its front where that is another."""

    name: str
    part: str
    look: Look
    front: Look | None = None


class Solid(NamedTuple):
    """One solid: middle and half sizes along its own axes, turned about the vertical by ``yaw`` (radians).

    A tube's axis is ``axis`` of the frame before it is turned; ``half`` holds its radius twice, and half its length.
    """

    kind: int
    centre: Point
    half: Point
    yaw: float
    axis: int
    stuff: Stuff


@dataclass(frozen=True)
class Piece:
    """Solids in the making: a piece of furniture, or several that belong together."""

    solids: list[Solid] = field(default_factory=list)

    def box(self, stuff: Stuff, x: Span, y: Span, z: Span) -> None:
        """Add a box that spans these intervals."""
        middle, half = zip(*(((high + low) / 2, (high - low) / 2) for low, high in (x, y, z)), strict=True)
        self.solids.append(Solid(BOX, middle, half, 0.0, 2, stuff))

    def ball(self, stuff: Stuff, centre: Point, radius: float) -> None:
        """Add a ball."""
        self.solids.append(Solid(BALL, centre, (radius, radius, radius), 0.0, 2, stuff))

    def tube(self, stuff: Stuff, foot: Point, radius: float, length: float, axis: int = 2) -> None:
        """Add a tube with closed ends, from ``foot`` (the middle of its lower end) along ``axis``."""
        x, y, z = (value + length / 2 * (index == axis) for index, value in enumerate(foot))
        self.solids.append(Solid(TUBE, (x, y, z), (radius, radius, length / 2), 0.0, axis, stuff))

    def add(self, other: Piece, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> None:
        """Add the solids of another piece, turned about the vertical and then moved."""
        cos, sin = math.cos(yaw), math.sin(yaw)
        for solid in other.solids:
            a, b, c = solid.centre
            centre = (x + cos * a - sin * b, y + sin * a + cos * b, z + c)
            self.solids.append(solid._replace(centre=centre, yaw=solid.yaw + yaw))


@dataclass(frozen=True, eq=False)
class Solids:
    """Solids as arrays: kind (S,), centre (S, 3), half (S, 3); turn (S, 3, 3), whose rows are a solid's own axes."""

    kind: np.ndarray
    centre: np.ndarray
    half: np.ndarray
    turn: np.ndarray

    @classmethod
    def of(cls, solids: list[Solid]) -> Solids:
        """The arrays of ``solids``."""
        yaw = np.array([solid.yaw for solid in solids])
        cos, sin, zero = np.cos(yaw), np.sin(yaw), np.zeros(len(yaw))
        upright = np.stack([cos, sin, zero, -sin, cos, zero, zero, zero, zero + 1], 1).reshape(-1, 3, 3)
        axes = AXES[[solid.axis for solid in solids]]
        return cls(
            np.array([solid.kind for solid in solids]),
            np.array([solid.centre for solid in solids]),
            np.array([solid.half for solid in solids]),
            axes @ upright,
        )

    def __len__(self) -> int:
        return len(self.kind)

    def pick(self, which: np.ndarray) -> Solids:
        """Only some of them, given by a mask or by their numbers."""
        return Solids(self.kind[which], self.centre[which], self.half[which], self.turn[which])

    def extent(self) -> np.ndarray:
        """(S, 3) half sizes of the boxes along the world's axes that enclose them."""
        return np.einsum("sij,si->sj", np.abs(self.turn), self.half)
