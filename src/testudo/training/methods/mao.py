"""Multi-task adversarial training over task combinations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from testudo.attacks.base import Attack
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.balance.fixed import Fixed
from testudo.data.batch import Batch
from testudo.errors import TestudoError, unknown
from testudo.models.model import Model
from testudo.tasks.task import Task
from testudo.training.methods.base import Method, Stage, State


@dataclass(frozen=True)
class Mao(Method):
    """For every batch and every task combination S_t: attack S_t's weighted loss, then one step on that same loss.

    Source: Mao et al. 2020, supplement, Algorithm 1. With the main task as the only combination it is Madry's
    training; each further combination is one more attack and one more optimiser step on the same batch, so a
    fair comparison gives its opponent as many.

    Args:
        weights: lambda by task, in the attack and in the step; where none is given, 1 for the main (first)
            task and ``auxiliary_weight`` for the others.
        balance: see :class:`~testudo.training.methods.base.Method`.
        attack: the search; its objective is replaced by each combination's.
        combinations: the sets S_t; none means {main}, {main and every auxiliary}.
        auxiliary_weight: lambda of the auxiliary tasks (the paper uses 0.1 and 0.01).

    >>> Mao(combinations=(("digit",), ("digit", "parity"))).auxiliary_weight
    0.01
    """

    attack: Attack = PGD(steps=7, keep="last")
    combinations: tuple[tuple[str, ...], ...] = ()
    auxiliary_weight: float = 0.01

    def sets(self, tasks: Mapping[str, Task]) -> tuple[tuple[str, ...], ...]:
        """The combinations for a model with ``tasks``, main task first."""
        names = tuple(tasks)
        return self.combinations or ((names[:1], names) if len(names) > 1 else (names,))

    def passes(self, tasks: Sequence[Task]) -> int:
        """An attack and an update for each combination."""
        return self.updates(tasks) * (self.attack.iterations * self.attack.runs + 1)

    def steps_of(self, tasks: Sequence[Task]) -> int:
        """One for each combination."""
        return self.updates(tasks)

    def updates(self, tasks: Sequence[Task]) -> int:
        """One for each combination."""
        return len(self.sets({task.name: task for task in tasks}))

    def check(self, tasks: Mapping[str, Task]) -> None:
        """Every named task must be the model's."""
        super().check(tasks)
        if not all(len(set(group)) == len(group) > 0 for group in self.combinations):
            raise TestudoError(f"each of the method's combinations names tasks, each once; got {self.combinations}")
        for name in (name for group in self.combinations for name in group):
            if name not in tasks:
                raise unknown("task (in the method's combinations)", name, tasks)

    def alone(self, main: str) -> Mao:
        """Attacks on ``main`` alone, as many as before, each with its step."""
        return replace(super().alone(main), combinations=((main,),) * len(self.combinations or (0, 0)))

    def terms(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """The terms of the last combination, which holds all tasks by default."""
        return self._stage(model, batch, len(self.sets(model.tasks)) - 1)()

    def stages(self, model: Model, batch: Batch, state: State) -> Iterator[Stage]:
        """One update per combination, each attacked after the update before."""
        for index in range(len(self.sets(model.tasks))):
            yield self._stage(model, batch, index)

    def _stage(self, model: Model, batch: Batch, index: int) -> Stage:
        names = self.sets(model.tasks)[index]
        full = self._weighted(tuple(model.tasks))
        objective = Objective(tasks=names, balance=Fixed({name: full.weight(name) for name in names}))
        attack = replace(self.attack, objective=objective, seed=self.attack.seed + index)
        images = attack.perturb(model, batch)
        return partial(full.task_terms, model, batch.with_images(images), "adv", names)

    def _weighted(self, names: tuple[str, ...]) -> Mao:
        """The same with every task's weight written out."""
        default = {name: 1.0 if name == names[0] else self.auxiliary_weight for name in names}
        return replace(self, weights={**default, **self.weights})
