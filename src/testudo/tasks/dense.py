"""Numbers for every pixel: depth and surface normals; and what all dense tasks have in common.

Shapes: N examples of H x W pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from testudo.errors import TestudoError, unknown
from testudo.tasks.task import Task, working_precision

_TINY = 1e-4  # predicted vectors much shorter than this count as having no direction


class Summed(Metric):
    """A metric that is a function of the sum over examples of a task's records (R numbers each).

    Args:
        task: whose records.
        size: R.
        finish: (R,) float64 -> the metric.
    """

    full_state_update = False
    total: Tensor

    def __init__(self, task: Task, size: int, finish: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._record, self._finish = task.record, finish
        self.add_state("total", torch.zeros(size, dtype=torch.float64), "sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch."""
        self.total += self._record(prediction, target).double().sum(0)

    def compute(self) -> Tensor:
        """NaN where nothing is known."""
        return self._finish(self.total).float()


def ratio(total: Tensor) -> Tensor:
    """The first sum over the last, which counts pixels."""
    return total[0] / total[-1]


@dataclass(frozen=True)
class DenseTask(Task, ABC):
    """A task with a prediction for every pixel. Everything is averaged over the pixels that are known.

    An example is labelled where at least one of its pixels is.
    """

    dense: ClassVar[bool] = True

    @abstractmethod
    def known(self, target: Tensor) -> Tensor:
        """(N, H, W) bool: the labelled pixels."""

    def valid(self, target: Tensor) -> Tensor:
        """At least one known pixel."""
        return self.known(target).flatten(1).any(1)

    def aligned(self, prediction: Tensor, target: Tensor) -> Tensor:
        """``prediction`` in float32 or wider; raises TestudoError where it has other pixels than ``target``."""
        if prediction.shape[-2:] != target.shape[-2:]:
            sizes = " for targets of ".join("x".join(map(str, x.shape[-2:])) for x in (prediction, target))
            raise TestudoError(
                f"task {self.name!r}: predictions of {sizes} pixels; the head must give the targets' size"
            )
        return working_precision(prediction)

    def mean(self, each: Tensor, known: Tensor) -> Tensor:
        """(N, H, W) numbers, (N, H, W) bool -> (N,) the mean over an example's known pixels, 0 where it has none."""
        total, count = _totals(each, known)
        return total / count.clamp(min=1)


def _totals(each: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) the sum of ``each`` (N, H, W) over the known pixels, and their number."""
    return torch.where(known, each, 0).flatten(1).sum(1), known.flatten(1).sum(1)


@dataclass(frozen=True)
class Depth(DenseTask):
    """Distance along the optical axis; targets are (N, 1, H, W) metres above 0, NaN where unknown.

    The loss of an example is its mean absolute error in metres, as in the NYUv2 experiments of Liu et al.
    (*Auto-Lambda*, https://arxiv.org/abs/2202.03091) that the min-max paper follows; the metric ``aerr`` is the mean
    absolute error over all known pixels of the data set, the score that of one image.

    >>> Depth("depth").loss(torch.tensor([[[[2.0, 5.0]]]]), torch.tensor([[[[1.5, torch.nan]]]]))
    tensor([0.5000])
    """

    metric_name: ClassVar[str] = "aerr"
    higher_is_better: ClassVar[bool] = False

    @property
    def channels(self) -> int:
        """One number per pixel."""
        return 1

    def known(self, target: Tensor) -> Tensor:
        """Pixels that are not NaN."""
        return ~target.isnan()[:, 0]

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, 1, H, W), (N, 1, H, W) -> (N,) metres."""
        return self.mean(self._gap(prediction, target), self.known(target))

    def record(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, 3): the sums over known pixels of the absolute error, and of that over the true depth; their count."""
        known, gap = self.known(target), self._gap(prediction, target)
        error, count = _totals(gap, known)
        relative, _ = _totals(gap / target[:, 0], known)
        return torch.stack([error, relative, count], 1).float()

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean absolute error of each image, in metres."""
        return torch.where(self.valid(target), self.loss(prediction, target), torch.nan)

    def metric(self) -> Metric:
        """Mean absolute error over all known pixels, in metres."""
        return Summed(self, 3, ratio)

    def check(self, target: Tensor) -> None:
        """Floats (N, 1, H, W), above 0 and finite, or NaN."""
        if target.dim() != 4 or target.shape[1] != 1 or not target.is_floating_point():
            found = f"{target.dtype} {tuple(target.shape)}"
            raise TestudoError(f"task {self.name!r}: labels must be floats of shape (N, 1, H, W), got {found}")
        wrong = (target <= 0) | target.isinf()
        if wrong.any():
            value = float(target[wrong][0])
            raise TestudoError(f"task {self.name!r}: depth {value:g} must be above 0 and finite, or NaN where unknown")

    def as_label(self, prediction: Tensor) -> Tensor:
        """The predicted depths; unknown where they are not above 0."""
        guess = working_precision(prediction)
        return torch.where(guess > 0, guess, torch.nan)

    def describe(self, prediction: Tensor) -> list[str]:
        """The mean depth."""
        return self.tell(self.as_label(prediction))

    def tell(self, target: Tensor) -> list[str]:
        """The mean depth."""
        return [f"{row.nanmean():.3g} m on average" for row in target]

    def _gap(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, H, W) absolute errors; of a target that is unknown, anything finite."""
        guess = self.aligned(prediction, target)
        return (guess - target.to(guess.dtype).nan_to_num(0))[:, 0].abs()


@dataclass(frozen=True)
class Normals(DenseTask):
    """Surface normals; targets are (N, 3, H, W) unit vectors, NaN where unknown.

    The metric ``mdist`` is the angle between prediction and target in degrees, averaged over all known pixels of the
    data set; the score that of one image. Predictions need not have length 1: only their direction is judged, and
    one of length 0 is 90 degrees off.

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

    metric_name: ClassVar[str] = "mdist"
    higher_is_better: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss_kind not in ("l1", "cosine"):
            raise unknown("loss_kind", self.loss_kind, ("l1", "cosine"))

    @property
    def channels(self) -> int:
        """One number per axis and pixel."""
        return 3

    def known(self, target: Tensor) -> Tensor:
        """Pixels without a NaN."""
        return ~target.isnan().any(1)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, 3, H, W), (N, 3, H, W) -> (N,)."""
        guess, aim = self._pair(prediction, target)
        each = (
            (guess - aim).abs().sum(1) if self.loss_kind == "l1" else 1 - (direction(guess) * aim).sum(1).clamp(max=1)
        )
        return self.mean(each, self.known(target))

    def record(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, 2): the sum of the angles in degrees over known pixels, and their count."""
        total, count = _totals(angle(*self._pair(prediction, target)), self.known(target))
        return torch.stack([total, count], 1).float()

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean angle of each image, in degrees."""
        each = self.mean(angle(*self._pair(prediction, target)), self.known(target))
        return torch.where(self.valid(target), each, torch.nan)

    def metric(self) -> Metric:
        """Mean angle over all known pixels, in degrees."""
        return Summed(self, 2, ratio)

    def check(self, target: Tensor) -> None:
        """Floats (N, 3, H, W), of length 1 to one in a hundred, or NaN."""
        if target.dim() != 4 or target.shape[1] != 3 or not target.is_floating_point():
            found = f"{target.dtype} {tuple(target.shape)}"
            raise TestudoError(f"task {self.name!r}: labels must be floats of shape (N, 3, H, W), got {found}")
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

    def describe(self, prediction: Tensor) -> list[str]:
        """The mean direction."""
        return self.tell(self.as_label(prediction))

    def tell(self, target: Tensor) -> list[str]:
        """The mean direction."""
        means = [row.flatten(1).nanmean(1).tolist() for row in target]
        return [f"facing ({', '.join(f'{value:.2f}' for value in mean)}) on average" for mean in means]

    def _pair(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Both (N, 3, H, W), without NaN: an unknown target is 0."""
        guess = self.aligned(prediction, target)
        return guess, torch.where(self.known(target)[:, None], target.to(guess.dtype), 0)


def direction(vectors: Tensor) -> Tensor:
    """(N, C, H, W) vectors at length 1; those much shorter than 1e-4 fade to 0, so that gradients are finite.

    >>> direction(torch.tensor([3e20, 0.0, 4e20]).reshape(1, 3, 1, 1)).flatten()
    tensor([0.6000, 0.0000, 0.8000])
    """
    scaled = vectors / vectors.detach().abs().amax(1, keepdim=True).clamp(min=1)  # squares must not overflow
    return scaled / (scaled.square().sum(1, keepdim=True) + _TINY**2).sqrt()


def angle(first: Tensor, second: Tensor) -> Tensor:
    """The angle between vectors of any length: (N, 3, H, W), (N, 3, H, W) -> (N, H, W) degrees; 90 for a vector 0.

    ``atan2(|a x b|, a . b)``: exact to rounding near 0 and 180 degrees as well, where an arc cosine loses half the
    digits, and with gradients that are finite there.
    """
    scales = [x.detach().abs().amax(1, keepdim=True) for x in (first, second)]
    nowhere = ((scales[0] == 0) | (scales[1] == 0))[:, 0]
    a, b = (x / torch.where(s > 0, s, 1) for x, s in zip((first, second), scales, strict=True))
    cross = torch.linalg.cross(a, b, dim=1).square().sum(1)
    along = torch.where(nowhere, 1, (a * b).sum(1))  # atan2(0, 0) has no gradient
    across = torch.where(cross > 0, cross, 1).sqrt()
    turned = torch.atan2(torch.where(cross > 0, across, 0), along).rad2deg()
    return torch.where(nowhere, 90, turned)
