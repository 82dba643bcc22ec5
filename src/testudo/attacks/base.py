"""The final call of every attack: it prepares, searches, projects, keeps the worst and re-scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from testudo.attacks.objective import Objective
from testudo.attacks.problem import Problem
from testudo.attacks.threat import Linf, Threat
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.model import Model
from testudo.models.prepare import prepared


@dataclass(frozen=True, eq=False)
class Attacked:
    """What came of an attack on a batch of N examples and K tasks.

    Attributes:
        images: (N, C, H, W) adversarial images, inside ball and box; float32 (float64 for a float64 batch).
        loss: (N,) the objective they reach (the balance's merit: for equal weights the mean task loss).
        task_loss: (N,) what was raised, by task under attack: the surrogate, its negative where targeted.
        weights: (N, K) the balance's last weights.
        forwards, backwards: passes of the whole batch that were spent.
    """

    images: Tensor
    loss: Tensor
    task_loss: dict[str, Tensor]
    weights: Tensor
    forwards: int
    backwards: int


@dataclass(frozen=True)
class Attack(ABC):
    """A search for the images of a ball that hurt most.

    A subclass writes :meth:`search` alone. The call is final, so that no attack can misreport itself: it
    works on a frozen copy (the model is left exactly as found), projects what comes back onto ball and box,
    and scores it in full precision. Two examples never influence each other.

    Args:
        threat: ball and box.
        objective: which tasks, balanced how.
        keep: ``"best"``: the worst images measured during the search, the clean ones where nothing is
            worse; ``"last"``: those the search ends with, as most papers report.
        seed: of random starts, drawn per example id.
    """

    threat: Threat = Linf(8 / 255)
    objective: Objective = Objective()
    keep: Literal["best", "last"] = "best"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.keep not in ("best", "last"):
            raise TestudoError(f"keep must be 'best' or 'last', got {self.keep!r}")

    @property
    def runs(self) -> int:
        """How many independent searches to make; the worst of them counts."""
        return 1

    @property
    def iterations(self) -> int:
        """Steps of one search, for tables."""
        return 1

    @abstractmethod
    def search(self, problem: Problem) -> Tensor:
        """The images at which one search ends: (N, C, H, W)."""

    def __call__(self, model: Model, batch: Batch) -> Attacked:
        """Attack ``batch``.

        Args:
            model: a multi-task or wrapped model, or a :class:`~testudo.models.fast.Fast` copy made before
                (to be used as it is).
            batch: clean images and labels.

        Raises:
            TestudoError: the model lacks a task, the batch lacks labels, the clean loss is NaN, or the search
                returned images of another shape or not finite.
        """
        problem = self._problem(model, batch)
        for run in range(self.runs if len(batch) else 0):
            problem.finish(self._search(problem, run))
        return self._settle(problem)

    def perturb(self, model: Model, batch: Batch) -> Tensor:
        """The images alone, (N, C, H, W), unscored where nothing is to be chosen: what training needs.

        With ``keep="last"`` and one search this saves the passes that only tell how well it went.
        """
        if self.keep == "best" or self.runs > 1 or len(batch) == 0:
            return self(model, batch).images
        problem = self._problem(model, batch)
        return self._search(problem, 0)

    def _problem(self, model: Model, batch: Batch) -> Problem:
        return Problem(prepared(model), batch, self.threat, self.objective, self.seed, self.keep)

    def _search(self, problem: Problem, run: int) -> Tensor:
        problem.begin(run)
        final, clean = self.search(problem).detach(), problem.clean
        if final.shape != clean.shape:
            found = f"{tuple(final.shape)} for {tuple(clean.shape)}"
            raise TestudoError(f"{type(self).__name__} returned images of another shape: {found}")
        if not final.isfinite().all():
            raise TestudoError(f"{type(self).__name__} returned images with NaN or infinite values")
        return problem.project(final.to(clean)).contiguous()

    def _settle(self, problem: Problem) -> Attacked:
        """Project, re-score what was searched in lower precision, and fall back to the clean images."""
        images = problem.project(problem.best)
        losses = problem.best_losses
        if len(images) and not (problem.exact_search and torch.equal(images, problem.best)):
            problem.forwards += 1
            losses = problem.exact(images)
        merit = problem.merit(losses) if len(images) else problem.best_merit
        lost = merit == -torch.inf  # what the search found gives NaN
        if len(images) and (self.keep == "best" or lost.any()):
            clean_losses = problem.clean_losses()
            clean_merit = problem.merit(clean_losses)
            worse = merit > clean_merit if self.keep == "best" else ~lost
            images = torch.where(worse[:, None, None, None], images, problem.clean)
            losses = torch.where(worse[:, None], losses, clean_losses)
            merit = torch.where(worse, merit, clean_merit)
        return Attacked(
            images=images.contiguous(),
            loss=merit,
            task_loss=dict(zip(problem.tasks, losses.unbind(1), strict=True)),
            weights=problem.weights,
            forwards=problem.forwards,
            backwards=problem.backwards,
        )
