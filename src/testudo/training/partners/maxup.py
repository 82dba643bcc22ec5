"""Of several random augmentations of an example, the one that the model finds hardest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.data.augment import Augment
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.model import Model
from testudo.models.prepare import prepared
from testudo.tensors import per_example, rekey
from testudo.training.partners.base import Partner
from testudo.training.partners.cutmix import CutMix

STREAM = 0x3A9  # keeps these draws apart from others of the same example and seed


@dataclass(frozen=True)
class MaxUp(Partner):
    """Draws ``count`` augmentations of every example and keeps the one with the largest loss (Gong et al. 2020).

    The loss is that with which the main (first) task is trained. It is taken without gradient on the frozen copy of
    the model that attacks run on, hence with the norms' running statistics: so an example's choice depends on no
    other example of the batch, and the model is left as it is. A draw in which the main task's label is unknown is
    worth nothing; where it is unknown in all of them, and of equal ones, the first is kept.

    Source: https://arxiv.org/abs/2002.09024. Departure: there the losses that are compared are those of the step
    itself, in training mode, so that only the largest has a gradient.

    Args:
        count: draws.
        augment: applied first in every draw; by default nothing.
        partners: applied next, in order; by default CutMix.

    Raises:
        TestudoError: fewer than 2 draws, or nothing to draw.

    >>> MaxUp(count=4).passes
    4
    """

    count: int = 4
    augment: Augment = Augment()
    partners: tuple[Partner, ...] = (CutMix(),)

    def __post_init__(self) -> None:
        if self.count < 2:
            raise TestudoError(f"maxup: count must be at least 2, got {self.count}")
        if self.augment == Augment() and not self.partners:
            raise TestudoError("maxup: all draws would be the same; give it an augment or partners")

    @property
    def passes(self) -> int:
        """One for each draw, and what its own partners cost there."""
        return self.count * (1 + sum(partner.passes for partner in self.partners))

    def __call__(self, model: Model, batch: Batch, seed: int, epoch: int) -> Batch:
        """The hardest draw of each example."""
        if not len(batch):
            return batch
        frozen = prepared(model)
        hardest = self._drawn(model, batch, 0, seed, epoch)
        most = _loss(frozen, hardest)
        for number in range(1, self.count):
            drawn = self._drawn(model, batch, number, seed, epoch)
            loss = _loss(frozen, drawn)
            hardest = _chosen(loss > most, drawn, hardest)
            most = torch.maximum(loss, most)
        return Batch(hardest.images, hardest.targets, batch.ids)

    def _drawn(self, model: Model, batch: Batch, number: int, seed: int, epoch: int) -> Batch:
        """One draw; under ids of its own, on which all that is random depends."""
        drawn = Batch(batch.images, batch.targets, rekey(batch.ids, STREAM, number))
        if self.augment != Augment():
            drawn = self.augment(drawn, seed, epoch, model.tasks.values())
        for partner in self.partners:
            drawn = partner(model, drawn, seed, epoch)
        return drawn


def _loss(model: Model, batch: Batch) -> Tensor:
    """(N,) the main task's, minus infinity where its label is unknown."""
    name, task = next(iter(model.tasks.items()))
    target = batch.targets[name]
    with torch.no_grad():
        loss = task.loss(model(batch.images, (name,))[name], target)
    return torch.where(task.valid(target), loss, -torch.inf)


def _chosen(where: Tensor, first: Batch, second: Batch) -> Batch:
    """The rows of ``first`` that ``where`` (N,) names, and the others of ``second``."""
    images, targets = (first.images, second.images), {n: (t, second.targets[n]) for n, t in first.targets.items()}
    picked = {n: torch.where(per_example(where, t), t, u) for n, (t, u) in targets.items()}
    return Batch(torch.where(per_example(where, images[0]), *images), picked, second.ids)
