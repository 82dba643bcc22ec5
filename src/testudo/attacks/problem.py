"""What a search may ask: losses and gradients of images it proposes; the books are kept here."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from testudo.attacks.objective import Objective
from testudo.attacks.threat import Threat
from testudo.balance.base import State
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.fast import Fast
from testudo.tasks.task import working_precision


class Problem:
    """One batch under one attack: gives gradients, counts passes, remembers the worst images per example.

    Args:
        model: the frozen copy under attack.
        batch: clean images, labels and ids.
        threat: ball and box.
        objective: what is raised.
        seed: of the random starts.
        keep: ``"best"`` remembers every image that was measured, ``"last"`` only those that end a search.

    Attributes:
        clean: (N, C, H, W) the clean images, in float32 where they came in half precision: a ball around
            them could not be kept to in half precision.
        forwards, backwards: passes made so far.
        weights: (N, K) the balance's latest weights.
        exact_search: the search itself runs in full precision.
    """

    def __init__(
        self,
        model: Fast,
        batch: Batch,
        threat: Threat,
        objective: Objective,
        seed: int,
        keep: Literal["best", "last"],
    ) -> None:
        self.model, self.threat, self.objective, self.seed, self.keep = model, threat, objective, seed, keep
        self.exact_search = model.precision != "bf16"
        self.tasks = objective.attacked(model.tasks, batch.targets)
        for name, task in self.tasks.items():
            task.check(batch.targets[name])
        self.targets = {name: batch.targets[name] for name in self.tasks}
        self._labelled = torch.stack([task.valid(self.targets[name]) for name, task in self.tasks.items()], 1)
        self.clean = working_precision(batch.images.detach()).contiguous()
        self.ids = batch.ids
        self.forwards = self.backwards = 0
        self.best = self.clean
        self.best_losses = self._matrix(-torch.inf)
        self.best_merit = self.best_losses[:, 0]
        self.weights = self._matrix(1 / len(self.tasks))
        self._state: State | None = None
        self._clean_losses: Tensor | None = None
        self._restart = 0

    def begin(self, restart: int) -> None:
        """Start a search anew: the balance forgets, the worst images so far are kept."""
        self._restart, self._state = restart, None

    def start(self, *, random: bool) -> Tensor:
        """Where a search begins: the clean images, or a random point of the ball for this restart."""
        if not random:
            return self.clean
        return self.threat.random_start(self.clean, self.ids, self.seed, self._restart)

    def project(self, images: Tensor) -> Tensor:
        """The nearest images inside ball and box."""
        return self.threat.project(images, self.clean)

    def gradient(self, images: Tensor) -> Tensor:
        """(N, C, H, W) the direction in which the balanced objective grows, by one forward and one backward."""
        leaf = images.detach().requires_grad_()
        with torch.enable_grad():
            losses = self._forward(leaf)
            weights = self._weigh(images, losses.detach())
            gradient = self._backward((weights * losses).sum(), leaf)
        if self.keep == "best":
            self._remember(images, losses.detach())
        return gradient

    def finish(self, images: Tensor) -> None:
        """Measure the images that end a search (one forward), so that the last step counts too."""
        with torch.no_grad():
            losses = self._forward(images)
        if self._state is None:
            self._weigh(images, losses)
        self._remember(images, losses)

    def exact(self, images: Tensor) -> Tensor:
        """(N, K) losses in the model's full precision, not in that of the search."""
        with torch.no_grad():
            outputs = self.model.exact(images, tuple(self.tasks))
        return self.objective.losses(self.tasks, outputs, self.targets)

    def clean_losses(self) -> Tensor:
        """(N, K) full-precision losses of the clean images, measured at most once.

        Raises:
            TestudoError: one of them is NaN, by task and id.
        """
        if self._clean_losses is None:
            self.forwards += 1
            self._clean_losses = self.exact(self.clean)
        wrong = self._clean_losses.isnan().nonzero()
        if len(wrong):
            row, column = wrong[0].tolist()
            name = list(self.tasks)[column]
            raise TestudoError(f"the model's loss of task {name!r} is NaN on clean image {int(self.ids[row])}")
        return self._clean_losses

    def merit(self, losses: Tensor) -> Tensor:
        """(N,) the balance's one number, comparable between steps and restarts; NaN counts as nothing."""
        state = self._state if self._state is not None else self._begin_balance(self.clean_losses())
        merit = self.objective.balance.merit(state, losses)
        return torch.where(merit.isnan() | losses.isnan().any(1), -torch.inf, merit)

    def _forward(self, images: Tensor) -> Tensor:
        self.forwards += 1
        return self.objective.losses(self.tasks, self.model(images, tuple(self.tasks)), self.targets)

    def _backward(self, total: Tensor, leaf: Tensor) -> Tensor:
        self.backwards += 1
        if not total.requires_grad:  # a model whose output ignores its input
            return torch.zeros_like(leaf)
        (gradient,) = torch.autograd.grad(total, leaf, materialize_grads=True)
        return gradient.nan_to_num(0.0, 0.0, 0.0)  # not in place: it may be an expanded tensor

    def _weigh(self, images: Tensor, losses: Tensor) -> Tensor:
        if self._state is None:
            at_start = images is self.clean
            if at_start and self.exact_search:
                self._clean_losses = losses
            known = at_start or self.objective.balance.needs == "nothing"
            self._state = self._begin_balance(losses if known else self.clean_losses())
        self.weights, self._state = self.objective.balance.weigh(self._state, losses)
        return self.weights

    def _begin_balance(self, clean_losses: Tensor) -> State:
        known = torch.where(self._labelled, clean_losses, torch.nan)
        return self.objective.balance.start(known, tuple(self.tasks))

    def _remember(self, images: Tensor, losses: Tensor) -> None:
        merit = self.merit(losses)
        better = merit > self.best_merit
        self.best_merit = torch.where(better, merit, self.best_merit)
        self.best_losses = torch.where(better[:, None], losses, self.best_losses)
        self.best = torch.where(better[:, None, None, None], images, self.best)

    def _matrix(self, value: float) -> Tensor:
        dtype = torch.float64 if self.clean.dtype == torch.float64 else torch.float32
        return torch.full((len(self.clean), len(self.tasks)), value, dtype=dtype, device=self.clean.device)
