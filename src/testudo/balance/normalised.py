"""Weights that put all tasks on the scale of their clean losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.balance.base import Balance, State
from testudo.errors import TestudoError


@dataclass(frozen=True)
class Normalised(Balance):
    """Each task weighs the inverse of its loss on the clean example (min-max paper, section III).

    The weights are scaled to sum to one, which changes neither a signed nor a normalised step and makes
    them comparable with other balances'.

    Args:
        floor: clean losses below this count as this, lest a task that is already certain take all.

    >>> balance = Normalised()
    >>> balance.weigh(balance.start(torch.tensor([1.0, 3.0])), torch.ones(2))[0]
    tensor([0.7500, 0.2500])
    """

    floor: float = 1e-3

    def __post_init__(self) -> None:
        if not self.floor > 0:
            raise TestudoError(f"floor must be above 0, got {self.floor}")

    def start(self, clean_losses: Tensor, tasks: Sequence[str] = ()) -> State:
        """The weights, once and for all; 0 for a task without a label."""
        inverse = torch.where(clean_losses.isnan(), 0, 1 / clean_losses.abs().clamp(min=self.floor))
        total = inverse.sum(-1, keepdim=True)
        return {"weights": torch.where(total > 0, inverse / total, 1 / clean_losses.shape[-1])}

    def weigh(self, state: State, losses: Tensor, gramian: Tensor | None = None) -> tuple[Tensor, State]:
        """The weights fixed at the start."""
        return state["weights"], state
