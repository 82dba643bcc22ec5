"""What is predicted: a target, the loss that trains it, the score that judges it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from testudo.errors import TestudoError


@dataclass(frozen=True)
class Task(ABC):
    """A target with its loss per example and its metric.

    Everything is per example: N examples in, N numbers out, so that what happens to one example never
    depends on its neighbours. An example without a label has loss 0 and score NaN, and is masked
    everywhere.

    Args:
        name: the key of this task in targets, outputs and result rows; letters, digits and ``_``.
    """

    name: str

    dense: ClassVar[bool] = False
    is_image: ClassVar[bool] = False  # the target is the image itself, and changes with it
    projected: ClassVar[bool] = False  # its head has a hidden layer
    paired: ClassVar[bool] = False  # it compares images with each other: an example's loss depends on its neighbours
    metric_name: ClassVar[str]
    higher_is_better: ClassVar[bool] = True
    decision: ClassVar[float | None] = None  # a score on the wrong side of this is a wrong answer; None: there is none

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise TestudoError(f"a task's name must be letters, digits and _, got {self.name!r}")

    @property
    @abstractmethod
    def channels(self) -> int:
        """Numbers the head must give per example (dense tasks: per pixel)."""

    @property
    def further(self) -> tuple[str, ...]:
        """Metrics beside ``metric_name`` that the same records give, by their names in ``evaluation.metrics``."""
        return ()

    @abstractmethod
    def valid(self, target: Tensor) -> Tensor:
        """(N,) bool: which examples have any label at all."""

    @abstractmethod
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N,) loss, computed in float32 or wider; 0 where there is no label, never NaN for finite input."""

    @abstractmethod
    def record(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, R) what a result row keeps of a prediction: all that the metric needs, and no more."""

    @abstractmethod
    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N,) the metric of each example by itself; NaN where there is no label."""

    @abstractmethod
    def metric(self) -> Metric:
        """A fresh torchmetrics object: ``update(prediction, target)``, ``compute()``."""

    @abstractmethod
    def check(self, target: Tensor) -> None:
        """Raise TestudoError where ``target`` cannot be this task's labels (kind, shape, range)."""

    @abstractmethod
    def as_label(self, prediction: Tensor) -> Tensor:
        """The target that the prediction would be right about: a label for images that have none."""

    def unknown(self, target: Tensor) -> Tensor:
        """A target like ``target`` in which nothing is known: NaN, unless a task marks that otherwise."""
        return torch.full_like(target, torch.nan)

    def moved(self, target: Tensor, mirror: Tensor, zoom: Tensor) -> Tensor:
        """What labels become after their pixels were moved as the image's: by default nothing else.

        Args:
            target: already moved, pixel by pixel.
            mirror: (N,) bool, which images were mirrored left and right.
            zoom: (N,) factors above 0 by which images were enlarged, 2 = twice as large.
        """
        return target

    def beaten(self, prediction: Tensor, target: Tensor, threshold: float | None = None) -> Tensor:
        """(N,) bool: the score is on the wrong side of ``threshold``, by default of the task's own decision.

        All False for a task that has no decision and gets no threshold, and where there is no label.
        """
        limit = self.decision if threshold is None else threshold
        if limit is None:
            return torch.zeros(len(prediction), dtype=torch.bool, device=prediction.device)
        score = self.score(prediction, target)
        return score < limit if self.higher_is_better else score > limit

    @property
    def rivals(self) -> int:
        """How many wrong answers an attacker may choose from: classes - 1, or 0 where answers are no classes."""
        return 0

    def rival(self, prediction: Tensor, target: Tensor, rank: int) -> Tensor:
        """A target like ``target``: the wrong answer that ``prediction`` ranks ``rank``-th, 1 being the nearest.

        It is unknown where ``target`` is.

        Raises:
            TestudoError: there are fewer wrong answers than ``rank``.
        """
        raise TestudoError(f"task {self.name!r} has no wrong classes to aim at; attack it untargeted (targets = 0)")

    def describe(self, prediction: Tensor) -> list[str]:
        """What each prediction says, in a few words for people."""
        return [f"{row.flatten()[0]:.3g}" for row in prediction]

    def tell(self, target: Tensor) -> list[str]:
        """What each label says, in a few words for people."""
        return [f"{row.flatten()[0]:.3g}" for row in target]
