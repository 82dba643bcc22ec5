"""Adversarial perturbation of the weights, around another method."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.model import Model
from testudo.processes import average
from testudo.tasks.task import Task
from testudo.training.methods.base import Method, Stage, State
from testudo.training.methods.madry import Madry
from testudo.training.methods.standard import Standard

KEY = "method.awp"  # (1,) the steps made so far, where there is a warm-up
TINY = 1e-20  # below any gradient's norm, so that none is divided by 0


@dataclass(frozen=True)
class AWP(Method):
    """Another method's steps, each taken from where the weights hurt most nearby.

    Before a step every weight tensor w of two dimensions or more moves by gamma |w| / |g| g, with g the gradient of the
    sum of the method's terms; the terms are computed there, on the images made before; and the step that follows from
    them is taken from w. Batch norm's statistics know nothing of the pass that finds g.

    Source: Wu et al. 2020, Algorithm 1 with one step of each perturbation's kind (https://arxiv.org/abs/2004.05884), in
    the order of the released code, which has gamma 0.005 after 10 epochs of warm-up for TRADES, and 0.01 at once for
    Madry's training. There the perturbation is added and, after the step, subtracted. Here the step is added to the
    weights as they were, which is the same but for rounding, and exact where no step was made. A balance weighs the
    step's terms, not those that give g.

    Args:
        weights, balance, pretexts, main_sees: the inner method's, see
            :class:`~testudo.training.methods.base.Method`; given here, they are handed to it.
        method: whose steps. It must make its images before its terms, as all methods of this package do but free,
            which has none before the trainer's backward pass.
        gamma: how far a tensor moves, over its own length; at 0 this is the inner method.
        warmup: optimiser steps before the first perturbation.

    >>> AWP(method=Madry()).passes(()), Madry().passes(())
    (9, 8)
    """

    method: Method = Madry()
    gamma: float = 0.005
    warmup: int = 0

    divisible: ClassVar[bool] = False  # the parts of a batch would perturb each other's weights

    def __post_init__(self) -> None:
        if not 0 <= self.gamma < float("inf") or self.warmup < 0:
            raise TestudoError(
                f"gamma must be at least 0 and finite, warmup at least 0 steps; got {self.gamma} and {self.warmup}"
            )
        kind = type(self.method)
        if kind.steps is not Method.steps or (hasattr(self.method, "attack") and kind.stages is Method.stages):
            raise TestudoError(
                f"awp asks for a step's terms twice, at images made before, which {kind.__name__} cannot give "
                "(it goes around madry, trades, mart, fat, goodfellow, fast, mao and methods without an attack)"
            )
        for field in fields(Method):
            self._share(field.name)
        super().__post_init__()

    def passes(self, tasks: Sequence[Task]) -> int:
        """The inner method's, and those of its updates once more."""
        return self.method.passes(tasks) + (self.method.updates(tasks) if self.gamma else 0)

    def steps_of(self, tasks: Sequence[Task]) -> int:
        """The inner method's."""
        return self.method.steps_of(tasks)

    def updates(self, tasks: Sequence[Task]) -> int:
        """Twice the inner method's."""
        return self.method.updates(tasks) * (2 if self.gamma else 1)

    def check(self, tasks: Mapping[str, Task]) -> None:
        """What the inner method checks."""
        self.method.check(tasks)

    def alone(self, main: str) -> Self:
        """Around the inner method's twin."""
        blank = {field.name: getattr(Standard(), field.name) for field in fields(Method)}
        return replace(self, **blank, method=self.method.alone(main))

    def unbalanced(self, name: str) -> bool:
        """What the inner method says."""
        return self.method.unbalanced(name)

    def past_features(self, name: str) -> bool:
        """What the inner method says."""
        return self.method.past_features(name)

    def weight(self, name: str) -> float:
        """What the inner method says."""
        return self.method.weight(name)

    def pose(self, batch: Batch, tasks: Mapping[str, Task], places: Tensor) -> Batch:
        """As the inner method does."""
        return self.method.pose(batch, tasks, places)

    def terms(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """The inner method's, at the weights as they are."""
        return self.method.terms(model, batch)

    def steps(self, model: Model, batch: Batch, state: State) -> Iterator[dict[str, Tensor]]:
        """The inner method's, at perturbed weights, which are put back after each."""
        for stage in self.method.stages(model, batch, state):
            made = int(state[KEY]) if KEY in state else 0
            if self.warmup:
                state[KEY] = torch.tensor([made + 1])
            if self.gamma == 0 or made < self.warmup:
                yield stage()
            else:
                with self._perturbed(model, stage):
                    yield stage()

    @contextmanager
    def _perturbed(self, model: Model, stage: Stage) -> Generator[None]:
        """Within this block the weights are elsewhere; what is added to them there is added to them after it."""
        weights = [p for p in model.parameters() if p.requires_grad and p.dim() > 1]
        slopes, before = _slopes(model, stage, weights), [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            for weight, slope in zip(weights, slopes, strict=True):
                weight.add_(slope * (self.gamma * weight.norm() / slope.norm().clamp(min=TINY)))
        torch.clear_autocast_cache()  # it holds the weights of before, in half precision
        there = [weight.detach().clone() for weight in weights]
        try:
            yield
        finally:
            with torch.no_grad():
                for weight, old, moved in zip(weights, before, there, strict=True):
                    weight.copy_(old + (weight - moved))

    def _share(self, name: str) -> None:
        """Let this and the inner method have the same field ``name``, from whichever says anything."""
        own, inner, nothing = (getattr(each, name) for each in (self, self.method, Standard()))
        if own not in (nothing, inner) and inner != nothing:
            raise TestudoError(f"{name} is given twice, for awp and for its method, and not the same; give it to one")
        if own == nothing:
            object.__setattr__(self, name, inner)
        elif own != inner:
            object.__setattr__(self, "method", replace(self.method, **{name: own}))


def _slopes(model: nn.Module, stage: Stage, weights: list[nn.Parameter]) -> list[Tensor]:
    """The gradient of the sum of the terms, over all processes; the model's buffers stay as they are."""
    kept = [buffer.clone() for buffer in model.buffers()]
    total = torch.stack([term.float() for term in stage().values()]).sum()
    found = torch.autograd.grad(total, weights, allow_unused=True) if total.requires_grad else [None] * len(weights)
    for buffer, value in zip(model.buffers(), kept, strict=True):
        buffer.copy_(value)
    each = (torch.zeros_like(w) if slope is None else slope for w, slope in zip(weights, found, strict=True))
    return [average(slope).nan_to_num(0.0, 0.0, 0.0) for slope in each]
