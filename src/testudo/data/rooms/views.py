"""Where a camera stands in a room, and where it looks: at the height of a person's eyes, at something worth seeing."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from testudo.data.normals import Camera
from testudo.data.rooms.dice import Dice
from testudo.data.rooms.plan import Room
from testudo.data.rooms.raycast import Eye
from testudo.data.rooms.solids import Solids

CANDIDATES = 6
WANTED = 6  # classes that a view should show besides the bare room
CLEAR = 0.25  # metres between the camera and anything
_ACROSS, _DOWN = 11, 8  # rays that a candidate is judged by


class View(NamedTuple):
    """A camera in a room: the eye, and its focal length as a share of the image's width."""

    eye: Eye
    focal: float

    def camera(self, size: tuple[int, int]) -> Camera:
        """The pinhole in pixels of an image of ``size`` (height, width), square ones, the axis through its middle."""
        high, wide = size
        return Camera(self.focal * wide, self.focal * wide, (wide - 1) / 2, (high - 1) / 2, size)


def view(room: Room, seed: int, number: int, index: int) -> View:
    """View ``index`` of room ``number``: the first of some candidates that shows six classes, or else the richest."""
    dice = Dice(number, seed, 1, index)
    found: list[tuple[int, View]] = []
    while len(found) < CANDIDATES:
        candidate = _drawn(dice, room)
        score = _classes(room, candidate)
        if score >= WANTED:
            return candidate
        found.append((score, candidate))
    return max(found, key=lambda pair: pair[0])[1]


def _drawn(dice: Dice, room: Room) -> View:
    """A camera on free floor that looks at one of the things in the room."""
    wide, deep, _ = room.size
    while True:
        place = np.array([dice.between(0.3, wide - 0.3), dice.between(0.3, deep - 0.3), dice.between(1.15, 1.75)])
        if _clearance(room.solids, place) > CLEAR:
            break
    target = room.solids.centre[dice.whole(1, len(room.solids) - 1)]
    east, north, up = target - place
    far = math.hypot(east, north)
    yaw = math.atan2(-east, north) + dice.between(-0.25, 0.25)
    aim = math.atan2(up, max(far, 1.5))
    pitch = min(max(0.6 * aim + dice.between(-0.12, 0.06), -0.45), 0.1)
    return View(Eye.looking(place, yaw, pitch, dice.between(-0.05, 0.05)), dice.between(0.62, 0.9))


def _clearance(solids: Solids, place: np.ndarray) -> float:
    """Metres from a point to the nearest thing, seen from above: no camera hangs over a table."""
    local = np.einsum("sij,sj->si", solids.turn[1:], place * [1, 1, 0] - solids.centre[1:] * [1, 1, 0])
    beyond = np.maximum(np.abs(local) - solids.half[1:], 0)
    flat = solids.centre[1:, 2] + solids.extent()[1:, 2] < 0.05
    return float(np.where(flat, np.inf, np.sqrt(np.square(beyond).sum(1))).min())


def _classes(room: Room, candidate: View) -> int:
    """How many classes a few rays meet, every solid taken for its box; 0 where most of them meet one thing nearby."""
    solids = room.solids
    x = (np.arange(_ACROSS) + 0.5) / _ACROSS - 0.5
    y = ((np.arange(_DOWN) + 0.5) / _DOWN - 0.5) * 0.75
    rays = np.stack(
        [part.ravel() for part in np.broadcast_arrays(x / candidate.focal, y[:, None] / candidate.focal, 1)]
    )
    turn = solids.turn.astype(np.float32)
    way = turn @ (candidate.eye.turn.T @ rays).astype(np.float32)  # (S, 3, rays)
    start = turn @ (candidate.eye.place - solids.centre).astype(np.float32)[:, :, None]
    half = solids.half.astype(np.float32)[:, :, None]
    way[way == 0] = 1e-9
    middle, reach = -start / way, half / np.abs(way)
    enter, leave = (middle - reach).max(1), (middle + reach).min(1)
    enter[(enter >= leave) | (enter <= 0)] = np.inf
    enter[0] = leave[0]
    depth = enter
    nearest = depth.argmin(0)
    metres = depth.min(0)
    if np.median(metres) < 1.2 or (metres < 0.6).mean() > 0.15:
        return 0
    return len(np.unique(room.surfaces.name[nearest[nearest > 0] * 6]))
