"""Even progress: the term that has come down least so far counts most, smoothly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.balance.base import Balance, State
from testudo.balance.growth import FLOOR, growth, labelled, mean, slope
from testudo.errors import TestudoError


@dataclass(frozen=True)
class EvenProgress(Balance):
    """Lowers the soft maximum over the terms of how much each loss has grown since the first step.

    :class:`~testudo.balance.softmin.Softmin` for those who descend: the soft minimum of the progress ``-h_k``, with
    h_k the growth of :func:`~testudo.balance.growth.growth`, about the logarithm of L_k over the loss L_k0 of the
    first step. The merit is ``log(mean_k exp(sharpness h_k)) / sharpness``, and the weights are its exact
    derivative with respect to the losses, ``softmax(sharpness h)_k / sqrt(L_k^2 + floor^2)``; they need not sum to one.
    (Softmin's own weights go to the terms that are lowest: a descent by them starves the others.)

    Args:
        sharpness: above 0; towards 0 the merit is the mean growth, towards infinity the greatest.
        floor: above 0, in the unit of the losses: below it a loss falls by differences, above it by ratios.

    >>> balance = EvenProgress()
    >>> state = balance.start(torch.tensor([2.0, 2.0]))
    >>> weights, state = balance.weigh(state, torch.tensor([1.0, 0.25]))
    >>> weights * torch.tensor([1.0, 0.25])  # what one per cent less of each loss is worth: the second is ahead
    tensor([0.7903, 0.1910])
    """

    sharpness: float = 1.0
    floor: float = FLOOR

    def __post_init__(self) -> None:
        if not (0 < self.sharpness < float("inf") and 0 < self.floor < float("inf")):
            raise TestudoError(
                f"even progress needs sharpness and floor above 0 and finite, got {self.sharpness} and {self.floor}"
            )

    def start(self, clean_losses: Tensor, tasks: Sequence[str] = ()) -> State:
        """The losses of the first step, and which terms count."""
        return {"clean": clean_losses.nan_to_num(0), "known": labelled(clean_losses)}

    def weigh(self, state: State, losses: Tensor, gramian: Tensor | None = None) -> tuple[Tensor, State]:
        """The derivative of :meth:`merit`; 0 for a term without a label."""
        shares = (self.sharpness * self._growth(state, losses)).softmax(-1)
        return shares * slope(losses, self.floor), state

    def merit(self, state: State, losses: Tensor) -> Tensor:
        """The soft maximum of the growths."""
        grown = self._growth(state, losses)
        most = grown.amax(-1, keepdim=True)
        rest = mean(torch.expm1(self.sharpness * (grown - most)), state["known"])
        return most[..., 0] + torch.log1p(rest) / self.sharpness

    def _growth(self, state: State, losses: Tensor) -> Tensor:
        return torch.where(state["known"], growth(losses, state["clean"], self.floor), -torch.inf)
