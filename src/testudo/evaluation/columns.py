"""Result rows as arrays: one column per run, task and attack, aligned on the examples.

Needs no torch. Shapes: n examples, R numbers kept of a prediction (``Task.record``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

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
    """

    metric: str
    further: tuple[str, ...]
    records: Array
    labelled: NDArray[np.bool_]
    attack: dict[str, str | float]

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


def columns(rows: pl.DataFrame) -> dict[Key, Column]:
    """Rows as one :class:`Column` per (run, task, attack), in order of appearance.

    Raises:
        TestudoError: no rows, a missing field, records of unequal length, or one example twice.
    """
    rows = whole(rows)
    needed = ["run", "example", "task", "metric", "further", "attack", *ATTACK, "score", "record"]
    if missing := [name for name in needed if name not in rows.columns]:
        raise TestudoError(f"result rows lack the column {missing[0]!r} (found: {', '.join(rows.columns)})")
    if rows.is_empty():
        raise TestudoError("there are no result rows")
    examples = rows["example"].unique().sort().to_numpy()
    parts = rows.select(needed).partition_by("run", "task", "attack", as_dict=True, maintain_order=True)
    return {(str(r), str(t), str(a)): _column(part, examples) for (r, t, a), part in parts.items()}


def _column(part: pl.DataFrame, examples: NDArray) -> Column:
    """``part``, the rows of one run, task and attack, spread over ``examples`` (n,)."""
    first = part.row(0, named=True)
    where = f"run {first['run']!r}, task {first['task']!r}, attack {first['attack']!r}"
    if part["record"].list.len().n_unique() != 1:
        raise TestudoError(f"{where}: records must all have one length")
    at = np.searchsorted(examples, part["example"].to_numpy())
    if len(np.unique(at)) != len(at):
        twice = int(examples[np.bincount(at).argmax()])
        raise TestudoError(f"{where}: example {twice} appears more than once")
    records = np.full((len(examples), len(first["record"])), np.nan, np.float32)
    records[at] = part["record"].list.to_array(len(first["record"])).to_numpy()
    labelled = np.zeros(len(examples), bool)
    labelled[at] = ~np.isnan(part["score"].to_numpy())
    further = tuple(first["further"] or ())
    return Column(first["metric"], further, records, labelled, {name: first[name] for name in ATTACK})
