"""One class of several, and several labels of which each may hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.utilities import dim_zero_cat

from testudo.errors import TestudoError, unknown
from testudo.tasks.soft import UNLABELLED, check_distributions, check_whole, cross_entropy, hard, is_known
from testudo.tasks.task import Task
from testudo.tensors import working_precision


def ranked(task: Task, logits: Tensor, target: Tensor, known: Tensor, rank: int) -> Tensor:
    """Of logits (N, classes, ...), the wrong class that is ``rank``-th; ``target`` itself where not ``known``.

    Raises:
        TestudoError: there are fewer wrong classes than ``rank``.
    """
    if not 1 <= rank <= task.rivals:
        raise TestudoError(f"task {task.name!r} has {task.rivals} wrong classes to aim at, asked for number {rank}")
    truth = torch.where(known, target, 0).long().unsqueeze(1)
    wrong = working_precision(logits).scatter(1, truth, -torch.inf)
    order = wrong.argsort(dim=1, descending=True, stable=True)
    return torch.where(known, order.select(1, rank - 1).to(target.dtype), target)


class _Accuracy(MulticlassAccuracy):
    """The share of the known classes that are told right."""

    def __init__(self, task: Classification) -> None:
        super().__init__(task.classes, average="micro", ignore_index=UNLABELLED)
        self._name = task.name

    def update(self, preds: Tensor, target: Tensor) -> None:
        check_whole(self._name, target)
        super().update(preds, hard(target))


@dataclass(frozen=True)
class Classification(Task):
    """One class of ``classes``; targets are (N,) int64, -1 where unknown; metric: accuracy.

    In training they may also be distributions, (N, classes) floats, NaN where unknown, as mixed images have (CutMix).
    Where a label must be one class, as in :meth:`score`, it is then the most probable one; records and the metric
    refuse labels that are mixed.

    Args:
        name: see :class:`Task`.
        classes: how many classes.
        loss_kind: ``"cross_entropy"``, or ``"binary"``: the sum over classes of binary cross-entropy on
            the one-hot target, as in GAT's released code.
        labels: the classes' names, for people.

    >>> task = Classification("digit", classes=2)
    >>> task.loss(torch.zeros(1, 2), torch.tensor([0]))
    tensor([0.6931])
    """

    classes: int = 2
    loss_kind: Literal["cross_entropy", "binary"] = "cross_entropy"
    labels: tuple[str, ...] = ()

    metric_name: ClassVar[str] = "accuracy"
    decision: ClassVar[float | None] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss_kind not in ("cross_entropy", "binary"):
            raise unknown("loss_kind", self.loss_kind, ("cross_entropy", "binary"))
        if self.classes < 2:
            raise TestudoError(f"task {self.name!r}: classes must be at least 2, got {self.classes}")
        if self.labels and len(self.labels) != self.classes:
            raise TestudoError(f"task {self.name!r}: {len(self.labels)} labels for {self.classes} classes")

    @property
    def channels(self) -> int:
        """One logit per class."""
        return self.classes

    def known(self, target: Tensor) -> Tensor:
        """(N,) bool: the labels that are known."""
        return is_known(target)

    def valid(self, target: Tensor) -> Tensor:
        """The same: an example has one label."""
        return self.known(target)

    def unknown(self, target: Tensor) -> Tensor:
        """-1 for every example, of distributions NaN."""
        return torch.full_like(target, torch.nan if target.is_floating_point() else UNLABELLED)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, classes) logits, (N,) classes or (N, classes) distributions -> (N,) in nats."""
        logits, mixed = working_precision(prediction), target.is_floating_point()
        if self.loss_kind == "cross_entropy":
            if mixed:
                return cross_entropy(logits, target)
            return F.cross_entropy(logits, target.long(), reduction="none", ignore_index=UNLABELLED)
        known = self.valid(target)
        aim = target.nan_to_num(0) if mixed else F.one_hot(target.long().clamp(min=0), self.classes)
        each = F.binary_cross_entropy_with_logits(logits, aim.to(logits.dtype), reduction="none").sum(1)
        return torch.where(known, each, torch.zeros_like(each))

    def record(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, 2): the predicted class, the true class; raises TestudoError where that is mixed."""
        check_whole(self.name, target)
        return torch.stack([prediction.argmax(1), hard(target)], 1).float()

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """1 where the largest logit is the label's, else 0."""
        right = (prediction.argmax(1) == hard(target)).float()
        return torch.where(self.valid(target), right, torch.nan)

    def metric(self) -> Metric:
        """Accuracy over all labelled examples, in [0, 1]."""
        return _Accuracy(self)

    def check(self, target: Tensor) -> None:
        """Integers (N,) in -1..classes-1, or distributions (N, classes)."""
        if target.is_floating_point():
            check_distributions(self.name, target, self.classes)
            return
        if target.dim() != 1:
            found = f"{target.dtype} {tuple(target.shape)}"
            raise TestudoError(f"task {self.name!r}: labels must be integers of shape (N,), got {found}")
        wrong = (target < UNLABELLED) | (target >= self.classes)
        if wrong.any():
            value = int(target[wrong][0])
            raise TestudoError(
                f"task {self.name!r}: label {value} is out of range (allowed: 0 to {self.classes - 1}, -1 = unknown)"
            )

    @property
    def rivals(self) -> int:
        """The wrong classes."""
        return self.classes - 1

    def rival(self, prediction: Tensor, target: Tensor, rank: int) -> Tensor:
        """(N,) the wrong class with the ``rank``-th largest logit."""
        return ranked(self, prediction, hard(target), self.valid(target), rank)

    def as_label(self, prediction: Tensor) -> Tensor:
        """The winning class."""
        return prediction.argmax(1)

    def describe(self, prediction: Tensor) -> list[str]:
        """The winning class and its probability."""
        probability, winner = working_precision(prediction).softmax(1).max(1)
        return [f"{self._label(int(w))} ({p:.0%})" for w, p in zip(winner, probability.tolist(), strict=True)]

    def tell(self, target: Tensor) -> list[str]:
        """The class."""
        return [self._label(int(label)) if label != UNLABELLED else "unknown" for label in hard(target)]

    def _label(self, index: int) -> str:
        return self.labels[index] if self.labels else str(index)


class _MeanAUROC(Metric):
    """AUROC over (N, L) logits and targets (NaN: unknown), averaged over the labels that have both kinds.

    torchmetrics' own counts a label without positives as 0, fails where nothing is known, and squeezes logits
    through a sigmoid, which makes ties of large ones.
    """

    full_state_update = False
    logits: list[Tensor]
    targets: list[Tensor]

    def __init__(self, task: Task) -> None:
        super().__init__()
        self._name = task.name
        self.add_state("logits", [], "cat")
        self.add_state("targets", [], "cat")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        check_whole(self._name, target)
        self.logits.append(working_precision(prediction).detach())
        self.targets.append(target)

    def compute(self) -> Tensor:
        """NaN where no label has both kinds."""
        columns = zip(dim_zero_cat(self.logits).T, dim_zero_cat(self.targets).T, strict=True)
        return torch.stack([_auroc(scores[aim == 1], scores[aim == 0]) for scores, aim in columns]).nanmean()


def _auroc(positive: Tensor, negative: Tensor) -> Tensor:
    """The share of pairs in which the positive scores higher, ties counting half; NaN without pairs."""
    below = negative.sort().values
    positive = positive.contiguous()
    wins = torch.searchsorted(below, positive) + torch.searchsorted(below, positive, right=True)
    return wins.float().mean() / (2 * len(below)) if len(below) else wins.new_tensor(torch.nan, dtype=torch.float32)


@dataclass(frozen=True)
class MultiLabel(Task):
    """Several labels, each present or absent; targets are (N, L) floats 0, 1 or NaN (unknown).

    In training they may lie between, as those of mixed images do; records and the metric refuse that.
    The loss of an example is the mean binary cross-entropy over its known labels; the metric is AUROC,
    averaged over the labels; the score of one example is the share of its known labels told right.

    Args:
        name: see :class:`Task`.
        labels: the labels' names, in the order of the target's columns.

    >>> task = MultiLabel("finding", labels=("edema", "nodule"))
    >>> task.loss(torch.zeros(1, 2), torch.tensor([[1.0, torch.nan]]))
    tensor([0.6931])
    """

    labels: tuple[str, ...] = ()

    metric_name: ClassVar[str] = "auroc"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.labels:
            raise TestudoError(f"task {self.name!r}: labels must name at least one label")

    @property
    def channels(self) -> int:
        """One logit per label."""
        return len(self.labels)

    @property
    def further(self) -> tuple[str, ...]:
        """The AUROC of each label, where there are several."""
        return tuple(f"auroc of {label}" for label in self.labels) if len(self.labels) > 1 else ()

    def valid(self, target: Tensor) -> Tensor:
        """At least one known label."""
        return (~target.isnan()).any(1)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, L) logits, (N, L) targets -> (N,) in nats."""
        logits = working_precision(prediction)
        known = ~target.isnan()
        filled = target.nan_to_num(0).to(logits.dtype)
        each = F.binary_cross_entropy_with_logits(logits, filled, reduction="none")
        return (each * known).sum(1) / known.sum(1).clamp(min=1)

    def record(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, 2 L): the logits, then the targets (NaN where unknown); raises TestudoError where these are mixed."""
        check_whole(self.name, target)
        return torch.cat([prediction.float(), target.float()], 1)

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The share of known labels on the right side of probability 0.5."""
        known = ~target.isnan()
        right = ((prediction > 0) == (target > 0.5)) & known
        return right.sum(1) / torch.where(known.any(1), known.sum(1), torch.nan)

    def metric(self) -> Metric:
        """AUROC in [0, 1], averaged over the labels seen both present and absent; unknown ones are left out."""
        return _MeanAUROC(self)

    def check(self, target: Tensor) -> None:
        """Floats (N, L), each in [0, 1] or NaN."""
        if target.dim() != 2 or target.shape[1] != len(self.labels) or not target.is_floating_point():
            found = f"{target.dtype} {tuple(target.shape)}"
            raise TestudoError(
                f"task {self.name!r}: labels must be floats of shape (N, {len(self.labels)}), got {found}"
            )
        wrong = ~(target.isnan() | ((target >= 0) & (target <= 1)))
        if wrong.any():
            raise TestudoError(
                f"task {self.name!r}: label {float(target[wrong][0])} must be in [0, 1] or NaN (unknown)"
            )

    def as_label(self, prediction: Tensor) -> Tensor:
        """The labels said to be present."""
        return (prediction > 0).float()

    def describe(self, prediction: Tensor) -> list[str]:
        """The labels said to be present."""
        return self.tell(self.as_label(prediction))

    def tell(self, target: Tensor) -> list[str]:
        """The labels that are present."""
        return [", ".join(n for n, v in zip(self.labels, row, strict=True) if v == 1) or "none" for row in target]
