"""Slopes of images, and the Sobel edges that they make.

Everything here and in the modules that build on it works line by line in float64 (scipy.ndimage), so that what is
found in an image is the same whatever the batch. Beyond the border the outermost pixels go on.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in a grey level: Rec. ITU-R BT.601
ACROSS, ALONG = (-1.0, 0.0, 1.0), (0.25, 0.5, 0.25)


def grey(images: Tensor) -> np.ndarray:
    """The grey levels of RGB images (of other numbers of channels, their mean): (N, C, H, W) -> (N, H, W) float64.

    >>> float(grey(torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1))[0, 0, 0])
    0.299
    """
    levels = images.double().numpy()
    shares = LUMA if levels.shape[1] == 3 else (1 / levels.shape[1],) * levels.shape[1]
    return sum((share * levels[:, channel] for channel, share in enumerate(shares)), np.zeros(()))


def slopes(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sobel's differences over two pixels, downwards and to the right: (..., H, W) in [0, 1] -> (..., H, W) in [-1, 1].

    One direction is differenced by (-1, 0, 1), the other averaged by (1, 2, 1) / 4.

    >>> down, right = slopes(np.arange(9.0).reshape(3, 3) / 8)
    >>> float(down[1, 1]), float(right[1, 1])
    (0.75, 0.25)
    """
    down, right = (
        ndimage.correlate1d(ndimage.correlate1d(levels, ACROSS, axis, mode="nearest"), ALONG, other, mode="nearest")
        for axis, other in ((-2, -1), (-1, -2))
    )
    return down, right


def sobel(images: Tensor) -> Tensor:
    """How steep the grey level is at every pixel: the root mean square of Sobel's two differences.

    Sobel and Feldman (1968), in the scale of ``skimage.filters.sobel``.

    Args:
        images: (N, C, H, W) in [0, 1].

    Returns:
        (N, 1, H, W) float32, from 0 to 0.8: a vertical or horizontal step from black to white has 0.71.

    >>> sobel(torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 1, 3, 4))[0, 0, 1]
    tensor([0.0000, 0.7071, 0.7071, 0.0000])
    """
    down, right = slopes(grey(images))
    return torch.from_numpy(np.sqrt((down * down + right * right) / 2)).float()[:, None]
