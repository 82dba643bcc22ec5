"""What an attack raises for one task in place of its metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.errors import TestudoError
from testudo.tasks.classification import Classification
from testudo.tasks.task import Task, working_precision


@dataclass(frozen=True)
class Surrogate(ABC):
    """A differentiable number per example that falls as the prediction gets better."""

    @abstractmethod
    def __call__(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        """(N,) the surrogate; 0 where there is no label."""


@dataclass(frozen=True)
class TaskLoss(Surrogate):
    """The loss that the task is trained with."""

    def __call__(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        """The task's own loss."""
        return task.loss(prediction, target)


@dataclass(frozen=True)
class Margin(Surrogate):
    """The best wrong logit minus the right one (Carlini and Wagner 2017); positive where the attack has won.

    >>> Margin()(Classification("digit", classes=3), torch.tensor([[2.0, 5.0, 1.0]]), torch.tensor([1]))
    tensor([-3.])
    """

    def __call__(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, classes) logits, (N,) classes -> (N,) margins."""
        if not isinstance(task, Classification):
            raise TestudoError(f"surrogate 'margin' needs a classification task; {task.name!r} is none (use 'loss')")
        logits, known = working_precision(prediction), task.valid(target)
        label = target.clamp(min=0)[:, None]
        others = logits.scatter(1, label, -torch.inf)
        gap = others.amax(1) - logits.gather(1, label)[:, 0]
        return torch.where(known, gap, torch.zeros_like(gap))
