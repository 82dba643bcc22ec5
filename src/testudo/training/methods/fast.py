"""Adversarial training with one step from a random start, and a guard over it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf, Threat
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.fast import Fast as Frozen
from testudo.models.model import Model
from testudo.models.prepare import prepared
from testudo.processes import average
from testudo.tasks.task import Task
from testudo.training.methods.base import Method, Stage, State, check_attack

KEY = "method.fast"  # (2,) the batches seen so far, and 1 where the guard has stepped in


@dataclass(frozen=True)
class Fast(Method):
    """The losses at images one step from a random point of the ball.

    Source: Wong et al. 2020, Algorithm 3 (https://arxiv.org/abs/2001.03994). A model may overfit to that one step
    ("catastrophic overfitting": its loss there falls to nothing, under PGD it is as large as without any defence). The
    authors stop training then; ``guard`` lets it recover, after an idea of Li et al. 2020
    (https://arxiv.org/abs/2006.03089): every ``guard`` batches, from the first on, the batch's loss under PGD is set
    against that under the one step, both of the frozen model. Where it is more than ``guard_factor`` times as large,
    PGD makes the images of this batch and of those up to the next check. Of several processes all do the same.

    Args:
        weights, balance, pretexts, main_sees: see :class:`~testudo.training.methods.base.Method`.
        threat: ball and box; one eps for all examples.
        objective: what the step raises; by default every task's loss.
        length: of the step, over eps.
        guard: batches from one check to the next, 0 for none.
        guard_steps: of PGD, each 2.5 eps / steps long, from the same random points.
        guard_factor: how much larger the loss under PGD may be.

    >>> Fast().passes(()), Fast(guard=10).passes(())
    (2, 3)
    """

    threat: Threat = Linf(8 / 255)
    objective: Objective = Objective()
    length: float = 1.25
    guard: int = 0
    guard_steps: int = 7
    guard_factor: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.length < math.inf:
            raise TestudoError(f"length must be above 0 and finite, in units of eps; got {self.length}")
        if self.guard < 0 or self.guard_steps < 1 or not 1 <= self.guard_factor < math.inf:
            found = f"{self.guard}, {self.guard_steps} and {self.guard_factor}"
            raise TestudoError(
                f"guard must be at least 0 batches, guard_steps and guard_factor at least 1 and finite; got {found}"
            )
        if isinstance(self.threat.eps, Tensor) and self.threat.eps.dim():
            raise TestudoError("fast needs one eps for all examples, as its step is a multiple of it")
        object.__setattr__(self, "divisible", self.guard == 0)  # a guard looks at whole batches

    def step(self) -> PGD:
        """The one step."""
        length = self.length * float(self.threat.eps) or None  # no ball, no step
        return PGD(self.threat, self.objective, keep="last", steps=1, step=length)

    def passes(self, tasks: Sequence[Task]) -> int:
        """The step, the update, and the guard's checks, rounded up; not what PGD costs while it stands in."""
        return 1 + self.updates(tasks) + (math.ceil(self.guard_steps / self.guard) if self.guard else 0)

    def check(self, tasks: Mapping[str, Task]) -> None:
        """Every named task must be the model's, those under attack too."""
        super().check(tasks)
        check_attack(self.step(), tasks)

    def terms(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """``{"task.adv": ...}``, without the guard."""
        return self._terms_at(model, batch, self.step().perturb(model, batch))

    def stages(self, model: Model, batch: Batch, state: State) -> Iterator[Stage]:
        """One, at images made here."""
        images = self._guarded(model, batch, state) if self.guard else self.step().perturb(model, batch)
        yield partial(self._terms_at, model, batch, images)

    def _terms_at(self, model: Model, batch: Batch, images: Tensor) -> dict[str, Tensor]:
        return self.task_terms(model, batch.with_images(images), "adv")

    def _guarded(self, model: Model, batch: Batch, state: State) -> Tensor:
        """The images of whichever attack is in charge; checks it where that is due, and counts the batch."""
        step, frozen = self.step(), prepared(model)
        slow = replace(step, steps=self.guard_steps, step=None)
        seen, stepped_in = state.get(KEY, torch.zeros(2, dtype=torch.int64)).tolist()
        found = None
        if seen % self.guard == 0:
            found = [attack.perturb(frozen, batch) for attack in (step, slow)]
            weak, strong = (self._loss(frozen, batch.with_images(images)) for images in found)
            stepped_in = int(strong > self.guard_factor * weak)
        state[KEY] = torch.tensor([seen + 1, stepped_in])
        if found is None:
            return (slow if stepped_in else step).perturb(frozen, batch)
        return found[stepped_in]

    def _loss(self, frozen: Frozen, batch: Batch) -> Tensor:
        """The weighted sum of the tasks' losses, over all processes."""
        with torch.no_grad():
            return average(torch.stack(list(self.task_terms(frozen, batch, "adv").values())).sum())
