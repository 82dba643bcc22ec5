"""The trade-off between accuracy and robustness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from testudo.attacks.base import Attack
from testudo.attacks.drift import Drift
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.model import Model
from testudo.tasks.task import Task
from testudo.training.methods.attacking import Attacking
from testudo.training.methods.base import mean_loss, mean_of


@dataclass(frozen=True)
class Trades(Attacking):
    """The loss on the clean images, plus ``beta`` times how far the prediction drifts from there under attack.

    Source: Zhang et al. 2019, equation 5 and Algorithm 1 (https://arxiv.org/abs/1901.08573), as released: the drift is
    KL(p_clean || p_adv), both sides of it receive gradients, and the attack raises it from a start of normal noise of
    0.001 (Linf 0.031 in steps of 0.007 there, 8/255 in steps of 2/255 here). What the drift is for other tasks than
    classification, see :class:`~testudo.attacks.drift.Drift`. Clean and adversarial images go through the network one
    after the other, each a batch of its own to batch norm.

    Args:
        weights, balance, pretexts, main_sees: see :class:`~testudo.training.methods.base.Method`.
        attack: makes the images at which the drift is taken; by default PGD-10 on the drift itself.
        beta: the factor of the drift, 1/lambda of the paper.

    >>> Trades().attack.objective.surrogate, Trades().passes(())
    (Drift(), 12)
    """

    attack: Attack = PGD(objective=Objective(surrogate=Drift()), keep="last", jitter=1e-3)
    beta: float = 6.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.beta < float("inf"):
            raise TestudoError(f"beta must be at least 0 and finite, got {self.beta}")

    def updates(self, tasks: Sequence[Task]) -> int:
        """The clean images, and the others."""
        return 2

    def terms_at(self, model: Model, batch: Batch, images: Tensor) -> dict[str, Tensor]:
        """``{"task.clean": ..., "task.drift": ...}``, without drift for a task that compares images."""
        clean, moved = model(batch.images), model(images)
        terms = {}
        for name, task in model.tasks.items():
            target, weight = batch.targets[name], self.weight(name)
            terms[f"{name}.clean"] = weight * mean_loss(task, clean[name], target)
            if not task.paired:
                drift = mean_of(Drift().since(task, moved[name], clean[name], target), task.valid(target))
                terms[f"{name}.drift"] = weight * self.beta * drift
        return terms
