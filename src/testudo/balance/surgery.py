"""Gradient surgery: each task's gradient is corrected by the others' before they are added up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

from testudo.balance.base import State
from testudo.balance.gramian import GradientBalance
from testudo.balance.minnorm import unit_form
from testudo.errors import TestudoError

_ALL_ORDERS = 6  # tasks up to which every order is taken


def orders(count: int) -> Tensor:
    """(K, P, K - 1) for each task the orders in which the others correct it.

    The papers draw one at random. Here the mean over all of them is taken, which is what the draw gives on
    average, so that weights depend on nothing but the gradients; beyond six tasks, where there are too many, over
    the rotations of the tasks' own order, forwards and backwards.
    """
    ways = list(permutations(range(count - 1))) if count <= _ALL_ORDERS else _rotations(count - 1)
    others = torch.tensor([[j for j in range(count) if j != i] for i in range(count)]).reshape(count, count - 1)
    return others[:, torch.tensor(ways, dtype=torch.int64)]


def _rotations(count: int) -> list[tuple[int, ...]]:
    forwards = [tuple((start + i) % count for i in range(count)) for start in range(count)]
    return forwards + [way[::-1] for way in forwards]


def operate(cosines: Tensor, norms: Tensor, correction: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    """The sum of the corrected gradients, as weights (*B, K) on the gradients, averaged over the orders.

    Args:
        cosines: (*B, K, K), of the gradients.
        norms: (*B, K), of the gradients.
        correction: from the inner products (*B, K, P) of the gradients being corrected with the unit gradient of
            the task that corrects, their norms (*B, K, P) and that task's number (K, P), how much of that
            unit gradient to add, (*B, K, P).
    """
    ways = orders(norms.shape[-1]).to(norms.device)
    parts = torch.diag_embed(norms)[..., None, :].expand(*norms.shape, ways.shape[1], norms.shape[-1])
    for task in ways.unbind(-1):
        dots = parts @ cosines[..., None, :, :]
        inner = dots.gather(-1, task.expand(dots.shape[:-1])[..., None])[..., 0]
        size = (dots * parts).sum(-1).clamp(min=0).sqrt()
        added = correction(inner, size, task)
        parts = parts.scatter_add(-1, task.expand(added.shape)[..., None], added[..., None])
    return parts.mean(-2).sum(-2) / norms


@dataclass(frozen=True)
class PCGrad(GradientBalance):
    """What each gradient has against another is taken out of it, then they are added (Yu et al. 2020, algorithm 1).

    The mean over the orders of the others replaces a random order: see :func:`orders`.
    """

    def solve(self, gramian: Tensor, moving: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        """Project out conflicts."""
        return operate(*unit_form(gramian, moving), lambda inner, size, task: (-inner).clamp(min=0)), state


@dataclass(frozen=True)
class GradVac(GradientBalance):
    """Pairs of gradients are brought up to the cosine they usually have (Wang et al. 2021, algorithm 1).

    The usual cosines are moving averages, per example, from 0. A random order of the others is replaced by the mean
    over their orders, for the averages too: see :func:`orders`. Averages above 0.999 count as that, since
    no finite correction makes two gradients parallel.

    Args:
        gradients: see :class:`~testudo.balance.gramian.GradientBalance`.
        rate: in [0, 1], of the moving averages (the paper's beta, 0.01).
    """

    rate: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.rate <= 1:
            raise TestudoError(f"rate must be in [0, 1], got {self.rate}")

    def start(self, clean_losses: Tensor, tasks: Sequence[str] = ()) -> State:
        """As the others', and the usual cosines (*B, K, K): 0."""
        usual = clean_losses.new_zeros((*clean_losses.shape, clean_losses.shape[-1]), dtype=torch.float64)
        return {**super().start(clean_losses, tasks), "usual": usual}

    def solve(self, gramian: Tensor, moving: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        """Correct each pair that is below its usual cosine, and update the averages."""
        usual, seen = state["usual"], torch.zeros_like(state["usual"])

        def correction(inner: Tensor, size: Tensor, task: Tensor) -> Tensor:
            nonlocal seen
            where = task.expand(inner.shape)
            cosine = torch.where(size > 0, inner / size, 0).clamp(-1, 1)
            wanted = usual.gather(-1, where)
            seen = seen.scatter_add(-1, where, cosine / inner.shape[-1])
            wanted = wanted.clamp(max=0.999)
            sine, wanted_sine = (1 - cosine**2).sqrt(), (1 - wanted**2).sqrt()
            return (size * (wanted * sine / wanted_sine - cosine)).where(cosine < wanted, 0)

        weights = operate(*unit_form(gramian, moving), correction)
        return weights, {**state, "usual": torch.lerp(usual, seen, self.rate)}
