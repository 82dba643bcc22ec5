"""Labels made from what an example already has; and one kind, classes grouped into fewer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.errors import TestudoError
from testudo.tasks.classification import UNLABELLED, Classification
from testudo.tasks.task import Task


@dataclass(frozen=True)
class Derived(ABC):
    """A task whose labels are computed, from an example's image or from its labels for another task.

    One that is made from images, or gives maps, is a :class:`testudo.data.pixel_labels.PixelLabel`.

    Args:
        name: the new task's name.
    """

    name: str

    @property
    def origin(self) -> str:
        """The task it is made from; empty: the image."""
        return ""

    @abstractmethod
    def task(self, source: Task | None) -> Task:
        """The new task; raises TestudoError where the task ``source`` (None: the image) cannot be used like this."""

    @abstractmethod
    def targets(self, source: Tensor) -> Tensor:
        """The new labels of a batch, each a function of the same example's image, or label, alone."""


@dataclass(frozen=True)
class Relabel(Derived):
    """A classification task whose classes are groups of another one's: parity from digits, coarse from fine classes.

    An example without a label in the source, or of a class in no group, has no label (-1) here.

    Args:
        name: the new task's name.
        source: the classification task it is made from.
        groups: for each new class, the source's classes that it gathers.
        labels: the new classes' names, in the order of ``groups``.

    Raises:
        TestudoError: fewer than two groups, a class in two groups, or another number of labels than of groups.

    >>> parity = Relabel("parity", "digit", ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9)), ("even", "odd"))
    >>> parity.targets(torch.tensor([4, 7, -1])).tolist()
    [0, 1, -1]
    """

    source: str
    groups: tuple[tuple[int, ...], ...]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.groups) < 2 or len(self.groups) != len(self.labels):
            found = f"{len(self.groups)} groups and {len(self.labels)} labels"
            raise TestudoError(
                f"derived task {self.name!r}: needs two or more groups and a label for each, got {found}"
            )
        members = [member for group in self.groups for member in group]
        twice = sorted({m for m in members if members.count(m) > 1})
        if twice or min(members, default=0) < 0:
            wrong = f"class {twice[0]} is in two groups" if twice else "classes count from 0"
            raise TestudoError(f"derived task {self.name!r}: {wrong}, got {self.groups}")

    @property
    def origin(self) -> str:
        """See :class:`Derived`."""
        return self.source

    def targets(self, source: Tensor) -> Tensor:
        """The new labels: (N,) classes of the source -> (N,) int64."""
        highest = max((m for group in self.groups for m in group), default=0)
        table = torch.full((max(highest, int(source.max()) if len(source) else 0) + 2,), UNLABELLED)
        for new, group in enumerate(self.groups):
            table[list(group)] = new
        return table[source]  # the last entry belongs to no class, so that -1 stays -1

    def task(self, source: Task | None) -> Classification:
        """A classification into the groups."""
        if not isinstance(source, Classification):
            raise TestudoError(f"derived task {self.name!r}: its source {self.source!r} is no classification task")
        beyond = [m for group in self.groups for m in group if m >= source.classes]
        if beyond:
            raise TestudoError(
                f"derived task {self.name!r}: class {beyond[0]} is out of range ({self.source!r} has {source.classes})"
            )
        return Classification(self.name, classes=len(self.groups), labels=self.labels)
