"""The final call of every attack: it prepares, searches, projects, keeps the worst and re-scores."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from testudo.attacks.objective import Objective
from testudo.attacks.problem import Keep, Problem, Settled
from testudo.attacks.threat import Linf, Threat
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.model import Model
from testudo.models.prepare import prepared
from testudo.tasks.task import Task


@dataclass(frozen=True, eq=False)
class Attacked:
    """What came of an attack on a batch of N examples and K tasks.

    Attributes:
        images: (N, C, H, W) adversarial images, inside ball and box; float32 (float64 for a float64 batch).
        loss: (N,) the objective they reach (the balance's merit: for equal weights the mean task loss).
        task_loss: (N,) what was raised, by task under attack: the surrogate, its negative where targeted.
        weights: (N, K) the balance's last weights.
        decided: (N,) whether every attacked task is beaten there (see :class:`Objective`).
        forwards, backwards: passes that were spent: images that went through, over N.
    """

    images: Tensor
    loss: Tensor
    task_loss: dict[str, Tensor]
    weights: Tensor
    decided: Tensor
    forwards: float
    backwards: float


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
            worse; ``"last"``: those the search ends with, as most papers report; ``"first"``: the first that
            beat every attacked task, after which no more work is spent on the example, and the best of those
            measured where none do.
        seed: of random starts, drawn per example id.
        samples: how often a model that draws random numbers is asked at each step; losses and gradients are
            averaged (expectation over transformations, Athalye et al. 2018). Such a model's draws come from
            ``seed`` too, and make examples depend on their batch. Memory grows with it.
    """

    threat: Threat = Linf(8 / 255)
    objective: Objective = Objective()
    keep: Keep = "best"
    seed: int = 0
    samples: int = 1

    def __post_init__(self) -> None:
        if self.keep not in ("best", "last", "first"):
            raise TestudoError(f"keep must be 'best', 'last' or 'first', got {self.keep!r}")
        if self.samples < 1:
            raise TestudoError(f"samples must be at least 1, got {self.samples}")

    @property
    def runs(self) -> int:
        """How many independent searches to make; the worst of them counts."""
        return 1

    @property
    def iterations(self) -> int:
        """Steps of one search, for tables."""
        return 1

    def check(self, tasks: Mapping[str, Task]) -> None:  # noqa: B027 (most attacks take any task)
        """Raise TestudoError where this attack cannot work on these tasks, the ones under attack."""

    @abstractmethod
    def search(self, problem: Problem) -> Tensor:
        """The images at which one search ends, of the examples that ``problem`` then still holds: (M, C, H, W)."""

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
        with draws_of_its_own(self.seed, batch.images.device):
            problem = self.prepare(model, batch)
            for run in range(self.runs if len(batch) else 0):
                if not problem.begin(run):
                    break
                with suppress(Settled):
                    problem.finish(self._found(problem))
            return self._settle(problem)

    def perturb(self, model: Model, batch: Batch) -> Tensor:
        """The images alone, (N, C, H, W), unscored where nothing is to be chosen: what training needs.

        With ``keep="last"`` and one search this saves the passes that only tell how well it went.
        """
        if self.keep != "last" or self.runs > 1 or len(batch) == 0:
            return self(model, batch).images
        with draws_of_its_own(self.seed, batch.images.device):
            problem = self.prepare(model, batch)
            problem.begin(0)
            return self._found(problem)

    def prepare(self, model: Model, batch: Batch) -> Problem:
        """What a search works on, no pass made yet; refuses a model or a batch that this attack cannot work on."""
        problem = Problem(prepared(model), batch, self.threat, self.objective, self.seed, self.keep, self.samples)
        self.check(problem.oracle.tasks)
        return problem

    def _found(self, problem: Problem) -> Tensor:
        """What one search returns, checked, inside ball and box."""
        final = self.search(problem).detach()
        clean = problem.clean
        if final.shape != clean.shape:
            found = f"{tuple(final.shape)} for {tuple(clean.shape)}"
            raise TestudoError(f"{type(self).__name__} returned images of another shape: {found}")
        if not final.isfinite().all():
            raise TestudoError(f"{type(self).__name__} returned images with NaN or infinite values")
        return problem.project(final.to(clean)).contiguous()

    def _settle(self, problem: Problem) -> Attacked:
        """Project, score in full precision, and fall back to the clean images where nothing hurts."""
        found = problem.restore()
        images, losses, merit, decided = problem.project(found.images), found.losses, found.merit, found.decided
        if len(images) and not (problem.exact_search and torch.equal(images, found.images)):
            answer = problem.oracle.exact(images, problem.targets)
            losses, decided, merit = answer.told, answer.beaten, problem.merit(answer.told)
        lost = merit == -torch.inf  # what the search found gives NaN
        if len(images) and (self.keep != "last" or lost.any()):
            clean = problem.baseline.answer()
            before = problem.merit(clean.told)
            worse = ~lost if self.keep == "last" else merit > before
            worse = worse | decided if self.keep == "first" else worse
            images = torch.where(worse[:, None, None, None], images, problem.clean)
            losses, merit = torch.where(worse[:, None], losses, clean.told), torch.where(worse, merit, before)
            decided = torch.where(worse, decided, clean.beaten)
        return Attacked(
            images=images.contiguous(),
            loss=merit,
            task_loss=dict(zip(problem.oracle.tasks, losses.unbind(1), strict=True)),
            weights=found.weights,
            decided=decided,
            forwards=problem.passes[0],
            backwards=problem.passes[1],
        )


@contextmanager
def draws_of_its_own(seed: int, device: torch.device) -> Generator[None]:
    """Within this block a model that draws random numbers draws from ``seed``; the world's states are put back."""
    gpu = [device] if device.type == "cuda" else []
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 (a user's forward may draw from it)
    with torch.random.fork_rng(gpu):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.default_generator.manual_seed(seed)
        if gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
