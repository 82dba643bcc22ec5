"""Balances whose weights come from torchjd, one example at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torchjd.aggregation import AlignedMTLWeighting

from testudo.balance.base import State
from testudo.balance.gramian import GradientBalance
from testudo.errors import unknown


def each(weighting: Callable[[Tensor], Tensor], gramian: Tensor, moving: Tensor) -> Tensor:
    """Weights (*B, K) by a torchjd weighting, which takes one Gramian at a time.

    It is given the tasks that are ``moving`` (*B, K) alone, over the largest diagonal entry, and costs 0.1 to 0.2 ms an
    example on a CPU: fit for training, slow for an attack on a large batch.
    """
    count = gramian.shape[-1]
    weights = torch.zeros_like(gramian[..., 0]).reshape(-1, count)
    for row, inner, keep in zip(weights, gramian.reshape(-1, count, count), moving.reshape(-1, count), strict=True):
        if keep.any():
            kept = inner[keep][:, keep]
            row[keep] = weighting(kept / kept.diagonal().amax()).to(row)
    return weights.reshape(moving.shape)


@dataclass(frozen=True)
class AlignedMTL(GradientBalance):
    """The gradients made orthogonal and of one length, then averaged (Senushkin et al. 2023, algorithm 1).

    Weights may be negative.

    Args:
        gradients: see :class:`~testudo.balance.gramian.GradientBalance`.
        scale: which singular value of the gradients becomes all of them; the paper's is ``"min"``.
    """

    scale: Literal["min", "median", "rmse"] = "min"

    signed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale not in ("min", "median", "rmse"):
            raise unknown("scale", self.scale, ("min", "median", "rmse"))

    def solve(self, gramian: Tensor, moving: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        """By torchjd."""
        return each(AlignedMTLWeighting(scale_mode=self.scale), gramian, moving), state
