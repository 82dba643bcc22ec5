"""The Houdini surrogate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.special import ndtr

from testudo.attacks.surrogates import ClassSurrogate, Margin, mean_known, rivals
from testudo.errors import TestudoError, unknown
from testudo.tasks.task import Task

TASK_LOSSES = ("error", "loss", "iou")


@dataclass(frozen=True)
class Houdini(ClassSurrogate):
    """The probability that the label loses under standard normal noise, times a task loss (Cisse et al. 2017).

    With d the best wrong logit minus the label's, the label loses with probability Phi(d), whose derivative is the
    normal density at d, for margins of either sign. In float32 the density is 0 from
    ``|d|`` = 15 on: there value and gradient are finite, but the gradient is 0, a blind spot that Margin has not.

    Departures: the paper compares the label with the predicted class, which says nothing (d = 0, no task loss) where
    the prediction is right; here it is the best wrong class. And the paper leaves open how a task loss over
    many pixels is shared out; here each pixel is lost by itself.

    Args:
        task_loss: what losing costs. ``"error"``: 1, averaged over an example's known pixels. ``"loss"``: the same
            times the task's own loss, a factor per example that is not differentiated. ``"iou"``: one minus the
            IoU, averaged over the example's true classes (classes only predicted, which count in a score, do not
            here), each pixel going over to its best wrong class with its probability; so a pixel weighs what losing
            it costs in IoU, to its own class and to the other.

    >>> from testudo.tasks.classification import Classification
    >>> Houdini()(Classification("digit", classes=2), torch.tensor([[2.0, 2.0], [9.0, 2.0]]), torch.tensor([0, 1]))
    tensor([0.5000, 1.0000])
    """

    task_loss: Literal["error", "loss", "iou"] = "error"

    def __post_init__(self) -> None:
        if self.task_loss not in TASK_LOSSES:
            raise unknown("task_loss", self.task_loss, TASK_LOSSES)

    def each(self, logits: Tensor, label: Tensor) -> Tensor:
        """(N, ...) the probability that the label loses, in [0, 1]."""
        return ndtr(Margin().each(logits, label))

    def __call__(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        """(N,) expected task losses.

        Raises:
            TestudoError: ``task_loss`` is ``"iou"`` and there are no pixels.
        """
        if self.task_loss == "iou":
            return self._iou_loss(task, prediction, target)
        lost = super().__call__(task, prediction, target)
        return lost * task.loss(prediction, target).detach() if self.task_loss == "loss" else lost

    def _iou_loss(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        logits, label, known = self.read(task, prediction, target)
        if logits.dim() < 3:
            raise TestudoError(f"Houdini's task_loss 'iou' needs one class per pixel; task {task.name!r} has no pixels")
        lost = (self.each(logits, label) * known).flatten(1)
        true, other = (
            F.one_hot(x.flatten(1), logits.shape[1]).to(logits.dtype)
            for x in (label.squeeze(1), rivals(logits, label).argmax(1))
        )
        true = true * known.flatten(1).unsqueeze(2)
        sizes = true.sum(1)  # (N, C)
        hits = sizes - torch.einsum("np,npc->nc", lost, true)
        union = sizes + torch.einsum("np,npc->nc", lost, other)
        return mean_known(1 - hits / union.clamp(min=1), sizes > 0)
