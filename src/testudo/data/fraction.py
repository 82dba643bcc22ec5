"""Less to learn from, or to judge on: a share of another data set's training or test images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.data.dataset import Examples
from testudo.data.splits import generator
from testudo.data.wrapped import Wrapped
from testudo.errors import TestudoError
from testudo.tasks.classification import UNLABELLED, Classification


@dataclass(frozen=True)
class Fraction(Wrapped):
    """A share of the training images of ``data``, and of its test images; validation and tasks are untouched.

    The images are drawn in proportion to the classes of the first task, at least one of each that occurs; where that
    task has no classes, from all alike. Smaller shares are parts of larger ones: the 10 % are among the 25 %. Models
    still normalise by the statistics of ``data``, and a regression by the mean and deviation of all its training
    images, as is usual where scarce data are mimicked (GAT, appendix B: 10, 25 and 50 % of CIFAR-10). Fewer test
    images are for attacks that would take too long on all of them; what is measured then says so.

    Args:
        data: the whole data set.
        share: how much of the training images, above 0 and at most 1.
        seed: decides which images.
        test: how much of the test images, above 0 and at most 1.

    Raises:
        TestudoError: a share out of range, or whatever is wrong with ``data``.

    >>> from testudo.data.digits import Digits
    >>> tenth = Fraction(Digits(), share=0.1).load("train")
    >>> len(tenth), tenth.targets["digit"].bincount().tolist()
    (105, [10, 10, 10, 11, 11, 11, 11, 11, 10, 10])
    """

    share: float = 0.1
    seed: int = 0
    test: float = 1.0

    def __post_init__(self) -> None:
        for name in ("share", "test"):
            if not 0 < getattr(self, name) <= 1:
                raise TestudoError(f"fraction: {name} must be above 0 and at most 1, got {getattr(self, name)}")

    def read(self, split: str) -> Examples:
        """The examples of ``split``, a share of them for train and test."""
        examples = self.data.read(split)
        share, kind = {"train": (self.share, "training"), "test": (self.test, "test")}.get(split, (1.0, ""))
        if share == 1:
            return examples
        classes, how = torch.zeros(len(examples), dtype=torch.int64), "at random"
        main = self.data.tasks()[0]
        if isinstance(main, Classification) and main.name in examples.targets:
            classes, how = examples.targets[main.name], f"by class of {main.name}"
        occur = int((classes.unique() != UNLABELLED).sum())
        count = max(round(len(examples) * share), occur, 1)
        chosen = nested(classes, self.seed)[:count].sort().values
        note = f"{count:,} of {len(examples):,} {kind} images ({share:.3g}), drawn {how} with seed {self.seed}"
        return examples.take(chosen, note)


def nested(classes: Tensor, seed: int) -> Tensor:
    """All examples in such an order that the first n, for every n, hold each class in proportion.

    It begins with one example of each class that occurs. Then the k-th of a class of m comes where a share of
    (k - 1/2) / m is reached; within a class the order is drawn.

    Args:
        classes: (N,) integers; -1 (unknown) is treated as a class, which need not be among the first.
        seed: decides the order.

    Returns:
        (N,) indices.

    >>> order = nested(torch.tensor([0] * 90 + [1] * 10), seed=0)
    >>> [int((order[:n] >= 90).sum()) for n in (2, 10, 50, 100)]
    [1, 1, 5, 10]
    """
    total = len(classes)
    shuffled = torch.randperm(total, generator=generator(seed))
    order = shuffled[classes[shuffled].argsort(stable=True)]  # class by class
    _, counts = classes[order].unique_consecutive(return_counts=True)
    starts = (counts.cumsum(0) - counts).repeat_interleave(counts)
    rank, size = torch.arange(total) - starts, counts.repeat_interleave(counts)
    reached = torch.empty(total, dtype=torch.float64)
    reached[order] = torch.where((rank == 0) & (classes[order] != UNLABELLED), 0, (rank + 0.5).double() / size)
    return shuffled[reached[shuffled].argsort(stable=True)]
