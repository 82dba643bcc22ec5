"""Softmin: the task that has grown least so far counts most, smoothly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.balance.base import Balance, State
from testudo.balance.growth import FLOOR, growth, labelled, mean, slope
from testudo.errors import TestudoError


@dataclass(frozen=True)
class Softmin(Balance):
    """Raises the soft minimum over the tasks of how much each loss has grown.

    With ``h_k = asinh(L_k / floor) - asinh(L_k0 / floor)`` (the logarithm of L_k over the clean loss L_k0 where
    both are far above the floor), the merit is ``-log(mean_k exp(-sharpness h_k)) / sharpness``, and the weights
    are its exact derivative with respect to the losses, ``softmax(-sharpness h)_k / sqrt(L_k^2 + floor^2)``. They
    need not sum to one. Unlike min-max it has no state and no step size: equal images have equal weights.

    Args:
        sharpness: above 0; towards 0 the merit is the mean growth, towards infinity the least.
        floor: above 0, in the unit of the losses: below it a loss grows by differences, above it by ratios.

    >>> balance = Softmin()
    >>> state = balance.start(torch.tensor([1.0, 50.0]))
    >>> weights, state = balance.weigh(state, torch.tensor([4.0, 50.0]))
    >>> weights * torch.tensor([4.0, 50.0])  # what one per cent more of each loss is worth: the second has not grown
    tensor([0.2003, 0.7996])
    """

    sharpness: float = 1.0
    floor: float = FLOOR

    def __post_init__(self) -> None:
        if not (0 < self.sharpness < float("inf") and 0 < self.floor < float("inf")):
            raise TestudoError(
                f"softmin needs sharpness and floor above 0 and finite, got {self.sharpness} and {self.floor}"
            )

    def start(self, clean_losses: Tensor, tasks: Sequence[str] = ()) -> State:
        """The clean losses, and which tasks count."""
        return {"clean": clean_losses.nan_to_num(0), "known": labelled(clean_losses)}

    def weigh(self, state: State, losses: Tensor, gramian: Tensor | None = None) -> tuple[Tensor, State]:
        """The derivative of :meth:`merit`; 0 for a task without a label."""
        shares = (-self.sharpness * self._growth(state, losses)).softmax(-1)
        return shares * slope(losses, self.floor), state

    def merit(self, state: State, losses: Tensor) -> Tensor:
        """The soft minimum of the growths."""
        grown = self._growth(state, losses)
        least = grown.amin(-1, keepdim=True)
        # around the least, by expm1 and log1p: neither overflows, and a small sharpness loses no digits
        rest = mean(torch.expm1(-self.sharpness * (grown - least)), state["known"])
        return least[..., 0] - torch.log1p(rest) / self.sharpness

    def _growth(self, state: State, losses: Tensor) -> Tensor:
        return torch.where(state["known"], growth(losses, state["clean"], self.floor), torch.inf)
