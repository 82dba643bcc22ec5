"""Result rows in a few numbers: each group's metrics with bootstrap intervals, and their Deltas.

Nothing here needs torch. Shapes: n examples, B bootstrap replicates, C columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from testudo.errors import unknown
from testudo.evaluation.columns import ATTACK, ROWS, Array, Column, Key, Rows, columns
from testudo.evaluation.metrics import delta, delta_mtl, delta_wor, named

SUMMARY = pl.Schema({
    "group": pl.String, "task": pl.String, "attack": pl.String, "metric": pl.String,
    "value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "n": pl.Int64, "runs": pl.Int64,
    "spread": pl.Float64, "higher_is_better": pl.Boolean, "primary": pl.Boolean,
    **{name: ROWS[name] for name in ATTACK},
})  # fmt: skip
Name = tuple[str, str, str, str]  # run, task, attack, metric
_BLOCK = 1 << 22  # weights held at a time: 16 MB


def resamples_of(n: int, resamples: int, seed: int) -> Iterator[Array]:
    """How often each of ``n`` examples is drawn in each replicate: blocks (b, n) float32, ``resamples`` in all."""
    generator = np.random.default_rng(seed)
    block = max(1, _BLOCK // max(n, 1))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        draws = generator.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(draws.ravel(), minlength=size * n).reshape(size, n).astype(np.float32)


def bootstrap(parts: Sequence[Column], resamples: int, seed: int) -> Array:
    """The metric of each column, then its replicates: (C, 1 + B).

    A replicate draws the same examples in every column, so differences between columns are paired.
    """
    if not parts:
        return np.empty((0, 1 + resamples))
    how, fresh = (resamples, seed), {part: [] for part in parts if (resamples, seed) not in part.replicates}
    for part, values in fresh.items():
        values.append(np.atleast_1d(named(part.metric).compute(part.records, None)))
    for weights in resamples_of(len(parts[0].records), resamples, seed) if fresh else ():
        for part, values in fresh.items():
            values.append(named(part.metric).compute(part.records, weights))
    for part, values in fresh.items():
        part.replicates[how] = np.concatenate(values)
    return np.stack([part.replicates[how] for part in parts])


def interval(replicates: Array) -> tuple[float, float]:
    """The central 95 % of ``replicates`` (B,), undefined ones (NaN) left out; NaN between infinite ones."""
    defined = replicates[~np.isnan(replicates)]
    if len(defined) == 0:
        return float("nan"), float("nan")
    with np.errstate(invalid="ignore"):  # a Delta from a clean value of 0 is infinite
        low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)


def certain(value: float, n: int) -> tuple[float, float]:
    """The exact 95 % interval (Clopper and Pearson 1934) of a share that was 0 or 1 on all of ``n`` examples.

    A bootstrap of equal outcomes has no spread and would claim to be certain.

    >>> low, high = certain(0.0, 300)
    >>> low, round(high, 4)
    (0.0, 0.0122)
    """
    far = 0.025 ** (1 / n)
    return (0.0, 1 - far) if value == 0 else (far, 1.0)


class _Part(NamedTuple):
    """One run's share of a summary row."""

    values: Array  # (1 + B,): the estimate, then its replicates
    labelled: NDArray[np.bool_]  # (n,)
    attack: dict[str, str | float]
    primary: bool  # the metric the task goes by


def summarise(
    rows: Rows, groups: Mapping[str, str] | None = None, resamples: int = 1000, seed: int = 0
) -> pl.DataFrame:
    """Every group's metrics per task and attack, with 95 % percentile bootstrap intervals over examples.

    An accuracy of 0 or 1 gets the exact interval of :func:`certain` instead.

    A task has one primary metric under each attack, and below it the further ones that ``rows`` name: of several
    labels, the AUROC of each (``"auroc of edema"``), over the examples on which it is known. A metric is computed per
    run and averaged over the runs of a group; a replicate draws the same examples for all runs, tasks and attacks. Rows
    with task ``"*"`` and metric ``"delta_mtl"`` or ``"delta_wor"`` hold :func:`delta_mtl` and :func:`delta_wor` of the
    primary metrics over the tasks of an attack, each run against its own clean metric on the same examples.

    Args:
        rows: result rows, or their columns.
        groups: run -> group; each run its own by default. Runs not named are left out.
        resamples: bootstrap replicates.
        seed: of the bootstrap's own generator.

    Returns:
        The columns of :data:`SUMMARY`, groups in the order of ``groups``: n counts labelled examples, spread
        is the standard deviation over runs (null for one run).

    Raises:
        TestudoError: as :func:`testudo.evaluation.columns.columns`, an unknown metric, or a run in
            ``groups`` without rows.
    """
    table = columns(rows)
    runs = list(dict.fromkeys(run for run, _, _ in table))
    groups = {run: run for run in runs} if groups is None else groups
    for run in groups:
        if run not in runs:
            raise unknown("run", run, runs)
    table = {key: column for key, column in table.items() if key[0] in groups}
    parts: dict[tuple[str, str, str, str], list[_Part]] = {}  # by group, task, attack, metric
    shown = {(*key, metric): column.by(metric) for key, column in table.items() for metric in column.metrics}
    for (run, task, attack, metric), part in _parts(table, shown, resamples, seed):
        parts.setdefault((groups[run], task, attack, metric), []).append(part)
    order = list(dict.fromkeys(groups.values()))
    lines = [_line(name, parts[name]) for name in sorted(parts, key=lambda name: order.index(name[0]))]
    return pl.DataFrame(lines, schema=SUMMARY, orient="row")


def deltas(rows: Rows, resamples: int = 1000, seed: int = 0) -> dict[tuple[str, str, str], Array]:
    """:func:`delta_mtl` and :func:`delta_wor` of every run under every attack, then their replicates: (1 + B,).

    A replicate draws the same examples for all, so that differences between them are paired.

    Args:
        rows: result rows, or their columns, clean ones among them.
        resamples: bootstrap replicates, B.
        seed: of the bootstrap's own generator.

    Returns:
        By run, attack and ``"delta_mtl"`` or ``"delta_wor"``.
    """
    table = columns(rows)
    found = _parts(table, {(*key, column.metric): column for key, column in table.items()}, resamples, seed)
    return {(run, attack, name): part.values for (run, task, attack, name), part in found if task == "*"}


def _parts(
    table: Mapping[Key, Column], shown: Mapping[Name, Column], resamples: int, seed: int
) -> Iterator[tuple[Name, _Part]]:
    """Every run's share of every summary row; ``shown`` are the columns of ``table`` by each of their metrics."""
    clean = {(run, task): column for (run, task, _), column in table.items() if column.family == "clean"}
    before = {
        (run, task, attack): clean[run, task].only(column.labelled)
        for (run, task, attack), column in table.items()
        if column.family != "clean" and (run, task) in clean
    }
    found = bootstrap([*shown.values(), *before.values()], resamples, seed)
    values = dict(zip(shown, found, strict=False))
    changes: dict[tuple[str, str], list[_Part]] = {}
    for name, column in shown.items():
        primary = name[3] == table[name[:3]].metric
        yield name, _Part(values[name], column.labelled, column.attack, primary)
    for key, clean_values in zip(before, found[len(shown) :], strict=True):
        column = table[key]
        change = delta(clean_values, values[*key, column.metric], named(column.metric).higher_is_better)
        changes.setdefault((key[0], key[2]), []).append(_Part(change, column.labelled, column.attack, primary=True))
    for (run, attack), each in changes.items():
        labelled = np.logical_or.reduce([part.labelled for part in each])
        for name, fold in (("delta_mtl", delta_mtl), ("delta_wor", delta_wor)):
            change = fold(np.stack([part.values for part in each], -1))
            yield (run, "*", attack, name), _Part(change, labelled, each[0].attack, primary=True)


def _line(name: tuple[str, str, str, str], parts: Sequence[_Part]) -> tuple[object, ...]:
    """One row of :data:`SUMMARY` from the runs of a group."""
    values = np.stack([part.values for part in parts])
    n = int(np.logical_or.reduce([part.labelled for part in parts]).sum())
    spread = float(values[:, 0].std(ddof=1)) if len(parts) > 1 else None
    mean = values.mean(0)
    upward = name[1] == "*" or named(name[3]).higher_is_better  # a Delta falls with damage
    sure = name[3] == "accuracy" and mean[0] in (0, 1)
    span = certain(float(mean[0]), n) if sure else interval(mean[1:])
    facts = (upward, parts[0].primary, *parts[0].attack.values())
    return (*name, float(mean[0]), *span, n, len(parts), spread, *facts)
