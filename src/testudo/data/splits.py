"""Seeded choices of examples: in proportion to their classes, or whole groups of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from testudo.errors import TestudoError


def generator(*stream: int) -> torch.Generator:
    """A generator of its own, a function of ``stream`` alone (a seed and an epoch, say).

    >>> torch.rand(1, generator=generator(0, 1)) == torch.rand(1, generator=generator(0, 1))
    tensor([True])
    """
    # the length keeps (0,) apart from (0, 0): SeedSequence fills up with zeros
    words = [len(stream), *(int(number) & 0xFFFFFFFFFFFFFFFF for number in stream)]
    state = np.random.SeedSequence(words).generate_state(1, np.uint32)
    return torch.Generator().manual_seed(int(state[0]))


def stratified(classes: Tensor, count: int, seed: int) -> Tensor:
    """Choose ``count`` examples at random so that each class has its share, to within one example.

    Args:
        classes: (N,) integers; -1 (unknown) counts as a class of its own.
        count: how many, 0 to N.
        seed: decides which.

    Returns:
        (N,) bool, ``count`` of them True.

    >>> chosen = stratified(torch.tensor([0] * 60 + [1] * 40), 10, seed=0)
    >>> int(chosen[:60].sum()), int(chosen[60:].sum())
    (6, 4)
    """
    total = len(classes)
    if not 0 <= count <= total:
        raise TestudoError(f"cannot choose {count} of {total} examples")
    shuffled = torch.randperm(total, generator=generator(seed))
    by_class = shuffled[classes[shuffled].argsort(stable=True)]
    steps = torch.arange(total + 1) * count // max(total, 1)  # evenly spaced over the sorted classes
    chosen = torch.zeros(total, dtype=torch.bool)
    chosen[by_class[steps.diff() == 1]] = True
    return chosen


def share(total: int, fraction: float, name: str) -> int:
    """``fraction`` of ``total``, rounded, and at least 1; raises TestudoError outside [0, 1).

    >>> share(1000, 0.05, "val_share"), share(3, 0.05, "val_share")
    (50, 1)
    """
    if not 0 <= fraction < 1:
        raise TestudoError(f"{name} must be at least 0 and below 1, got {fraction}")
    return max(1, round(total * fraction)) if fraction and total > 1 else 0


def held_out(groups: Tensor, fraction: float, seed: int) -> Tensor:
    """Choose whole groups at random until their examples make up ``fraction`` of all, as near as whole groups come.

    At least one group is chosen and one is left, where there are two and ``fraction`` is above 0.

    Args:
        groups: (N,) the number of each example's group.
        fraction: 0 or more, below 1.
        seed: decides which.

    Returns:
        (N,) bool.

    >>> cities = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)
    >>> cities[held_out(cities, 0.2, seed=0)].unique()
    tensor([2])
    """
    order, middle = laid_out(groups, seed)
    index = groups.unique(return_inverse=True)[1]
    most = max(0, len(order) - 1)
    few = min(most, max(1, int((middle < fraction).sum()))) if fraction > 0 else 0
    return torch.isin(index, order[:few])


def laid_out(groups: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Groups in random order, and where their middles fall when they are laid end to end, from 0 to 1.

    Args:
        groups: (N,) the number of each example's group; a group is as long as it has examples.
        seed: decides the order.

    Returns:
        (G,) the place of each group among the sorted numbers, in that order; (G,) their middles.

    >>> order, middle = laid_out(torch.tensor([7, 7, 7, 9]), seed=0)
    >>> order.tolist(), middle.tolist()
    ([0, 1], [0.375, 0.875])
    """
    counts = groups.unique(return_counts=True)[1]
    order = torch.randperm(len(counts), generator=generator(seed))
    return order, (counts[order].cumsum(0) - counts[order] / 2) / max(len(groups), 1)


def evenly(count: int, total: int) -> Tensor:
    """Indices of at most ``count`` of ``total`` examples, evenly spaced from the first on.

    >>> evenly(3, 9).tolist()
    [0, 3, 6]
    """
    count = min(count, total)
    return torch.arange(count) * total // count
