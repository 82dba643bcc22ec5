"""A column of a table, read as the labels of a task: classes, several labels, or numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from testudo.errors import TestudoError, unknown
from testudo.tasks.classification import UNLABELLED, Classification, MultiLabel
from testudo.tasks.regression import Regression
from testudo.tasks.task import Task

KINDS = ("classification", "multilabel", "regression")
FEW = 20  # up to so many different whole numbers (or words) are classes without anyone saying so
BETWEEN = "|"  # separates the labels in a cell of several


@dataclass(frozen=True, eq=False)
class Column:
    """A column's labels, whatever the split.

    Args:
        name: the task's name, the column's with other signs than letters and digits as ``_``.
        kind: one of KINDS.
        targets: as the task wants them; -1 or NaN where the cell is blank.
        labels: names of the classes or labels; empty for numbers.
        problems: one line for each cell that cannot be read.
    """

    name: str
    kind: str
    targets: Tensor
    labels: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def task(self, train: Tensor) -> Task:
        """The task; a regression is standardised over the rows ``train`` (indices)."""
        if self.kind == "classification":
            return Classification(self.name, classes=len(self.labels), labels=self.labels)
        if self.kind == "multilabel":
            return MultiLabel(self.name, labels=self.labels)
        known = self.targets[train].double()
        known = known[~known.isnan()]
        mean = float(known.mean()) if len(known) else 0.0
        std = float(known.std(correction=0)) if len(known) else 0.0
        return Regression(self.name, mean=mean, std=std or 1.0)

    def describe(self, train: Tensor) -> str:
        """What it was taken for, in one line for people."""
        task = self.task(train)
        unknown_rows = int((~task.valid(self.targets)).sum())
        blank = f", {unknown_rows:,} unknown" if unknown_rows else ""
        if isinstance(task, Regression):
            return f"{self.name}: regression, mean {task.mean:.4g}, standard deviation {task.std:.4g} in train{blank}"
        shown = ", ".join(self.labels[:FEW]) + (", ..." if len(self.labels) > FEW else "")
        noun = "classes" if self.kind == "classification" else "labels"
        return f"{self.name}: {self.kind}, {len(self.labels)} {noun} ({shown}){blank}"


def identifier(name: str) -> str:
    """A column's name as a task may be called.

    >>> identifier("Patient Age"), identifier("2nd")
    ('Patient_Age', '_2nd')
    """
    plain = re.sub(r"\W+", "_", name).strip("_") or "_"
    return plain if plain.isidentifier() else f"_{plain}"


def guess(values: Sequence[Any]) -> tuple[str, str]:
    """The kind that a column's cells suggest, or "" with the reason why it is left out.

    >>> guess(["cat", "dog", None]), guess([0.5, 2]), guess(["a.png", "a.png"])
    (('classification', ''), ('regression', ''), ('', 'one value only'))
    """
    known = [value for value in values if value is not None]
    if any(isinstance(value, list | dict | bytes) for value in known):
        return "", "lists, unless declared as multilabel"
    different = set(known)
    if len(different) < 2:
        return "", "one value only" if different else "empty"
    numbers = [number(value) for value in different]
    if all(n is not None for n in numbers):
        whole = all(n is not None and math.isfinite(n) and n == n // 1 for n in numbers)
        return ("classification" if whole and len(different) <= FEW else "regression"), ""
    if len(different) > FEW and len(different) > len(known) / 2:
        return "", f"{len(different):,} different words"
    return "classification", ""


def number(value: Any) -> float | None:
    """A cell as a number, None where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def as_classes(name: str, values: Sequence[Any], classes: tuple[str, ...], where: Sequence[str]) -> Column:
    """One word or whole number per cell; ``classes`` in their order, or all that occur, sorted."""
    words = [None if value is None else _word(value) for value in values]
    found = {word for word in words if word is not None}
    numeric = all(number(word) is not None for word in found)
    labels = classes or tuple(sorted(found, key=lambda word: (number(word) if numeric else 0, word)))
    place = {label: index for index, label in enumerate(labels)}
    problems = [
        f"{where[row]}, {unknown(f'class in column {name!r}:', word, labels)}"
        for row, word in enumerate(words)
        if word is not None and word not in place
    ]
    targets = torch.tensor([place.get(word or "", UNLABELLED) for word in words], dtype=torch.int64)
    if len(labels) < 2:
        raise TestudoError(f"column {name!r}: a classification needs two or more classes, found {list(labels)}")
    return Column(identifier(name), "classification", targets, labels, tuple(problems))


def as_labels(name: str, values: Sequence[Any], labels: tuple[str, ...], where: Sequence[str]) -> Column:
    """Several words per cell (a list, or text with ``|`` between); ``|`` alone is none of them."""
    cells = [None if value is None else _words(value) for value in values]
    labels = labels or tuple(sorted({word for cell in cells if cell for word in cell}))
    place = {label: index for index, label in enumerate(labels)}
    targets = torch.zeros(len(cells), len(labels))
    problems = []
    for row, cell in enumerate(cells):
        if cell is None:
            targets[row] = torch.nan
            continue
        for word in cell:
            if word in place:
                targets[row, place[word]] = 1
            else:
                problems.append(f"{where[row]}, {unknown(f'label in column {name!r}:', word, labels)}")
    if not labels:
        raise TestudoError(f"column {name!r}: no labels in it")
    return Column(identifier(name), "multilabel", targets, labels, tuple(problems))


def as_flags(name: str, columns: dict[str, Sequence[Any]], where: Sequence[str]) -> Column:
    """Several columns of 0, 1 or blank, one per label."""
    parts = [as_numbers(label, values, where) for label, values in columns.items()]
    problems = [problem for part in parts for problem in part.problems]
    targets = torch.stack([part.targets for part in parts], 1)
    wrong = ~(targets.isnan() | (targets == 0) | (targets == 1))
    for row, column in wrong.nonzero().tolist():
        value = float(targets[row, column])
        problems.append(f"{where[row]}, column {list(columns)[column]!r}: must be 0, 1 or blank, got {value:g}")
    targets = targets.masked_fill(wrong, torch.nan)
    return Column(identifier(name), "multilabel", targets, tuple(columns), tuple(problems))


def as_numbers(name: str, values: Sequence[Any], where: Sequence[str]) -> Column:
    """One number per cell."""
    numbers = [math.nan if value is None else number(value) for value in values]
    problems = [
        f"{where[row]}, column {name!r}: must be a number or blank, got {values[row]!r}"
        for row, found in enumerate(numbers)
        if found is None or math.isinf(found)
    ]
    finite = [found if found is not None and not math.isinf(found) else math.nan for found in numbers]
    return Column(identifier(name), "regression", torch.tensor(finite, dtype=torch.float32), (), tuple(problems))


def _word(value: Any) -> str:
    """A cell as a class's name; whole numbers without the ".0" that a blank in their column brings."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _words(value: Any) -> list[str]:
    parts = value if isinstance(value, list) else str(value).split(BETWEEN)
    return [word for word in (str(part).strip() for part in parts if part is not None) if word]
