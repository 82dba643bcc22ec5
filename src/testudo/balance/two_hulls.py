"""The shortest vector with a share from each of two groups of gradients, exact, by trying every support."""

from __future__ import annotations

import torch
from torch import Tensor

from testudo.balance.minnorm import min_norm, product, unit_form

_AT_ONCE = 2**15  # linear systems, to bound memory


def min_norm_with_share(gramian: Tensor, named: Tensor, known: Tensor, share: float) -> Tensor:
    """:func:`~testudo.balance.minnorm.min_norm` among weights of which the ``named`` tasks have ``share`` or more.

    The problem is convex. So either the shortest vector of all has that share, or the one sought has exactly it: it
    is ``share u + (1 - share) v`` with u in the hull of the named gradients and v in the hull of the others.

    Args:
        gramian: (*B, K, K) inner products, K at most 12.
        named: (*B, K) the tasks that the share is for.
        known: (*B, K) which tasks may have weight, at least one in each row; their gradients are not zero.
        share: in (0, 1]. It holds no row in which only named tasks, or none of them, may have weight.

    Returns:
        (*B, K) weights >= 0 that sum to one, in float64. With d = sum_k w_k g_k, every known task that is not named
        has ``<g_k, d> >= <v, d>``, and every named one ``<g_k, d> >= <u, d>``.

    Raises:
        TestudoError: more than 12 tasks.

    >>> yes = torch.tensor([True, True])
    >>> min_norm_with_share(torch.tensor([[9.0, 0.0], [0.0, 1.0]]), torch.tensor([True, False]), yes, 0.5)
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    named, others = named & known, ~named & known
    free = min_norm(gramian, known)
    bound = named.any(-1) & others.any(-1) & (torch.where(named, free, 0).sum(-1) < share)
    if share == 1:
        alone = min_norm(gramian, torch.where(bound[..., None], named, known))
        return torch.where(bound[..., None], alone, free)
    found = free.clone()
    if bound.any():
        found[bound] = _from_both(gramian[bound], named[bound], others[bound], share)
    return found


def _from_both(gramian: Tensor, named: Tensor, others: Tensor, share: float) -> Tensor:
    """(M, K) the weights where both groups have a task and ``share`` is exactly met."""
    cosines, norms = unit_form(gramian, named | others)
    groups = torch.stack([named, others], -1) / norms[..., None]  # (M, K, 2) the weight of a unit gradient
    rows = max(1, _AT_ONCE >> gramian.shape[-1])
    parts = [_best_support(c, g, share) for c, g in zip(cosines.split(rows), groups.split(rows), strict=True)]
    return torch.cat(parts)


def _best_support(cosines: Tensor, groups: Tensor, share: float) -> Tensor:
    """The shortest of the candidates that each of the 2^K supports gives, after it was made to meet the constraints.

    On a support the conditions are linear: ``cosines x = lambda a + mu b``, ``a x = share``, ``b x = 1 - share``, a and
    b being the columns of ``groups``. Adding ``a a' + b b'`` to the left side changes lambda and mu alone, and makes it
    invertible on every support that is no larger than it need be.
    """
    count = cosines.shape[-1]
    places = torch.arange(count, device=cosines.device)
    inside = (torch.arange(2**count, device=cosines.device)[:, None] >> places & 1).to(cosines)
    scaled = groups / groups.amax(1, keepdim=True)
    whole = cosines + product(scaled, scaled.mT)
    systems = whole[:, None] * inside[:, :, None] * inside[:, None, :] + torch.diag_embed(1 - inside)
    right = scaled[:, None] * inside[..., None]  # (M, 2^K, K, 2)
    basis = torch.linalg.solve_ex(systems, right).result
    shares = torch.tensor([share, 1 - share], dtype=cosines.dtype, device=cosines.device)
    wanted = (shares / groups.amax(1))[:, None, :, None].expand(*basis.shape[:2], 2, 1)
    multipliers = torch.linalg.solve_ex(product(right.mT, basis), wanted).result
    found = product(basis, multipliers)[..., 0].nan_to_num(0, 0, 0).clamp(min=0)
    weights = found[..., None] * groups[:, None]  # (M, 2^K, K, 2), each group in its own column
    sums = weights.sum(2, keepdim=True)
    weights = (weights / torch.where(sums > 0, sums, torch.nan) * shares).sum(-1)
    each = groups.sum(-1)[:, None]
    multiples = weights / torch.where(each > 0, each, torch.inf)
    length = (product(cosines[:, None], multiples[..., None])[..., 0] * multiples).sum(-1).nan_to_num(torch.inf)
    best = length.argmin(1)
    return weights.gather(1, best[:, None, None].expand(-1, 1, count))[:, 0]
