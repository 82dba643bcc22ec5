"""Balances of gradients: weights from the inner products of the tasks' gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from testudo.balance.base import Balance, State
from testudo.balance.growth import FLOOR, growth, labelled, mean
from testudo.balance.minnorm import frank_wolfe, min_norm, nonnegative, product, unit_form
from testudo.errors import TestudoError, unknown

Normalise = Literal["none", "l2", "loss", "loss+"]


@dataclass(frozen=True)
class GradientBalance(Balance, ABC):
    """Weights from a Gramian (*B, K, K), one per example; the subclass writes :meth:`solve`.

    A task without a label is left out, and so is one whose gradient is zero at this step: no step can raise it, and
    a minimum norm would stop there. Where no task has a gradient, those with labels weigh the same. Arithmetic
    is in float64, and nothing is drawn at random.

    No scalar stands behind such weights, so that the merit, which compares steps, is the mean growth of the tasks
    (:func:`~testudo.balance.growth.growth`; softmin's merit as its sharpness goes to 0).

    Args:
        gradients: ``"exact"``: with respect to what moves (one backward pass per task), which is the image in an
            attack and the shared parameters in training; ``"features"``: to what the encoder gives (Sener & Koltun's
            upper bound: one pass through the encoder in all).
    """

    gradients: Literal["exact", "features"] = "exact"

    needs: ClassVar[Literal["nothing", "losses", "gramian"]] = "gramian"

    def __post_init__(self) -> None:
        if self.gradients not in ("exact", "features"):
            raise unknown("place of gradients", self.gradients, ("exact", "features"))

    def start(self, clean_losses: Tensor, tasks: Sequence[str] = ()) -> State:
        """The clean losses, and which tasks count."""
        return {"clean": clean_losses.nan_to_num(0), "known": labelled(clean_losses)}

    def weigh(self, state: State, losses: Tensor, gramian: Tensor | None = None) -> tuple[Tensor, State]:
        """Weights (*B, K) from ``gramian``, in the dtype of ``losses``; 0 for tasks that are left out."""
        if gramian is None:
            raise TestudoError(f"{type(self).__name__} weighs by the gradients' inner products, and got none")
        inner, known = gramian.detach().double(), state["known"]
        moving = known & (inner.diagonal(dim1=-2, dim2=-1) > 0)
        some = moving.any(-1, keepdim=True)
        found, state = self.solve(inner, moving, losses, state)
        weights = torch.where(some, torch.where(moving, found, 0), known / known.sum(-1, keepdim=True))
        largest = torch.finfo(losses.dtype).max
        return weights.clamp(-largest, largest).to(losses.dtype), state

    @abstractmethod
    def solve(self, gramian: Tensor, moving: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        """Weights (*B, K) in float64 and the next state; only what is found for ``moving`` (*B, K) tasks counts."""

    def merit(self, state: State, losses: Tensor) -> Tensor:
        """The mean growth."""
        return mean(growth(losses, state["clean"], FLOOR), state["known"])


def divisors(normalise: Normalise, gramian: Tensor, moving: Tensor, losses: Tensor) -> Tensor:
    """(*B, K) what each gradient is divided by; see :class:`MGDA`."""
    unit = torch.ones_like(gramian[..., 0])
    if normalise in ("l2", "loss+"):
        unit = unit_form(gramian, moving)[1]
    if normalise.startswith("loss"):
        unit = unit * losses.double().abs().clamp(min=FLOOR)
    return unit


@dataclass(frozen=True)
class MGDA(GradientBalance):
    """The shortest vector in the convex hull of the gradients (Désidéri 2012; Sener & Koltun 2018).

    A step along it raises every task at first order, unless none such exists. Weights sum to one.

    Args:
        gradients: see :class:`GradientBalance`.
        solver: ``"exact"`` (at most 12 tasks), or ``"frank_wolfe"``, the paper's.
        normalise: what each gradient is divided by first: nothing, its norm (``"l2"``), the task's loss, or
            both (``"loss+"``). The weights are for the losses as they are, so that the step is along the shortest
            vector of the divided gradients; Sener & Koltun's released code puts its weights on the undivided ones.
            Losses below 0.1 count as 0.1.
        steps: of Frank-Wolfe.
    """

    solver: Literal["exact", "frank_wolfe"] = "exact"
    normalise: Normalise = "l2"
    steps: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solver not in ("exact", "frank_wolfe"):
            raise unknown("solver", self.solver, ("exact", "frank_wolfe"))
        if self.normalise not in get_args(Normalise):
            raise unknown("normalisation", self.normalise, get_args(Normalise))
        if self.steps < 1:
            raise TestudoError(f"steps must be at least 1, got {self.steps}")

    def solve(self, gramian: Tensor, moving: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        """The minimum-norm weights."""
        unit = self.units(gramian, moving, losses, state)
        inner = gramian / unit[..., :, None] / unit[..., None, :]
        found = frank_wolfe(inner, moving, self.steps) if self.solver == "frank_wolfe" else min_norm(inner, moving)
        weights = found / unit
        return weights / weights.sum(-1, keepdim=True), state

    def units(self, gramian: Tensor, moving: Tensor, losses: Tensor, state: State) -> Tensor:
        """(*B, K) what each gradient is divided by."""
        return divisors(self.normalise, gramian, moving, losses)


@dataclass(frozen=True)
class IMTLG(GradientBalance):
    """The step whose projections onto all gradients are equal (Liu et al. 2021, IMTL-G).

    Solved by a pseudo-inverse of the cosines, so that dependent gradients are allowed. Weights may be negative; their
    magnitudes sum to one. The paper lets the weights themselves sum to one, which turns the step round where the
    sum is negative: all losses would then go down together.
    """

    signed: ClassVar[bool] = True

    def solve(self, gramian: Tensor, moving: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        """Solve ``cosines u = 1``."""
        cosines, norms = unit_form(gramian, moving)
        inverse = torch.linalg.pinv(cosines, rtol=1e-6, hermitian=True)
        shares = product(inverse, moving.double()[..., None])
        weights = shares[..., 0] / norms
        return weights / weights.abs().sum(-1, keepdim=True), state


@dataclass(frozen=True)
class UPGrad(GradientBalance):
    """The mean of the gradients, each projected onto the cone of steps that lower no task (Quinton & Rey 2024).

    The projections are exact (at most 12 tasks); torchjd's adds 1e-4 of the trace to the Gramian's diagonal first.
    """

    def solve(self, gramian: Tensor, moving: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        """Project one by one, then average."""
        cosines, norms = unit_form(gramian, moving)
        each = torch.diag_embed(moving.double())
        found = product(
            _into_cone(cosines, each, moving), norms[..., None]
        )  # a projection scales with what it projects
        return found[..., 0] / norms / moving.sum(-1, keepdim=True), state


@dataclass(frozen=True)
class DualProj(GradientBalance):
    """The mean gradient, projected onto the cone of steps that lower no task.

    Source: Lopez-Paz & Ranzato 2017, equation 11. Exact, for at most 12 tasks.
    """

    def solve(self, gramian: Tensor, moving: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        """Average, then project."""
        cosines, norms = unit_form(gramian, moving)
        found = _into_cone(cosines, torch.where(moving, norms, 0)[..., None], moving)
        return found[..., 0] / norms / moving.sum(-1, keepdim=True), state


def _into_cone(cosines: Tensor, points: Tensor, moving: Tensor) -> Tensor:
    """Project columns (*B, K, R), combinations of unit gradients, onto the dual cone; the same for the results.

    The projection of u is u + s with s >= 0 the smallest in the norm of the sum (Quinton & Rey 2024, proposition 1).
    """
    absent = torch.diag_embed((~moving).double())
    return points + nonnegative(cosines + absent, -product(cosines, points))
