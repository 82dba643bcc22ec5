"""Surrogates for real numbers, per example or per pixel; NaN targets are unknown.

Shapes: N examples, C numbers each, ``...`` nothing or pixels. Predictions are (N, C, ...); targets are too, or
(N, ...) where C is 1. A :class:`~testudo.tasks.regression.Regression` predicts standardised numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from testudo.attacks.surrogates import Surrogate, kind, mean_known
from testudo.errors import TestudoError
from testudo.tasks.regression import Regression
from testudo.tasks.task import Task
from testudo.tasks.vectors import between, direction
from testudo.tensors import working_precision


def scale(task: Task) -> tuple[float, float]:
    """The mean and standard deviation by which a task's targets are standardised; 0 and 1 where they are not."""
    return (task.mean, task.std) if isinstance(task, Regression) else (0.0, 1.0)


@dataclass(frozen=True)
class NumberSurrogate(Surrogate):
    """A surrogate for real numbers."""

    fits: ClassVar[tuple[str, ...]] = ("numbers",)

    def read(self, task: Task, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction and target (N, C, ...), in float32 or wider.

        Raises:
            TestudoError: the task's targets are not numbers.
        """
        if kind(task) != "numbers":
            raise self.misfit(task)
        guess = working_precision(prediction)
        return guess, target.reshape(guess.shape).to(guess.dtype)


@dataclass(frozen=True)
class L1Error(NumberSurrogate):
    """The absolute error in units of the task's ``std`` if it has one, averaged over the known numbers.

    >>> L1Error()(Regression("pose", outputs=2), torch.tensor([[1.0, 5.0]]), torch.tensor([[3.0, torch.nan]]))
    tensor([2.])
    """

    def __call__(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        """(N,) mean absolute errors."""
        gap, known = self.gap(task, prediction, target)
        return mean_known(gap.abs(), known)

    def gap(self, task: Task, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, ...) signed errors (0 where unknown), and which are known."""
        guess, aim = self.read(task, prediction, target)
        mean, std = scale(task)
        known = ~aim.isnan()
        return torch.where(known, guess - (aim.nan_to_num(0) - mean) / std, 0), known


@dataclass(frozen=True)
class L2Error(L1Error):
    """Half the squared error in units of the task's ``std`` if it has one, averaged over the known numbers."""

    def __call__(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        """(N,) halved mean squared errors."""
        gap, known = self.gap(task, prediction, target)
        return mean_known(gap.square() / 2, known)


@dataclass(frozen=True)
class Cosine(NumberSurrogate):
    """One minus the cosine between predicted and true vectors (C >= 2), or the angle between them.

    Vectors with a NaN, or all zero, are unknown. Lengths do not matter, but for predictions of which no component
    reaches 1e-6: their cosine falls to 0 with their length, so that its gradient stays finite.

    Args:
        angular: the angle in degrees instead. Its gradient does not fade as the prediction gets right, as the
            cosine's does: its length is that of 1 degree per degree everywhere but at exactly 0 and 180, where it is 0.

    >>> Cosine(angular=True)(Regression("gaze", outputs=2), torch.tensor([[2.0, 2.0]]), torch.tensor([[0.0, 1.0]]))
    tensor([45.])
    """

    angular: bool = False

    def __call__(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        """(N,) in 0 to 2, or in degrees, averaged over the known vectors.

        Raises:
            TestudoError: the task's targets are no vectors.
        """
        guess, aim = self.read(task, prediction, target)
        if guess.shape[1] < 2:
            raise TestudoError(f"surrogate Cosine needs vectors; task {task.name!r} has 1 number")
        known = ~aim.isnan().any(1) & (aim != 0).any(1)
        mean, std = scale(task)
        guess, aim = (direction(x) for x in (guess * std + mean, torch.where(known.unsqueeze(1), aim, 1)))
        return mean_known(between(guess, aim) if self.angular else 1 - (guess * aim).sum(1), known)
