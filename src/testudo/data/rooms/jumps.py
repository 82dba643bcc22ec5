"""Where one thing ends in front of another: jumps of depth between neighbouring pixels, from the scene itself."""

from __future__ import annotations

import numpy as np

from testudo.data.rooms.hits import Fan
from testudo.data.rooms.render import Frame

HALVINGS = 10  # of the way between two pixels: the border is known to 1/1024 of it


def jumps(frame: Frame) -> np.ndarray:
    """How far the depth jumps between a pixel and its neighbours: (H, W) in [0, 1], in most places 0.

    Between two neighbours on different solids the border is found, by halving: the place where the one is no longer
    in front of the other. There a jump is 1 - near / far of the depths to both sides, and next to nothing where the
    one stands on the other or sinks into it. What is narrower than the way from one pixel to the next is not seen.

    Returns:
        Of each pixel the largest jump to its four neighbours.
    """
    out = np.zeros(frame.depth.shape)
    x, y = np.broadcast_arrays(frame.x[None, :], frame.y[:, None])
    rays = np.stack([x, y, np.ones_like(x)], -1)
    for parts in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        owners = [frame.surface[part] // 6 for part in parts]
        apart = owners[0] != owners[1]
        gap = np.zeros(apart.shape)
        gap[apart] = _gaps(frame, [rays[part][apart] for part in parts], [owner[apart] for owner in owners])
        for part in parts:
            out[part] = np.maximum(out[part], gap)
    return out


def _gaps(frame: Frame, rays: list[np.ndarray], owners: list[np.ndarray]) -> np.ndarray:
    """(p,) jumps between the ends of p ways, from a ray that meets the first solid to one that meets the second."""
    one, two = (Fan(frame.room.solids, frame.eye, owner, *rays) for owner in owners)
    before, after = np.zeros(len(owners[0])), np.ones(len(owners[0]))
    for _ in range(HALVINGS):
        middle = (before + after) / 2
        first = one.entered(middle) >= two.entered(middle)
        before, after = np.where(first, middle, before), np.where(first, after, middle)
    near, far = one.entered(before), two.entered(after)
    near = np.where(near > 0, near, one.entered(np.zeros(len(near))))  # something else shows between the two
    return np.abs(near - far) / np.maximum(near, far)
