"""Labels of one data set in the words of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from testudo.data.columns import Column, as_classes, as_labels, as_numbers
from testudo.data.dataset import Examples
from testudo.data.faults import refuse
from testudo.data.table import Table, read
from testudo.errors import TestudoError, unknown
from testudo.tasks.classification import UNLABELLED, Classification, MultiLabel
from testudo.tasks.regression import Regression
from testudo.tasks.segmentation import Segmentation
from testudo.tasks.task import Task


class Told(NamedTuple):
    """What a table says of some images.

    Args:
        rows: (n,) which images.
        targets: (n, ...) by task.
        tasks: those that the table has columns for.
    """

    rows: Tensor
    targets: dict[str, Tensor]
    tasks: tuple[Task, ...]


def told(file: str, ids: Tensor, tasks: Sequence[Task]) -> Told:
    """The labels that a table with a column ``id`` gives to images of ``ids`` (N,).

    Args:
        file: a ``.csv`` or ``.parquet`` file; its other columns are named after tasks, cells as in a manifest.
        ids: the images' own.
        tasks: what to look for. Classes and labels must be named as theirs are.

    Raises:
        TestudoError: one line naming the row or column that is wrong, an id that no image has, or no column for any
            of the tasks.
    """
    table = read(file)
    named, problems = table.ids("id")
    found = tuple(task for task in tasks if task.name in table.cells and not task.dense)
    if not found:
        names = ", ".join(task.name for task in tasks)
        raise TestudoError(f"{file}: no column for any of the tasks ({names})")
    columns = {task.name: _column(task, table) for task in found}
    refuse([*problems, *(problem for column in columns.values() for problem in column.problems)])
    order = ids.argsort()
    rows = order[torch.searchsorted(ids[order], named).clamp(max=len(ids) - 1)]
    strange = (ids[rows] != named).nonzero()[:, 0]
    if len(strange):
        row = int(strange[0])
        raise TestudoError(f"{table.where[row]}: no image has the id {int(named[row])}; is it of other images?")
    return Told(rows, {name: column.targets for name, column in columns.items()}, found)


def borrowed(
    tasks: Sequence[Task], like: Mapping[str, Tensor], examples: Examples, theirs: Sequence[Task]
) -> dict[str, Tensor]:
    """Targets for ``tasks``, one for each of ``examples``, from those that it has for ``theirs``.

    Args:
        tasks: what labels are wanted for.
        like: some targets of each, for shape and type.
        examples: with labels of tasks of the same names, or without.
        theirs: the tasks that its labels are for.

    Raises:
        TestudoError: a task of the same name that is of another kind, has other classes, or maps of another size.
    """
    others = {task.name: task for task in theirs if task.name in examples.targets}
    made = {}
    for task in tasks:
        values = like[task.name]
        empty = task.unknown(values.new_zeros((len(examples), *values.shape[1:])))
        other = others.get(task.name)
        made[task.name] = empty if other is None else _translated(task, other, examples.targets[task.name], empty)
    return made


def _column(task: Task, table: Table) -> Column:
    cells = table.column(task.name)
    if isinstance(task, Classification):
        return as_classes(task.name, cells, _names(task), table.where)
    if isinstance(task, MultiLabel):
        return as_labels(task.name, cells, task.labels, table.where)
    if isinstance(task, Regression):
        return as_numbers(task.name, cells, table.where)
    raise TestudoError(f"{table.file}: task {task.name!r} has no labels that fit into a cell")


def _names(task: Classification) -> tuple[str, ...]:
    return task.labels or tuple(str(number) for number in range(task.classes))


def _translated(task: Task, other: Task, values: Tensor, empty: Tensor) -> Tensor:
    if isinstance(task, Classification) and isinstance(other, Classification):
        return _classes(task, other, values)
    if isinstance(task, MultiLabel) and isinstance(other, MultiLabel):
        for column, name in enumerate(task.labels):
            if name in other.labels:
                empty[:, column] = values[:, other.labels.index(name)]
        return empty
    if type(task) is not type(other):
        kinds = f"{type(task).__name__} and {type(other).__name__}"
        raise TestudoError(f"task {task.name!r}: labels of different kinds cannot be joined ({kinds})")
    if isinstance(task, Segmentation) and isinstance(other, Segmentation):
        classes = [(part.classes, part.ignore, part.labels) for part in (task, other)]
        if classes[0] != classes[1]:
            raise TestudoError(f"task {task.name!r}: maps of other classes cannot be joined to these")
    if values.shape != empty.shape:
        shapes = f"{tuple(empty.shape[1:])} and {tuple(values.shape[1:])}"
        raise TestudoError(f"task {task.name!r}: labels of different shapes cannot be joined ({shapes})")
    return values.to(empty.dtype)


def _classes(task: Classification, other: Classification, values: Tensor) -> Tensor:
    """Classes by their names where both have them, else by their numbers; what is unknown stays so."""
    if task.labels and other.labels:
        for name in other.labels:
            if name not in task.labels:
                raise unknown(f"class of task {task.name!r} in the other data set:", name, task.labels)
        places = [task.labels.index(name) for name in other.labels]
    elif other.classes > task.classes:
        raise TestudoError(f"task {task.name!r}: {other.classes} classes cannot be joined to {task.classes}")
    else:
        places = list(range(other.classes))
    return torch.tensor([*places, UNLABELLED])[values]  # -1 is the last
