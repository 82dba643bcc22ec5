"""Min-max weights: the step is for the task that is hurt least so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from testudo.balance.base import Balance, State
from testudo.errors import TestudoError, unknown


def project_simplex(points: Tensor) -> Tensor:
    """Euclidean projection of each row of (*B, K) onto the probability simplex, exact, by sorting.

    Source: Duchi et al. 2008, figure 1.

    A coordinate of -inf gets 0.

    >>> project_simplex(torch.tensor([0.5, 1.5, -1.0]))
    tensor([0., 1., 0.])
    """
    points = points - points.amax(-1, keepdim=True)  # the same projection, without cancelling large numbers
    ordered = points.sort(-1, descending=True).values
    excess = ordered.cumsum(-1) - 1
    count = torch.arange(1, points.shape[-1] + 1, device=points.device, dtype=points.dtype)
    support = (ordered * count > excess).sum(-1, keepdim=True).clamp(min=1)
    threshold = excess.gather(-1, support - 1) / support
    return (points - threshold).clamp(min=0)


@dataclass(frozen=True)
class MinMax(Balance):
    """The ascent on the images is against weights that descend (min-max paper, equations 2-4, Algorithm 1).

    Weights start at 1/K; after each step ``w <- project_simplex(w - rate (r + gamma (w - 1/K)))``, where r are
    the losses at the current images. It costs no backward pass of its own.

    Args:
        scale: ``"relative"`` (default): r = (L - L0) / L0, the increase over the clean loss L0, so that tasks
            on different scales are compared; ``"raw"``: r = L, the paper's equation 2. With the other defaults
            these are the presets ``relative`` and ``paper``.
        rate: the step of the weights (the paper prints none; 1/30 comes from our sweep).
        gamma: the pull towards equal weights.
        floor: clean losses below this count as this in the relative increase. A well-fitted classifier's are
            near zero, its relative increases then so large that the weights jump between corners: on our digits
            (PGD-20, Linf 0.15, 600 images) a floor of 0.001 gave Delta_MTL -55 %, 1 gave -67 %, equal weights -66 %.

    The merit is the inner minimum itself, ``min_w sum w r + gamma/2 |w - 1/K|^2`` over the simplex, so that
    steps taken under different weights can be compared.
    """

    scale: Literal["relative", "raw"] = "relative"
    rate: float = 1 / 30
    gamma: float = 1.0
    floor: float = 1.0

    def __post_init__(self) -> None:
        if self.scale not in ("relative", "raw"):
            raise unknown("scale", self.scale, ("relative", "raw"))
        if not (self.rate > 0 and self.gamma >= 0 and self.floor > 0):
            raise TestudoError(
                f"min-max needs rate > 0, gamma >= 0, floor > 0; got {self.rate}, {self.gamma}, {self.floor}"
            )

    def start(self, clean_losses: Tensor, tasks: Sequence[str] = ()) -> State:
        """Equal weights for the tasks that have labels, to be used unchanged at the first step.

        A task without a label is left out: it cannot be hurt, so it would soon take all the weight.
        """
        known = ~clean_losses.isnan()
        known = known | ~known.any(-1, keepdim=True)
        equal = known.to(clean_losses.dtype) / known.sum(-1, keepdim=True)
        return {
            "clean": clean_losses.nan_to_num(0),
            "equal": equal,
            "first": torch.ones_like(clean_losses[..., :1], dtype=torch.bool),
            "weights": equal,
        }

    def weigh(self, state: State, losses: Tensor, gramian: Tensor | None = None) -> tuple[Tensor, State]:
        """One projected descent step on the weights, from the losses at the current images."""
        weights = state["weights"]
        pull = self.gamma * (weights - state["equal"])
        moved = weights - self.rate * (self._measure(state, losses) + pull)
        moved = project_simplex(torch.where(state["equal"] > 0, moved, -torch.inf))
        moved = torch.where(state["first"], weights, moved)
        return moved, {**state, "weights": moved, "first": torch.zeros_like(state["first"])}

    def merit(self, state: State, losses: Tensor) -> Tensor:
        """The value of the inner minimisation over the weights, solved exactly."""
        values, equal = self._measure(state, losses), state["equal"]
        if self.gamma == 0:
            return torch.where(equal > 0, values, torch.inf).amin(-1)
        best = project_simplex(torch.where(equal > 0, equal - values / self.gamma, -torch.inf))
        return (best * values).sum(-1) + self.gamma / 2 * (best - equal).square().sum(-1)

    def _measure(self, state: State, losses: Tensor) -> Tensor:
        if self.scale == "raw":
            return losses
        return (losses - state["clean"]) / state["clean"].abs().clamp(min=self.floor)
