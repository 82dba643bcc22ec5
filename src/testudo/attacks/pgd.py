"""Projected gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from testudo.attacks.base import Attack
from testudo.attacks.problem import Problem
from testudo.errors import TestudoError
from testudo.tensors import normal


def step_length(step: float | None, eps: float | Tensor, default: float) -> float | Tensor:
    """``step`` where it is given, else ``default`` times eps."""
    return default * eps if step is None else step


def check_steps(steps: int, step: float | None, restarts: int = 1) -> None:
    """Refuse counts and lengths that mean nothing."""
    if steps < 1 or restarts < 1:
        raise TestudoError(f"steps and restarts must be at least 1, got {steps} and {restarts}")
    if step is not None and not step > 0:
        raise TestudoError(f"step must be above 0 (or absent for the default), got {step}")


@dataclass(frozen=True)
class PGD(Attack):
    """Steepest ascent steps, each projected back onto ball and box (Madry et al. 2018).

    Args:
        threat, objective, keep, seed: see :class:`~testudo.attacks.base.Attack`.
        steps: how many.
        step: length of one, in pixel units of the norm; by default 2.5 eps / steps.
        random_start: begin at a random point of the ball instead of the clean image.
        restarts: independent searches, of which the worst counts per example.
        jitter: where above 0, a random start is the clean image plus normal noise of this standard deviation, in
            pixel units, in place of a uniform point of the ball (0.001 in the released code of TRADES).

    >>> PGD(steps=20).step is None
    True
    """

    steps: int = 10
    step: float | None = None
    random_start: bool = True
    restarts: int = 1
    jitter: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_steps(self.steps, self.step, self.restarts)
        if not 0 <= self.jitter < float("inf") or (self.jitter and not self.random_start):
            raise TestudoError(f"jitter must be at least 0, and 0 without random_start, got {self.jitter}")

    @property
    def runs(self) -> int:
        """The restarts."""
        return self.restarts

    @property
    def iterations(self) -> int:
        """The steps."""
        return self.steps

    def search(self, problem: Problem) -> Tensor:
        """Climb for ``steps`` steps."""
        images = self._start(problem)
        for _ in range(self.steps):
            length = step_length(self.step, problem.threat.radius(images), 2.5 / self.steps)
            direction = problem.threat.direction(problem.gradient(images), images)
            (images,) = problem.drop(problem.project(images + length * direction))
        return images

    def _start(self, problem: Problem) -> Tensor:
        if not self.jitter:
            return problem.start(random=self.random_start)
        noise = normal(problem.ids, tuple(problem.clean.shape[1:]), problem.seed, problem.run)
        return problem.project(problem.clean + self.jitter * noise.to(problem.clean))
