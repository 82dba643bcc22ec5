"""One table on disk, CSV or Parquet, as columns of cells with a name for each row."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from testudo.data.columns import number
from testudo.data.hub import read_table
from testudo.errors import TestudoError, one_line, unknown

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, eq=False)
class Table:
    """A table's cells.

    Args:
        file: its path, for errors.
        cells: by column; None where blank, text without blanks around it.
    """

    file: str
    cells: dict[str, list[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.cells.values())))

    @property
    def where(self) -> tuple[str, ...]:
        """Words that name each row in an error; rows count from 1, the header apart."""
        return tuple(f"{self.file} row {row + 1}" for row in range(len(self)))

    def column(self, name: str) -> list[Any]:
        """The cells of a column; raises TestudoError with the nearest name where there is none."""
        if name not in self.cells:
            raise unknown(f"column in {self.file}:", name, self.cells)
        return self.cells[name]

    def has(self, name: str, default: str) -> bool:
        """Whether there is a column ``name``; only the default name may be missing, and "" means none."""
        return bool(name) and (name in self.cells or (name != default and bool(self.column(name))))

    def ids(self, name: str) -> tuple[Tensor, list[str]]:
        """The whole numbers of a column (N,), and one line for each cell that is none or comes twice."""
        ids: list[int] = []
        problems: list[str] = []
        first: dict[int, int] = {}
        for row, cell in enumerate(self.column(name)):
            value = _whole(cell)
            if value is None:
                value = -1 - row  # keeps its place; the table is refused as a whole
                problems.append(f"{self.where[row]}, column {name!r}: must be a whole number, got {cell!r}")
            elif first.setdefault(value, row) != row:
                problems.append(f"{self.where[row]}: id {value} is that of row {first[value] + 1} too")
            ids.append(value)
        return torch.tensor(ids, dtype=torch.int64), problems

    def splits(self, name: str) -> tuple[list[str], list[str]]:
        """The split of each row, and one line for each cell that names none."""
        names: list[str] = []
        problems: list[str] = []
        for row, cell in enumerate(self.column(name)):
            split = SPLITS.get(str(cell).lower())
            if split is None:
                words = "" if cell is None else str(cell)
                problems.append(f"{self.where[row]}, {unknown(f'split in column {name!r}:', words, SPLITS)}")
            names.append(split or "train")
        return names, problems


def read(path: str) -> Table:
    """The table in a ``.csv`` or ``.parquet`` file; raises TestudoError where it cannot be read or is empty."""
    file = Path(path)
    if file.suffix.lower() == ".csv":
        cells = _csv(file)
    elif file.suffix.lower() == ".parquet":
        cells = read_table(file, []).to_dict(as_series=False)
    else:
        raise TestudoError(f"manifest: {path!r} must be a .csv or .parquet file")
    if not any(cells.values()):
        raise TestudoError(f"{path}: no rows in it")
    return Table(path, {name: [_cell(value) for value in values] for name, values in cells.items()})


def _csv(file: Path) -> dict[str, list[Any]]:
    if not file.is_file():
        raise TestudoError(f"missing file {str(file)!r}")
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:  # spreadsheets write a byte order mark
            rows = [row for row in csv.reader(opened, strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise TestudoError(f"{file}: not a readable CSV file: {one_line(error)}") from error
    header = [name.strip() for name in rows[0]] if rows else []
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise TestudoError(f"{file}: two columns are called {twice[0]!r}")
    for number_, row in enumerate(rows[1:], 1):
        if len(row) != len(header):
            raise TestudoError(f"{file} row {number_}: {len(row)} cells, the header has {len(header)}")
    return {name: [row[index] for row in rows[1:]] for index, name in enumerate(header)}


def _cell(value: Any) -> Any:
    """None for a blank cell, text without blanks around it, anything else as it is."""
    if isinstance(value, str):
        return value.strip() or None
    return None if value != value else value  # NaN is the one value unlike itself


def _whole(cell: Any) -> int | None:
    try:
        return int(cell) if isinstance(cell, str) or number(cell) == int(cell) else None
    except (TypeError, ValueError, OverflowError):
        return None
