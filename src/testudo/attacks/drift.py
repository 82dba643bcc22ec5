"""How far a prediction has moved from another: what TRADES raises and lowers. Shapes: N examples, C channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from testudo.attacks.surrogates import Surrogate, kind, mean_known
from testudo.tasks.classification import Classification
from testudo.tasks.regression import Regression
from testudo.tasks.task import Task
from testudo.tasks.vectors import direction
from testudo.tensors import working_precision


@dataclass(frozen=True)
class Drift(Surrogate):
    """The divergence of a prediction from that on the clean image; the labels only say where it counts.

    - classes: the Kullback-Leibler divergence KL(p_clean || p) of the softmax, in nats, averaged over the known pixels
      of a segmentation; for a task trained with binary cross-entropy, the sum over classes of Bernoulli divergences;
    - several labels: the mean over the known labels of their Bernoulli divergences;
    - numbers: the task's own loss with the clean prediction in the place of the label.

    It is 0 where nothing has moved, with no gradient: start a search elsewhere. Without a label an example counts 0, as
    everywhere, though TRADES would need none: what a task says of images that are not its own (those changed for a
    pretext) is nobody's concern. An attack supplies the clean prediction; where there is a label alone (a targeted
    attack, or calling this), it is the divergence from being sure of that label: the task's own loss.

    Source: Zhang et al. 2019, equation 5 (https://arxiv.org/abs/1901.08573), with the divergence of the released code.

    >>> task, sure = Classification("side", classes=2), torch.tensor([[0.0, 0.0]])
    >>> Drift().since(task, torch.tensor([[0.0, 1.0986]]), sure, torch.tensor([0]))  # log(4/3) / 2
    tensor([0.1438])
    """

    relative: ClassVar[bool] = True

    def __call__(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        """(N,) the task's own loss."""
        return task.loss(prediction, target)

    def since(self, task: Task, prediction: Tensor, clean: Tensor, target: Tensor) -> Tensor:
        """(N,) the divergence of ``prediction`` from ``clean``, a prediction too; 0 where ``target`` is unknown."""
        if kind(task) == "numbers":
            return task.loss(prediction, _as_label(task, clean, target))
        after, before = working_precision(prediction), working_precision(clean)
        if kind(task) == "labels":
            return mean_known(_bernoulli(before, after), ~target.isnan())
        binary = isinstance(task, Classification) and task.loss_kind == "binary"
        each = (_bernoulli if binary else _categorical)(before, after).sum(1)
        return mean_known(each, getattr(task, "known", task.valid)(target))


def _categorical(before: Tensor, after: Tensor) -> Tensor:
    """(N, C, ...) each class's part of KL(softmax of ``before`` || softmax of ``after``)."""
    log_p = before.log_softmax(1)
    return log_p.exp() * (log_p - after.log_softmax(1))


def _bernoulli(before: Tensor, after: Tensor) -> Tensor:
    """(N, ...) KL of the Bernoulli distributions whose logits these are."""
    yes = before.sigmoid() * (F.logsigmoid(before) - F.logsigmoid(after))
    return yes + (-before).sigmoid() * (F.logsigmoid(-before) - F.logsigmoid(-after))


def _as_label(task: Task, clean: Tensor, target: Tensor) -> Tensor:
    """The clean prediction as a label like ``target``, unknown where that is."""
    if isinstance(task, Regression):
        clean = task.natural(clean)
    elif getattr(task, "loss_kind", "") == "cosine":
        clean = direction(clean)
    clean = working_precision(clean).reshape(target.shape)
    return torch.where(target.isnan(), torch.nan, clean)
