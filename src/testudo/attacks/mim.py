"""The momentum iterative method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.attacks.base import Attack
from testudo.attacks.pgd import check_steps, step_length
from testudo.attacks.problem import Problem
from testudo.errors import TestudoError
from testudo.tensors import unit


@dataclass(frozen=True)
class MIM(Attack):
    """Steps along an accumulated gradient, each divided by its mean magnitude first (Dong et al. 2018, eq. 6-7).

    Args:
        threat, objective, keep, seed: see :class:`~testudo.attacks.base.Attack`.
        steps: how many.
        step: length of one; by default eps / steps.
        decay: of the accumulated gradient, the paper's mu.

    >>> MIM().decay
    1.0
    """

    steps: int = 10
    step: float | None = None
    decay: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_steps(self.steps, self.step)
        if not 0 <= self.decay < float("inf"):
            raise TestudoError(f"decay must be at least 0, got {self.decay}")

    @property
    def iterations(self) -> int:
        """The steps."""
        return self.steps

    def search(self, problem: Problem) -> Tensor:
        """Climb for ``steps`` steps from the clean images."""
        images, velocity = problem.clean, torch.zeros_like(problem.clean)
        for _ in range(self.steps):
            # Over the 1-norm times the number of values: over the mean magnitude.
            length = step_length(self.step, problem.threat.radius(images), 1 / self.steps)
            velocity = self.decay * velocity + unit(problem.gradient(images), 1) * images[0].numel()
            images = problem.project(images + length * problem.threat.direction(velocity, images))
            images, velocity = problem.drop(images, velocity)
        return images
