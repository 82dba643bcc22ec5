"""Published numbers, with where ours for them are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from testudo.reports.claims import Beside, Side
from testudo.studies.published import read

VALUES = ("value", "spread", "note")


def beside(table: str, task: str, where: Callable[[Mapping[str, Any]], Side | None]) -> tuple[Beside, ...]:
    """The numbers of a published table that have one of ours.

    Args:
        table: its name (:func:`testudo.studies.published.names`).
        task: the task that they are of.
        where: our group and attack for a row, None where we have none.
    """
    found = []
    for row in read(table).to_dicts():
        side = where(row)
        if side is not None:
            label = ", ".join(str(value) for name, value in row.items() if name not in VALUES and value)
            spread = "" if row["spread"] is None else str(row["spread"])
            found.append(Beside(label, str(row["value"]), spread, row["note"] or "", side, task))
    return tuple(found)
