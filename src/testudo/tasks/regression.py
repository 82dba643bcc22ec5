"""One or several numbers per image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.regression import MeanAbsoluteError

from testudo.errors import TestudoError, unknown
from testudo.tasks.task import Task
from testudo.tensors import working_precision


class _NaturalError(MeanAbsoluteError):
    """Mean absolute error in the target's unit, over the known numbers only."""

    def __init__(self, task: Regression) -> None:
        super().__init__()
        self._task = task

    def update(self, preds: Tensor, target: Tensor) -> None:
        guess = self._task.natural(preds).reshape(target.shape)
        known = ~target.isnan()
        super().update(guess[known].to(target.dtype), target[known])


@dataclass(frozen=True)
class Regression(Task):
    """Numbers; targets are (N,) or (N, outputs) floats, NaN where unknown; metric: mean absolute error.

    Args:
        name: see :class:`Task`.
        outputs: how many numbers.
        loss_kind: ``"l1"`` or ``"l2"`` (half the squared error), averaged over the known numbers.
        mean, std: the head predicts standardised values; the loss is in units of ``std``, score and metric
            are in the target's own unit.
        unit: the unit of the target, for people.

    >>> Regression("age", mean=40.0, std=10.0, unit="years").loss(torch.zeros(1, 1), torch.tensor([50.0]))
    tensor([1.])
    """

    outputs: int = 1
    loss_kind: Literal["l1", "l2"] = "l1"
    mean: float = 0.0
    std: float = 1.0
    unit: str = ""

    metric_name: ClassVar[str] = "error"
    higher_is_better: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss_kind not in ("l1", "l2"):
            raise unknown("loss_kind", self.loss_kind, ("l1", "l2"))
        if self.outputs < 1 or not self.std > 0:
            raise TestudoError(
                f"task {self.name!r}: outputs must be at least 1 and std above 0, got {self.outputs} and {self.std}"
            )

    @property
    def channels(self) -> int:
        """One number per output."""
        return self.outputs

    def valid(self, target: Tensor) -> Tensor:
        """At least one known number."""
        return (~target.reshape(len(target), self.outputs).isnan()).any(1)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, outputs), (N,) or (N, outputs) -> (N,)."""
        guess = working_precision(prediction)
        aim = (target.reshape(guess.shape).to(guess.dtype) - self.mean) / self.std
        known = ~aim.isnan()
        gap = torch.where(known, guess - aim.nan_to_num(0), torch.zeros_like(guess))
        each = gap.abs() if self.loss_kind == "l1" else gap.square() / 2
        return each.sum(1) / known.sum(1).clamp(min=1)

    def record(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, 2 outputs): the prediction and the target, both in the target's unit."""
        guess = self.natural(prediction).float()
        return torch.cat([guess, target.reshape(guess.shape).float()], 1)

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Absolute error in the target's unit, averaged over the known outputs."""
        guess = self.natural(prediction)
        return (guess - target.reshape(guess.shape)).abs().nanmean(1)

    def metric(self) -> Metric:
        """Mean absolute error in the target's unit over all known numbers."""
        return _NaturalError(self)

    def check(self, target: Tensor) -> None:
        """Floats (N,) or (N, outputs), finite or NaN."""
        shapes = [(len(target), self.outputs)] + ([(len(target),)] if self.outputs == 1 else [])
        if tuple(target.shape) not in shapes or not target.is_floating_point():
            found = f"{target.dtype} {tuple(target.shape)}"
            raise TestudoError(f"task {self.name!r}: labels must be floats of shape {shapes[0]}, got {found}")
        if target.isinf().any():
            raise TestudoError(f"task {self.name!r}: labels must be finite, or NaN where unknown; found infinity")

    def as_label(self, prediction: Tensor) -> Tensor:
        """The predicted numbers."""
        return self.natural(prediction)

    def describe(self, prediction: Tensor) -> list[str]:
        """The numbers with their unit."""
        return self.tell(self.as_label(prediction))

    def tell(self, target: Tensor) -> list[str]:
        """The numbers with their unit."""
        rows = target.reshape(len(target), -1).tolist()
        return [f"{', '.join(f'{v:.3g}' for v in row)} {self.unit}".strip() for row in rows]

    def natural(self, prediction: Tensor) -> Tensor:
        """The head's standardised numbers in the target's unit."""
        return working_precision(prediction) * self.std + self.mean
