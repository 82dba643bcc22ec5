"""Adversarial training that minds which examples are misclassified to begin with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.attacks.base import Attack
from testudo.attacks.drift import Drift
from testudo.attacks.pgd import PGD
from testudo.attacks.surrogates import rivals
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.model import Model
from testudo.tasks.classification import Classification
from testudo.tasks.soft import hard, soft
from testudo.tasks.task import Task
from testudo.tensors import working_precision
from testudo.training.methods.attacking import Attacking
from testudo.training.methods.base import mean_loss, mean_of


@dataclass(frozen=True)
class Mart(Attacking):
    """Boosted cross-entropy on adversarial images, plus a drift that counts more the less sure the model was.

    With p of the clean and q of the adversarial image, and y the label, the loss of an example is

        -log q_y - log(1 - max_{k != y} q_k) + strength * KL(p || q) * (1 - p_y).

    Source: Wang et al. 2020, section 3 (https://openreview.net/forum?id=rklOg6EFwS). As in the released code,
    all of it receives gradients and the attack, on the label's cross-entropy, starts from normal noise of 0.001. That
    code adds 1e-4 and less to what it takes logarithms of, which caps the second term at 9.2 and stops its gradient
    where an image is told wrong beyond doubt; here they are computed from the logits, exact and finite at any size.

    A task that is no classification by softmax (cross-entropy) has its adversarial loss alone. Of a mixed label
    (CutMix) y is the class with the largest share, and p_y the mean of p under the label.

    Args:
        weights, balance, pretexts, main_sees: see :class:`~testudo.training.methods.base.Method`.
        attack: makes the adversarial images; by default PGD-10 on every task's loss.
        strength: lambda of the paper; the released code has 5 for ResNet-18 and 6 for WRN-34-10.

    >>> Mart().strength, Mart().passes(())
    (5.0, 12)
    """

    attack: Attack = PGD(keep="last", jitter=1e-3)
    strength: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.strength < float("inf"):
            raise TestudoError(f"strength must be at least 0 and finite, got {self.strength}")

    def updates(self, tasks: Sequence[Task]) -> int:
        """The adversarial images, and the clean ones."""
        return 2

    def check(self, tasks: Mapping[str, Task]) -> None:
        """Every named task must be the model's, those under attack too, and one a classification."""
        super().check(tasks)
        if not any(_told(task) for task in tasks.values()):
            names = ", ".join(repr(name) for name in tasks)
            raise TestudoError(f"mart is for classification by cross-entropy, and the run has only {names}; use madry")

    def terms_at(self, model: Model, batch: Batch, images: Tensor) -> dict[str, Tensor]:
        """``{"task.adv": ..., "task.drift": ...}``, the second for classification tasks alone."""
        classes = tuple(name for name, task in model.tasks.items() if _told(task))
        clean, moved = model(batch.images, classes), model(images)
        terms = {}
        for name, task in model.tasks.items():
            target, weight = batch.targets[name], self.weight(name)
            hurt = mean_loss(task, moved[name], target)
            if name not in classes:
                terms[f"{name}.adv"] = weight * hurt
            else:
                valid = task.valid(target)
                terms[f"{name}.adv"] = weight * (hurt + mean_of(_margin(moved[name], target, valid), valid))
                doubt = 1 - _trust(clean[name], target)
                drift = doubt * Drift().since(task, moved[name], clean[name], target)
                terms[f"{name}.drift"] = weight * self.strength * mean_of(drift, valid)
        return terms


def _told(task: Task) -> bool:
    """Whether the softmax of the task's prediction is a distribution over its classes."""
    return isinstance(task, Classification) and task.loss_kind == "cross_entropy"


def _margin(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """(N,) -log(1 - q) of the largest wrong class's probability q; 0 where the label is unknown."""
    logits = working_precision(prediction)
    rival = rivals(logits, hard(target).clamp(min=0)[:, None]).argmax(1, keepdim=True)
    others = rivals(logits.log_softmax(1), rival).logsumexp(1)
    return torch.where(valid, -others, 0)


def _trust(prediction: Tensor, target: Tensor) -> Tensor:
    """(N,) the probability that the label has in the prediction's eyes; 0 where it is unknown."""
    p = working_precision(prediction).softmax(1)
    return (p * soft(target, p.shape[1]).nan_to_num(0).to(p.dtype)).sum(1)
