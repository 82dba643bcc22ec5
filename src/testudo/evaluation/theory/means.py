"""Numbers per example in their mean, with its interval; means of several seeds in theirs, with their spread.

Needs no torch. Shapes: n examples, G groups of them, B bootstrap replicates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from testudo.errors import TestudoError, unknown
from testudo.evaluation.columns import Array
from testudo.evaluation.summarise import interval, resamples_of


def weights_of(n: int, resamples: int, seed: int) -> Array:
    """(1 + B, n): how often each example counts: once, then in each bootstrap replicate."""
    blocks = [np.ones((1, n), np.float32), *resamples_of(n, resamples, seed)]
    return np.concatenate(blocks).astype(np.float64)


def averaged(rows: pl.DataFrame, resamples: int = 1000, seed: int = 0) -> pl.DataFrame:
    """The mean of ``value`` over examples, with its 95 % percentile bootstrap interval.

    Rows are grouped by all columns but ``example`` and ``value``, in order of appearance. A replicate draws the same
    examples in every group, so that differences between groups are paired. Values that are null or NaN count
    nowhere.

    Args:
        rows: what :func:`~testudo.evaluation.theory.vulnerability.vulnerability` and others return.
        resamples: bootstrap replicates.
        seed: of the bootstrap's own generator.

    Returns:
        The grouping columns, ``n`` (examples with a value), ``value``, ``low``, ``high``.

    Raises:
        TestudoError: a missing column, no rows, or an example twice in a group.

    >>> rows = pl.DataFrame({"task": ["a", "a", "b"], "example": [1, 2, 2], "value": [1.0, 3.0, 5.0]})
    >>> averaged(rows, resamples=50).select("task", "n", "value").rows()
    [('a', 2, 2.0), ('b', 1, 5.0)]
    """
    _need(rows, "example", "value")
    keys = [name for name in rows.columns if name not in ("example", "value")]
    examples = rows["example"].unique().sort().to_numpy()
    weights = weights_of(len(examples), resamples, seed)
    parts = rows.partition_by(keys, maintain_order=True) if keys else [rows]
    lines = []
    for part in parts:
        facts = {key: part[key][0] for key in keys}
        values = np.full(len(examples), np.nan)
        at = np.searchsorted(examples, part["example"].to_numpy())
        if len(np.unique(at)) < len(at):
            raise TestudoError(f"an example appears more than once in the group {facts}")
        values[at] = part["value"].cast(pl.Float64).fill_null(np.nan).to_numpy()
        known = ~np.isnan(values)
        with np.errstate(invalid="ignore"):  # a replicate without any is undefined
            means = (weights @ np.where(known, values, 0)) / (weights @ known)
        low, high = interval(means[1:])
        lines.append({**facts, "n": int(known.sum()), "value": float(means[0]), "low": low, "high": high})
    kinds = {"n": pl.Int64, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(lines, schema={**{key: rows.schema[key] for key in keys}, **kinds}, orient="row")


def over_seeds(table: pl.DataFrame, groups: Mapping[str, str]) -> pl.DataFrame:
    """Runs that differ in their seed as one: mean and sample standard deviation of ``value``, and how many.

    Rows are grouped by all columns but ``run``, ``value`` and those that are about one run alone (``n``, ``low``,
    ``high``). :func:`~testudo.evaluation.summarise.summarise` does the same for result rows.

    Args:
        table: one value for each run and whatever else tells rows apart.
        groups: run -> group; runs not named are left out.

    Returns:
        ``group``, the other columns, ``runs``, ``value``, ``spread`` (null for one run), groups in their order.

    Raises:
        TestudoError: a missing column, or a run that ``table`` does not hold.

    >>> table = pl.DataFrame({"run": ["s0", "s1"], "task": ["a", "a"], "value": [1.0, 3.0]})
    >>> over_seeds(table, {"s0": "s", "s1": "s"}).rows()
    [('s', 'a', 2, 2.0, 1.4142135623730951)]
    """
    _need(table, "run", "value")
    have = table["run"].unique().to_list()
    for run in groups:
        if run not in have:
            raise unknown("run", run, have)
    kept = table.filter(pl.col("run").is_in(list(groups)))
    named = kept.with_columns(group=pl.col("run").replace_strict(dict(groups), return_dtype=pl.String))
    keys = [name for name in table.columns if name not in ("run", "value", "n", "low", "high")]
    told: dict[str, Any] = {"runs": pl.len().cast(pl.Int64), "value": pl.col("value").mean()}
    found = named.group_by("group", *keys, maintain_order=True).agg(**told, spread=pl.col("value").std(ddof=1))
    order = {name: place for place, name in enumerate(dict.fromkeys(groups.values()))}
    return found.sort(pl.col("group").replace_strict(order, return_dtype=pl.Int64), maintain_order=True)


def _need(rows: pl.DataFrame, *names: str) -> None:
    for name in names:
        if name not in rows.columns:
            raise TestudoError(f"the table lacks the column {name!r} (found: {', '.join(rows.columns)})")
    if rows.is_empty():
        raise TestudoError("the table has no rows")
