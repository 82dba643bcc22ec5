"""How often each label occurs, counted part by part."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.segmentation import Segmentation
from testudo.tasks.task import Task


class Tally:
    """What the labels of one task are: how often each class occurs, or the least, mean and greatest number.

    >>> tally = Tally(Classification("kind", classes=2, labels=("cat", "dog")))
    >>> tally.add(torch.tensor([1, 1, -1]))
    >>> tally.add(torch.tensor([0]))
    >>> tally.told()
    {'cat': 1.0, 'dog': 2.0, 'unknown': 1}
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._unknown = self._pixels = 0
        self._sums = torch.zeros(len(self._names) or 2, dtype=torch.float64)  # of the labels, or of 1 and the numbers
        self._least, self._greatest = math.inf, -math.inf

    def add(self, target: Tensor) -> None:
        """Count the labels of some examples."""
        task = self._task
        known = task.known(target) if isinstance(task, Segmentation) else task.valid(target)
        self._unknown += int((~known).sum())
        self._pixels += known.numel()
        if isinstance(task, Segmentation | Classification):
            self._sums += target[known].long().bincount(minlength=len(self._sums))
        elif isinstance(task, MultiLabel):
            self._sums += (target == 1).sum(0)
        elif not target.isnan().all():
            numbers = target[~target.isnan()]
            self._sums += torch.stack([torch.tensor(len(numbers)), numbers.sum(dtype=torch.float64)])
            self._least = min(self._least, float(numbers.min()))
            self._greatest = max(self._greatest, float(numbers.max()))

    def told(self) -> dict[str, float]:
        """The counts by name, with "unknown" where an example has no label; of a segmentation, shares of pixels."""
        task, unknown = self._task, {"unknown": self._unknown} if self._unknown else {}
        if isinstance(task, Segmentation):
            shares = (self._sums / self._sums.sum().clamp(min=1)).tolist()
            return {**dict(zip(self._names, shares, strict=True)), "unknown": self._unknown / max(self._pixels, 1)}
        if self._names:
            return {**dict(zip(self._names, self._sums.tolist(), strict=True)), **unknown}
        count, total = self._sums.tolist()
        if not count:
            return {**unknown}
        return {"least": self._least, "mean": total / count, "greatest": self._greatest, **unknown}

    @property
    def _names(self) -> tuple[str, ...]:
        """Of the classes or labels; none where labels are numbers."""
        task = self._task
        if isinstance(task, Segmentation | Classification):
            return task.labels or tuple(str(index) for index in range(task.classes))
        return task.labels if isinstance(task, MultiLabel) else ()
