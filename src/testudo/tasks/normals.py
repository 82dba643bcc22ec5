"""Surface normals. Shapes: N examples of H x W pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from testudo.errors import TestudoError, unknown
from testudo.tasks.dense import DenseNumbers, Summed, mean, ratio, totals
from testudo.tasks.vectors import angle, direction
from testudo.tensors import working_precision

BINS = 240  # of 0.75 degrees: 11.25, 22.5 and 30 degrees are borders between two


@dataclass(frozen=True)
class Normals(DenseNumbers):
    """Surface normals; targets are (N, 3, H, W) unit vectors, NaN where unknown.

    The metric ``mdist`` is the angle between prediction and target in degrees, averaged over all known pixels of the
    data set; the score that of one image. Predictions need not have length 1: only their direction is judged, and
    one of length 0 is 90 degrees off. Further metrics, over the same pixels (Eigen and Fergus 2015,
    https://arxiv.org/abs/1411.4734): ``median``, the median angle, interpolated in a histogram of 0.75 degrees a bin;
    ``within11``, ``within22`` and ``within30``, the shares of pixels less than 11.25, 22.5 and 30 degrees off.

    Where an image is mirrored, the first component, which points to the right, changes its sign.

    Args:
        name: see :class:`testudo.tasks.task.Task`.
        loss_kind: of a pixel, ``"l1"``: the sum of the three absolute differences (as in *Auto-Lambda*'s code, which
            however first divides predictions by their length: here that is for the head to learn); ``"cosine"``: one
            minus the cosine of the angle.

    >>> up, ahead = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ([0.0, 0.0, -2.0], [0.0, 1.0, 0.0]))
    >>> Normals("normal").score(up, ahead), Normals("normal", loss_kind="cosine").loss(up, ahead)
    (tensor([90.]), tensor([1.]))
    """

    loss_kind: Literal["l1", "cosine"] = "l1"

    channels: ClassVar[int] = 3
    metric_name: ClassVar[str] = "mdist"
    further: ClassVar[tuple[str, ...]] = ("median", "within11", "within22", "within30")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss_kind not in ("l1", "cosine"):
            raise unknown("loss_kind", self.loss_kind, ("l1", "cosine"))

    def error(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, H, W) angles in degrees; anything finite where the target is unknown."""
        return angle(*self._pair(prediction, target))

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, 3, H, W), (N, 3, H, W) -> (N,)."""
        guess, aim = self._pair(prediction, target)
        each = (
            (guess - aim).abs().sum(1) if self.loss_kind == "l1" else 1 - (direction(guess) * aim).sum(1).clamp(max=1)
        )
        return mean(each, self.known(target))

    def record(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, 242): over known pixels the sum of the angles, how many are in each bin of 0.75 degrees, their count."""
        known, error = self.known(target), self.error(prediction, target)
        example = torch.arange(len(target), device=target.device)[:, None, None]
        cell = example * BINS + (error * (BINS / 180)).long().clamp(max=BINS - 1)
        bins = cell[known].bincount(minlength=len(target) * BINS).reshape(len(target), BINS)
        total, count = totals(error, known)
        return torch.cat([total[:, None], bins, count[:, None]], 1).float()

    def metric(self) -> Metric:
        """Mean angle over all known pixels, in degrees."""
        return Summed(self, BINS + 2, ratio)

    def check(self, target: Tensor) -> None:
        """Floats (N, 3, H, W), of length 1 to one in a hundred, or NaN."""
        super().check(target)
        lengths = target.float().square().sum(1).sqrt()
        wrong = (lengths - 1).abs() > 0.01
        if wrong.any():
            raise TestudoError(
                f"task {self.name!r}: normals must have length 1, or be NaN (unknown); found {lengths[wrong][0]:.3g}"
            )

    def as_label(self, prediction: Tensor) -> Tensor:
        """The predicted vectors at length 1; unknown where they have none."""
        found = direction(working_precision(prediction))
        return torch.where(found.square().sum(1, keepdim=True) > 0.5, found, torch.nan)

    def tell(self, target: Tensor) -> list[str]:
        """The mean direction."""
        means = [row.flatten(1).nanmean(1).tolist() for row in target]
        return [f"facing ({', '.join(f'{value:.2f}' for value in mean)}) on average" for mean in means]

    def moved(self, target: Tensor, mirror: Tensor, zoom: Tensor) -> Tensor:
        """Mirrored, what faced right faces left. What a zoom blended has length 1 again; opposites are unknown."""
        each = (-1, 1, 1, 1)
        turned = torch.where(mirror.reshape(each), -target[:, :1], target[:, :1])
        turned = torch.cat([turned, target[:, 1:]], 1)
        return torch.where(zoom.reshape(each) == 1, turned, self.as_label(turned).to(target.dtype))

    def _pair(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Both (N, 3, H, W), without NaN: an unknown target is (1, 1, 1)."""
        guess = self.aligned(prediction, target)
        return guess, torch.where(self.known(target)[:, None], target.to(guess.dtype), 1)
