"""What every face of every solid of a room is: class, part, colours, and where its pattern lies on it.

Shapes: S solids; a row is 6 * solid + face, for the faces of :mod:`testudo.data.rooms.solids`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from testudo.data.nyuv2_files import CLASSES
from testudo.data.rooms.patterns import NUMBER, SIDE
from testudo.data.rooms.solids import FRONT, Look, Solid, Solids, Stuff

PARTS = ("shell", "body", "board", "leg", "seat", "back", "arm", "cushion", "frame", "pane")
_CLASS = {name: index for index, name in enumerate(CLASSES)}
_PART = {name: index for index, name in enumerate(PARTS)}
_ALONG = np.array([1, 1, 0, 0, 0, 0])  # which of a face's axes its pattern runs along ...
_ACROSS = np.array([2, 2, 2, 2, 1, 1])  # ... and which across
# so that a pattern is not mirrored when seen from outside, with z upwards
_WAY = np.array([[-1, 1, 1, -1, 1, 1], [-1, -1, -1, -1, 1, 1]])
_FIBROUS = ("grain",)  # laid along the longer side of a face


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Every face; all in rows, since these gather quickly.

    Args:
        name: the class, (6 S,) uint8.
        part: (6 S,) uint8.
        pattern: its number, (6 S,) int32.
        dark: red, green, blue and nothing, (6 S, 4) float32 as all that follows.
        spread: light less dark, (6 S, 4).
        glow: (6 S,).
        chart: (6 S, 8), where a point p lies on the pattern: along = chart[:3] . p + chart[3], across likewise with
            the other four; of the round faces only the scales, chart[0] and chart[4].
        density: texels per metre, (6 S,).
    """

    name: np.ndarray
    part: np.ndarray
    pattern: np.ndarray
    dark: np.ndarray
    spread: np.ndarray
    glow: np.ndarray
    chart: np.ndarray
    density: np.ndarray

    @classmethod
    def of(cls, items: list[Solid], solids: Solids, shell: list[Stuff]) -> Surfaces:
        """The surfaces of ``items``; ``shell`` are the six faces of the first, the room itself."""
        stuffs = [*shell, *(s for item in items[1:] for s in _faces(item.stuff))]
        looks = [stuff.look for stuff in stuffs]
        dark = np.array([(*look.dark, 0) for look in looks], np.float32)
        light = np.array([(*look.light, 0) for look in looks], np.float32)
        chart, density = _charts(looks, solids)
        return cls(
            np.array([_CLASS[stuff.name] for stuff in stuffs], np.uint8),
            np.array([_PART[stuff.part] for stuff in stuffs], np.uint8),
            np.array([NUMBER[look.pattern] for look in looks], np.int32),
            dark,
            light - dark,
            np.array([look.glow for look in looks], np.float32),
            chart,
            density,
        )


def _faces(stuff: Stuff) -> list[Stuff]:
    """The six faces of one solid."""
    faces = [stuff] * 6
    if stuff.front is not None:
        faces[FRONT] = stuff._replace(look=stuff.front)
    return faces


def _charts(looks: list[Look], solids: Solids) -> tuple[np.ndarray, np.ndarray]:
    """See :class:`Surfaces`."""
    rows, count = np.arange(6 * len(solids)), len(solids)
    owner, face = rows // 6, rows % 6
    tile = np.array([look.tile for look in looks])
    axes = np.stack([_ALONG[face], _ACROSS[face]])
    half = solids.half[owner, axes]  # (2, 6 S)
    fibrous = np.array([look.pattern in _FIBROUS for look in looks])
    axes = np.where(fibrous & (half[1] > half[0]), axes[::-1], axes)
    half = solids.half[owner, axes]
    fitted = tile.T == 0
    scale = np.where(fitted, 0.5 / half, 1 / np.where(fitted, 1, tile.T))
    middle = np.where(fitted, 0.5, (np.arange(count) * 0.6180339887 % 1)[owner])
    round_ = (face == 0) & (solids.kind[owner] > 0)
    way = np.where(round_, 1, _WAY[:, face])
    chart = (way * scale)[:, None, :] * solids.turn[owner, axes].transpose(0, 2, 1)  # (2, 3, 6 S)
    start = middle - np.einsum("dkr,rk->dr", chart, solids.centre[owner])
    chart = np.concatenate([chart, start[:, None]], 1)
    chart[:, 0, round_] = scale[:, round_]
    chart = np.ascontiguousarray(chart.reshape(8, -1).T, np.float32)
    return chart, (SIDE * scale.max(0)).astype(np.float32)
