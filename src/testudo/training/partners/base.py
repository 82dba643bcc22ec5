"""What a data-side partner of a training method is: a training batch in, a changed one out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from testudo.data.batch import Batch
from testudo.models.model import Model


@dataclass(frozen=True)
class Partner(ABC):
    """Changes a training batch after its augmentation and before a method's self-supervised tasks and attack.

    Other than an augmentation it may look at the model and mix examples. So it goes with every method. What it draws
    is a function of (an example's id, seed, epoch) alone.
    """

    @property
    def passes(self) -> int:
        """Forward passes that a batch costs, beside the method's own; a fair comparison counts them."""
        return 0

    @abstractmethod
    def __call__(self, model: Model, batch: Batch, seed: int, epoch: int) -> Batch:
        """The changed batch: as many examples, the same ids and names of targets.

        Args:
            model: in training mode, and left exactly as it is.
            batch: on the model's device.
            seed: with ``epoch``, tells this draw of every example from others.
            epoch: see ``seed``.
        """
