"""Stealthy: some tasks are hurt, the others held where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from testudo.balance.base import Balance, State
from testudo.balance.growth import FLOOR, growth, labelled, mean, slope
from testudo.errors import TestudoError, unknown


@dataclass(frozen=True)
class Stealthy(Balance):
    """Raises the named tasks and holds every other task under attack within a budget.

    The aim is that of stealthy multi-task attacks (arXiv 2411.17936): the others' metrics should give nothing
    away. A held task's loss L may exceed its clean loss L0 by ``budget max(|L0|, floor)``. The merit is the mean
    growth of the named tasks (:func:`~testudo.balance.growth.growth`) where all others are within budget, and
    minus what they are over it where one is not. The clean images' merit is 0, so an attack that keeps the best
    never returns a violation.

    The weights are the derivative of that growth less a soft hinge per held task, whose slope goes from 0 to
    1 (in units of L0) around half the budget: named tasks weigh above 0, held ones below. Chosen by
    trial with PGD (L-inf and L2, 10 to 40 steps, two small networks, three tasks): the growth reached within
    budget was 0.77 to 1.08 when held tasks were ignored (10 steps, L-inf), 1.5 when steps switched between raising
    and repairing, 1.7 with a hard hinge, and 1.77 with the soft one; multipliers with a memory did no better.

    Args:
        hurt: names of the tasks to raise; those held are the objective's other tasks.
        budget: above 0, what a held loss may grow, relative to its clean value.
        floor: above 0, in the unit of the losses; clean losses below count as this in the budget.
    """

    hurt: tuple[str, ...] = ()
    budget: float = 0.1
    floor: float = FLOOR

    signed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "hurt", (self.hurt,) if isinstance(self.hurt, str) else tuple(self.hurt))
        if not (0 < self.budget < float("inf") and 0 < self.floor < float("inf")):
            raise TestudoError(
                f"stealthy needs budget and floor above 0 and finite, got {self.budget} and {self.floor}"
            )

    def start(self, clean_losses: Tensor, tasks: Sequence[str] = ()) -> State:
        """The clean losses, and which tasks are to be hurt and held.

        Raises:
            TestudoError: no task is named, or one that is not under attack.
        """
        if not self.hurt:
            raise TestudoError(f"stealthy must be told which tasks to hurt: hurt = () of {', '.join(tasks)}")
        for name in self.hurt:
            if name not in tasks:
                raise unknown("task (to be hurt, but not under attack)", name, tasks)
        named = torch.tensor([name in self.hurt for name in tasks], device=clean_losses.device)
        known = labelled(clean_losses)
        return {"clean": clean_losses.nan_to_num(0), "hurt": known & named, "held": known & ~named}

    def weigh(self, state: State, losses: Tensor, gramian: Tensor | None = None) -> tuple[Tensor, State]:
        """Above 0 for the tasks to be hurt, below 0 for those held, 0 without a label."""
        raised = slope(losses, self.floor) / state["hurt"].sum(-1, keepdim=True).clamp(min=1)
        spent = self._increase(state, losses) / self.budget
        lowered = -torch.sigmoid(4 * (spent - 0.5)) / self._unit(state)
        return torch.where(state["hurt"], raised, torch.where(state["held"], lowered, 0)), state

    def merit(self, state: State, losses: Tensor) -> Tensor:
        """The mean growth of the tasks to be hurt, or minus the excess of the others over their budget."""
        excess = torch.where(state["held"], self._increase(state, losses) - self.budget, 0).clamp(min=0).sum(-1)
        return torch.where(excess > 0, -excess, mean(growth(losses, state["clean"], self.floor), state["hurt"]))

    def _increase(self, state: State, losses: Tensor) -> Tensor:
        return (losses - state["clean"]) / self._unit(state)

    def _unit(self, state: State) -> Tensor:
        return state["clean"].abs().clamp(min=self.floor)
