"""Our own attack on several tasks at once: long steps that shorten, for the task that is hurt least."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from testudo.attacks.base import Attack
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import check_steps
from testudo.attacks.problem import Problem
from testudo.balance.softmin import Softmin

FIRST, LAST = 4.0, 3.0  # the first step over eps, and the last one over eps / steps
INERTIA = 0.25  # share of the step before that is added


@dataclass(frozen=True)
class Siege(Attack):
    """Steps that shrink geometrically from 4 eps to 3 eps / steps, on the soft minimum of the tasks' damages.

    There is no length to choose. The first steps, longer than the ball is wide, move among its corners (or, in
    L2, across it), where PGD's usual short ones would take the whole search to arrive; the last ones settle.
    :class:`~testudo.balance.softmin.Softmin` leads each step to the tasks that are hurt least so far, and is a
    fixed smooth number of the images, so that a step is never spent on chasing weights. A step costs one forward
    and one backward pass, however many tasks there are.

    It is made to hurt every task (Delta_Wor) without hurting them less on average (Delta_MTL) than min-max does;
    ``benchmarks/multitask.md`` tells how far that goes. APGD's halving of steps, per example, was slower to get
    there at every budget tried (10 to 50 steps).

    Args:
        threat, objective, keep, seed, samples: see :class:`~testudo.attacks.base.Attack`; any other balance works.
        steps: of one search.
        restarts: independent searches, the first from the clean image, the others from random points of the ball.

    >>> Siege().objective.balance
    Softmin(sharpness=6.0, floor=0.1)
    """

    objective: Objective = Objective(balance=Softmin(sharpness=6.0))
    steps: int = 10
    restarts: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_steps(self.steps, None, self.restarts)

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
        images = problem.start(random=problem.run > 0)
        before = images
        for done in range(self.steps):
            length = self.length(done) * problem.threat.radius(images)
            direction = problem.threat.direction(problem.gradient(images), images)
            moved = problem.project(images + length * direction) + INERTIA * (images - before)
            before, images = problem.drop(images, problem.project(moved))
        return images

    def length(self, done: int) -> float:
        """Of the next step after ``done`` of them, over eps.

        >>> [round(Siege(steps=10).length(done), 2) for done in (0, 5, 9)]
        [4.0, 0.95, 0.3]
        """
        last = min(FIRST, LAST / self.steps)
        return FIRST * (last / FIRST) ** (done / max(1, self.steps - 1))
