"""What a training method is: a batch in, named loss terms out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from testudo.attacks.base import Attack
from testudo.balance.base import Balance
from testudo.data.batch import Batch
from testudo.errors import TestudoError, unknown
from testudo.models.model import Model
from testudo.tasks.task import Task


def check_attack(attack: Attack, tasks: Mapping[str, Task]) -> None:
    """Raise TestudoError where ``attack`` cannot be made on a model with ``tasks``."""
    names = tuple(attack.objective.attacked(tasks, tasks))
    attack.objective.balance.start(torch.ones(1, len(names)), names)


@dataclass(frozen=True)
class Method(ABC):
    """Loss terms for a batch, and how they become one update.

    Args:
        weights: a factor lambda for each task's terms, 1 where none is given.
        balance: how the terms are weighed against each other; none means their sum.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    balance: Balance | None = None

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if not 0 <= weight < float("inf"):
                raise TestudoError(f"the weight of task {name!r} must be at least 0 and finite, got {weight}")

    @abstractmethod
    def terms(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """Named scalars to descend on, e.g. ``{"digit.clean": ..., "digit.adv": ...}``."""

    def steps(self, model: Model, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """The terms of each optimiser step this batch is good for; one, unless a method says otherwise."""
        yield self.terms(model, batch)

    def passes(self, tasks: Sequence[Task]) -> int:
        """Forward and backward passes that a batch costs, attacks included: what a fair comparison equates."""
        return 1

    def check(self, tasks: Mapping[str, Task]) -> None:
        """Raise TestudoError where the method names a task that the model lacks."""
        for name in self.weights:
            if name not in tasks:
                raise unknown("task (in the method's weights)", name, tasks)

    def weight(self, name: str) -> float:
        """Lambda of one task."""
        return self.weights.get(name, 1.0)

    def task_terms(self, model: Model, batch: Batch, suffix: str, names: tuple[str, ...] = ()) -> dict[str, Tensor]:
        """``{"task.suffix": lambda * mean loss over the labelled examples}`` for the named tasks (default all)."""
        names = names or tuple(model.tasks)
        outputs = model(batch.images, names)
        return {
            f"{name}.{suffix}": self.weight(name) * mean_loss(model.tasks[name], outputs[name], batch.targets[name])
            for name in names
        }


def mean_loss(task: Task, prediction: Tensor, target: Tensor) -> Tensor:
    """The mean loss over the examples that have a label; 0 where none has."""
    return task.loss(prediction, target).sum() / task.valid(target).sum().clamp(min=1)
