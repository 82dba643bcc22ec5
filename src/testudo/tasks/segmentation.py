"""One class for every pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from testudo.errors import TestudoError
from testudo.tasks.classification import ranked
from testudo.tasks.dense import DenseTask, Summed, mean, totals

_TOLD = 4  # classes named to people


@dataclass(frozen=True)
class Segmentation(DenseTask):
    """A class of ``classes`` for every pixel; targets are (N, H, W) integers, ``ignore`` where unknown.

    The loss of an example is the mean cross-entropy over its known pixels. The metric ``miou`` is the mean over
    classes of intersection over union, from one confusion matrix over the data set; the score is that of one image.
    Either way a class counts where it is in target or prediction, at known pixels (its union is not empty). A further
    metric from the same matrix is ``pixel_accuracy``, the share of known pixels told right.

    Args:
        name: see :class:`testudo.tasks.task.Task`.
        classes: how many classes.
        ignore: the value of unknown pixels.
        labels: the classes' names, for people.
        class_weights: a weight per class, 0 or more. The loss of an example is then the sum over its known pixels of
            w_y times the cross-entropy, divided by the sum of w_y, with y a pixel's true class: a weighted mean, as of
            ``torch.nn.functional.cross_entropy(weight=...)``, but of each example by itself, and 0 where all weights
            are. Scores and metrics do not know of weights.

    >>> task = Segmentation("rooms", classes=2)
    >>> task.loss(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 255]]]))
    tensor([0.6931])
    >>> logits, labels = torch.tensor([[0.0, 0.0], [0.0, -1.0986]]).reshape(1, 2, 1, 2), torch.tensor([[[0, 1]]])
    >>> Segmentation("rooms", classes=2, class_weights=(1.0, 3.0)).loss(logits, labels)  # (log 2 + 3 log 4) / 4
    tensor([1.2130])
    """

    classes: int = 2
    ignore: int = 255
    labels: tuple[str, ...] = ()
    class_weights: tuple[float, ...] = ()

    metric_name: ClassVar[str] = "miou"
    further: ClassVar[tuple[str, ...]] = ("pixel_accuracy",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes < 2:
            raise TestudoError(f"task {self.name!r}: classes must be at least 2, got {self.classes}")
        if 0 <= self.ignore < self.classes:
            raise TestudoError(f"task {self.name!r}: ignore must be none of the classes, got {self.ignore}")
        if self.labels and len(self.labels) != self.classes:
            raise TestudoError(f"task {self.name!r}: {len(self.labels)} labels for {self.classes} classes")
        if self.class_weights:
            self._check_weights()

    @property
    def channels(self) -> int:
        """One logit per class and pixel."""
        return self.classes

    @property
    def rivals(self) -> int:
        """The wrong classes of a pixel."""
        return self.classes - 1

    def known(self, target: Tensor) -> Tensor:
        """Pixels that are not ``ignore``."""
        return target != self.ignore

    def unknown(self, target: Tensor) -> Tensor:
        """``ignore`` for every pixel."""
        return torch.full_like(target, self.ignore)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, classes, H, W) logits, (N, H, W) classes -> (N,) in nats."""
        logits, target, known = self.aligned(prediction, target), target.long(), self.known(target)
        each = F.cross_entropy(logits, target, reduction="none", ignore_index=self.ignore)
        if not self.class_weights:
            return mean(each, known)
        weights = logits.new_tensor(self.class_weights)[torch.where(known, target, 0)]
        above, below = (totals(x, known)[0] for x in (weights * each, weights))
        return above / torch.where(below > 0, below, 1)

    def record(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, classes * classes): pixels by true class, and within that by predicted class."""
        guess = self.aligned(prediction, target).argmax(1)
        cells = self.classes**2
        example = torch.arange(len(target), device=target.device)[:, None, None]
        cell = (example * self.classes + target.long()) * self.classes + guess
        counts = cell[self.known(target)].bincount(minlength=len(target) * cells)
        return counts.reshape(len(target), cells).float()

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Each image's mean intersection over union, in [0, 1]."""
        return mean_iou(self.record(prediction, target))

    def metric(self) -> Metric:
        """Mean intersection over union, in [0, 1], from the pixels of all images together."""
        return Summed(self, self.classes**2, mean_iou)

    def check(self, target: Tensor) -> None:
        """Integers (N, H, W) in 0..classes-1, or ``ignore``."""
        if target.dim() != 3 or target.is_floating_point():
            found = f"{target.dtype} {tuple(target.shape)}"
            raise TestudoError(f"task {self.name!r}: labels must be integers of shape (N, H, W), got {found}")
        wrong = self.known(target) & ((target < 0) | (target >= self.classes))
        if wrong.any():
            allowed = f"0 to {self.classes - 1}, {self.ignore} = unknown"
            value = int(target[wrong][0])
            raise TestudoError(f"task {self.name!r}: label {value} is out of range (allowed: {allowed})")

    def rival(self, prediction: Tensor, target: Tensor, rank: int) -> Tensor:
        """(N, H, W) each pixel's wrong class with the ``rank``-th largest logit; ``ignore`` where it is unknown."""
        return ranked(self, self.aligned(prediction, target), target, self.known(target), rank)

    def as_label(self, prediction: Tensor) -> Tensor:
        """Each pixel's winning class."""
        return prediction.argmax(1)

    def describe(self, prediction: Tensor) -> list[str]:
        """The classes with the most pixels, and their shares."""
        return self.tell(self.as_label(prediction))

    def tell(self, target: Tensor) -> list[str]:
        """The classes with the most known pixels, and their shares."""
        return [self._told(row[self.known(row)].long().bincount(minlength=self.classes)) for row in target]

    def _check_weights(self) -> None:
        """One finite weight per class, none below 0 and not all 0."""
        weights, what = self.class_weights, f"task {self.name!r}: class_weights"
        if len(weights) != self.classes:
            raise TestudoError(f"{what} must be {self.classes}, one for each class, got {len(weights)}")
        wrong = [weight for weight in weights if not 0 <= weight < math.inf]
        if wrong or not any(weights):
            found = f"{wrong[0]:g}" if wrong else "only zeros"
            raise TestudoError(f"{what} must be finite, at least 0 and not all 0, got {found}")

    def _told(self, counts: Tensor) -> str:
        """Pixels of each class (classes,), in words."""
        most = counts.argsort(descending=True, stable=True)[:_TOLD].tolist()
        names = self.labels or tuple(map(str, range(self.classes)))
        words = [f"{names[index]} {counts[index] / counts.sum():.0%}" for index in most if counts[index]]
        return ", ".join(words) or "unknown"


def mean_iou(counts: Tensor) -> Tensor:
    """Mean IoU over the classes whose union is not empty: (..., classes * classes) -> (...), NaN without any.

    >>> mean_iou(torch.tensor([3.0, 1.0, 0.0, 4.0]))
    tensor(0.7750)
    """
    classes = round(counts.shape[-1] ** 0.5)
    confusion = counts.unflatten(-1, (classes, classes))
    hits = confusion.diagonal(dim1=-2, dim2=-1)
    union = confusion.sum(-1) + confusion.sum(-2) - hits
    return (hits / union.clamp(min=1)).sum(-1) / (union > 0).sum(-1)
