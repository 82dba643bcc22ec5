"""Is one model better than another on the same examples: McNemar's exact test and paired bootstrap.

Where many tests are made at once their p values are corrected for it (:func:`corrected`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from testudo.errors import TestudoError, unknown
from testudo.evaluation.columns import Column, Key, Rows, columns
from testudo.evaluation.mcnemar import Correction, corrected, exact_difference, mcnemar
from testudo.evaluation.summarise import bootstrap, interval

COMPARISONS = pl.Schema({
    "group": pl.String, "counterpart": pl.String, "task": pl.String, "attack": pl.String, "metric": pl.String,
    "n": pl.Int64, "value": pl.Float64, "counterpart_value": pl.Float64,
    "difference": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "p_values": pl.List(pl.Float64), "b": pl.List(pl.Int64), "c": pl.List(pl.Int64), "adjusted": pl.List(pl.Float64),
})  # fmt: skip
PAIRWISE = pl.Schema({
    "task": pl.String, "attack": pl.String, "first": pl.String, "second": pl.String,
    "first_run": pl.String, "second_run": pl.String, "n": pl.Int64, "b": pl.Int64, "c": pl.Int64,
    "statistic": pl.Int64, "p": pl.Float64, "adjusted": pl.Float64,
})  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """One group of runs less another, on a task under an attack.

    Args:
        task, attack, metric: what was compared.
        n: examples that every run of both has labelled rows for.
        value, counterpart_value: the metric of each group, averaged over its runs, on those examples.
        difference: the first less the second, in the metric's unit, with the 95 % interval low to high of a
            joint bootstrap over examples; of accuracies that differ on fewer than 25 examples, never narrower than
            the exact one (:func:`exact_difference`).
        p_values, b, c: McNemar's test (:func:`mcnemar`) of each pair of runs, in order; empty for metrics
            that are not accuracy.
        adjusted: the p values corrected for all tests that were made together (:func:`corrected`).
    """

    task: str
    attack: str
    metric: str
    n: int
    value: float
    counterpart_value: float
    difference: float
    low: float
    high: float
    p_values: tuple[float, ...]
    b: tuple[int, ...]
    c: tuple[int, ...]
    adjusted: tuple[float, ...] = ()


def compare(
    rows: pl.DataFrame, run_a: str, run_b: str, task: str, attack: str, resamples: int = 1000, seed: int = 0
) -> Comparison:
    """Run ``run_a`` less run ``run_b``, paired on the examples both have; see :class:`Comparison`."""
    return compare_groups(rows, [run_a], [run_b], task, attack, resamples, seed)


def compare_groups(
    rows: pl.DataFrame,
    group_a_runs: Sequence[str],
    group_b_runs: Sequence[str],
    task: str,
    attack: str,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """The mean over ``group_a_runs`` less that over ``group_b_runs``, seeds paired in order.

    Raises:
        TestudoError: groups of unequal or no size, a run without rows for the task and attack, or no example
            that all have.
    """
    asked = {name for group in (group_a_runs, group_b_runs) for name in group}
    kept = rows.filter((pl.col("task") == task) & (pl.col("attack") == attack) & pl.col("run").is_in(asked))
    have = set(kept["run"].unique())
    for run in (*group_a_runs, *group_b_runs):
        if run not in have:
            raise TestudoError(f"run {run!r} has no rows for task {task!r} under attack {attack!r}")
    pair = _Pair("", "", tuple(group_a_runs), tuple(group_b_runs))
    return _adjusted(_compare(columns(kept), [(pair, task, attack)], resamples, seed), "holm")[0]


def comparisons(
    rows: Rows,
    groups: Sequence[Mapping[str, Any]],
    resamples: int = 1000,
    seed: int = 0,
    correction: Correction = "holm",
) -> pl.DataFrame:
    """Every group less its counterpart, on all tasks and attacks for which all runs of both have rows.

    Args:
        rows: result rows, or their columns.
        groups: ``{"name": ..., "runs": [...], "counterpart": None or another group's name}``, as in study.json.
        resamples: bootstrap replicates.
        seed: of the bootstrap's own generator.
        correction: of the p values, for the number of all in the table (:func:`corrected`).

    Returns:
        The columns of :data:`COMPARISONS`; p_values, b, c and adjusted hold one number per pair of seeds, none for
        metrics that are not accuracy.

    Raises:
        TestudoError: an unknown counterpart or correction, or groups of unequal size.
    """
    runs = {group["name"]: tuple(group["runs"]) for group in groups}
    pairs = []
    for group in groups:
        other = group.get("counterpart")
        if other is not None and other not in runs:
            raise unknown("group", other, runs)
        if other is not None:
            pairs.append(_Pair(group["name"], other, runs[group["name"]], runs[other]))
    table = columns(rows)
    shared = list(dict.fromkeys((task, attack) for _, task, attack in table))
    jobs = [
        (pair, task, attack)
        for pair in pairs
        for task, attack in shared
        if all((run, task, attack) in table for run in (*pair.a, *pair.b))
    ]
    found = _adjusted(_compare(table, jobs, resamples, seed), correction)
    lines = [
        {"group": job[0].group, "counterpart": job[0].counterpart, **vars(c)}
        for job, c in zip(jobs, found, strict=True)
    ]
    return pl.DataFrame(lines, schema=COMPARISONS, orient="row")


def pairwise(
    rows: pl.DataFrame, groups: Mapping[str, str] | None = None, correction: Correction = "holm"
) -> pl.DataFrame:
    """McNemar's exact test of every pair of runs, on every task and attack on which both were scored by accuracy.

    GAT's appendix C.1 does this for twelve models, without a correction for its 66 tests.

    Args:
        rows: result rows; to have fewer tests in the family, hand in fewer.
        groups: run -> group: seeds of a group are paired, in order, with those of another and not with each other; by
            default each run is its own. Runs not named are left out.
        correction: of the p values, for the number of all in the table (:func:`corrected`).

    Returns:
        The columns of :data:`PAIRWISE`: ``first`` and ``second`` are groups, ``n`` the examples labelled in all their
        runs, ``b`` and ``c`` those that one alone tells right, see :func:`mcnemar`.

    Raises:
        TestudoError: a run in ``groups`` without rows, groups of unequal size, an unknown correction, or no example
            that all runs of two groups have labelled.
    """
    table = columns(rows)
    runs = list(dict.fromkeys(run for run, _, _ in table))
    sides: dict[str, list[str]] = {}
    for run, group in ({run: run for run in runs} if groups is None else groups).items():
        if run not in runs:
            raise unknown("run", run, runs)
        sides.setdefault(group, []).append(run)
    lines = []
    shared = dict.fromkeys((task, attack) for _, task, attack in table)
    for (task, attack), (first, second) in product(shared, combinations(sides, 2)):
        keys = [(run, task, attack) for run in (*sides[first], *sides[second])]
        if all(key in table and table[key].metric == "accuracy" for key in keys):
            pair = _Pair(first, second, tuple(sides[first]), tuple(sides[second]))
            for run, other, mine, its in zip(pair.a, pair.b, *_paired(table, pair, task, attack), strict=True):
                n, test = int(mine.labelled.sum()), mcnemar(_hits(mine), _hits(its))
                lines.append((task, attack, first, second, run, other, n, *test))
    adjusted = corrected([line[-1] for line in lines], correction)
    told = [(*line, p) for line, p in zip(lines, adjusted.tolist(), strict=True)]
    return pl.DataFrame(told, schema=PAIRWISE, orient="row")


class _Pair(NamedTuple):
    group: str
    counterpart: str
    a: tuple[str, ...]
    b: tuple[str, ...]


def _compare(
    table: Mapping[Key, Column], jobs: Sequence[tuple[_Pair, str, str]], resamples: int, seed: int
) -> list[Comparison]:
    """Each job (pair, task, attack) as a comparison, all on the same resampled examples."""
    sides = [_paired(table, *job) for job in jobs]
    values = iter(bootstrap([part for side in sides for group in side for part in group], resamples, seed))
    found = []
    for (_, task, attack), (first, second) in zip(jobs, sides, strict=True):
        mine = np.mean([next(values) for _ in first], 0)
        other = np.mean([next(values) for _ in second], 0)
        hits = [(_hits(a), _hits(b)) for a, b in zip(first, second, strict=True) if a.metric == "accuracy"]
        tests, low, high = [mcnemar(*both) for both in hits], *interval(mine[1:] - other[1:])
        if hits:
            exact = exact_difference(np.mean([a.astype(float) - b for a, b in hits], 0))
            low, high = np.fmin(low, exact[0]), np.fmax(high, exact[1])
        found.append(
            Comparison(
                task,
                attack,
                first[0].metric,
                int(first[0].labelled.sum()),
                float(mine[0]),
                float(other[0]),
                float(mine[0] - other[0]),
                float(low),
                float(high),
                p_values=tuple(test.p for test in tests),
                b=tuple(test.b for test in tests),
                c=tuple(test.c for test in tests),
            )
        )
    return found


def _adjusted(found: Sequence[Comparison], correction: Correction) -> list[Comparison]:
    """The same with p values corrected for the number of all of them."""
    values = iter(corrected([p for each in found for p in each.p_values], correction).tolist())
    return [replace(each, adjusted=tuple(next(values) for _ in each.p_values)) for each in found]


def _paired(table: Mapping[Key, Column], pair: _Pair, task: str, attack: str) -> tuple[list[Column], list[Column]]:
    """Both groups' columns on the examples that all of their runs have labelled."""
    if len(pair.a) != len(pair.b) or not pair.a:
        raise TestudoError(f"groups are compared seed by seed, got {len(pair.a)} and {len(pair.b)} runs")
    first, second = ([table[run, task, attack] for run in side] for side in (pair.a, pair.b))
    common = np.logical_and.reduce([column.labelled for column in (*first, *second)])
    if not common.any():
        raise TestudoError(f"task {task!r}, attack {attack!r}: the runs have no labelled example in common")
    return [column.only(common) for column in first], [column.only(common) for column in second]


def _hits(column: Column) -> np.ndarray:
    """Which labelled examples were told right: (n,) bool."""
    return column.records[column.labelled, 0] == column.records[column.labelled, 1]
