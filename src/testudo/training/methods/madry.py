"""Adversarial training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.model import Model
from testudo.tasks.task import Task
from testudo.training.methods.attacking import Attacking


@dataclass(frozen=True)
class Madry(Attacking):
    """The losses at adversarial images, made anew for every batch (Madry et al. 2018, equation 2.1).

    Args:
        weights, balance: see :class:`~testudo.training.methods.base.Method`.
        attack: makes the adversarial images; by default PGD-7 on every task of the model.
        clean: the share of the loss that is taken on the clean images instead, in [0, 1).

    >>> Madry(clean=0.5).attack.steps
    7
    """

    clean: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.clean < 1:
            raise TestudoError(f"clean must be a share in [0, 1), got {self.clean}")

    def updates(self, tasks: Sequence[Task]) -> int:
        """One, and one for the clean images where they have a share."""
        return 2 if self.clean else 1

    def terms_at(self, model: Model, batch: Batch, images: Tensor) -> dict[str, Tensor]:
        """``{"task.adv": ...}`` and, for a clean share, ``{"task.clean": ...}``."""
        hurt = self.task_terms(model, batch.with_images(images), "adv")
        if self.clean == 0:
            return hurt
        plain = self.task_terms(model, batch, "clean")
        return {name: self.clean * term for name, term in plain.items()} | {
            name: (1 - self.clean) * term for name, term in hurt.items()
        }
