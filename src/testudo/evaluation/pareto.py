"""Fronts of (clean, robust) and how much of the plane they cover.

Needs no torch. Shapes: n points of m numbers each.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from moocore import hypervolume as covered
from moocore import is_nondominated
from numpy.typing import ArrayLike, NDArray

from testudo.errors import TestudoError, unknown

FRONT = pl.Schema({
    "group": pl.String, "task": pl.String, "metric": pl.String, "attack": pl.String,
    "clean": pl.Float64, "clean_low": pl.Float64, "clean_high": pl.Float64,
    "robust": pl.Float64, "robust_low": pl.Float64, "robust_high": pl.Float64,
    "higher_is_better": pl.Boolean, "front": pl.Boolean,
})  # fmt: skip


def pareto_front(points: ArrayLike, maximise: bool = True) -> NDArray[np.bool_]:
    """Which points (n, m) no other one dominates: (n,) bool.

    A point dominates another where it is at least as good in every number and better in one. Equal points do not
    dominate each other: all of them are on the front, or none.

    Args:
        points: one row each; (clean, robust), say.
        maximise: more is better, in all numbers; False: less is.

    Raises:
        TestudoError: points of another shape, or not finite.

    >>> pareto_front([[0.9, 0.1], [0.8, 0.3], [0.8, 0.2], [0.9, 0.1]])
    array([ True,  True, False,  True])
    """
    table = _points(points)
    if len(table) == 0:
        return np.zeros(0, bool)
    return np.asarray(is_nondominated(table, maximise=maximise, keep_weakly=True), bool)


def hypervolume(points: ArrayLike, reference: ArrayLike, maximise: bool = True) -> float:
    """The volume that points (n, m) dominate, as far as the reference point: the larger the better.

    It has no meaning without its reference, hence no default: (0, 0) for (clean, robust) accuracies, of which the
    volume is then at most 1. A point that is not better than the reference in every number counts nothing.

    GAT's Table 14 says "lower values indicate better solutions". So it is where accuracies, more of which is better,
    are given to an indicator that takes less to be better, as pymoo's does, with a reference at the best: here
    ``hypervolume(points, (1, 1), maximise=False)``. Beware of that number: it is the volume beyond the *worst* points,
    so one better model more changes nothing, and one worse model more makes the front look worse.

    Args:
        points: one row each.
        reference: (m,) numbers, or one for all; with ``maximise`` no better than any point that shall count.
        maximise: more is better, in all numbers; False: less is.

    Raises:
        TestudoError: points or a reference of another shape, or not finite.

    >>> front = [[0.9, 0.2], [0.6, 0.5]]
    >>> round(hypervolume(front, (0, 0)), 3), round(hypervolume(front, (1, 1), maximise=False), 3)
    (0.36, 0.23)
    """
    table = _points(points)
    corner = np.asarray(reference, float)
    if corner.ndim > 1 or (corner.ndim and table.size and len(corner) != table.shape[1]):
        raise TestudoError(f"the reference must be one number or {table.shape[1]}, got {corner.tolist()}")
    if not np.isfinite(corner).all():
        raise TestudoError(f"the reference must be finite, got {corner.tolist()}")
    if len(table) == 0:
        return 0.0
    return float(covered(table, ref=np.broadcast_to(corner, table.shape[1]).copy(), maximise=maximise))


def clean_and_robust(summary: pl.DataFrame, task: str, attack: str, clean: str = "clean") -> pl.DataFrame:
    """Every group's value without attack and under one, and whether it is on the front of all groups.

    Args:
        summary: of :func:`testudo.evaluation.summarise.summarise`.
        task: whose primary metric counts.
        attack: under which.
        clean: what the images without attack are called.

    Returns:
        The columns of :data:`FRONT`, of the groups that have both; the front is of those whose values are defined.

    Raises:
        TestudoError: a task or an attack that the summary does not hold.
    """
    for kind, name, column in (("task", task, "task"), ("attack", attack, "attack"), ("attack", clean, "attack")):
        if name not in summary[column].to_list():
            raise unknown(kind, name, summary[column].unique().to_list())
    own = summary.filter(pl.col("task") == task, pl.col("primary"))
    sides = []
    for name, shown in ((clean, "clean"), (attack, "robust")):
        values = {shown: "value", f"{shown}_low": "low", f"{shown}_high": "high"}
        kept = own.filter(pl.col("attack") == name)
        sides.append(kept.select("group", "metric", "higher_is_better", **{k: pl.col(v) for k, v in values.items()}))
    both = sides[0].join(sides[1].drop("higher_is_better"), on=["group", "metric"], maintain_order="left")
    upward = bool(both["higher_is_better"].all())
    points = both.select("clean", "robust").to_numpy()
    defined = np.isfinite(points).all(1)
    front = np.zeros(len(points), bool)
    front[defined] = pareto_front(points[defined], upward)
    named = both.with_columns(task=pl.lit(task), attack=pl.lit(attack), front=pl.Series(front, dtype=pl.Boolean))
    return named.select(*FRONT).cast(dict(FRONT))


def _points(points: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(points, float)
    if table.size == 0:
        return table.reshape(0, table.shape[-1] if table.ndim == 2 else 0)
    if table.ndim != 2:
        raise TestudoError(f"points must have shape (n, m), one row each; got {table.shape}")
    if not np.isfinite(table).all():
        raise TestudoError(f"points must be finite, got {table[~np.isfinite(table).all(1)][0].tolist()}")
    return table
