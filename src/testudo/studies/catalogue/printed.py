"""A measured table with a paper's numbers in its last column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from testudo.studies.measures import Groups, Measure


@dataclass(frozen=True)
class Printed(Measure):
    """Another measure's table, some of the study's variants alone, and what is printed of its lines.

    Args:
        title, caption: see :class:`~testudo.studies.measures.Measure`.
        made: the other measure.
        by: columns of its table that tell lines apart.
        theirs: the printed number by the values of these, where there is one.
        head: of the column of these.
        of: how the names of the variants begin that are measured; empty: all of them.
    """

    made: Measure
    by: tuple[str, ...]
    theirs: Mapping[Any, float]
    head: str = "the paper"
    of: str = ""

    def __call__(self, rows: pl.DataFrame, groups: Groups) -> pl.DataFrame:
        """The other's table and the column ``head``."""
        chosen = {name: runs for name, runs in groups.items() if name.startswith(self.of)}
        table = self.made(rows, chosen)
        lines = table.select(self.by).rows()
        return table.with_columns(pl.Series(self.head, [self.theirs.get(line) for line in lines], pl.Float64))
