"""Result rows as arrays: one column per run, task and attack, aligned on the examples.

Needs no torch. Shapes: n examples, R numbers kept of a prediction (``Task.record``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from testudo.errors import TestudoError
from testudo.evaluation.seal import unsealed

Array = NDArray[np.floating]
Key = tuple[str, str, str]  # run, task, attack

ROWS = pl.Schema({
    "run": pl.String, "example": pl.Int64, "task": pl.String, "metric": pl.String,
    "further": pl.List(pl.String), "attack": pl.String,
    "family": pl.String, "norm": pl.String, "eps": pl.Float64, "steps": pl.Int64, "objective": pl.String,
    "score": pl.Float32, "loss": pl.Float32, "linf": pl.Float32, "l2": pl.Float32, "record": pl.List(pl.Float32),
})  # fmt: skip
ATTACK = ("family", "norm", "eps", "steps", "objective")
ONE = " of "  # between a metric's name and that of the one label it is about: "auroc of edema"


@dataclass(frozen=True, eq=False)
class Column:
    """One run's records on one task under one attack, over the examples of all rows.

    Args:
        metric: its name, a key of :data:`testudo.evaluation.metrics.METRICS`.
        further: names of metrics beside it that the same records give.
        records: (n, R), NaN where this run has no such row.
        labelled: (n,) bool, the examples that count.
        attack: family, norm, eps, steps and objective.

    ``replicates`` are those that :func:`testudo.evaluation.summarise.bootstrap` has made of it, (1 + B,) by B and seed:
    each is asked for by the summary, by comparisons and by claims.
    """

    metric: str
    further: tuple[str, ...]
    records: Array
    labelled: NDArray[np.bool_]
    attack: dict[str, str | float]
    replicates: dict[tuple[int, int], Array] = field(default_factory=dict, init=False, repr=False)

    @property
    def family(self) -> str:
        """The attack's family, ``"clean"`` for none."""
        return str(self.attack["family"])

    @property
    def metrics(self) -> tuple[str, ...]:
        """The primary metric and the further ones."""
        return self.metric, *self.further

    def by(self, metric: str) -> Column:
        """The records under another of their metrics; ``"auroc of edema"`` is about that label's logit and target."""
        if metric == self.metric:
            return self
        if ONE not in metric:
            return replace(self, metric=metric)
        alone = [name for name in self.further if ONE in name]  # one for each label, in their order
        records = self.records[:, alone.index(metric) :: len(alone)]
        labelled = self.labelled & ~np.isnan(records[:, 1])
        return replace(self, metric=metric.partition(ONE)[0], records=records, labelled=labelled)

    def only(self, where: NDArray[np.bool_]) -> Column:
        """The same column on the examples ``where`` (n,) holds; itself where that is all it has."""
        if not (self.labelled & ~where).any():
            return self
        records = np.where(where[:, None], self.records, np.nan)
        return replace(self, records=records, labelled=self.labelled & where)


Rows = pl.DataFrame | Mapping[Key, Column]  # result rows, or what :func:`columns` has made of them


def read_rows(path: Path | str) -> pl.DataFrame:
    """The result rows in a Parquet file; raises TestudoError where it is missing, damaged or of another schema."""
    if not Path(path).is_file():
        raise TestudoError(f"no result rows at {path}")
    rows = whole(unsealed(Path(path)))
    for name, kind in ROWS.items():
        if rows.schema.get(name) != kind:
            raise TestudoError(
                f"{path} does not hold result rows: column {name!r} must be {kind}, found {rows.schema.get(name)}"
            )
    return rows.select(*ROWS)


def whole(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows that name further metrics: none where they were made before tasks had any."""
    return rows if "further" in rows.columns else rows.with_columns(further=pl.lit([], ROWS["further"]))


def columns(rows: Rows) -> Mapping[Key, Column]:
    """Rows as one :class:`Column` per (run, task, attack), in order of appearance; columns as they are.

    Raises:
        TestudoError: no rows, a missing field, records of unequal length, or one example twice.
    """
    if not isinstance(rows, pl.DataFrame):
        return rows
    rows = whole(rows)
    keys = ["run", "task", "attack"]
    facts = [*keys, "metric", "further", *ATTACK]
    if missing := [name for name in [*facts, "example", "score", "record"] if name not in rows.columns]:
        raise TestudoError(f"result rows lack the column {missing[0]!r} (found: {', '.join(rows.columns)})")
    if rows.is_empty():
        raise TestudoError("there are no result rows")
    named = rows.select(pl.col(keys).cast(pl.Categorical)).with_row_index("place")  # words take twice the memory
    places = named.group_by(keys, maintain_order=True).agg("place")["place"]
    pile, told = _Pile.of(rows), rows.select(facts)[places.list.first()].iter_rows(named=True)
    return {
        (str(first["run"]), str(first["task"]), str(first["attack"])): pile.column(first, own.to_numpy())
        for first, own in zip(told, places, strict=True)
    }


class _Pile(NamedTuple):
    """What all m rows hold of predictions."""

    examples: NDArray[np.int64]  # (n,) in order
    at: NDArray[np.int64]  # (m,) the place of each row's example among them
    scores: Array  # (m,)
    records: pl.Series  # (m,) lists
    widths: NDArray[np.integer]  # (m,) how long they are

    @classmethod
    def of(cls, rows: pl.DataFrame) -> _Pile:
        """The columns of ``rows`` as arrays."""
        examples, at = np.unique(rows["example"].to_numpy(), return_inverse=True)
        return cls(examples, at, rows["score"].to_numpy(), rows["record"], rows["record"].list.len().to_numpy())

    def column(self, first: Mapping[str, Any], rows: NDArray[np.integer]) -> Column:
        """The rows of one run, task and attack, by their places, spread over all examples; ``first`` is one of them."""
        where = f"run {first['run']!r}, task {first['task']!r}, attack {first['attack']!r}"
        width, at, n = int(self.widths[rows[0]]), self.at[rows], len(self.examples)
        if (self.widths[rows] != width).any():
            raise TestudoError(f"{where}: records must all have one length")
        often = np.bincount(at)
        if often.max() > 1:
            raise TestudoError(f"{where}: example {int(self.examples[often.argmax()])} appears more than once")
        together = rows[-1] - rows[0] == len(rows) - 1  # as they come from a run: no copy of them is needed
        own = self.records[int(rows[0]) : int(rows[-1]) + 1] if together else self.records.gather(rows)
        records, labelled = own.list.to_array(width).to_numpy(), np.zeros(n, bool)
        if not np.array_equal(at, np.arange(n)):
            spread = np.full((n, width), np.nan, np.float32)
            spread[at] = records
            records = spread
        labelled[at] = ~np.isnan(self.scores[rows])
        further = tuple(first["further"] or ())
        return Column(first["metric"], further, records, labelled, {name: first[name] for name in ATTACK})
