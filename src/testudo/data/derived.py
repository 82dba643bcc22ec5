"""Labels made from other labels: parity from digits, macro classes from classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.errors import TestudoError
from testudo.tasks.classification import UNLABELLED, Classification


@dataclass(frozen=True)
class Relabel:
    """A classification task whose classes are groups of another one's.

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

    name: str
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

    def targets(self, source: Tensor) -> Tensor:
        """The new labels: (N,) classes of the source -> (N,) int64."""
        highest = max((m for group in self.groups for m in group), default=0)
        table = torch.full((max(highest, int(source.max()) if len(source) else 0) + 2,), UNLABELLED)
        for new, group in enumerate(self.groups):
            table[list(group)] = new
        return table[source]  # the last entry belongs to no class, so that -1 stays -1

    def task(self, source: object) -> Classification:
        """The new task; raises TestudoError where ``source`` (its task, or None) cannot be grouped like this."""
        if not isinstance(source, Classification):
            raise TestudoError(f"derived task {self.name!r}: its source {self.source!r} is no classification task")
        beyond = [m for group in self.groups for m in group if m >= source.classes]
        if beyond:
            raise TestudoError(
                f"derived task {self.name!r}: class {beyond[0]} is out of range ({self.source!r} has {source.classes})"
            )
        return Classification(self.name, classes=len(self.groups), labels=self.labels)
