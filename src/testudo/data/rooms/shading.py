"""The colour of what is seen: patterns, lamps and windows with soft shadows, and darker corners.

Everything is a number per ray; rays are (n,) here, in any order. Colours are linear until the image is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter

from testudo.data.rooms.hits import Points, round_faces
from testudo.data.rooms.patterns import texels
from testudo.data.rooms.plan import Light, Room
from testudo.data.rooms.raycast import Eye, seen

REACH, CELLS, FINER = 3.0, 128, 3  # a shadow map covers rays (x, y, 1) with |x|, |y| <= REACH, in so many cells each
# way, and is enlarged so many times
SHARP = 12.0  # per metre: how fast a shadow darkens behind what casts it ...
SLACK = np.float32(1.35)  # ... beginning a few centimetres behind, or slanting walls would shade themselves
SKY, CORNER = 0.24, 0.3  # light from everywhere; metres over which a corner gathers less of it
THIN = 0.03  # metres, half a thing's thickness
FLOOR_CELL = 0.05  # metres
GAIN, HALF = np.float32(2.8), np.float32(1.2)  # light falls off as GAIN / (HALF + square of the metres)
KNEE = 0.8  # brighter than this is compressed


def _softened(cells: int, finer: int) -> np.ndarray:
    """(finer * cells, cells) weights that enlarge and blur a row of cells with a tent two cells to each side."""
    places = (np.arange(finer * cells) + 0.5) / finer - 0.5
    weights = np.maximum(1 - np.abs(places[:, None] - np.arange(cells)) / 2, 0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


_SOFT = _softened(CELLS, FINER)


class Shadow(NamedTuple):
    """What a light sees: exp(SHARP * z) of the nearest surface, blurred, on a grid; ``turn`` is its camera's."""

    turn: np.ndarray
    depth: np.ndarray


@dataclass(frozen=True, eq=False)
class Lit:
    """A room with what its light takes long to compute: shadows of the first two lights, the floor's contact shade."""

    room: Room
    shadows: tuple[Shadow, ...]
    contact: np.ndarray

    @classmethod
    def of(cls, room: Room) -> Lit:
        """The room, lit."""
        return cls(room, tuple(_shadow(room, light) for light in room.lights[:2]), _contact(room))


def colours(lit: Lit, ends: Points, surface: np.ndarray, metres: np.ndarray) -> np.ndarray:
    """Linear colours (n, 4) of points: red, green, blue, about 0 to 1, of lamps and windows more; and nothing.

    Args:
        lit: the room.
        ends: the points.
        surface: (n,) which each is on.
        metres: (n,) that a ray stands for there, if it meets the surface head on.
    """
    table = lit.room.surfaces
    along, across = _charted(lit.room, ends, surface)
    metres = metres * np.take(table.density, surface)
    texel = texels(np.take(table.pattern, surface), along, across, metres)
    colour = np.multiply(texel, np.float32(1 / 255), dtype=np.float32)  # four columns: no gaps between rows
    colour *= np.take(table.spread, surface, axis=0)
    colour += np.take(table.dark, surface, axis=0)
    colour *= _light(lit, ends, np.take(table.glow, surface))
    return colour


def _charted(room: Room, ends: Points, surface: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where points (n,) lie on the patterns of their surfaces: along (n,) and across (n,)."""
    solids, chart = room.solids, np.take(room.surfaces.chart, surface, axis=0)
    places = []
    for start in (0, 4):
        at = chart[:, start + 3].copy()
        for axis in range(3):
            at += chart[:, start + axis] * ends.place[axis]
        places.append(at)
    curved = np.flatnonzero(np.take(round_faces(solids), surface))
    which = surface[curved] // 6
    local = np.einsum("nij,nj->in", solids.turn[which], ends.place[:, curved].T - solids.centre[which])
    places[0][curved] = chart[curved, 0] * np.arctan2(local[1], local[0]) * solids.half[which, 0]
    places[1][curved] = chart[curved, 4] * -local[2]
    return places[0], places[1]


def tone(linear: np.ndarray) -> np.ndarray:
    """Linear colours as uint8 in sRGB's curve; what is brighter than the knee fades towards white."""
    over = np.maximum(linear - KNEE, 0)
    out = np.minimum(linear, KNEE) + (1 - KNEE) * -np.expm1(over / (KNEE - 1))
    return np.round(255 * np.clip(out, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def _light(lit: Lit, ends: Points, glow: np.ndarray) -> np.ndarray:
    """Light (n, 4) that points send on if they are white: what falls on them, 1 in full light, and their own."""
    place, normal = ends
    height = place[2] / np.float32(lit.room.size[2])
    bounced = np.maximum(-normal[2], 0) * height * height  # what the floor sends up to the ceiling
    grey = SKY * (0.9 + 0.1 * normal[2] + 0.5 * bounced) * _openness(lit, place, normal)
    grey += glow
    each, tints = [grey], [np.ones(3)]
    for index, light in enumerate(lit.room.lights):
        toward = light.place.astype(np.float32)[:, None] - place
        square = np.einsum("cn,cn->n", toward, toward)
        cosine = np.einsum("cn,cn->n", toward, normal)
        np.maximum(cosine, 0, out=cosine)
        cosine /= np.sqrt(square)
        if light.facing.any():
            ahead = -(light.facing.astype(np.float32) @ toward) / np.sqrt(square)
            cosine *= np.maximum(ahead + np.float32(0.15), 0)
        cosine *= GAIN / (HALF + square)
        if index < len(lit.shadows):
            cosine *= _reached(lit.shadows[index], toward)
        each.append(cosine)
        tints.append(light.colour)
    mixed = np.zeros((len(tints), 4), np.float32)
    mixed[:, :3] = tints
    return np.stack(each, 1) @ mixed


def _openness(lit: Lit, place: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """The share of ambient light (n,) that gets into corners, and under what stands on the floor."""
    share = np.ones_like(place[0])
    for axis, size in enumerate(lit.room.size):
        gap = np.minimum(place[axis], np.float32(size) - place[axis])
        gap *= np.float32(1 / CORNER)
        gap *= gap
        share *= 1 - (1 - normal[axis] * normal[axis]) * (np.float32(0.45) / (1 + gap))
    low = np.flatnonzero(place[2] < 0.03)
    cell = [
        np.clip((place[axis, low] / FLOOR_CELL).astype(np.int32), 0, lit.contact.shape[axis] - 1) for axis in (0, 1)
    ]
    share[low] *= lit.contact[cell[0], cell[1]]
    return share


def _reached(shadow: Shadow, toward: np.ndarray) -> np.ndarray:
    """The share of a light (n,) that reaches points at ``-toward`` (3, n) from it: 1 in the open, 0 in full shade.

    Exponential shadow maps (Annen et al. 2008): the blurred exp(SHARP * z) over the point's own, at most 1.
    """
    right, down, ahead = -(shadow.turn.astype(np.float32) @ toward)
    ahead = np.maximum(ahead, np.float32(0.05))
    cells = shadow.depth.shape[0]
    scale = np.float32(0.5 * cells / REACH)
    column = np.clip(right / ahead * scale + np.float32(cells / 2), 0, cells - 1).astype(np.int32)
    row = np.clip(down / ahead * scale + np.float32(cells / 2), 0, cells - 1).astype(np.int32)
    column += row * cells
    return np.minimum(np.take(shadow.depth, column) * (SLACK * np.exp(ahead * np.float32(-SHARP))), 1)


def _shadow(room: Room, light: Light) -> Shadow:
    """The depth that a light sees: a lamp downwards, a window into the room."""
    if light.facing.any():
        eye = Eye.looking(light.place, float(np.arctan2(-light.facing[0], light.facing[1])), -0.3, 0.0)
    else:
        eye = Eye.looking(light.place, 0.0, -np.pi / 2, 0.0)
    grid = ((np.arange(CELLS) + 0.5) / CELLS * 2 - 1) * REACH
    thick = np.median(room.solids.half, axis=1) > THIN  # what is thin in two directions hardly shades
    inverse = seen(room.solids.pick(thick), eye, grid, grid).inverse
    depth = np.exp(np.minimum(SHARP / inverse, 80))
    return Shadow(eye.turn, _SOFT @ depth @ _SOFT.T)


def _contact(room: Room) -> np.ndarray:
    """How open the floor lies (east, north), 1 in the open: darker under and beside what stands low on it."""
    solids, extent = room.solids, room.solids.extent()
    low, high = solids.centre - extent, solids.centre + extent
    east, north = (int(np.ceil(size / FLOOR_CELL)) for size in room.size[:2])
    cover = np.zeros((east, north), np.float32)
    for index in np.flatnonzero((high[:, 2] > 0.05) & (low[:, 2] < 1.0)).tolist()[1:]:
        west, south = np.floor(low[index, :2] / FLOOR_CELL).astype(int).clip(0)
        to_east, to_north = np.ceil(high[index, :2] / FLOOR_CELL).astype(int)
        part = cover[west:to_east, south:to_north]
        np.maximum(part, np.exp(-max(low[index, 2], 0) / 0.3), out=part)
    return 1 - 0.75 * uniform_filter(uniform_filter(cover, 5), 5)
