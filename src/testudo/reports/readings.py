"""What a paper says of numbers that are no metric of one task: decided by the lines of a measured table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from testudo.errors import TestudoError
from testudo.reports import form
from testudo.reports.claims import Verdict, needed, verdict
from testudo.reports.wording import short

FIRST, LAST = 0, -1
Line = tuple[str, ...] | int | float  # by the words of its first columns, by its place, or a number in its stead


@dataclass(frozen=True)
class Reading:
    """A sentence of a paper and the lines of a table that decide it.

    A pair speaks for the sentence where the 95 % intervals of both lines do not touch and the first is the higher
    (or the lower), against it where it is the other way round. The intervals are each line's own, not paired.

    Args:
        text: what the paper says, in our words.
        source: paper and place.
        column: of the table; its interval is in ``COLUMN_low`` and ``COLUMN_high``, or ``low`` and ``high``.
        pairs: a line, and another or a number.
        lower: the first is said to be the lower.
        share: as a claim's.

    Raises:
        TestudoError: no pairs, or a share outside (0, 1].
    """

    text: str
    source: str
    column: str
    pairs: tuple[tuple[Line, Line], ...]
    lower: bool = False
    share: float = 1.0

    def __post_init__(self) -> None:
        needed(self.pairs, self.share)

    @property
    def needed(self) -> int:
        """How many of the pairs must speak for it."""
        return needed(self.pairs, self.share)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Reading:
        """From study.json; raises TestudoError where a part is missing."""
        text, source, column = (form.words(told, name) for name in ("text", "source", "column"))
        pairs, lower = form.listed(told, "pairs"), told.get("lower")  # words() has seen that it is facts by name
        if not isinstance(lower, bool) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
            raise TestudoError(f"study.json: reading {text!r:.60} needs pairs of two lines, and lower true or false")
        lines = tuple((_line(first), _line(second)) for first, second in pairs)
        return cls(text, source, column, lines, lower, form.number(told, "share"))

    def judged(self, table: pl.DataFrame) -> Read:
        """What the table says of it; raises TestudoError for a line or a column that it lacks."""
        names = (self.column, *intervals_of(table).get(self.column, ()))
        if len(names) != 3:
            raise TestudoError(f"the table of {self.text!r} has no numbers called {self.column!r} with an interval")
        found = tuple((_found(table, first, names), _found(table, second, names)) for first, second in self.pairs)
        return Read(self, found, tuple(self._speaks(*pair) for pair in found))

    def _speaks(self, first: Found, second: Found) -> int:
        higher = (first.low > second.high) - (first.high < second.low)  # neither where an end is not known
        return -higher if self.lower else higher


@dataclass(frozen=True)
class Found:
    """A line as it was found.

    Args:
        label: its words; none of a number that is named.
        value, low, high: the number and its interval; NaN where it has none.
    """

    label: str
    value: float
    low: float
    high: float

    @property
    def number(self) -> str:
        """The number, and its interval where it is of a line."""
        ends = f" [{short(self.low)}, {short(self.high)}]" if self.label else ""
        return f"{short(self.value)}{ends}"

    def __str__(self) -> str:
        return f"{self.label}: {self.number}" if self.label else self.number


@dataclass(frozen=True)
class Read:
    """A sentence and what was found.

    Args:
        claim: the sentence.
        found: both lines of each of its pairs.
        speak: for each 1 where it speaks for the sentence, -1 against it, 0 neither.
    """

    claim: Reading
    found: tuple[tuple[Found, Found], ...]
    speak: tuple[int, ...]

    @property
    def verdict(self) -> Verdict:
        """What follows for the sentence, here."""
        return verdict(self.speak, self.claim.needed)


def intervals_of(frame: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """The ends of the interval of each column that has one."""
    numbers = [name for name, kind in frame.schema.items() if kind.is_numeric()]
    found = {name: (f"{name}_low", f"{name}_high") for name in numbers}
    if "low" in numbers:
        before = numbers[: numbers.index("low")]
        found |= dict.fromkeys(["value"] if "value" in before else before[-1:], ("low", "high"))
    return {name: ends for name, ends in found.items() if all(end in numbers for end in ends)}


def _line(told: Any) -> Line:
    if isinstance(told, int | float) and not isinstance(told, bool) and math.isfinite(told):
        return told
    if isinstance(told, list | tuple) and told and all(isinstance(word, str) for word in told):
        return tuple(told)
    raise TestudoError(f"study.json: a line is words, a place or a number, got {told!r:.60}")


def _found(table: pl.DataFrame, line: Line, columns: Sequence[str]) -> Found:
    """The line's words, number and interval."""
    if isinstance(line, float):
        return Found("", line, line, line)
    if isinstance(line, int):
        if not -len(table) <= line < len(table):
            raise TestudoError(f"a measured table of {len(table)} lines is asked for line {line}")
        row = table.row(line, named=True)
        words = [f"{table.columns[0]} {row[table.columns[0]]}"]
    else:
        same = [pl.col(name).cast(pl.String) == word for name, word in zip(table.columns, line, strict=False)]
        rows = table.filter(*same)
        if len(rows) != 1 or len(line) > table.width:
            raise TestudoError(f"a measured table has {len(rows)} lines {', '.join(line)!r}, and one is asked for")
        row, words = rows.row(0, named=True), list(line)
    value, low, high = (math.nan if row[name] is None else float(row[name]) for name in columns)
    return Found(" → ".join(words), value, low, high)
