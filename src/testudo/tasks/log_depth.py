"""Distance on a logarithmic scale, as Taskonomy's models learn it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from testudo.tasks.dense import DenseNumbers
from testudo.tensors import working_precision

STEPS = 512  # per metre
SCALE = 16 * math.log(2)  # of the largest number of steps in 16 bits


@dataclass(frozen=True)
class LogDepth(DenseNumbers):
    """Distances of z metres as log(1 + 512 z) / log(2^16); targets are (N, 1, H, W) above 0, NaN where unknown.

    So 1/512 m is 1/16 and 128 m, the largest in Taskonomy's files (Zamir et al. 2018,
    https://arxiv.org/abs/1804.08328), is 1. Loss, score and the metric ``l1`` are mean absolute errors on this scale.

    >>> near, far = torch.full((1, 1, 1, 1), 0.5), torch.full((1, 1, 1, 1), 0.75)
    >>> LogDepth("depth").score(near, far)
    tensor([0.2500])
    >>> twice = LogDepth("depth").moved(far, torch.tensor([False]), torch.tensor([2.0]))
    >>> torch.cat([metres(far), metres(twice)]).flatten()
    tensor([7.9980, 3.9990])
    """

    channels: ClassVar[int] = 1
    allowed: ClassVar[str] = "above 0 and finite"

    def fits(self, target: Tensor) -> Tensor:
        """Above 0."""
        return target > 0

    def moved(self, target: Tensor, mirror: Tensor, zoom: Tensor) -> Tensor:
        """What looks twice as large is half as far; what was not zoomed stays as it is, to the last bit."""
        each = zoom.reshape(-1, 1, 1, 1)
        nearer = scaled(metres(working_precision(target)) / each).to(target.dtype)
        return torch.where(each == 1, target, nearer)


def scaled(distance: Tensor) -> Tensor:
    """log(1 + 512 z) / log(2^16) of distances z in metres."""
    return (distance * STEPS).log1p() / SCALE


def metres(target: Tensor) -> Tensor:
    """The distances that targets stand for."""
    return (target * SCALE).expm1() / STEPS
