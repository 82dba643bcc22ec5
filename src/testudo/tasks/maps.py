"""Maps of real numbers that are one idea: so many channels, absolute errors.

Shapes: N examples of H x W pixels, C channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from testudo.errors import TestudoError, unknown
from testudo.tasks.dense import DenseNumbers, mean

_SLACK = 1e-3  # by which labels may leave their range: they may be interpolated, or stored in half precision


@dataclass(frozen=True)
class Map(DenseNumbers):
    """Numbers between ``low`` and ``high`` for every pixel; targets are (N, C, H, W) floats, NaN where unknown.

    The metric ``l1`` is the mean absolute error over all known pixels and their channels, the score that of one
    image: how Taskonomy's maps are judged in Mao et al. (2020). A pixel with any NaN is unknown.

    Args:
        name: see :class:`testudo.tasks.task.Task`.
        loss_kind: ``"l1"``, the absolute error, or ``"l2"``, half the squared error, averaged over an example's known
            pixels and their channels.
    """

    loss_kind: Literal["l1", "l2"] = "l1"

    low: ClassVar[float] = -math.inf
    high: ClassVar[float] = math.inf

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss_kind not in ("l1", "l2"):
            raise unknown("loss_kind", self.loss_kind, ("l1", "l2"))

    @property
    def allowed(self) -> str:
        """The range, in words."""
        if self.high < math.inf:
            return f"{self.low:g} to {self.high:g}"
        return "finite" if self.low == -math.inf else f"at least {self.low:g} and finite"

    def fits(self, target: Tensor) -> Tensor:
        """Inside the range, or hardly outside."""
        return (target >= self.low - _SLACK) & (target <= self.high + _SLACK)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, C, H, W), (N, C, H, W) -> (N,)."""
        if self.loss_kind == "l1":
            return super().loss(prediction, target)
        return mean(self.gap(prediction, target).square().mean(1) / 2, self.known(target))

    def as_label(self, prediction: Tensor) -> Tensor:
        """The predicted numbers, those outside the range at its ends."""
        return super().as_label(prediction.clamp(self.low, self.high))


@dataclass(frozen=True)
class Reshading(Map):
    """Shading by one light at the camera; targets are (N, 1, H, W) in [0, 1], NaN where unknown.

    A task of Taskonomy (Zamir et al. 2018, https://arxiv.org/abs/1804.08328). See :class:`Map` for loss and metric.

    >>> Reshading("reshading").loss(torch.tensor([[[[0.5, 0.9]]]]), torch.tensor([[[[0.25, torch.nan]]]]))
    tensor([0.2500])
    """

    channels: ClassVar[int] = 1
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0


@dataclass(frozen=True)
class Curvature(Map):
    """The two principal curvatures of the surface; targets are (N, 2, H, W) in 1/m, NaN where unknown.

    A task of Taskonomy (Zamir et al. 2018, https://arxiv.org/abs/1804.08328), which stores them scaled and shifted:
    any unit will do, if it is that of the predictions. See :class:`Map` for loss and metric.

    >>> Curvature("curvature").loss(torch.zeros(1, 2, 1, 1), torch.tensor([3.0, -1.0]).reshape(1, 2, 1, 1))
    tensor([2.])
    """

    channels: ClassVar[int] = 2
    unit: ClassVar[str] = "1/m"


@dataclass(frozen=True)
class Edges(Map):
    """How strong an edge is at every pixel, of texture or of occlusion; targets are (N, 1, H, W) at least 0.

    Taskonomy's ``edge_texture`` and ``edge_occlusion`` (Zamir et al. 2018, https://arxiv.org/abs/1804.08328), or any
    other scale. NaN where unknown. See :class:`Map` for loss and metric.

    >>> Edges("edges", loss_kind="l2").loss(torch.tensor([[[[1.0]]]]), torch.tensor([[[[0.5]]]]))
    tensor([0.1250])
    """

    channels: ClassVar[int] = 1
    low: ClassVar[float] = 0.0


@dataclass(frozen=True)
class Keypoints(Map):
    """How much a pixel stands out, in the image or in the scene; targets are (N, 1, H, W) at least 0.

    Taskonomy's ``keypoints2d`` (SURF) and ``keypoints3d`` (NARF; Zamir et al. 2018, https://arxiv.org/abs/1804.08328),
    or any other scale. NaN where unknown. See :class:`Map` for loss and metric.

    >>> Keypoints("corners").score(torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.5, 0.0]]]]))
    tensor([0.2500])
    """

    channels: ClassVar[int] = 1
    low: ClassVar[float] = 0.0


@dataclass(frozen=True)
class Autoencoder(Map):
    """The image itself, from the features; targets are (N, channels, H, W) in [0, 1], NaN where unknown.

    Args:
        name, loss_kind: see :class:`Map`; Mao et al. (2020) train it with the squared error on Cityscapes.
        channels: of the image.

    >>> Autoencoder("image", loss_kind="l2").loss(torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1))
    tensor([0.5000])
    """

    channels: int = 3

    is_image: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels < 1:
            raise TestudoError(f"task {self.name!r}: channels must be at least 1, got {self.channels}")


@dataclass(frozen=True)
class HOG(Map):
    """A histogram of oriented gradients around every pixel; targets are (N, bins, H, W) in [0, 1], NaN where unknown.

    Orientations have no sign: channel b counts those from 180 b / bins to 180 (b + 1) / bins degrees, where 0 points
    to the right and 90 down (or up: the same). Dalal and Triggs 2005; an auxiliary task of GAT. See :class:`Map` for
    loss and metric.

    Args:
        name, loss_kind: see :class:`Map`.
        bins: orientations told apart.

    >>> HOG("hog").channels
    9
    >>> upward, no = torch.tensor([0.0, 0.0, 1.0]).reshape(1, 3, 1, 1), torch.ones(1)
    >>> HOG("hog", bins=3).moved(upward, mirror=torch.tensor([True]), zoom=no).flatten()  # 150 degrees become 30
    tensor([1., 0., 0.])
    """

    bins: int = 9

    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bins < 2:
            raise TestudoError(f"task {self.name!r}: bins must be at least 2, got {self.bins}")

    @property
    def channels(self) -> int:
        """One number per orientation and pixel."""
        return self.bins

    def moved(self, target: Tensor, mirror: Tensor, zoom: Tensor) -> Tensor:
        """In a mirror an orientation of t degrees is one of 180 - t: the channels in reverse order."""
        return torch.where(mirror.reshape(-1, 1, 1, 1), target.flip(1), target)
