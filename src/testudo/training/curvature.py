"""GAT's regulariser: the tasks' gradients at the image should be alike."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.geometry import Form, check_form, curvature
from testudo.models.model import Model
from testudo.tensors import uniform
from testudo.training.methods.base import mean_of

PREFIX = "curvature."
_STREAM = 7  # of the draw that picks examples


@dataclass(frozen=True)
class CurvatureTerms:
    """``weight * sum_{k<j} measure(g_j, g_k)`` for each auxiliary task j, g being gradients at the images.

    The measure is :func:`testudo.geometry.curvature`, per example, averaged over those that have labels for both tasks.
    Its gradient with respect to the weights is a true double backward.

    The gradients are those of the network in evaluation mode, which is the one that is attacked and judged:
    normalised by running statistics, an example's gradient is its own, and no statistics are touched. (In
    training mode the loss of every example depends on every image of the batch.) The released code takes them
    in training mode, blocks a part of the double backward, and regularises the first two tasks alone. By trial on
    digits (weight 1, 3 epochs, one seed) training mode learnt next to nothing, 23 % clean to evaluation mode's 86 %.

    Args:
        weight: what the terms are multiplied by, in every batch in which they are taken; 0 leaves them out. The paper's
            is 1. By trial on digits (three tasks, 10 epochs, one seed): robust accuracy 58 % at 0, 59 % at 0.01, where
            the measure already falls below 0.02, and 34 % at 0.1.
        form: ``"paper"`` or the bounded ``"sin4"``.
        tiny: the floor of the paper's form; 0 is allowed, at the price of a jump where gradients are opposed.
        share: of the examples, in (0, 1], on which they are taken; which ones is drawn from their ids.
        every: they are taken in every so many batches, the first included.
        inside: the terms are balanced with the others; else they count as they are.

    >>> CurvatureTerms(every=2).names(("digit", "parity", "loop"))
    ('curvature.parity', 'curvature.loop')
    """

    weight: float = 0.01
    form: Form = "sin4"
    tiny: float = 1e-4
    share: float = 0.25
    every: int = 1
    inside: bool = False

    def __post_init__(self) -> None:
        check_form(self.form)
        if not (0 <= self.weight < float("inf") and 0 <= self.tiny < float("inf")):
            raise TestudoError(
                f"curvature needs weight and tiny of at least 0 and finite, got {self.weight}, {self.tiny}"
            )
        if not 0 < self.share <= 1:
            raise TestudoError(f"curvature: share must be in (0, 1], got {self.share}")
        if self.every < 1:
            raise TestudoError(f"curvature: every must be at least 1, got {self.every}")

    def names(self, tasks: Sequence[str]) -> tuple[str, ...]:
        """What the terms are called, for a model with ``tasks``, the main one first."""
        return tuple(f"{PREFIX}{name}" for name in tasks[1:]) if self.weight > 0 else ()

    def passes(self, tasks: int) -> int:
        """Forward and backward passes over a batch that the terms cost, rounded up.

        A forward, one backward per task, and backwards through all of that: 3 (1 + 2 K) forward passes, of which one
        forward and backward pass takes three.
        """
        whole = 1 + 2 * tasks
        return -int(-whole * self.share // self.every) if self.weight > 0 and tasks > 1 else 0

    def terms(self, model: Model, batch: Batch, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """``{"curvature.j": lambda_j * weight * sum_{k<j} mean measure}`` for every task but the first.

        Args:
            model: whose weights the terms depend on.
            batch: images, and labels that are unknown where a task shall not count.
            weights: lambda of each task.
        """
        if not self.names(tuple(model.tasks)):
            return {}
        batch = batch[uniform(batch.ids, (), _STREAM) < self.share] if self.share < 1 else batch
        gradients = input_gradients(model, batch)
        known = {name: task.valid(batch.targets[name]) for name, task in model.tasks.items()}
        terms, names = {}, list(gradients)
        for place, second in enumerate(names[1:], 1):
            found = []
            for first in names[:place]:
                both = known[first] & known[second]
                measure = curvature(gradients[first], gradients[second], self.form, self.tiny)
                found.append(mean_of(torch.where(both, measure, 0), both))
            terms[f"{PREFIX}{second}"] = weights[second] * self.weight * torch.stack(found).sum()
        return terms


def input_gradients(model: Model, batch: Batch) -> dict[str, Tensor]:
    """The gradient of each task's loss with respect to the images, (N, C, H, W), with a graph to differentiate further.

    In evaluation mode, so that row i is the gradient of example i's own loss; 0 where it has no label. The loss is
    the task's own, without lambda.
    """
    images = batch.images.detach().requires_grad_()
    with evaluating(model):
        outputs = model(images)
    with torch.autocast(images.device.type, enabled=False):  # backwards in the precision of the forward pass
        losses = {name: task.loss(outputs[name], batch.targets[name]).sum() for name, task in model.tasks.items()}
        return {
            name: torch.autograd.grad(loss, images, create_graph=True, materialize_grads=True)[0]
            for name, loss in losses.items()
        }


@contextmanager
def evaluating(model: Model) -> Generator[None]:
    """Within this block every layer is in evaluation mode; afterwards each is as it was."""
    modes = [(part, part.training) for part in model.modules()]
    try:
        for part, _ in modes:
            part.training = False
        yield
    finally:
        for part, mode in modes:
            part.training = mode
