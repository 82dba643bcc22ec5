"""The published tables as rows, and a cell of them by what tells it apart."""

from __future__ import annotations

from typing import Any

from testudo.studies.published import names, read

Row = dict[str, Any]
Cell = tuple[str, ...]  # the table, and all that tells the cell apart
CLEAN, ROBUST = "clean accuracy", "robust accuracy"
ROWS: dict[str, list[Row]] = {
    name: [{"table": name, **row} for row in read(name).iter_rows(named=True)] for name in names() if name != "minmax"
}


def rows(name: str, **where: str) -> list[Row]:
    return [row for row in ROWS[name] if all(row[key] == value for key, value in where.items())]


def only(name: str, **where: str) -> Row:
    (row,) = rows(name, **where)
    return row


def value(name: str, **where: str) -> float:
    return only(name, **where)["value"]


def cell(row: Row) -> Cell:
    return tuple(word for key, word in row.items() if key not in ("value", "spread", "note"))
