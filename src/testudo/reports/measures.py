"""Tables of a study's own measurements, whatever their columns are."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from testudo.errors import TestudoError, one_line
from testudo.reports import form
from testudo.reports.readings import Read, Reading, intervals_of
from testudo.reports.tables import Cell, Row, Section, Table
from testudo.reports.wording import short

MOST = 2000  # lines: what is longer is no table to look at


@dataclass(frozen=True)
class Measure:
    """What study.json tells of one.

    Args:
        name: for files and links.
        title, caption: of the table.
        file: its path within the study folder, a CSV or Parquet file.
        said: what a paper says of it.
    """

    name: str
    title: str
    caption: str
    file: str
    said: tuple[Reading, ...] = ()

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Measure:
        """From study.json; raises TestudoError where a part is missing or a file lies elsewhere."""
        words = [form.words(told, name) for name in ("name", "title", "caption", "file")]
        made = cls(*words, tuple(Reading.of(each) for each in form.listed(told, "said")))
        path = Path(made.file)
        if path.is_absolute() or ".." in path.parts or path.suffix not in (".csv", ".parquet"):
            raise TestudoError(f"study.json: a measure is a .csv or .parquet file in its own folder, got {made.file!r}")
        return made


@dataclass(frozen=True)
class Measured:
    """A measure with its table and what is read off it, or with what is wrong with that in one line."""

    measure: Measure
    table: Table | None = None
    wrong: str = ""
    read: tuple[Read, ...] = ()


def read_measures(folder: Path | str, measures: Sequence[Measure]) -> tuple[Measured, ...]:
    """The tables of a study folder.

    Raises:
        TestudoError: a file is damaged; one that is not there is told in ``wrong``.
    """
    return tuple(_read(Path(folder) / measure.file, measure) for measure in measures)


def measure_table(measure: Measure, frame: pl.DataFrame) -> Table:
    """A line for each row of ``frame``: words as they are, numbers to four significant digits.

    Columns called ``low`` and ``high`` are the interval of ``value``, or where there is no such column of the one
    before them; those called ``NAME_low`` and ``NAME_high`` are that of ``NAME``.
    """
    intervals = intervals_of(frame)
    ends = {name for pair in intervals.values() for name in pair}
    shown = [name for name in frame.columns if name not in ends]
    words = frozenset(i for i, name in enumerate(shown) if not frame.schema[name].is_numeric())
    rows = []
    for record in frame.iter_rows(named=True):
        cells = [_cell(record, name, intervals) for name in shown]
        first = Cell(cells[0].text, cells[0].notes, record)
        rows.append(Row(first, tuple(cells[1:])))
    heads = tuple(Cell(name.replace("_", " ")) for name in shown)
    return Table(measure.title, measure.caption, heads, (Section("", tuple(rows)),), words | {0})


def _read(path: Path, measure: Measure) -> Measured:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Measured(measure, wrong=f"“{measure.title}” is missing: there is no {measure.file} in the study folder.")
    except OSError as mistake:
        raise TestudoError(f"{path} cannot be read: {one_line(mistake)}") from mistake
    read = pl.read_csv if path.suffix == ".csv" else pl.read_parquet
    try:
        frame = read(io.BytesIO(content))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as mistake:
        raise TestudoError(f"{path} is not a readable table: {one_line(mistake)}") from mistake
    if frame.is_empty() or frame.width == 0:
        return Measured(measure, wrong=f"“{measure.title}” is empty: {measure.file} has no line.")
    if len(frame) > MOST:
        return Measured(measure, wrong=f"“{measure.title}” has {len(frame):,} lines: see {measure.file}.")
    try:
        return Measured(measure, measure_table(measure, frame), read=tuple(each.judged(frame) for each in measure.said))
    except TestudoError as mistake:
        raise TestudoError(f"{path}: {mistake}") from mistake


def _cell(record: Mapping[str, Any], name: str, intervals: Mapping[str, tuple[str, str]]) -> Cell:
    ends = [record[end] for end in intervals.get(name, ())]
    known = [short(end) for end in ends if end is not None]
    return Cell(short(record[name]), (f"[{', '.join(known)}]",) if len(known) == 2 else ())
