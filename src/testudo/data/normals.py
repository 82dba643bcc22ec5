"""Surface normals from a depth map and the camera that saw it."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_ENOUGH = 0.2  # of a window's weight must lie on known pixels
_FLAT = 1e-3  # of the determinant that a window has with all its pixels known: less is one line of pixels


class Camera(NamedTuple):
    """A pinhole camera: focal lengths and principal point in pixels of an image of ``size`` (height, width).

    Pixel centres are at whole numbers, from (0, 0).
    """

    fx: float
    fy: float
    cx: float
    cy: float
    size: tuple[int, int]

    def at(self, size: tuple[int, int]) -> Camera:
        """The same camera after its images were resized.

        >>> Camera(500.0, 500.0, 319.5, 239.5, (480, 640)).at((96, 128))
        Camera(fx=100.0, fy=100.0, cx=63.5, cy=47.5, size=(96, 128))
        """
        y, x = (new / old for new, old in zip(size, self.size, strict=True))
        return Camera(self.fx * x, self.fy * y, (self.cx + 0.5) * x - 0.5, (self.cy + 0.5) * y - 0.5, size)


def normals(depth: Tensor, camera: Camera, sigma: float) -> Tensor:
    """Unit normals that point to the camera: x to the right, y down, z away from it.

    In the image of a plane the inverse depth is a linear function of the pixel, 1/z = a u + b v + c, so the normal
    is found from a, b and c in closed form: along (a fx, b fy, a cx + b cy + c), turned to the camera. They are
    fitted around every pixel by least squares with Gaussian weights, unknown pixels left out. This is what the cross
    product of neighbouring points is in the limit of a small window, and exact for planes with a window of any size:
    depth in steps of centimetres needs a large one. Across an edge of an object it blends both sides.

    Args:
        depth: (H, W), above 0, NaN where unknown.
        camera: of the depth map, at its size.
        sigma: of the weights, in pixels, 1 or more.

    Returns:
        (3, H, W), NaN where the depth is unknown or too little is known around.
    """
    known = ~depth.isnan()
    inverse = torch.where(known, 1 / depth, 0).double()
    reach = max(1, round(2.5 * sigma))
    offset = torch.arange(-reach, reach + 1, dtype=torch.float64)
    gauss = torch.exp(-0.5 * (offset / sigma) ** 2)
    powers = torch.stack([gauss, gauss * offset, gauss * offset**2]) / gauss.sum()
    maps = torch.stack([known.double(), inverse])[:, None]
    # moments[m, j, i]: the sum of weight * v**j * u**i times map m
    along = F.conv2d(maps, powers[:, None, None], padding=(0, reach)).flatten(0, 1)[:, None]
    moments = F.conv2d(along, powers[:, None, :, None], padding=(reach, 0)).unflatten(0, (2, 3)).transpose(1, 2)
    (w, wu, wuu), (wv, wuv, _), (wvv, _, _) = moments[0]
    (q, qu, _), (qv, _, _), _ = moments[1]
    # Cramer's rule for (wuu wuv wu; wuv wvv wv; wu wv w) (a, b, c) = (qu, qv, q): ten times as fast as a solver
    m11, m12, m13 = wvv * w - wv * wv, wu * wv - wuv * w, wuv * wv - wu * wvv
    m22, m23, m33 = wuu * w - wu * wu, wu * wuv - wuu * wv, wuu * wvv - wuv * wuv
    determinant = wuu * m11 + wuv * m12 + wu * m13
    enough = known & (w > _ENOUGH) & (determinant > _FLAT * sigma**4)  # sigma**4 with all known
    a, b = m11 * qu + m12 * qv + m13 * q, m12 * qu + m22 * qv + m23 * q
    c = m13 * qu + m23 * qv + m33 * q
    v, u = (torch.arange(n, dtype=torch.float64) for n in depth.shape)
    v, u = v[:, None] - camera.cy, u[None, :] - camera.cx
    # the determinant, a positive factor, is left in: only the direction counts
    outward = torch.stack([a * camera.fx, b * camera.fy, c - a * u - b * v])
    unit = outward / outward.square().sum(0).sqrt().clamp(min=1e-12)
    return torch.where(enough, -unit, torch.nan).to(depth.dtype)
