"""Which tasks an attack is after, balanced how, measured by what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from testudo.attacks.surrogates import Custom, Surrogate, TaskLoss
from testudo.balance.base import Balance, State
from testudo.balance.fixed import Equal
from testudo.errors import TestudoError, unknown
from testudo.tasks.task import Task


@dataclass(frozen=True)
class Objective:
    """What an attack raises, per example.

    Args:
        tasks: names of the tasks under attack; none means every task of the model.
        balance: how their losses become one number.
        surrogate: what stands for a task's metric: one for all tasks, or one for each by the task's name
            (the task's own loss where a name is missing); a function ``f(task, prediction, target) -> (N,)`` too.
        targeted: the batch's targets are what the attacker wants said, so their losses are lowered.
        success: scores, by task name, beyond which the task counts as beaten, in the unit of its metric
            (an error of 0.5 m, a mean IoU of 0.2); by default a classification is beaten by any wrong answer,
            and a task without a decision never.

    >>> Objective(tasks=["digit"])
    Objective(tasks=('digit',), balance=Equal(), surrogate=TaskLoss(), targeted=False, success={})
    """

    tasks: tuple[str, ...] = ()
    balance: Balance = Equal()
    surrogate: Surrogate | dict[str, Surrogate] = TaskLoss()
    targeted: bool = False
    success: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = (self.tasks,) if isinstance(self.tasks, str) else tuple(self.tasks)
        if len(set(names)) < len(names):
            raise TestudoError(f"an objective names each task once, got {', '.join(names)}")
        object.__setattr__(self, "tasks", names)
        given = self.surrogate
        made = (
            {name: _surrogate(each) for name, each in given.items()} if isinstance(given, dict) else _surrogate(given)
        )
        object.__setattr__(self, "surrogate", made)
        for name in (*self.success, *(self.surrogate if isinstance(self.surrogate, dict) else ())):
            if names and name not in names:
                raise unknown("task (it is not under attack)", name, names)

    def attacked(self, tasks: Mapping[str, Task], labelled: Iterable[str]) -> dict[str, Task]:
        """The tasks under attack, of a model with ``tasks`` on a batch with the ``labelled`` ones.

        Raises:
            TestudoError: the model lacks a named task, the batch lacks a task's labels, or a task has no loss of its
                own for each example.
        """
        labelled = set(labelled)
        own = self.surrogate if isinstance(self.surrogate, dict) else ()
        for name in (*self.tasks, *self.success, *own):
            if name not in tasks:
                raise unknown("task", name, tasks)
        for name in self.tasks or tasks:
            if name not in labelled:
                have = ", ".join(sorted(labelled)) or "none"
                raise TestudoError(f"task {name!r} is under attack but the batch has no labels for it (it has: {have})")
            if tasks[name].paired:
                alone = ", ".join(other for other in tasks if not tasks[other].paired) or "none"
                raise TestudoError(
                    f"task {name!r} compares images with each other, so that no one of them can be attacked; "
                    f"name the objective's tasks (allowed: {alone})"
                )
        return {name: tasks[name] for name in self.tasks or tasks}

    def losses(
        self,
        tasks: Mapping[str, Task],
        outputs: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        aims: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """(N, K) what the attack raises for each of the K ``tasks``.

        With ``aims``, wrong answers by task name, it is how near the model is to giving those. Where ``targets`` hold
        a task's :func:`reference`, it is measured from that.
        """
        columns = []
        for name, task in tasks.items():
            raised, said, target = self._surrogate(name), outputs[name], targets[name]
            if aims is not None:
                columns.append(raised.towards(task, said, target, aims[name]))
            elif self.relative(name) and reference(name) in targets:
                columns.append(raised.since(task, said, targets[reference(name)], target))
            else:
                columns.append((raised.wanting if self.targeted else raised)(task, said, target))
        return torch.stack(columns, 1)

    def beaten(self, tasks: Mapping[str, Task], outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """(N,) whether every task under attack is: its score is beyond the stated or its own threshold.

        A task without a label cannot be beaten and is not asked for. Targeted, a task is beaten where the
        model says what the attacker wants, that is where it would not count as a wrong answer.
        """
        columns = []
        for name, task in tasks.items():
            beaten = task.beaten(outputs[name], targets[name], self.success.get(name))
            if self.targeted:
                beaten = ~beaten & (task.decision is not None or name in self.success)
            columns.append(beaten | ~task.valid(targets[name]))
        return torch.stack(columns, 1).all(1)

    def relative(self, name: str) -> bool:
        """Whether what is raised for the task is measured from the model's own word on the clean image."""
        return self._surrogate(name).relative and not self.targeted

    def merit(self, state: State, losses: Tensor) -> Tensor:
        """(N,) the balance's one number for losses (N, K), -inf where anything in it is NaN."""
        merit = self.balance.merit(state, losses)
        return torch.where(merit.isnan() | losses.isnan().any(1), -torch.inf, merit)

    def _surrogate(self, name: str) -> Surrogate:
        return self.surrogate.get(name, TaskLoss()) if isinstance(self.surrogate, dict) else self.surrogate


def reference(name: str) -> str:
    """The key among targets under which an attack keeps what the model says of the clean images for a task."""
    return f"{name} on the clean image"


def _surrogate(given: Surrogate | Callable[..., Tensor]) -> Surrogate:
    if isinstance(given, type) or not callable(given):
        raise TestudoError(f"a surrogate must be an object like Margin(), or a function; got {given!r}")
    return given if isinstance(given, Surrogate) else Custom(given)
