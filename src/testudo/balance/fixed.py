"""Weights that do not move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from testudo.balance.base import Balance, State
from testudo.errors import TestudoError, unknown


@dataclass(frozen=True)
class Equal(Balance):
    """Every task weighs 1/K (Mao et al. 2020, equation 3).

    >>> balance = Equal()
    >>> balance.weigh(balance.start(torch.ones(2)), torch.tensor([1.0, 3.0]))[0]
    tensor([0.5000, 0.5000])
    """

    needs: ClassVar[Literal["nothing", "losses", "gramian"]] = "nothing"

    def start(self, clean_losses: Tensor, tasks: Sequence[str] = ()) -> State:
        """No state."""
        return {}

    def weigh(self, state: State, losses: Tensor, gramian: Tensor | None = None) -> tuple[Tensor, State]:
        """1/K each."""
        return torch.full_like(losses, 1 / losses.shape[-1]), state


@dataclass(frozen=True)
class Fixed(Balance):
    """The weights it is given, by task name; they need not sum to one.

    Args:
        weights: a number of at least 0 for every task that is balanced.

    >>> balance = Fixed({"digit": 1.0, "parity": 0.01})
    >>> state = balance.start(torch.ones(2), ["parity", "digit"])
    >>> balance.weigh(state, torch.ones(2))[0]
    tensor([0.0100, 1.0000])
    """

    weights: Mapping[str, float] = field(default_factory=dict)

    needs: ClassVar[Literal["nothing", "losses", "gramian"]] = "nothing"

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if not 0 <= weight < float("inf"):
                raise TestudoError(f"the weight of task {name!r} must be at least 0 and finite, got {weight}")

    def start(self, clean_losses: Tensor, tasks: Sequence[str] = ()) -> State:
        """The weights in the order of ``tasks`` (in their own order where no names are given)."""
        names = list(tasks) or list(self.weights)
        for name in names:
            if name not in self.weights:
                raise unknown("task (it has no fixed weight)", name, self.weights)
        if len(names) != clean_losses.shape[-1]:
            raise TestudoError(f"{len(names)} fixed weights for {clean_losses.shape[-1]} tasks")
        values = torch.tensor([float(self.weights[name]) for name in names]).to(clean_losses)
        return {"weights": values.expand_as(clean_losses)}

    def weigh(self, state: State, losses: Tensor, gramian: Tensor | None = None) -> tuple[Tensor, State]:
        """The given weights."""
        return state["weights"], state
