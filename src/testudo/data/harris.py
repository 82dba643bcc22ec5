"""Harris' corners: keypoints, which can be found again."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from testudo.data.gradients import grey, slopes


def harris(images: Tensor, sigma: float, k: float) -> Tensor:
    """How much of a corner there is at every pixel.

    The structure tensor M averages the products of Sobel's two differences under a Gaussian; Harris and Stephens' *A
    Combined Corner and Edge Detector* (1988) responds with R = det M - k trace(M)^2: above 0 at corners, below 0
    at edges, 0 on plain ground. R goes with the fourth power of the contrast; given out is the fourth root of its
    positive part, which goes with the contrast itself as slopes do.

    Args:
        images: (N, C, H, W) in [0, 1].
        sigma: standard deviation of the Gaussian in pixels.
        k: the larger, the sharper a corner must be; 0 to 0.25.

    Returns:
        (N, 1, H, W) float32 in [0, 0.8].

    >>> corner = torch.zeros(1, 1, 9, 9)
    >>> corner[..., 4:, 4:] = 1
    >>> found = harris(corner, sigma=1.0, k=0.05)[0, 0]
    >>> divmod(int(found.argmax()), 9), found[0, 0], found[8, 4]
    ((4, 4), tensor(0.), tensor(0.))
    """
    down, right = slopes(grey(images))
    window = (0, sigma, sigma)
    dd, rr, dr = (ndimage.gaussian_filter(x, window, mode="nearest") for x in (down**2, right**2, down * right))
    response = dd * rr - dr * dr - k * (dd + rr) ** 2
    return torch.from_numpy(np.sqrt(np.sqrt(response.clip(min=0)))).float()[:, None]
