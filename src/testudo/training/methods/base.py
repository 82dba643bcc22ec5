"""What a training method is: a batch in, named loss terms out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from testudo.attacks.base import Attack
from testudo.balance.base import Balance
from testudo.data.batch import Batch
from testudo.data.pretext import Pretext, Sees, check_pretexts, posed
from testudo.errors import TestudoError, unknown
from testudo.models.model import Model
from testudo.processes import count, total
from testudo.tasks.task import Task

State = MutableMapping[str, Tensor]
Stage = Callable[[], dict[str, Tensor]]  # a step whose images are made: its terms at the model's present weights


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
        pretexts: self-supervised tasks that are learnt beside the data's; their heads are dropped at the end.
        main_sees: ``"original"``: the data's tasks see the images as they are, and the pretexts others, changed;
            ``"transformed"``: every task sees the changed images (GAT's algorithm).
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    balance: Balance | None = None
    pretexts: tuple[Pretext, ...] = ()
    main_sees: Sees = "original"

    divisible: ClassVar[bool] = True  # whether a batch may come in parts, one step being made of them all

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if not 0 <= weight < float("inf"):
                raise TestudoError(f"the weight of task {name!r} must be at least 0 and finite, got {weight}")
        check_pretexts(self.pretexts, (), self.main_sees)

    @abstractmethod
    def terms(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """Named scalars to descend on, e.g. ``{"digit.clean": ..., "digit.adv": ...}``.

        Each is this process's part of a mean over the whole batch, of which ``batch`` may be one process's share:
        the mean of such parts over the processes is the mean over the batch (:func:`mean_loss`, :func:`mean_of`).
        """

    def steps(self, model: Model, batch: Batch, state: State) -> Iterator[dict[str, Tensor]]:
        """The terms of each optimiser step this batch is good for; one, unless a method says otherwise.

        The trainer asks for the next terms after it has made the step on the last ones.

        Args:
            model: in training mode; may be changed between two steps.
            batch: what :meth:`pose` made.
            state: tensors that the method keeps from batch to batch, to be changed in place; in the checkpoint, which
                is one for all processes: they must keep the same.
        """
        for stage in self.stages(model, batch, state):
            yield stage()

    def stages(self, model: Model, batch: Batch, state: State) -> Iterator[Stage]:
        """:meth:`steps`, each as a function that gives its terms, and gives them again after the weights were changed.

        A method that attacks makes its images before it, once.
        """
        yield partial(self.terms, model, batch)

    def pose(self, batch: Batch, tasks: Mapping[str, Task], places: Tensor) -> Batch:
        """``batch`` with its images changed for the pretexts; see :func:`testudo.data.pretext.posed`."""
        return posed(batch, self.pretexts, self._given(tasks), self.main_sees, places)

    @property
    def made(self) -> set[str]:
        """The names of the pretexts' tasks."""
        return {pretext.task.name for pretext in self.pretexts}

    def _given(self, tasks: Mapping[str, Task]) -> list[Task]:
        """The data's tasks: those that no pretext makes."""
        return [task for name, task in tasks.items() if name not in self.made]

    @property
    def images(self) -> int:
        """How many images a step sees for each image of the batch."""
        changed = math.prod(pretext.views for pretext in self.pretexts)
        return changed + (self.main_sees == "original") if self.pretexts else 1

    def steps_of(self, tasks: Sequence[Task]) -> int:
        """How many optimiser steps a batch is good for."""
        return 1

    def passes(self, tasks: Sequence[Task]) -> int:
        """Forward and backward passes of :attr:`images` images for each of a batch, attacks included.

        What a fair comparison equates, times those images.
        """
        return self.updates(tasks)

    def updates(self, tasks: Sequence[Task]) -> int:
        """Of those, the passes of the steps themselves: all but the attacks'."""
        return 1

    def check(self, tasks: Mapping[str, Task]) -> None:
        """Raise TestudoError where the method names a task that the model (pretexts included) lacks."""
        check_pretexts(self.pretexts, self._given(tasks), self.main_sees)
        for name in self.weights:
            if name not in tasks:
                raise unknown("task (in the method's weights)", name, tasks)

    def alone(self, main: str) -> Self:
        """The same for task ``main`` alone: what a fair single-task twin is trained with."""
        changes: dict[str, Any] = {"weights": {n: w for n, w in self.weights.items() if n == main}, "pretexts": ()}
        attack: Attack | None = getattr(self, "attack", None)
        if attack is not None and attack.objective.tasks:
            changes["attack"] = replace(attack, objective=replace(attack.objective, tasks=(main,)))
        return replace(self, **changes)

    def unbalanced(self, name: str) -> bool:
        """Whether the term called ``name`` stays out of the balance and counts as it is."""
        return False

    def past_features(self, name: str) -> bool:
        """Whether the term called ``name`` depends on the encoder otherwise than through what it gives.

        A function of gradients at the image does: it has a derivative with respect to the encoder's own layers, for
        which a balance at the features goes through the whole network.
        """
        return False

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
    """The mean loss over the examples that have a label; 0 where none has; see :func:`mean_of`."""
    return mean_of(task.loss(prediction, target), task.valid(target))


def mean_of(values: Tensor, counted: Tensor) -> Tensor:
    """This process's part of the mean of ``values`` (N,) over the ``counted`` (N,) examples of all processes.

    ``values`` must be 0 where not counted. With one process it is the mean itself, and 0 where nothing counts; the
    mean of all parts is the mean over everything, however the counted examples are spread.

    >>> mean_of(torch.tensor([1.0, 3.0, 0.0]), torch.tensor([True, True, False]))
    tensor(2.)
    """
    return values.sum() * count() / total(counted.sum()).clamp(min=1)
