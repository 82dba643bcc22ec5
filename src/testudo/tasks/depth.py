"""How far away things are: depth in metres, and disparity. Shapes: N examples of H x W pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from testudo.tasks.dense import DenseNumbers, Summed, ratio, totals

NEAR = 1.25  # of a depth and its estimate, the larger over the smaller: less is near


def _per_example(factor: Tensor, like: Tensor) -> Tensor:
    """(N,) numbers as (N, 1, 1, 1), in the precision of ``like``."""
    return factor.to(like.dtype).reshape(-1, 1, 1, 1)


@dataclass(frozen=True)
class Depth(DenseNumbers):
    """Distance along the optical axis; targets are (N, 1, H, W) metres above 0, NaN where unknown.

    The loss of an example is its mean absolute error in metres, as in the NYUv2 experiments of Liu et al.
    (*Auto-Lambda*, https://arxiv.org/abs/2202.03091) that the min-max paper follows; the metric ``aerr`` is the mean
    absolute error over all known pixels of the data set, the score that of one image. Further metrics, over the same
    pixels (Eigen et al. 2014, https://arxiv.org/abs/1406.2283): ``relative``, the mean of the error over the true
    depth, and ``delta125``, the share of pixels where the larger of depth and estimate is less than 1.25 times the
    smaller.

    >>> Depth("depth").loss(torch.tensor([[[[2.0, 5.0]]]]), torch.tensor([[[[1.5, torch.nan]]]]))
    tensor([0.5000])
    """

    channels: ClassVar[int] = 1
    metric_name: ClassVar[str] = "aerr"
    further: ClassVar[tuple[str, ...]] = ("relative", "delta125")
    unit: ClassVar[str] = "m"
    allowed: ClassVar[str] = "above 0 and finite"

    def fits(self, target: Tensor) -> Tensor:
        """Above 0."""
        return target > 0

    def record(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, 4): sums over known pixels of the error, of that over the true depth, of 1 where near; their count."""
        known, error = self.known(target), self.error(prediction, target)
        guess = self.aligned(prediction, target)[:, 0]
        truth = target[:, 0].to(guess.dtype)
        near = (guess < NEAR * truth) & (truth < NEAR * guess)
        sums = [totals(each, known)[0] for each in (error, error / truth, near)]
        return torch.stack([*sums, known.flatten(1).sum(1)], 1).float()

    def metric(self) -> Metric:
        """Mean absolute error over all known pixels, in metres."""
        return Summed(self, 4, ratio)

    def moved(self, target: Tensor, mirror: Tensor, zoom: Tensor) -> Tensor:
        """What looks twice as large is half as far."""
        return target / _per_example(zoom, target)


@dataclass(frozen=True)
class Disparity(DenseNumbers):
    """Shift of a point between two cameras, or its inverse depth; targets are (N, 1, H, W), at least 0, NaN if unknown.

    In any unit, that of the predictions: pixels of the image, or those over a constant as Cityscapes is prepared for
    *Auto-Lambda* (https://arxiv.org/abs/2202.03091). 0 is infinitely far; where a file means unknown by it, make it
    NaN. Loss, score and the metric ``aerr`` are mean absolute errors over known pixels, as of :class:`Depth`.

    >>> Disparity("disparity").loss(torch.tensor([[[[0.2, 0.5]]]]), torch.tensor([[[[0.1, torch.nan]]]]))
    tensor([0.1000])
    """

    channels: ClassVar[int] = 1
    metric_name: ClassVar[str] = "aerr"
    allowed: ClassVar[str] = "at least 0 and finite"

    def fits(self, target: Tensor) -> Tensor:
        """At least 0."""
        return target >= 0

    def moved(self, target: Tensor, mirror: Tensor, zoom: Tensor) -> Tensor:
        """What looks twice as large is shifted twice as far."""
        return target * _per_example(zoom, target)
