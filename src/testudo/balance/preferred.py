"""MGDA with preferences: some terms are to come down further than others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from testudo.balance.base import State
from testudo.balance.by_name import matches
from testudo.balance.gramian import MGDA
from testudo.errors import TestudoError


@dataclass(frozen=True)
class PreferredMGDA(MGDA):
    """The shortest vector in the convex hull of the gradients, each divided by its term's preference as well.

    A gradient that is divided by more is shorter, and the shorter a gradient, the more weight it draws: with
    ``normalise="l2"`` and gradients at right angles, the step's parts along the unit gradients are as the preferences
    (in the manner of Momma et al., ICML 2022, who scale the gradients before the minimum norm is sought). It
    guarantees no share: see :class:`~testudo.balance.floored.FlooredMGDA`.

    Args:
        gradients: see :class:`~testudo.balance.gramian.GradientBalance`.
        solver, normalise, steps: see :class:`~testudo.balance.gramian.MGDA`.
        preferences: by patterns of terms' names, numbers above 0; 1 for a term that none fits, and the
            first where several fit.

    >>> balance = PreferredMGDA(preferences={"*.adv": 3.0})
    >>> state = balance.start(torch.ones(2), ["digit.clean", "digit.adv"])
    >>> balance.weigh(state, torch.ones(2), torch.eye(2))[0]
    tensor([0.2500, 0.7500])
    """

    preferences: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for pattern, value in self.preferences.items():
            if not 0 < value < float("inf"):
                raise TestudoError(f"the preference of {pattern!r} must be above 0 and finite, got {value}")

    def start(self, clean_losses: Tensor, tasks: Sequence[str] = ()) -> State:
        """As the others', and the preferences; raises TestudoError for a pattern that no name fits."""
        values = torch.ones(clean_losses.shape[-1], dtype=torch.float64, device=clean_losses.device)
        for pattern, value in reversed(list(self.preferences.items())):
            values[torch.tensor(matches(pattern, tasks), device=values.device)] = value
        return {**super().start(clean_losses, tasks), "preferences": values.expand(clean_losses.shape)}

    def units(self, gramian: Tensor, moving: Tensor, losses: Tensor, state: State) -> Tensor:
        """What MGDA divides by, times the preferences."""
        return super().units(gramian, moving, losses, state) * state["preferences"]
