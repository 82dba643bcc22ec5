"""MGDA with a floor: named terms have at least a share of the weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from testudo.balance.base import State
from testudo.balance.by_name import any_of
from testudo.balance.gramian import GradientBalance, Normalise, divisors
from testudo.balance.two_hulls import min_norm_with_share
from testudo.errors import TestudoError, unknown


@dataclass(frozen=True)
class FlooredMGDA(GradientBalance):
    """The shortest vector in the convex hull of the gradients among those to which named terms give ``share`` or more.

    A minimum norm is drawn to whatever has almost no gradient left: in adversarial training to the clean and the
    auxiliary terms that are fitted, so that the adversarial ones starve. The floor keeps them fed; how the rest
    is spread, and how the share is among several that are named, the norm decides. Exact, for at most 12 terms.

    Where the floor holds, the step need not raise every term any more.

    Args:
        gradients: see :class:`~testudo.balance.gramian.GradientBalance`.
        named: patterns of the names of the terms that the share is for; each must fit some.
        share: in (0, 1], of the weights.
        normalise: what each gradient is divided by first, as in :class:`~testudo.balance.gramian.MGDA`. The weights are
            for the losses as they are, and those of the named terms sum to their share, ``share`` or more; the others'
            sum to one less that where nothing is divided, and may be above one else.

    >>> balance = FlooredMGDA(named=("digit.adv",), share=0.5)
    >>> state = balance.start(torch.ones(2), ["digit.clean", "digit.adv"])
    >>> balance.weigh(state, torch.ones(2), torch.tensor([[0.01, 0.0], [0.0, 1.0]]))[0]
    tensor([0.5000, 0.5000])
    """

    named: tuple[str, ...] = ("*.adv",)
    share: float = 0.5
    normalise: Normalise = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "named", (self.named,) if isinstance(self.named, str) else tuple(self.named))
        if not self.named:
            raise TestudoError("named must hold a pattern of the names of the terms that the share is for, got none")
        if not 0 < self.share <= 1:
            raise TestudoError(f"share must be in (0, 1], got {self.share}")
        if self.normalise not in get_args(Normalise):
            raise unknown("normalisation", self.normalise, get_args(Normalise))

    def start(self, clean_losses: Tensor, tasks: Sequence[str] = ()) -> State:
        """As the others', and which terms are named; raises TestudoError for a pattern that no name fits."""
        named = torch.tensor(any_of(self.named, tasks), device=clean_losses.device)
        return {**super().start(clean_losses, tasks), "named": named.expand_as(clean_losses)}

    def solve(self, gramian: Tensor, moving: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        """The shortest vector with the share."""
        unit = divisors(self.normalise, gramian, moving, losses)
        inner = gramian / unit[..., :, None] / unit[..., None, :]
        shares = min_norm_with_share(inner, state["named"], _some(moving), self.share)
        weights = shares / unit
        before, after = (torch.where(state["named"], values, 0).sum(-1, keepdim=True) for values in (shares, weights))
        scale = torch.where(before > 0, before / torch.where(after > 0, after, 1), 1 / weights.sum(-1, keepdim=True))
        return weights * scale, state


def _some(moving: Tensor) -> Tensor:
    """``moving``, or all where none is: such a row's weights are not used."""
    return moving | ~moving.any(-1, keepdim=True)
