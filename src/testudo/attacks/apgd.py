"""Auto-PGD: a step length of its own for every example, nothing to choose but the number of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from testudo.attacks.base import Attack
from testudo.attacks.pgd import check_steps
from testudo.attacks.problem import Problem
from testudo.attacks.threat import Threat
from testudo.errors import TestudoError
from testudo.tasks.task import Task
from testudo.tensors import normal, per_example

MOMENTUM = 0.75  # share of the new step; the rest is the step before
PATIENCE = 0.75  # share of steps that must rise, lest the step be halved
FIRST, FEWER, LEAST = 0.22, 0.03, 0.06  # of all steps: the first window between checks, its shrinking, its least
WIDER = ((3, 0.3), (2, 0.3), (1, 0.4))  # L1: radius over eps, share of the steps
SPARSE, CHECK, SHORTER, SHORTEST, THINNING = 0.2, 0.04, 1.5, 10.0, 0.95  # L1, see _Sparse

Carried = dict[str, Tensor]  # what goes from step to step, each with the M examples as its first dimension


def check_targets(targets: int, tasks: Mapping[str, Task]) -> None:
    """Refuse to aim at more wrong classes than there are."""
    for task in tasks.values() if targets else ():
        if task.rivals < targets:
            raise TestudoError(f"targets must be at most {task.rivals} for task {task.name!r}, got {targets}")


@dataclass(frozen=True)
class APGD(Attack):
    """Momentum steps that start at 2 eps and are halved where they stop helping (Croce and Hein 2020).

    At checkpoints, which come more often as the search goes on, an example whose objective rose in too few
    steps, or whose best did not improve since the last, goes on from its best images with half the step. In
    the L1 ball steps are sparse, as sparse as the best images so far allow, and the search narrows from 3 eps
    over 2 eps to eps (Croce and Hein 2021); there the projection is exact here as in all else.

    It takes any objective, its own or many tasks', as long as that has one value per example.

    Args:
        threat, objective, keep, seed, samples: see :class:`~testudo.attacks.base.Attack`.
        steps: of one search, each with one forward and one backward pass.
        restarts: independent searches.
        targets: how many wrong classes to go for, one after the other, the nearest first (APGD-T: 9, with the
            surrogate ``DLR``); 0: away from the label.
        random_start: begin at a random point of the ball, as published, or at the clean image.

    >>> APGD(steps=100).runs, APGD(targets=9).runs
    (1, 9)
    """

    steps: int = 100
    restarts: int = 1
    targets: int = 0
    random_start: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_steps(self.steps, None, self.restarts)
        if self.targets < 0:
            raise TestudoError(f"targets must be at least 0, got {self.targets}")

    @property
    def runs(self) -> int:
        """Restarts, for each target."""
        return self.restarts * max(1, self.targets)

    @property
    def iterations(self) -> int:
        """The steps."""
        return self.steps

    def check(self, tasks: Mapping[str, Task]) -> None:
        """Raise TestudoError where there are fewer wrong classes than ``targets``."""
        check_targets(self.targets, tasks)
        if self.targets and self.objective.targeted:
            raise TestudoError("targets are wrong classes that apgd finds itself: its objective must not be targeted")

    def search(self, problem: Problem) -> Tensor:
        """Climb, for one of the targets where there are any."""
        if self.targets:
            problem.aim(problem.run // self.restarts + 1)
        if problem.threat.p != 1:
            images = problem.start(random=self.random_start)
            return self._climb(problem, images, _Dense(self.steps), self.steps, 1)
        images = problem.clean
        if self.random_start:  # noise projected onto the widest ball, which moves few pixels: restarts then differ more
            images = images + normal(problem.ids, tuple(images.shape[1:]), self.seed, problem.run).to(images)
        left = self.steps
        for factor, share in WIDER:
            steps = left if factor == 1 else min(left - 1, int(share * self.steps))
            left -= max(0, steps)
            if steps > 0:
                images = self._climb(problem, images, _Sparse(steps), steps, factor)
        return images

    def _climb(self, problem: Problem, images: Tensor, stride: _Dense | _Sparse, steps: int, factor: float) -> Tensor:
        """``steps`` steps from ``images`` in the ball of ``factor`` eps; the last images are not measured."""
        inside = factor == 1
        images = _wider(problem, factor).project(images, problem.clean)
        carried: Carried = {}
        for done in range(steps):
            up = problem.ascend(images, inside)
            if not carried:
                carried = stride.begin(_wider(problem, factor), images, problem.clean, up.merit)
                carried |= {"images": images, "before": images, "best": images, "slope": up.gradient}
                carried |= {"gradient": up.gradient, "best_merit": up.merit, "merit": up.merit}
            else:
                carried = _note(carried, images, up.gradient, up.merit)
            carried = dict(zip(carried, problem.drop(*carried.values()), strict=True))
            if done:
                carried = stride.check(carried, problem.clean, done)
            images = stride.step(_wider(problem, factor), carried, problem.clean, first=done == 0)
            carried["before"] = carried["images"]
        return carried["best"] if factor > 1 else images


def _wider(problem: Problem, factor: float) -> Threat:
    threat = problem.threat
    return threat if factor == 1 else replace(threat, eps=factor * threat.eps)


def _note(carried: Carried, images: Tensor, gradient: Tensor, merit: Tensor) -> Carried:
    """Take in what was measured at new images."""
    better = merit > carried["best_merit"]
    at = per_example(better, images)
    return carried | {
        "images": images,
        "gradient": gradient,
        "rises": carried["rises"] + (merit > carried["merit"]),
        "merit": merit,
        "best": torch.where(at, images, carried["best"]),
        "slope": torch.where(at, gradient, carried["slope"]),
        "best_merit": torch.where(better, merit, carried["best_merit"]),
    }


def _back(carried: Carried, where: Tensor) -> Carried:
    """Go on from the best images in the rows that ``where`` (M,) names."""
    at = per_example(where, carried["images"])
    return carried | {
        "images": torch.where(at, carried["best"], carried["images"]),
        "gradient": torch.where(at, carried["slope"], carried["gradient"]),
    }


class _Dense:
    """Steps in Linf and L2: all pixels move, with momentum."""

    def __init__(self, steps: int) -> None:
        self.window = self.due = max(int(FIRST * steps), 1)
        self.fewer, self.least = max(int(FEWER * steps), 1), max(int(LEAST * steps), 1)

    def begin(self, threat: Threat, images: Tensor, clean: Tensor, merit: Tensor) -> Carried:
        """The first step is 2 eps long."""
        length = 2 * torch.as_tensor(threat.radius(images), dtype=images.dtype, device=images.device)
        return {
            "length": length.expand(len(images), 1, 1, 1).clone(),
            "rises": torch.zeros_like(merit),
            "halved": torch.zeros_like(merit, dtype=torch.bool),
            "check_merit": merit,
        }

    def step(self, threat: Threat, carried: Carried, clean: Tensor, first: bool) -> Tensor:
        """A projected step of the gradient, then one that keeps a quarter of the step before."""
        images = carried["images"]
        moved = images + carried["length"] * threat.direction(carried["gradient"], images)
        moved = threat.project(moved, clean)
        if first:
            return moved
        inertia = (1 - MOMENTUM) * (images - carried["before"])
        return threat.project(images + MOMENTUM * (moved - images) + inertia, clean)

    def check(self, carried: Carried, clean: Tensor, done: int) -> Carried:
        """At a checkpoint, halve the steps that rose too seldom or led nowhere new."""
        self.due -= 1
        if self.due:
            return carried
        idle = ~carried["halved"] & (carried["check_merit"] >= carried["best_merit"])
        halve = idle | (carried["rises"] <= PATIENCE * self.window)
        self.window = self.due = max(self.window - self.fewer, self.least)
        return _back(carried, halve) | {
            "length": torch.where(per_example(halve, clean), carried["length"] / 2, carried["length"]),
            "rises": torch.zeros_like(carried["rises"]),
            "halved": halve,
            "check_merit": carried["best_merit"],
        }


class _Sparse:
    """Steps in L1: equal moves of the pixels with the largest slopes."""

    def __init__(self, steps: int) -> None:
        self.window = max(int(CHECK * steps), 1)

    def begin(self, threat: Threat, images: Tensor, clean: Tensor, merit: Tensor) -> Carried:
        """The first step has length eps and a fifth of the pixels, or two thirds of those moved already."""
        eps = torch.as_tensor(threat.radius(images), dtype=images.dtype, device=images.device)
        moved = _moved(images, clean)
        size = float(clean[0].numel())
        share = torch.where(moved > 0, moved / size / SHORTER, SPARSE)
        return {
            "length": eps.expand(len(images), 1, 1, 1).clone(),
            "longest": eps.expand(len(images), 1, 1, 1).clone(),
            "share": share,
            "moved": torch.where(moved > 0, moved, size),
            "rises": torch.zeros_like(merit),
        }

    def step(self, threat: Threat, carried: Carried, clean: Tensor, first: bool) -> Tensor:
        """Move the largest slopes by the same amount, ``length`` in all."""
        size = clean[0].numel()
        gradient = threat.masked(carried["gradient"], 0).flatten(1)
        flat = gradient.abs()
        rank = (size - carried["share"] * threat.dimensions(clean)).ceil().long().clamp(0, size - 1)
        least = flat.sort(1).values.gather(1, rank[:, None])
        signs = (gradient.sign() * (flat >= least)).reshape(clean.shape)
        count = per_example(signs.abs().flatten(1).sum(1).clamp(min=1), clean)
        return threat.project(carried["images"] + carried["length"] * signs / count, clean)

    def check(self, carried: Carried, clean: Tensor, done: int) -> Carried:
        """At a checkpoint, adapt to how many pixels the best images move; where those got fewer, step far again."""
        if done % self.window:
            return carried
        moved = _moved(carried["best"], clean)
        thinner = moved < THINNING * carried["moved"]
        longest = carried["longest"]
        shorter = torch.maximum(carried["length"] / SHORTER, longest / SHORTEST)
        return _back(carried, thinner) | {
            "length": torch.where(per_example(thinner, clean), longest, shorter),
            "share": moved / clean[0].numel() / SHORTER,
            "moved": moved,
        }


def _moved(images: Tensor, clean: Tensor) -> Tensor:
    """(M,) how many values differ from the clean ones."""
    return (images != clean).flatten(1).sum(1).to(images.dtype)
