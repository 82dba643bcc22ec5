"""Which tasks an attack is after, balanced how, measured by what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.attacks.surrogates import Surrogate, TaskLoss
from testudo.balance.base import Balance
from testudo.balance.fixed import Equal
from testudo.errors import TestudoError, unknown
from testudo.tasks.task import Task


@dataclass(frozen=True)
class Objective:
    """What an attack raises, per example.

    Args:
        tasks: names of the tasks under attack; none means every task of the model.
        balance: how their losses become one number.
        surrogate: what stands for a task's metric.
        targeted: the batch's targets are what the attacker wants said, so their losses are lowered.

    >>> Objective(tasks=["digit"])
    Objective(tasks=('digit',), balance=Equal(), surrogate=TaskLoss(), targeted=False)
    """

    tasks: tuple[str, ...] = ()
    balance: Balance = Equal()
    surrogate: Surrogate = TaskLoss()
    targeted: bool = False

    def __post_init__(self) -> None:
        names = (self.tasks,) if isinstance(self.tasks, str) else tuple(self.tasks)
        if len(set(names)) < len(names):
            raise TestudoError(f"an objective names each task once, got {', '.join(names)}")
        object.__setattr__(self, "tasks", names)

    def attacked(self, tasks: Mapping[str, Task], labelled: Iterable[str]) -> dict[str, Task]:
        """The tasks under attack, of a model with ``tasks`` on a batch with the ``labelled`` ones.

        Raises:
            TestudoError: the model lacks a named task, or the batch lacks a task's labels.
        """
        labelled = set(labelled)
        for name in self.tasks or tasks:
            if name not in tasks:
                raise unknown("task", name, tasks)
            if name not in labelled:
                have = ", ".join(sorted(labelled)) or "none"
                raise TestudoError(f"task {name!r} is under attack but the batch has no labels for it (it has: {have})")
        return {name: tasks[name] for name in self.tasks or tasks}

    def losses(self, tasks: Mapping[str, Task], outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """(N, K) what the attack raises for each of the K ``tasks``."""
        columns = [self.surrogate(task, outputs[name], targets[name]) for name, task in tasks.items()]
        return -torch.stack(columns, 1) if self.targeted else torch.stack(columns, 1)
