"""Projected gradient descent that stops soon after it has won."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.attacks.base import Attack
from testudo.attacks.pgd import check_steps, step_length
from testudo.attacks.problem import Problem
from testudo.errors import TestudoError
from testudo.tensors import per_example


@dataclass(frozen=True)
class Friendly(Attack):
    """PGD of which each example takes ``tau`` more steps after its first misclassification, and then stays.

    So the model learns from images that are wrong, but hardly. An example whose clean image (or random start) is wrong
    already stops after ``tau`` steps. It is misclassified where every task under attack is beaten (see
    :class:`~testudo.attacks.objective.Objective`); a task without a decision never is, unless the objective's
    ``success`` has a threshold for it: with such a task under attack this is plain PGD.

    Source: Zhang et al. 2020, "Attacks which do not kill training make adversarial learning stronger", Algorithm 1
    (https://arxiv.org/abs/2002.11242). Of their code's details the steps counted are kept (one is spent wherever an
    image is found wrong, also where it was right in between), the noise of 0.001 that it adds to every step is not.
    It is weaker than PGD on purpose: a tool for training, not for evaluation. All examples are taken along until the
    last has stopped, so it costs what PGD costs, unless all stop early.

    Args:
        threat, objective, keep, seed, samples: see :class:`~testudo.attacks.base.Attack`; with the default
            ``keep="best"`` the worst images seen on the way count, in training ``"last"`` is meant.
        steps: how many at most, the paper's K.
        step: length of one, in pixel units of the norm; by default 2.5 eps / steps.
        random_start: begin at a random point of the ball instead of the clean image.
        tau: further steps after the first misclassification; from ``steps`` on this is PGD.

    >>> Friendly(tau=0).iterations
    10
    """

    steps: int = 10
    step: float | None = None
    random_start: bool = True
    tau: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_steps(self.steps, self.step)
        if self.tau < 0:
            raise TestudoError(f"tau must be at least 0 steps, got {self.tau}")

    @property
    def iterations(self) -> int:
        """The steps, at most."""
        return self.steps

    def search(self, problem: Problem) -> Tensor:
        """Climb, each example until it is wrong for the time ``tau + 1``."""
        images = problem.start(random=self.random_start)
        left = torch.full((len(images),), self.tau, device=images.device)
        for _ in range(self.steps):
            up = problem.ascend(images)
            left = left - up.beaten.int()
            moves = left >= 0
            if not bool(moves.any()):
                break
            length = step_length(self.step, problem.threat.radius(images), 2.5 / self.steps)
            moved = problem.project(images + length * problem.threat.direction(up.gradient, images))
            images = torch.where(per_example(moves, images), moved, images)
            images, left = problem.drop(images, left)
        return images
