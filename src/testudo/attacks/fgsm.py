"""The fast gradient sign method."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from testudo.attacks.base import Attack
from testudo.attacks.problem import Problem


@dataclass(frozen=True)
class FGSM(Attack):
    """One steepest step of length eps (Goodfellow et al. 2015); in L2 the gradient of norm eps.

    >>> FGSM().threat
    Linf(eps=0.03137254901960784)
    """

    def search(self, problem: Problem) -> Tensor:
        """Step to the edge of the ball."""
        direction = problem.threat.direction(problem.gradient(problem.clean), problem.clean)
        return problem.project(problem.clean + direction * problem.threat.radius(problem.clean))
