"""One view of a room: its picture, and what lies behind the middle of every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from testudo.data.normals import Camera
from testudo.data.rooms.hits import inverse_depth, points
from testudo.data.rooms.plan import Room
from testudo.data.rooms.raycast import Eye, seen
from testudo.data.rooms.shading import Lit, colours, tone
from testudo.data.rooms.views import View


@dataclass(frozen=True, eq=False)
class Frame:
    """A rendered view.

    ``image`` (3, H, W) uint8. Of the ray through the middle of each pixel: ``x`` (W,) and ``y`` (H,) of its direction
    (x, y, 1) in the camera's frame (x to the right, y down, z away); ``surface`` (H, W), what it meets; ``depth``
    (H, W), z in metres; ``normal`` (3, H, W), in the camera's frame. The last two are float64 and exact.
    """

    room: Room
    eye: Eye
    camera: Camera
    image: np.ndarray
    x: np.ndarray
    y: np.ndarray
    surface: np.ndarray
    depth: np.ndarray
    normal: np.ndarray


def render(lit: Lit, view: View, size: tuple[int, int], fine: int) -> Frame:
    """The view at ``size`` (height, width).

    Colours are taken on a grid that is ``fine`` times as dense as the pixels and holds their middles, and averaged
    with weights that fall linearly to 0 one pixel away (a tent; with ``fine`` = 1 only the middles).
    """
    room, camera = lit.room, view.camera(size)
    y, x = (
        (np.arange(1 - fine, fine * count) / fine - middle) / focal
        for count, middle, focal in zip(size, (camera.cy, camera.cx), (camera.fy, camera.fx), strict=True)
    )
    found = seen(room.solids, view.eye, x, y)
    surface, inverse = found.surface.ravel(), found.inverse.ravel()
    ends = points(room.solids, view.eye, _rays(x, y, np.float32), inverse, surface)
    colour = colours(lit, ends, surface, np.float32(x[1] - x[0]) / inverse)
    image = tone(_tent(colour.reshape(*found.surface.shape, 4), fine)[..., :3]).transpose(2, 0, 1)
    middles = slice(fine - 1, None, fine)
    x, y, surface = x[middles], y[middles], found.surface[middles, middles]
    rays, flat = _rays(x, y, np.float64), surface.ravel()
    exact = inverse_depth(room.solids, view.eye, *rays, flat)
    normal = view.eye.turn @ points(room.solids, view.eye, rays, exact, flat).normal
    return Frame(room, view.eye, camera, image, x, y, surface, 1 / exact.reshape(size), normal.reshape(3, *size))


def _rays(x: np.ndarray, y: np.ndarray, kind: type) -> tuple[np.ndarray, np.ndarray]:
    """The x and y of every ray of the grid, row after row: (h * w,) each."""
    across, down = np.broadcast_arrays(x.astype(kind)[None, :], y.astype(kind)[:, None])
    return across.ravel(), down.ravel()


def _tent(grid: np.ndarray, fine: int) -> np.ndarray:
    """(fine (H + 1) - 1, fine (W + 1) - 1, 4) -> (H, W, 4), see :func:`render`."""
    weights = (1 - np.abs(np.arange(1 - fine, fine)) / fine).astype(np.float32) / np.float32(fine)
    high, wide = ((count + 1) // fine - 1 for count in grid.shape[:2])
    grid = sum(weight * grid[start : start + fine * high : fine] for start, weight in enumerate(weights))
    return sum(weight * grid[:, start : start + fine * wide : fine] for start, weight in enumerate(weights))
