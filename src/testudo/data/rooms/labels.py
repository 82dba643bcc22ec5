"""The labels of a rendered view, each for the ray through the middle of every pixel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

from testudo.data.building_labels import BLUR
from testudo.data.rooms.hits import curvatures
from testudo.data.rooms.jumps import jumps
from testudo.data.rooms.render import Frame

WINDOW = 0.02  # of the height: standard deviation of the window that normals are gathered in for 3-D keypoints


def segmentation(frame: Frame) -> np.ndarray:
    """(H, W) uint8, the 13 classes of NYUv2."""
    return frame.room.surfaces.name[frame.surface]


def parts(frame: Frame) -> np.ndarray:
    """(H, W) uint8, the ten parts of things."""
    return frame.room.surfaces.part[frame.surface]


def depth(frame: Frame) -> np.ndarray:
    """(1, H, W) metres along the optical axis."""
    return frame.depth[None]


def euclidean(frame: Frame) -> np.ndarray:
    """(1, H, W) metres from the camera: depth times the length of (x, y, 1)."""
    return (frame.depth * _lengths(frame))[None]


def disparity(frame: Frame) -> np.ndarray:
    """(1, H, W) inverse depth in 1/m: the shift between two cameras, over focal length times their distance."""
    return 1 / frame.depth[None]


def normal(frame: Frame) -> np.ndarray:
    """(3, H, W) unit vectors towards the camera: x to the right, y down, z away from it."""
    return frame.normal


def reshading(frame: Frame) -> np.ndarray:
    """(1, H, W) in [0, 1]: all things white and matt, the only light at the camera and as bright at any distance.

    It is the cosine of the angle between the normal and the direction to the camera (Lambert's law).
    """
    x, y = np.broadcast_arrays(frame.x[None, :], frame.y[:, None])
    toward = -(frame.normal[0] * x + frame.normal[1] * y + frame.normal[2])
    return np.clip(toward / _lengths(frame), 0, 1)[None]


def curvature(frame: Frame) -> np.ndarray:
    """(2, H, W) principal curvatures in 1/m, the larger first, of what bulges positive; 0 on planes."""
    return curvatures(frame.room.solids, frame.surface.ravel()).reshape(2, *frame.surface.shape)


def occlusion(frame: Frame) -> np.ndarray:
    """(1, H, W) in [0, 1]: :func:`~testudo.data.rooms.jumps.jumps`, blurred by 1/64 of the height as of Taskonomy."""
    return gaussian_filter(jumps(frame), BLUR * len(frame.depth), mode="nearest")[None]


def keypoints3d(frame: Frame) -> np.ndarray:
    """(1, H, W) in [0, 1]: how much the normals around a pixel point in three directions.

    C is the average of n n^T under a Gaussian window; three times the cube root of its determinant is 0 on planes and
    along edges, 1 in the corner of a room that is seen evenly. (Harris' detector on normals, as in the Point Cloud
    Library's HarrisKeypoint3D, without its trace.) Things of all depths are in a window, so that outlines respond
    too, as they do in Taskonomy's NARF (Steder et al. 2010).
    """
    sigma, (x, y, z) = WINDOW * len(frame.depth), frame.normal
    products = (x * x, x * y, x * z, y * y, y * z, z * z)
    xx, xy, xz, yy, yz, zz = (gaussian_filter(product, sigma, mode="nearest") for product in products)
    determinant = xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
    return 3 * np.cbrt(np.maximum(determinant, 0))[None]


def _lengths(frame: Frame) -> np.ndarray:
    """(H, W) of the rays (x, y, 1)."""
    return np.sqrt(frame.x[None, :] ** 2 + frame.y[:, None] ** 2 + 1)


# what each is kept as: half precision where its steps (1/2048 of the value) are below what can be told apart
LABELS: dict[str, tuple[Callable[[Frame], np.ndarray], type]] = {
    "segmentation": (segmentation, np.uint8),
    "parts": (parts, np.uint8),
    "depth": (depth, np.float32),
    "euclidean": (euclidean, np.float32),
    "disparity": (disparity, np.float32),
    "normal": (normal, np.float16),
    "reshading": (reshading, np.float16),
    "curvature": (curvature, np.float16),
    "occlusion": (occlusion, np.float16),
    "keypoints3d": (keypoints3d, np.float16),
}
