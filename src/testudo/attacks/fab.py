"""The fast adaptive boundary attack: the nearest images of another class, however near the ball reaches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.attacks.apgd import check_targets
from testudo.attacks.base import Attack
from testudo.attacks.hyperplane import step_to_plane
from testudo.attacks.pgd import check_steps
from testudo.attacks.problem import Problem
from testudo.errors import TestudoError
from testudo.tasks.classification import Classification
from testudo.tasks.task import Task
from testudo.tensors import dot, normal, norms, per_example, uniform, unit

SHORTEST = 1e-8  # so that two steps of length zero have a ratio


@dataclass(frozen=True)
class FAB(Attack):
    """Walk along the linearised class boundary towards the clean image (Croce and Hein 2020, algorithm 1).

    Each step takes the nearest of the boundaries as they look from the current images, steps onto it from there
    and from the clean images, mixes the two with more weight on the nearer, and goes a little beyond. Where the
    class changes, the images are kept if they are the nearest so far, and the walk draws back to the clean ones.
    The distance is the threat's norm (L1, L2 or Linf), and steps know no eps: the search ends with the nearest
    images found, which the call then moves into the ball and scores there, so that beyond eps they may fail.
    ``keep="first"`` stops an example once it is beaten within eps. For minimal perturbations choose a ball as
    large as the box: with ``FAB(Linf(1.0), keep="last")`` the distances of the images are what was minimised.

    It goes by the classes' logits alone: the objective must name one classification task; its balance and its
    surrogate have no say but in the scores.

    Args:
        threat, objective, keep, seed, samples: see :class:`~testudo.attacks.base.Attack`.
        steps: of one walk; a step costs two forwards and one backward, untargeted one backward per wrong class.
        targets: 0: any class's boundary; otherwise only that to the class ranked first, second, ... on the
            clean image among the wrong ones, one walk after the other, as in AutoAttack (9 there).
        restarts: walks (per target), the first from the clean image, each other from a random one at half the
            lesser of eps and the distance found so far. The authors' code forgets that distance between walks.
        alpha_max: the most weight that the clean image's step gets.
        eta: how far to step, 1 being onto the boundary, 2 as far again.
        beta: the share of the perturbation kept when drawing back.

    >>> FAB(targets=9).iterations
    900
    """

    steps: int = 100
    targets: int = 0
    restarts: int = 1
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        check_steps(self.steps, None, self.restarts)
        if self.targets < 0:
            raise TestudoError(f"targets must be at least 0 (0: any class), got {self.targets}")
        for name, low, high in (("alpha_max", 0, 1), ("eta", 1, 2), ("beta", 0, 1)):
            if not low <= getattr(self, name) <= high:
                raise TestudoError(f"{name} must be in [{low}, {high}], got {getattr(self, name)}")
        if self.objective.targeted:
            raise TestudoError("FAB leaves a class and cannot seek a given one: its objective must not be targeted")

    @property
    def iterations(self) -> int:
        """The steps of all walks."""
        return self.steps * max(1, self.targets) * self.restarts

    def check(self, tasks: Mapping[str, Task]) -> None:
        """Raise TestudoError unless one classification task is under attack, with ``targets`` wrong classes."""
        one_classification("fab", tasks)
        check_targets(self.targets, tasks)

    def search(self, problem: Problem) -> Tensor:
        """All walks; the clean images where no other class was found."""
        nearest = problem.clean
        distance = torch.where(problem.fooled(nearest), nearest.new_tensor(0.0), math.inf)
        for target in range(1, self.targets + 1) if self.targets else (0,):
            problem.aim(target)
            for restart in range(self.restarts):
                images = self._start(problem, distance, target, restart) if restart else problem.clean
                nearest, distance = self._walk(problem, images, nearest, distance)
        return nearest

    def _start(self, problem: Problem, distance: Tensor, *stream: int) -> Tensor:
        """Random images at half of eps, or of ``distance`` where that is less."""
        clean, p = problem.clean, problem.threat.p
        draw = uniform if p == math.inf else normal
        way = draw(problem.ids, tuple(clean.shape[1:]), problem.seed, *stream).to(clean)
        way = unit(problem.threat.masked(2 * way - 1 if p == math.inf else way, 0), p)
        length = torch.minimum(distance, problem.threat.radii(clean).to(clean)) / 2
        return (clean + per_example(length, clean) * way).clamp(0, 1)

    def _walk(self, problem: Problem, images: Tensor, nearest: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """``steps`` steps from ``images``; returns ``nearest`` and its ``distance`` (M,), brought up to date."""
        for _ in range(self.steps):
            images = self._step(problem, images)
            fooled, size = problem.fooled(images), problem.threat.size(images, problem.clean)
            nearer = fooled & (size < distance)
            nearest = torch.where(per_example(nearer, images), images, nearest)
            distance = torch.where(nearer, size, distance)
            problem.decide(images, fooled & (size <= problem.threat.radii(images)))
            back = torch.lerp(problem.clean, images, self.beta)
            images = torch.where(per_example(fooled, images), back, images)
            images, nearest, distance = problem.drop(images, nearest, distance)
        return nearest, distance

    def _step(self, problem: Problem, images: Tensor) -> Tensor:
        """Beyond the boundary that is nearest as it looks from ``images``."""
        threat, clean = problem.threat, problem.clean
        values, gradients = problem.boundary(images)
        dual = {1: math.inf, 2: 2, math.inf: 1}[threat.p]
        speed = torch.stack([norms(threat.masked(gradient, 0), dual) for gradient in gradients.unbind(1)], 1)
        first = torch.where(speed > 0, values.abs() / speed, math.inf).argmin(1)
        rows = torch.arange(len(images), device=images.device)
        slope = threat.masked(gradients[rows, first], 0)
        steps = []
        for start in (images, clean):
            height = values[rows, first] + dot(slope, start - images)
            steps.append(step_to_plane(start.flatten(1), slope.flatten(1), height, threat.p).view_as(clean))
        here, home = (norms(step, threat.p).clamp(min=SHORTEST) for step in steps)
        share = per_example((here / (here + home)).clamp(max=self.alpha_max), clean)
        return torch.lerp(images + self.eta * steps[0], clean + self.eta * steps[1], share).clamp(0, 1)


def one_classification(name: str, tasks: Mapping[str, Task]) -> Classification:
    """The one task under attack; raises TestudoError, naming the attack, where it is not a classification."""
    (task, *others) = tasks.values()
    if others or not isinstance(task, Classification):
        found = ", ".join(tasks)
        raise TestudoError(
            f"{name} attacks one classification task, got {found}: name one in objective.tasks, or use worst_case"
        )
    return task
