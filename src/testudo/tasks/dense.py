"""What dense tasks share: a prediction for every pixel, averaged over those that are known.

Shapes: N examples of H x W pixels, C channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from testudo.errors import TestudoError
from testudo.tasks.task import Task
from testudo.tensors import working_precision


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


def totals(each: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) the sum of ``each`` (N, H, W) over the known pixels, and their number."""
    return torch.where(known, each, 0).flatten(1).sum(1), known.flatten(1).sum(1)


def mean(each: Tensor, known: Tensor) -> Tensor:
    """(N, H, W) numbers, (N, H, W) bool -> (N,) the mean over an example's known pixels, 0 where it has none."""
    total, count = totals(each, known)
    return total / count.clamp(min=1)


@dataclass(frozen=True)
class DenseNumbers(DenseTask):
    """Real numbers for every pixel; targets are (N, C, H, W) floats, NaN where unknown.

    A pixel with any NaN is unknown. The loss of an example is the absolute error, averaged over its known pixels and
    their channels; the metric is the same over all known pixels of the data set, the score that of one image.

    A subclass says how many channels, what numbers are allowed, and what the metric is called.
    """

    metric_name: ClassVar[str] = "l1"
    higher_is_better: ClassVar[bool] = False
    unit: ClassVar[str] = ""  # for people

    @property
    def allowed(self) -> str:
        """What labels must be, in words."""
        return "finite"

    def fits(self, target: Tensor) -> Tensor:
        """Bool like ``target``: the finite numbers that may be labels."""
        return torch.ones_like(target, dtype=torch.bool)

    def known(self, target: Tensor) -> Tensor:
        """Pixels without a NaN."""
        return ~target.isnan().any(1)

    def gap(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, C, H, W) prediction less target; where that is unknown, anything finite."""
        guess = self.aligned(prediction, target)
        return guess - target.to(guess.dtype).nan_to_num(0)

    def error(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, H, W) absolute errors, averaged over channels; anything finite where the target is unknown."""
        return self.gap(prediction, target).abs().mean(1)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, C, H, W), (N, C, H, W) -> (N,) in the target's unit."""
        return mean(self.error(prediction, target), self.known(target))

    def record(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, 2): the sum of the errors over known pixels, and their count."""
        return torch.stack(totals(self.error(prediction, target), self.known(target)), 1).float()

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean absolute error of each image, in the target's unit."""
        known = self.known(target)
        return torch.where(self.valid(target), mean(self.error(prediction, target), known), torch.nan)

    def metric(self) -> Metric:
        """Mean absolute error over all known pixels, in the target's unit."""
        return Summed(self, 2, ratio)

    def check(self, target: Tensor) -> None:
        """Floats (N, C, H, W) that are :attr:`allowed`, or NaN."""
        if target.dim() != 4 or target.shape[1] != self.channels or not target.is_floating_point():
            shape, found = f"(N, {self.channels}, H, W)", f"{target.dtype} {tuple(target.shape)}"
            raise TestudoError(f"task {self.name!r}: labels must be floats of shape {shape}, got {found}")
        wrong = target.isinf() | ~(target.isnan() | self.fits(target))
        if wrong.any():
            value, what = float(target[wrong][0]), type(self).__name__.lower()
            raise TestudoError(f"task {self.name!r}: {what} {value:g} must be {self.allowed}, or NaN where unknown")

    def as_label(self, prediction: Tensor) -> Tensor:
        """The predicted numbers; unknown where they cannot be labels."""
        guess = working_precision(prediction)
        return torch.where(self.fits(guess) & guess.isfinite(), guess, torch.nan)

    def describe(self, prediction: Tensor) -> list[str]:
        """The mean of each channel."""
        return self.tell(self.as_label(prediction))

    def tell(self, target: Tensor) -> list[str]:
        """The mean of each channel."""
        means = [row.flatten(1).nanmean(1).tolist() for row in target]
        return [f"{', '.join(f'{m:.3g}' for m in each)} {self.unit}".strip() + " on average" for each in means]
