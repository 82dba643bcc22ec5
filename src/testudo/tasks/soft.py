"""Labels of one class of several that are no single class: a probability for each, as mixed images have.

Shapes: N examples, C classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from testudo.errors import TestudoError

UNLABELLED = -1
_SLACK = 4e-3  # by which probabilities may miss 1 in all: they may be stored in half precision


def is_known(target: Tensor) -> Tensor:
    """(N,) bool: neither -1, of class numbers (N,), nor a row with NaN, of distributions (N, C).

    >>> is_known(torch.tensor([3, -1])), is_known(torch.tensor([[0.2, 0.8], [torch.nan, torch.nan]]))
    (tensor([ True, False]), tensor([ True, False]))
    """
    return ~target.isnan().any(1) if target.is_floating_point() else target != UNLABELLED


def hard(target: Tensor) -> Tensor:
    """Class numbers: of distributions (N, C) the most probable one, -1 where unknown; integers as they are.

    >>> hard(torch.tensor([[0.2, 0.8], [torch.nan, torch.nan]])), hard(torch.tensor([3, -1]))
    (tensor([ 1, -1]), tensor([ 3, -1]))
    """
    if not target.is_floating_point():
        return target
    return torch.where(is_known(target), target.argmax(1), UNLABELLED)


def soft(target: Tensor, classes: int) -> Tensor:
    """(N, C) distributions, of class numbers (N,) all on the one class, NaN where unknown; floats as they are.

    >>> soft(torch.tensor([1, -1]), 2)
    tensor([[0., 1.],
            [nan, nan]])
    """
    if target.is_floating_point():
        return target
    one_hot = F.one_hot(target.long().clamp(min=0), classes).float()
    return torch.where(is_known(target)[:, None], one_hot, torch.nan)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """(N, C) logits in float32 or wider, (N, C) distributions -> (N,) in nats, 0 where unknown.

    torch's own multiplies the minus infinity of hopeless classes with their probability of 0.

    >>> cross_entropy(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.25, 0.75]]))
    tensor([0.6931])
    """
    share = torch.where(is_known(target)[:, None], target, 0).to(logits.dtype)
    return -torch.where(share > 0, share * F.log_softmax(logits, 1), 0).sum(1)


def check_whole(name: str, target: Tensor) -> None:
    """Raise TestudoError where ``target``, of task ``name``, is mixed: no prediction is right or wrong about it.

    >>> check_whole("digit", torch.tensor([3, -1])), check_whole("findings", torch.tensor([[0.0, 1.0, torch.nan]]))
    (None, None)
    """
    between = (target > 0) & (target < 1)
    if target.is_floating_point() and between.any():
        value = float(target[between][0])
        raise TestudoError(f"task {name!r} is judged by whole labels; found one that is mixed, {value:.3g} of it")


def check_distributions(name: str, target: Tensor, classes: int) -> None:
    """Raise TestudoError unless the floats ``target``, of task ``name``, are probabilities that sum to 1, or NaN."""
    if target.dim() != 2 or target.shape[1] != classes:
        raise TestudoError(
            f"task {name!r}: labels must be integers of shape (N,), or distributions of shape (N, {classes}), "
            f"got {target.dtype} {tuple(target.shape)}"
        )
    sums = target.double().sum(1)
    wrong = ~((target >= 0).all(1) & ((sums - 1).abs() <= _SLACK) | target.isnan().all(1))
    if wrong.any():
        row = ", ".join(f"{value:.3g}" for value in target[wrong][0, :4].tolist())
        more = ", ..." if classes > 4 else ""
        raise TestudoError(
            f"task {name!r}: a distribution must be at least 0 everywhere and sum to 1, or be NaN (unknown), "
            f"found {row}{more}"
        )
