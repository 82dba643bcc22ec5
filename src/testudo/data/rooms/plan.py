"""A random room: its size, its walls and their fittings, and furniture that stands where it may."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from testudo.data.rooms import fittings, seats, storage
from testudo.data.rooms.dice import Dice
from testudo.data.rooms.groups import GROUPS
from testudo.data.rooms.ornaments import ball, crate, lamp, plant
from testudo.data.rooms.solids import BOX, Piece, Solid, Solids, Stuff
from testudo.data.rooms.surfaces import Surfaces
from testudo.data.rooms.tones import Tones, tones

KINDS = ("bedroom", "living", "study", "dining")
TRIES = 20
APART = 0.06  # metres between pieces
FLAT = 0.03  # metres: what is lower (a rug) takes no room
COMMON = ("armchair", "shelf", "plant", "crate", "floor lamp", "dresser", "ball", "bench", "crate")
FURNISHING = {  # what each kind of room has; of the rest it may have some
    "bedroom": ("bed", "wardrobe"),
    "living": ("sofa", "bench"),
    "study": ("desk", "shelf"),
    "dining": ("dining", "dresser"),
}
ALSO = {"bedroom": ("desk", "dresser"), "living": ("desk",), "study": ("sofa",), "dining": ("sofa", "wardrobe")}
PIECES: dict[str, Callable[[Dice, Tones], Piece]] = {
    **GROUPS,
    "wardrobe": storage.wardrobe,
    "dresser": storage.dresser,
    "shelf": storage.shelf,
    "bench": storage.bench,
    "armchair": seats.armchair,
    "plant": plant,
    "ball": ball,
    "crate": crate,
    "floor lamp": lambda dice, tones_: lamp(dice, tones_, dice.between(1.35, 1.6)),
}
CORNERED = ("plant", "floor lamp", "ball", "armchair", "crate")  # stand in corners, clear of the wall


Area = tuple[float, float, float, float]


class Light(NamedTuple):
    """A lamp or a window: where it is, its colour and strength, and the direction it faces (0: all directions)."""

    place: np.ndarray
    colour: np.ndarray
    facing: np.ndarray


class Wall(NamedTuple):
    """A wall's foot: where it begins, its direction as ``yaw``, its length; the room is to the left of it."""

    start: tuple[float, float]
    yaw: float
    length: float

    def at(self, along: float, away: float = 0.0) -> tuple[float, float]:
        """The point so far along the wall and away from it."""
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        return self.start[0] + cos * along - sin * away, self.start[1] + sin * along + cos * away


class Hold(NamedTuple):
    """A stretch of a wall that something covers, from one height to another."""

    wall: int
    along: tuple[float, float]
    high: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Room:
    """A furnished room.

    Args:
        size: metres to the east, to the north and up, from the corner at (0, 0, 0).
        solids: the room itself, then what is in it.
        surfaces: their faces.
        lights: the ceiling's lamp, then the windows.
    """

    size: tuple[float, float, float]
    solids: Solids
    surfaces: Surfaces
    lights: tuple[Light, ...]


def room(seed: int, number: int) -> Room:
    """Room ``number`` of ``seed``; a function of these two alone."""
    plan = _Plan(Dice(number, seed, 0))
    plan.build()
    solids = Solids.of(plan.piece.solids)
    t = plan.tones
    walls = [Stuff("wall", "shell", t.feature if plan.feature == side else t.wall) for side in (3, 1, 0, 2)]
    shell = [*walls, Stuff("floor", "shell", t.floor), Stuff("ceiling", "shell", t.ceiling)]
    return Room(plan.size, solids, Surfaces.of(plan.piece.solids, solids, shell), tuple(plan.lights))


class _Plan:
    """A room being furnished."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.kind = dice.pick(KINDS)
        wide, deep, high = dice.between(3.0, 5.2), dice.between(3.0, 5.2), dice.between(2.35, 2.85)
        self.size = (wide, deep, high)
        self.tones = tones(dice)
        self.feature = dice.whole(0, 3)
        self.walls = [
            Wall((0, 0), 0, wide),
            Wall((wide, 0), math.pi / 2, deep),
            Wall((wide, deep), math.pi, wide),
            Wall((0, deep), 1.5 * math.pi, deep),
        ]
        half = (wide / 2, deep / 2, high / 2)
        nothing = Stuff("wall", "shell", self.tones.wall)
        self.piece = Piece([Solid(BOX, half, half, 0.0, 2, nothing)])
        self.taken: list[Area] = []
        self.held: list[Hold] = []
        self.lights: list[Light] = []

    def build(self) -> None:
        """Everything, from the walls inwards."""
        self._lamp()
        for wall in self.walls:
            self.piece.add(fittings.skirting(self.tones, wall.length), *wall.start, 0, wall.yaw)
        self._door()
        for _ in range(self.dice.whole(1, 2)):
            self._window()
        more = self.dice.shuffled((*ALSO[self.kind], *COMMON))[: self.dice.whole(4, 7)]
        for name in (*FURNISHING[self.kind], *more):
            self._furnish(name)
        for _ in range(self.dice.whole(4, 7)):
            self._hang()

    def _lamp(self) -> None:
        """The lamp in the middle of the ceiling."""
        wide, deep, high = self.size
        x, y = wide * self.dice.between(0.4, 0.6), deep * self.dice.between(0.4, 0.6)
        lamp_, bulb = fittings.ceiling_lamp(self.dice)
        self.piece.add(lamp_, x, y, high)
        warmth = self.dice.between(0, 1)
        colour = np.array([1.0, 0.93 - 0.12 * warmth, 0.84 - 0.3 * warmth]) * self.dice.between(0.55, 1.1)
        self.lights.append(Light(np.array([x, y, high + bulb]), colour, np.zeros(3)))

    def _door(self) -> None:
        """A door somewhere, and the floor before it kept free."""
        index = self.dice.whole(0, 3)
        wall = self.walls[index]
        along = self.dice.between(0.6, wall.length - 0.6)
        self.piece.add(fittings.door(self.dice, self.tones), *wall.at(along), 0, wall.yaw)
        self.held.append(Hold(index, (along - 0.5, along + 0.5), (0, 2.2)))
        self.taken.append(self._area(wall, along, (-0.45, 0.45, 0, 0.7)))

    def _window(self) -> None:
        """A window where the wall is free, and the light that comes through it."""
        dice = self.dice
        wide = dice.between(0.9, 2.0)
        low = dice.between(0.75, 0.95)
        z = (low, min(dice.between(1.95, 2.2), self.size[2] - 0.25))
        for _ in range(TRIES):
            index = dice.whole(0, 3)
            wall = self.walls[index]
            margin = wide / 2 + 0.4
            if wall.length < 2 * margin:
                continue
            along = dice.between(margin, wall.length - margin)
            hold = Hold(index, (along - margin, along + margin), (z[0] - 0.15, self.size[2]))
            if self._free(hold):
                self.held.append(hold)
                sky = dice.between(0.8, 1.4)
                self.piece.add(fittings.window(dice, self.tones, wide, z, sky), *wall.at(along), 0, wall.yaw)
                if dice.chance(0.4):
                    self.piece.add(fittings.radiator(dice, self.tones, wide), *wall.at(along), 0, wall.yaw)
                    self.taken.append(self._area(wall, along, (-wide / 2, wide / 2, 0, 0.12)))
                    self.held.append(Hold(index, (along - wide / 2, along + wide / 2), (0, 0.7)))
                facing = np.array([-math.sin(wall.yaw), math.cos(wall.yaw), 0])
                place = np.array([*wall.at(along, 0.18), (z[0] + z[1]) / 2])
                strength = sky * 0.55 * wide * (z[1] - z[0])
                self.lights.append(Light(place, np.array([0.82, 0.92, 1.0]) * strength, facing))
                return

    def _furnish(self, name: str) -> None:
        """Put a piece on a wall, or on the floor, if there is a place for it."""
        dice = self.dice
        piece = Piece()
        piece.add(PIECES[name](dice, self.tones), yaw=dice.between(-0.5, 0.5) if name == "armchair" else 0.0)
        left, right, back, front, top = _bounds(piece)
        for _ in range(TRIES):
            index = dice.whole(0, 3)
            wall = self.walls[index]
            spare = wall.length - (right - left) - 0.06
            if spare < 0:
                continue
            along = 0.03 - left + dice.between(0, spare)
            low, high = (0.5, 1.2) if name == "dining" else (0.05, 0.3) if name in CORNERED else (0.02, 0.02)
            away = dice.between(low, high) - back
            if name in CORNERED:
                along = 0.03 - left + spare * dice.pick((0.02, 0.98))
            area = self._area(wall, along, (left, right, back + away, front + away))
            hold = Hold(index, (along + left, along + right), (0, top))
            if self._clear(area) and (name in (*CORNERED, "dining") or self._free(hold)):
                self.piece.add(piece, *wall.at(along, away), 0, wall.yaw)
                self.taken.append(area)
                self.held.append(hold)
                return

    def _hang(self) -> None:
        """A picture, a board with books, a clock or a mirror, where the wall is free, at the height of the eye."""
        dice = self.dice
        make = dice.pick((fittings.picture,) * 6 + (storage.ledge,) * 2 + (fittings.clock, fittings.mirror))
        piece = make(dice, self.tones)
        left, right, _, _, top = _bounds(piece, above=-math.inf)
        for _ in range(TRIES):
            index = dice.whole(0, 3)
            wall = self.walls[index]
            along = dice.between(0.1 - left, max(0.1 - left, wall.length - 0.1 - right))
            z = dice.between(1.45, 1.75)
            hold = Hold(index, (along + left - 0.05, along + right + 0.05), (z - top - 0.05, z + top + 0.05))
            if hold.along[1] < wall.length and hold.high[1] < self.size[2] and self._free(hold):
                self.piece.add(piece, *wall.at(along), z, wall.yaw)
                self.held.append(hold)
                return

    def _area(self, wall: Wall, along: float, span: Area) -> Area:
        """West, east, south, north of what spans (left, right, back, front) in the frame of a wall."""
        corners = [wall.at(along + a, b) for a in span[:2] for b in span[2:]]
        x, y = zip(*corners, strict=True)
        return min(x), max(x), min(y), max(y)

    def _clear(self, area: Area) -> bool:
        """Whether no other piece stands there, and it is in the room."""
        west, east, south, north = area
        if west < 0 or south < 0 or east > self.size[0] or north > self.size[1]:
            return False
        return all(
            west > e + APART or east < w - APART or south > n + APART or north < s - APART for w, e, s, n in self.taken
        )

    def _free(self, hold: Hold) -> bool:
        """Whether nothing else is on that stretch of wall."""
        return not any(
            other.wall == hold.wall
            and other.along[0] < hold.along[1]
            and hold.along[0] < other.along[1]
            and other.high[0] < hold.high[1]
            and hold.high[0] < other.high[1]
            for other in self.held
        )


def _bounds(piece: Piece, above: float = FLAT) -> tuple[float, float, float, float, float]:
    """Left, right, back, front and top of all but its flat parts."""
    solids = Solids.of(piece.solids)
    low, high = solids.centre - solids.extent(), solids.centre + solids.extent()
    tall = high[:, 2] > above
    (left, back, _), (right, front, top) = low[tall].min(0), high[tall].max(0)
    return left, right, back, front, top
