"""The shortest way within the box onto a hyperplane, in three norms, without sorting all coordinates.

Shapes: M rows (one point and one hyperplane each), D coordinates.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.linalg import vecdot

TINY = 1e-30


def step_to_plane(points: Tensor, normals: Tensor, heights: Tensor, p: float) -> Tensor:
    """The d of least p-norm with ``heights + <normals, d> = 0`` and ``points + d`` inside [0, 1].

    This is the projection of Croce and Hein 2020 (eq. 6, appendix A), which sort the coordinates of every row.
    Only moves that lower abs(height) can help, each up to the box's wall. With u the normal over its largest
    magnitude and c the height likewise, for L2 and Linf the KKT conditions leave one number per row, the level t:
    ``abs(d_i) = v_i min(room_i / v_i, t)``, v = abs(u) in L2 and 1 in Linf, at which sum abs(u_i d_i) = c. For L1
    the coordinates of largest abs(u) go all the way to the wall, one after the other, until c is spent.

    Where the plane misses the box, d leads to the corner of the box (among the coordinates that count) that is
    nearest to it by height; where the normal is zero, or the height is, d is zero. A row is worked out by its own
    numbers alone.

    Args:
        points: (M, D) inside the box.
        normals: (M, D) the gradient of each row's linear function.
        heights: (M,) its value at the point: given, since the difference of large products would lose it.
        p: 1, 2 or infinity.

    Returns:
        (M, D) steps. Rounding may lead ``points + d`` out of the box by one unit in the last place.

    >>> points = torch.tensor([[0.5, 0.9]])
    >>> step_to_plane(points, torch.tensor([[1.0, -2.0]]), torch.tensor([-0.5]), 2)
    tensor([[ 0.1000, -0.2000]])
    >>> step_to_plane(points, torch.tensor([[1.0, -2.0]]), torch.tensor([-0.5]), torch.inf)
    tensor([[ 0.1667, -0.1667]])
    >>> step_to_plane(points, torch.tensor([[1.0, -2.0]]), torch.tensor([-0.5]), 1)
    tensor([[ 0.0000, -0.2500]])
    """
    if points.numel() == 0:
        return torch.zeros_like(points)
    size = normals.abs().amax(1)
    size = torch.where(size > 0, size, 1)
    need = (heights.abs() / size).clamp(max=points.shape[1])  # more than any row can give
    slope = normals / torch.where(heights < 0, -size, size)[:, None]  # the height falls against it
    upwards = torch.le(slope, 0, out=torch.empty_like(slope))
    room = (upwards - points).abs_()
    if p == 1:
        return _greedy(slope, room, need)
    rate = slope if p == 2 else slope.sign()
    limit = room / rate.abs().clamp_(min=TINY)
    level = _level(slope * rate, limit, need)
    return torch.minimum(limit, level[:, None]).mul_(rate).neg_()


def _level(gain: Tensor, limit: Tensor, need: Tensor) -> Tensor:
    """(M,) the t at which sum gain min(limit, t) = need, or beyond every limit that counts where none is enough.

    By Newton's method: the sum is concave and piecewise linear in t, so that steps from the left never overshoot,
    and the one after which no more limits are passed is exact. Two to four are usual.
    """
    level = need / gain.sum(1).clamp(min=1)  # a row's sum is at least 1, its largest gain, but for a zero normal
    slack = 1 + 8 * torch.finfo(level.dtype).eps
    rising = torch.empty_like(limit)
    while True:
        missing = need - vecdot(gain, torch.minimum(limit, level[:, None]))
        torch.gt(limit, level[:, None], out=rising)
        speed = vecdot(gain, rising)
        new = level + missing / torch.where(speed > 0, speed, torch.inf)
        grows = new > level * slack
        if not bool(grows.any()):
            return level
        level = torch.where(grows, new, level)  # a row that has arrived stays, however long its neighbours take


def _greedy(slope: Tensor, room: Tensor, need: Tensor) -> Tensor:
    """(M, D) the L1 step: coordinates by falling abs(slope), each up to its room, until ``need`` is spent.

    A handful is enough for most rows; those for which it is not take eight times as many, and so on.
    """
    dim = slope.shape[1]
    value = slope.abs() * room.sign()  # a coordinate at the wall has nothing to give
    step = torch.zeros_like(slope)
    rows, count = torch.arange(len(slope), device=slope.device), max(32, dim // 64)
    while len(rows):
        best, index = value[rows].topk(min(count, dim), 1)
        free = room[rows].gather(1, index)
        gain = best * free
        before = gain.cumsum(1) - gain
        move = ((need[rows, None] - before).clamp_(min=0) / best.clamp(min=TINY)).minimum(free)
        step[rows[:, None], index] = move
        rows = rows[gain.sum(1) < need[rows]] if count < dim else rows[:0]
        count *= 8
    return step.mul_(slope.sign()).neg_()
