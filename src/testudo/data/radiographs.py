"""What sets of chest X-rays share: a table of findings, ages and genders, grey images in files, patients kept apart."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from testudo.data.columns import Column, identifier, number
from testudo.data.dataset import DataSet, Examples
from testudo.data.faults import refuse
from testudo.data.images import Files
from testudo.errors import TestudoError, unknown
from testudo.tasks.regression import Regression
from testudo.tasks.task import Task

OLDEST = 120  # years; NIH's table has typing errors of 150 and more


class Rows(NamedTuple):
    """What the tables of a set say; images are not opened for it.

    Args:
        findings: present or absent, of all :attr:`Radiographs.findings`.
        age: in years.
        gender: F or M.
        images: one per row.
        ids: (N,) int64.
        people: (N,) the number of each row's patient, from 0 in order of appearance.
        parts: the rows of each split.
        problems: one line for each thing that is wrong in a table.
    """

    findings: Column
    age: Column
    gender: Column
    images: Files
    ids: Tensor
    people: Tensor
    parts: dict[str, Tensor]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Radiographs(DataSet):
    """Chest X-rays with findings, age and gender; a subclass reads the tables.

    Tasks: ``pathology``, the ``target`` findings, each present, absent or unknown; one task for each ``auxiliary``
    finding, named after it; ``age`` in years, standardised over the training images, unknown above 120; ``gender``
    (F, M). Images are opened when asked for.

    Args:
        root: the folder of the set.
        size: height and width in pixels, to which images are resized (bilinear, with antialiasing).
        seed: decides which patients are for what.
        target: the findings of ``pathology``, in this order; none means all.
        auxiliary: findings that are tasks of their own.

    Raises:
        TestudoError: one line naming the table, row or image that is missing or wrong, on use.
    """

    root: str = ""
    size: int = 64
    seed: int = 0
    target: tuple[str, ...] = ()
    auxiliary: tuple[str, ...] = ()

    title: ClassVar[str]  # for errors
    findings: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        if self.size < 8:
            raise TestudoError(f"{self.title}: size must be at least 8 pixels, got {self.size}")
        for name in (asked := (*self.target, *self.auxiliary)):
            if name not in self.findings:
                raise unknown(f"{self.title} finding", name, self.findings)
            if asked.count(name) > 1:
                raise TestudoError(f"{self.title}: target and auxiliary name {name!r} twice")

    def labelled(self) -> tuple[Task, ...]:
        """The pathologies, age and gender."""
        train = self._sound().parts["train"]
        tasks = (column.task(train) for column in self._columns)
        return tuple(replace(task, unit="years") if isinstance(task, Regression) else task for task in tasks)

    def read(self, split: str) -> Examples:
        """The X-rays of ``split``."""
        rows = self._sound()
        targets = {column.name: column.targets for column in self._columns}
        every = Examples(rows.images, targets, torch.arange(len(rows.images)), f"images at {self.size}x{self.size}")
        if not len(rows.parts[split]):
            raise TestudoError(f"{self.title}: no patients are left for split {split!r}")
        taken = every.take(rows.parts[split])
        return replace(taken, ids=rows.ids[rows.parts[split]])  # the two tables of a set count from 0 each

    def check(self) -> list[str]:
        """One line for each bad cell and each missing or unreadable image."""
        try:
            rows = self._rows
        except TestudoError as error:
            return [str(error)]
        return [*rows.problems, *rows.images.problems()]

    @abstractmethod
    def rows(self) -> Rows:
        """What the tables say."""

    @property
    def _columns(self) -> tuple[Column, ...]:
        """The labels of each task."""
        rows = self._rows
        alone = (replace(self._of((name,)), name=identifier(name)) for name in self.auxiliary)
        return self._of(self.target or self.findings), *alone, rows.age, rows.gender

    def _of(self, names: tuple[str, ...]) -> Column:
        """The findings ``names`` alone."""
        column = self._rows.findings
        picked = column.targets[:, [self.findings.index(name) for name in names]]
        return replace(column, name="pathology", targets=picked, labels=names)

    def _sound(self) -> Rows:
        """The tables, refused where something in them is wrong."""
        refuse(self._rows.problems)
        return self._rows

    @cached_property
    def _rows(self) -> Rows:
        return self.rows()


def plausible_age(cell: Any) -> Any:
    """A cell of ages, None where nobody is that old."""
    age = number(cell)
    return None if age is not None and age > OLDEST else cell


def patients(names: Sequence[Any], where: Sequence[str]) -> tuple[Tensor, list[str]]:
    """The number of each row's patient, (N,) from 0 in order of appearance; and one line for each row without one.

    >>> patients(["7", "9", "7", None], ["row 1", "row 2", "row 3", "row 4"])
    (tensor([0, 1, 0, 2]), ['row 4: no patient number'])
    """
    numbers: dict[Any, int] = {}
    rows = [numbers.setdefault(None if name is None else str(name), len(numbers)) for name in names]
    problems = [f"{where[row]}: no patient number" for row, name in enumerate(names) if name is None]
    return torch.tensor(rows, dtype=torch.int64), problems
