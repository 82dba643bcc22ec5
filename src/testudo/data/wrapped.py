"""Data sets made of another one: its tasks, its val and its test, with another train."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from testudo.data.dataset import DataSet
from testudo.data.derived import Derived
from testudo.tasks.task import Task

HELD_OUT = ("val_share", "test_share")  # of the training images, by the data sets that have such fields


@dataclass(frozen=True)
class Wrapped(DataSet):
    """Another data set with another train; a subclass writes ``read``.

    All else is that of ``data``: val and test, tasks (a regression's mean and deviation are over all its training
    images), the statistics that models normalise by, what :meth:`check` finds.

    Args:
        data: the other data set.
    """

    data: DataSet

    @property
    def making(self) -> tuple[Derived, ...]:
        """Those of ``data``, then the derived ones."""
        return (*self.data.making, *self.derived)

    @property
    def skip_bad(self) -> bool:
        """Whether ``data`` leaves out what it cannot read."""
        return getattr(self.data, "skip_bad", False)

    def labelled(self) -> tuple[Task, ...]:
        """See :class:`Wrapped`."""
        return self.data.labelled()

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """See :class:`Wrapped`."""
        return self.data.statistics()

    def check(self) -> list[str]:
        """See :class:`Wrapped`."""
        return self.data.check()

    def doubts(self) -> list[str]:
        """See :class:`Wrapped`."""
        return self.data.doubts()

    def describe(self) -> list[str]:
        """See :class:`Wrapped`."""
        return self.data.describe()


def undivided(data: DataSet) -> DataSet:
    """The same data set, holding nothing out of its training images, where it has a say in that.

    >>> from testudo.data.cifar import CIFAR10
    >>> undivided(CIFAR10(val_share=0.1)).val_share
    0.0
    """
    changes: dict[str, Any] = {field.name: 0.0 for field in fields(data) if field.name in HELD_OUT}
    if isinstance(data, Wrapped):
        changes["data"] = undivided(data.data)
    return replace(data, **changes)


def innermost(data: DataSet) -> DataSet:
    """The data set that is wrapped, however often; one that is not is its own."""
    return innermost(data.data) if isinstance(data, Wrapped) else data
