"""How much a loss has grown: one measure for losses of any size and sign."""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 0.1  # in the unit of the losses; below it a loss grows by differences, above it by ratios


def labelled(clean_losses: Tensor) -> Tensor:
    """(*B, K) which tasks count: those with a clean loss; all of them where an example has none at all.

    >>> labelled(torch.tensor([[1.0, torch.nan], [torch.nan, torch.nan]]))
    tensor([[ True, False],
            [ True,  True]])
    """
    known = ~clean_losses.isnan()
    return known | ~known.any(-1, keepdim=True)


def growth(losses: Tensor, clean: Tensor, floor: float) -> Tensor:
    """``asinh(losses / floor) - asinh(clean / floor)``, elementwise.

    Far above ``floor`` it is ``log(losses / clean)``, so that tasks on different scales are compared; around 0
    it is linear, so that it is smooth and finite for the losses of a certain classifier, and for margins,
    which have either sign.

    >>> growth(torch.tensor([20.0, 0.02, -1.0]), torch.tensor([10.0, 0.0, -1.0]), 0.1)
    tensor([0.6931, 0.1987, 0.0000])
    """
    return torch.asinh(losses / floor) - torch.asinh(clean / floor)


def slope(losses: Tensor, floor: float) -> Tensor:
    """The derivative of :func:`growth` with respect to ``losses``: ``1 / sqrt(losses^2 + floor^2)``."""
    return 1 / torch.hypot(losses, losses.new_full((), floor))


def mean(values: Tensor, known: Tensor) -> Tensor:
    """(*B) the mean over the tasks that are ``known`` (*B, K); 0 where none is."""
    return torch.where(known, values, 0).sum(-1) / known.sum(-1).clamp(min=1)
