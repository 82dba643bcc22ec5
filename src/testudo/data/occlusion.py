"""Occlusion edges: where one surface ends in front of another."""

from __future__ import annotations

import torch
from torch import Tensor


def occlusion(nearness: Tensor) -> Tensor:
    """How far the depth jumps between a pixel and its neighbours.

    In the image of a plane the inverse depth is a linear function of the pixel. So between two neighbours the gap is
    the least of: the difference of their inverse depths, and what it differs from the one before and from the one
    behind them on their line. It is 0 within a slanted plane, small at a crease, and given in parts of
    the larger of the two: between surfaces that face the camera it is 1 - near / far.

    Args:
        nearness: (N, 1, H, W) inverse depth or disparity, in any unit, at least 0; NaN where unknown.

    Returns:
        (N, 1, H, W) in [0, 1], of a pixel the largest gap to its four neighbours; NaN where it, or all of them, are
        unknown.

    >>> metres = torch.tensor([1.0, 1.0, 1.0, 4.0, 4.0, torch.nan]).reshape(1, 1, 1, 6)
    >>> occlusion(1 / metres)[0, 0, 0]
    tensor([0.0000, 0.0000, 0.7500, 0.7500, 0.0000,    nan])
    """
    found = torch.full_like(nearness, -1)
    for axis in (2, 3):
        gaps = _gaps(nearness.movedim(axis, -1)).nan_to_num(-1)
        none = gaps.new_full((*gaps.shape[:-1], 1), -1)
        for pair in ((gaps, none), (none, gaps)):  # to the one behind, to the one before
            found = torch.maximum(found, torch.cat(pair, -1).movedim(-1, axis))
    return torch.where((found < 0) | nearness.isnan(), torch.nan, found)


def _gaps(x: Tensor) -> Tensor:
    """(..., L) -> (..., L - 1) the gap between each pixel and the next; NaN where one of them is unknown."""
    step = x.diff(dim=-1)
    beyond = step.new_full((*step.shape[:-1], 1), torch.nan)
    before, behind = torch.cat([beyond, step], -1)[..., :-1], torch.cat([step, beyond], -1)[..., 1:]
    bends = [(step - other).abs().nan_to_num(torch.inf) for other in (before, behind)]
    gap = torch.minimum(step.abs(), torch.minimum(*bends))  # NaN in either stays: only the step can be
    nearest = torch.maximum(x[..., :-1], x[..., 1:])
    return (gap / torch.where(nearest > 0, nearest, 1)).clamp(max=1)
