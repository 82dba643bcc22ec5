"""Quadratic programs over a few tasks, one per example, solved exactly by trying every support."""

from __future__ import annotations

import torch
from torch import Tensor

from testudo.errors import TestudoError

MOST = 12  # tasks; the number of supports doubles with each
_AT_ONCE = 2**16  # linear systems, to bound memory


def nonnegative(matrix: Tensor, target: Tensor) -> Tensor:
    """``argmin x' matrix x / 2 - target' x`` over ``x >= 0``, one for each example and column.

    Each of the 2^K sets of coordinates that may be above 0 gives one candidate, by a linear system; the one
    that obeys the optimality conditions best is taken. There are no tolerances and no iterations to tune. Where
    the minimum is attained at several points, one of them comes out, which may change with the order of tasks.

    Args:
        matrix: (*B, K, K) symmetric, positive semi-definite, with a diagonal of about 1; K at most 12.
        target: (*B, K, R), in the range of ``matrix`` (so that there is a minimum).

    Returns:
        (*B, K, R) in float64.

    Raises:
        TestudoError: more than 12 tasks.
    """
    count = matrix.shape[-1]
    if count > MOST:
        raise TestudoError(f"the exact solver tries every set of tasks and takes at most {MOST} tasks, got {count}")
    flat = matrix.double().reshape(-1, count, count)
    sides = target.double().reshape(len(flat), count, target.shape[-1])
    rows = max(1, _AT_ONCE >> count)
    parts = [_best_support(m, t) for m, t in zip(flat.split(rows), sides.split(rows), strict=True)]
    return torch.cat(parts).reshape(target.shape)


def _best_support(matrix: Tensor, target: Tensor) -> Tensor:
    count = matrix.shape[-1]
    places = torch.arange(count, device=matrix.device)
    inside = (torch.arange(2**count, device=matrix.device)[:, None] >> places & 1).to(matrix)
    outside = torch.diag_embed(1 - inside)
    systems = matrix[:, None] * inside[:, :, None] * inside[:, None, :] + outside
    found = torch.linalg.solve_ex(systems, target[:, None] * inside[..., None]).result
    found = found.clamp(min=0).nan_to_num(torch.inf, torch.inf)
    slack = matrix[:, None] @ found.nan_to_num(0, 0) - target[:, None]
    wrong = torch.minimum(found, slack).abs().amax(-2) + 1e-15 * found.sum(-2)  # (B, 2^K, R); the latter against
    best = wrong.nan_to_num(torch.inf).argmin(1)  # points far out on a flat floor
    return found.gather(1, best[:, None, None, :].expand(-1, 1, count, -1))[:, 0]


def product(matrix: Tensor, columns: Tensor) -> Tensor:
    """(*B, K, K) times (*B, K, R), added up in one order whatever *B is (``@`` may differ by a bit)."""
    return (matrix[..., None] * columns[..., None, :, :]).sum(-2)


def unit_form(gramian: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and norms of the gradients behind a Gramian.

    Args:
        gramian: (*B, K, K) inner products, of any scale.
        known: (*B, K) which tasks count.

    Returns:
        (*B, K, K) the cosines, 0 in the rows and columns of tasks that do not count; (*B, K) the norms over their
        largest, 1 for tasks that do not count; both in float64.
    """
    both = known[..., :, None] & known[..., None, :]
    squares = torch.where(known, gramian.double().diagonal(dim1=-2, dim2=-1), 1)
    norms = squares.sqrt()
    cosines = gramian.double() / norms[..., :, None] / norms[..., None, :]
    cosines = torch.where(both, cosines.clamp(-1, 1), 0)
    largest = torch.where(known, norms, 0).amax(-1, keepdim=True)
    return cosines, torch.where(known, norms / torch.where(largest > 0, largest, 1), 1)


def min_norm(gramian: Tensor, known: Tensor | None = None) -> Tensor:
    """Weights of the shortest vector in the convex hull of the gradients behind a Gramian, exact.

    It is found as ``argmin |sum_k x_k g_k|^2 + s (sum_k x_k - 1)^2`` over ``x >= 0``, whose solution is a multiple
    of the weights (s is the smallest squared norm, and x is counted in unit gradients), so that gradients of very
    different lengths lose no digits.

    Args:
        gramian: (*B, K, K) inner products, K at most 12.
        known: (*B, K) which tasks may have weight, at least one in each row; by default all.

    Returns:
        (*B, K) weights >= 0 that sum to one, in float64. With d = sum_k w_k g_k, every known task has
        ``<g_k, d> >= |d|^2``: moving along d raises them all, unless d = 0.

    >>> min_norm(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    tensor([0.7500, 0.2500], dtype=torch.float64)
    """
    known = torch.ones_like(gramian[..., 0], dtype=torch.bool) if known is None else known
    zero = known & ~(gramian.diagonal(dim1=-2, dim2=-1) > 0)
    cosines, norms = unit_form(gramian, known & ~zero)
    inverse = torch.where(known & ~zero, 1 / norms, 0)
    inverse = inverse / inverse.amax(-1, keepdim=True).clamp(min=1)
    absent = torch.diag_embed((inverse == 0).double())
    points = nonnegative(cosines + inverse[..., :, None] * inverse[..., None, :] + absent, inverse[..., None])
    weights = torch.where(zero.any(-1, keepdim=True), zero, points[..., 0] * inverse)
    return weights / weights.sum(-1, keepdim=True)


def frank_wolfe(gramian: Tensor, known: Tensor, steps: int) -> Tensor:
    """An approximation of :func:`min_norm` by Frank-Wolfe steps from equal weights.

    Source: Sener & Koltun 2018, algorithm 2, for a given number of steps, without their early stop.

    Returns:
        (*B, K) weights >= 0 that sum to one, in float64.
    """
    largest = gramian.diagonal(dim1=-2, dim2=-1).amax(-1)[..., None, None].double()
    inner = gramian.double() / torch.where(largest > 0, largest, 1)
    weights = known / known.sum(-1, keepdim=True).double()
    for _ in range(steps):
        slopes = product(inner, weights[..., None])[..., 0]
        corner = torch.where(known, slopes, torch.inf).argmin(-1, keepdim=True)
        mixed = slopes.gather(-1, corner)
        gain = (weights * slopes).sum(-1, keepdim=True) - mixed
        curve = gain + inner.diagonal(dim1=-2, dim2=-1).gather(-1, corner) - mixed
        share = torch.where(curve > 0, gain / curve, 0).clamp(0, 1)
        weights = (1 - share) * weights + share * torch.zeros_like(weights).scatter(-1, corner, 1)
    return weights
