"""What methods share that learn from images which one attack made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from testudo.attacks.base import Attack
from testudo.attacks.pgd import PGD
from testudo.data.batch import Batch
from testudo.models.model import Model
from testudo.tasks.task import Task
from testudo.training.methods.base import Method, Stage, State, check_attack


@dataclass(frozen=True)
class Attacking(Method, ABC):
    """One attack for each batch, then terms at the clean and the attacked images: the subclass writes those alone.

    Args:
        weights, balance, pretexts, main_sees: see :class:`~testudo.training.methods.base.Method`.
        attack: makes the adversarial images.
    """

    attack: Attack = PGD(steps=7, keep="last")

    @abstractmethod
    def terms_at(self, model: Model, batch: Batch, images: Tensor) -> dict[str, Tensor]:
        """The terms, at the clean ``batch`` and what the attack made of its images."""

    def passes(self, tasks: Sequence[Task]) -> int:
        """The attack's steps, and those of the update; an attack's forward pass on clean images is not counted."""
        return self.attack.iterations * self.attack.runs + self.updates(tasks)

    def check(self, tasks: Mapping[str, Task]) -> None:
        """Every named task must be the model's, those under attack too."""
        super().check(tasks)
        check_attack(self.attack, tasks)

    def terms(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """The terms, at images made here."""
        return self.terms_at(model, batch, self.attack.perturb(model, batch))

    def stages(self, model: Model, batch: Batch, state: State) -> Iterator[Stage]:
        """One, at images made here."""
        yield partial(self.terms_at, model, batch, self.attack.perturb(model, batch))
