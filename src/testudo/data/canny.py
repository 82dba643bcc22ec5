"""Canny's edges: thin lines where the grey level is steepest."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from testudo.data.gradients import grey, slopes

NEIGHBOURS = np.zeros((3, 3, 3), dtype=bool)
NEIGHBOURS[1] = True  # all eight in the same image, none in the next


def canny(images: Tensor, sigma: float, low: float, high: float) -> Tensor:
    """1 on edges, 0 elsewhere.

    The grey levels are smoothed by a Gaussian; a pixel is a candidate where the slope is at least ``low`` and no
    less than before and behind it in its own direction (interpolated between neighbours); connected candidates
    (eight neighbours) are an edge if one of them has a slope of at least ``high``. The outermost pixels are none.
    Canny, *A Computational Approach to Edge Detection* (1986); the same steps as ``skimage.feature.canny``, whose
    thresholds are 4 times these.

    Args:
        images: (N, C, H, W) in [0, 1].
        sigma: standard deviation of the Gaussian in pixels, 0 for none.
        low: a slope, that is the length of Sobel's two differences, each in [-1, 1].
        high: see ``low``.

    Returns:
        (N, 1, H, W) float32.

    >>> step = torch.tensor([0.0, 0.0, 0.2, 1.0, 1.0]).expand(1, 1, 3, 5)
    >>> canny(step, sigma=0, low=0.1, high=0.2)[0, 0, 1]
    tensor([0., 0., 1., 0., 0.])
    """
    levels = ndimage.gaussian_filter(grey(images), (0, sigma, sigma), mode="nearest")
    down, right = slopes(levels)
    slope = np.sqrt(down * down + right * right)
    candidate = (slope >= low) & (slope > 0) & _steepest(down, right, slope)
    parts, count = ndimage.label(candidate, NEIGHBOURS)
    strong = np.zeros(count + 1, dtype=bool)
    strong[parts[candidate & (slope >= high)]] = True
    return torch.from_numpy(strong[parts]).float()[:, None]


def _steepest(down: np.ndarray, right: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """(N, H, W) bool: where the slope is no less than at a pixel's distance up and down the gradient."""
    steep = np.abs(down) > np.abs(right)
    small, large = np.sort(np.abs(np.stack([down, right])), 0)
    share = small / np.where(large > 0, large, 1)  # of the diagonal neighbour
    rising = down * right >= 0  # the gradient points to the lower right, or against it
    height, width = slope.shape[1:]
    around = np.pad(slope, ((0, 0), (1, 1), (1, 1)))

    def neighbour(dy: int, dx: int) -> np.ndarray:
        return around[:, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    found = np.zeros_like(steep)
    found[:, 1:-1, 1:-1] = True
    for sign in (1, -1):
        diagonal = np.where(rising, neighbour(sign, sign), neighbour(sign, -sign))
        # of a falling gradient the vertical neighbour and the diagonal one lie on the same side
        side = np.where(steep, neighbour(sign, 0), np.where(rising, neighbour(0, sign), neighbour(0, -sign)))
        found &= share * diagonal + (1 - share) * side <= slope
    return found
