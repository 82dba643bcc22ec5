"""What is known of the clean images of a batch, asked for at most once."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from testudo.attacks.found import Given, pick
from testudo.attacks.objective import reference
from testudo.attacks.oracle import Answer, Oracle
from testudo.balance.base import State
from testudo.errors import TestudoError


class Baseline:
    """The N clean images as the model sees them, and the balance before any step.

    Args:
        oracle: who asks the model.
        given: the examples.
    """

    def __init__(self, oracle: Oracle, given: Given) -> None:
        self.oracle, self.given = oracle, given
        self._answer: Answer | None = None
        self._outputs: dict[str, Tensor] | None = None
        self._state: State | None = None

    @property
    def begun(self) -> bool:
        """Whether the balance has a state."""
        return self._state is not None

    def known(self, answer: Answer) -> None:
        """Take ``answer``, which the search got on its way and in full precision, for the clean images'."""
        self._answer = answer

    def answer(self) -> Answer:
        """The model's full-precision word on the clean images.

        Raises:
            TestudoError: a loss is NaN, by task and id.
        """
        if self._answer is None:
            self._answer = self.oracle.exact(self.given.clean, self.given.targets)
        wrong = self._answer.told.isnan().nonzero()
        if len(wrong):
            row, column = wrong[0].tolist()
            name, image = list(self.oracle.tasks)[column], int(self.given.ids[row])
            raise TestudoError(f"the model's loss of task {name!r} is NaN on clean image {image}")
        return self._answer

    def refer(self) -> None:
        """Give the objective its references, of the precision and with the samples of the search, where it has any."""
        oracle = self.oracle
        names = [name for name in oracle.tasks if oracle.objective.relative(name)]
        if not names or reference(names[0]) in self.given.targets:
            return
        with torch.no_grad():
            said = [oracle.outputs(self.given.clean) for _ in range(oracle.samples)]
        found = {reference(name): torch.stack([one[name] for one in said]).mean(0) for name in names}
        self.given = replace(self.given, targets={**self.given.targets, **found})

    def outputs(self) -> dict[str, Tensor]:
        """Bare predictions by task, in full precision."""
        if self._outputs is None:
            self.oracle.asked += len(self.given.clean)
            with torch.no_grad():
                self._outputs = self.oracle.model.exact(self.given.clean, tuple(self.oracle.tasks))
        return self._outputs

    def state(self, losses: Tensor | None = None) -> State:
        """The balance before any step; ``losses`` (N, K) of the clean images save asking for them."""
        if self._state is None:
            if losses is None and self.oracle.objective.balance.needs == "nothing":
                losses = torch.zeros_like(self.given.labelled, dtype=self.given.clean.dtype)
            self._state = self._begin(self.answer().told if losses is None else losses, self.given.labelled)
        return self._state

    def aims(self, rank: int, rows: Tensor) -> tuple[dict[str, Tensor], State | None]:
        """The ``rank``-th nearest wrong answers of the examples at ``rows``, and the balance seen from there.

        Raises:
            TestudoError: a task under attack has not that many wrong classes, or none.
        """
        outputs, targets, tasks = pick(self.outputs(), rows), pick(self.given.targets, rows), self.oracle.tasks
        aims = {name: task.rival(outputs[name], targets[name], rank) for name, task in tasks.items()}
        if self.oracle.objective.balance.needs == "nothing":
            return aims, None
        return aims, self._begin(self.oracle.objective.losses(tasks, outputs, targets, aims), self.given.labelled[rows])

    def _begin(self, losses: Tensor, labelled: Tensor) -> State:
        names = tuple(self.oracle.tasks)
        return self.oracle.objective.balance.start(torch.where(labelled, losses, torch.nan), names)
