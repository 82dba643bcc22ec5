"""Training on clean images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from testudo.data.batch import Batch
from testudo.models.model import Model
from testudo.training.methods.base import Method


@dataclass(frozen=True)
class Standard(Method):
    """The weighted sum of the tasks' losses on clean images (Mao et al. 2020, equation 2).

    >>> Standard(weights={"parity": 0.1}).weight("parity")
    0.1
    """

    def terms(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """``{"task.clean": ...}`` for every task."""
        return self.task_terms(model, batch, "clean")
