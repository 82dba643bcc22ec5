"""Surrogates for several labels, each present or absent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from testudo.attacks.surrogates import ClassSurrogate, Surrogate, mean_known
from testudo.tasks.classification import MultiLabel
from testudo.tasks.task import Task
from testudo.tensors import working_precision


@dataclass(frozen=True)
class MultiLabelMargin(Surrogate):
    """How far the logits are on the wrong side: the mean over an example's known labels y of (1 - 2 y) z.

    Every known label has the same gradient, one already told wrong as well; see BinaryCrossEntropy for less of it.

    >>> task = MultiLabel("finding", labels=("a", "b"))
    >>> MultiLabelMargin()(task, torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 0.0]]))
    tensor([-1.])
    """

    fits: ClassVar[tuple[str, ...]] = ("labels",)

    def __call__(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, L) logits, (N, L) targets of 0, 1 or NaN -> (N,)."""
        if not isinstance(task, MultiLabel):
            raise self.misfit(task)
        logits = working_precision(prediction)
        return mean_known((1 - 2 * target.nan_to_num(0).to(logits.dtype)) * logits, ~target.isnan())


@dataclass(frozen=True)
class BinaryCrossEntropy(ClassSurrogate):
    """Binary cross-entropy in nats: the mean over known labels, or for classes the sum over the one-hot target."""

    fits: ClassVar[tuple[str, ...]] = ("classes", "labels")

    def each(self, logits: Tensor, label: Tensor) -> Tensor:
        """(N, ...) the sum over classes."""
        one_hot = torch.zeros_like(logits).scatter(1, label, 1)
        return F.binary_cross_entropy_with_logits(logits, one_hot, reduction="none").sum(1)

    def __call__(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        """(N,) in nats."""
        if isinstance(task, MultiLabel):
            return task.loss(prediction, target)
        return super().__call__(task, prediction, target)

    def towards(self, task: Task, prediction: Tensor, target: Tensor, aim: Tensor) -> Tensor:
        """Minus the cross-entropy with ``aim``, where it is known."""
        return -self(task, prediction, aim)
