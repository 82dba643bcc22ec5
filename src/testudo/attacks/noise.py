"""Random noise, the weakest attack there is: what others must beat."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from testudo.attacks.base import Attack
from testudo.attacks.problem import Problem
from testudo.errors import TestudoError


@dataclass(frozen=True)
class Noise(Attack):
    """Points drawn uniformly from the ball and cut to the box, of which the worst counts; no gradients.

    Args:
        threat, objective, keep, seed, samples: see :class:`~testudo.attacks.base.Attack`.
        draws: how many points.

    >>> Noise(draws=3).runs
    3
    """

    draws: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.draws < 1:
            raise TestudoError(f"draws must be at least 1, got {self.draws}")

    @property
    def runs(self) -> int:
        """The draws: each is a search that ends where it begins."""
        return self.draws

    def search(self, problem: Problem) -> Tensor:
        """One point of the ball."""
        return problem.start(random=True)
