"""Metrics from result rows alone, with bootstrap intervals; Delta_MTL and Delta_Wor.

Nothing here needs torch: a page can be rebuilt from rows on any machine. Shapes: n examples, R numbers
kept of a prediction (``Task.record``), B bootstrap replicates, K tasks, C columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from testudo.errors import unknown
from testudo.evaluation.columns import ATTACK, ROWS, Array, Column, Key, columns

SUMMARY = pl.Schema({
    "group": pl.String, "task": pl.String, "attack": pl.String, "metric": pl.String,
    "value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "n": pl.Int64, "runs": pl.Int64,
    "spread": pl.Float64, "higher_is_better": pl.Boolean, **{name: ROWS[name] for name in ATTACK},
})  # fmt: skip
_BLOCK = 1 << 22  # weights held at a time: 16 MB


def accuracy(records: Array, weights: Array | None = None) -> Array:
    """Share of labelled examples told right: (n, 2) [predicted, true], (..., n) weights -> (...).

    A true class below 0 or NaN is unknown and left out; NaN where none is known.

    >>> accuracy(np.array([[3, 3], [1, 2], [0, -1]]))
    np.float64(0.5)
    """
    known = records[:, 1] >= 0
    return _ratio(known & (records[:, 0] == records[:, 1]), known, weights)


def error(records: Array, weights: Array | None = None) -> Array:
    """Mean absolute error over the known numbers: (n, 2 K) [predictions, targets], (..., n) -> (...).

    >>> error(np.array([[1.0, 3.0], [5.0, np.nan]]))
    np.float64(2.0)
    """
    guess, truth = np.split(records, 2, axis=1)
    known = ~np.isnan(truth)
    gap = np.where(known, np.abs(guess - truth), 0)
    return _ratio(gap.sum(1), known.sum(1), weights)


def auroc(records: Array, weights: Array | None = None) -> Array:
    """Area under the ROC curve, averaged over labels: (n, 2 L) [logits, targets], (..., n) -> (...).

    NaN targets are left out, and so are labels of which only one class is present (torchmetrics counts
    those as 0); NaN where no label is left. Equal logits count one half, as in the rank sum statistic.

    >>> auroc(np.array([[0.1, 0], [0.4, 1], [0.4, 0], [0.9, 1]]))
    np.float64(0.875)
    """
    logits, targets = np.split(records, 2, axis=1)
    weights = np.ones(len(records)) if weights is None else weights
    each = np.stack([_area(score, truth, weights) for score, truth in zip(logits.T, targets.T, strict=True)])
    counted = ~np.isnan(each)
    with np.errstate(invalid="ignore"):
        return np.where(counted, each, 0).sum(0) / counted.sum(0)


class Metric(NamedTuple):
    """How a metric is computed from records, and which way is better."""

    compute: Callable[[Array, Array | None], Array]
    higher_is_better: bool


METRICS = {"accuracy": Metric(accuracy, True), "auroc": Metric(auroc, True), "error": Metric(error, False)}


def delta(clean: ArrayLike, attacked: ArrayLike, higher_is_better: ArrayLike = True) -> Array:
    """Relative change of a metric under attack, negative where it got worse, elementwise.

    ``(m - b) / b`` where higher is better, ``(b - m) / m`` where lower is better, with b clean and m
    attacked (*Robust Multi-task Adversarial Attacks Using Min-max Optimization*, equation 6, in the sign
    of its tables); 0 where both are equal.

    >>> delta([46.56, 40.57], [18.63, 84.43], [True, False]).round(4)
    array([-0.5999, -0.5195])
    """
    b, m = np.asarray(clean, float), np.asarray(attacked, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.where(higher_is_better, (m - b) / b, (b - m) / m)
    return np.where(b == m, 0.0, change)


def delta_mtl(deltas: ArrayLike) -> Array:
    """The mean over tasks of :func:`delta`: (..., K) -> (...)."""
    return np.asarray(deltas, float).mean(-1)


def delta_wor(deltas: ArrayLike) -> Array:
    """The least degraded task, the largest :func:`delta`: (..., K) -> (...).

    The paper's equation 7 writes a minimum; its tables hold the maximum.
    """
    return np.asarray(deltas, float).max(-1)


def _ratio(above: NDArray, below: NDArray, weights: Array | None) -> Array:
    """The weighted sum of ``above`` over that of ``below``: (n,), (n,), (..., n) -> (...), NaN for 0/0."""
    weights = np.ones(len(above)) if weights is None else weights
    totals = (weights @ np.stack([above, below], 1).astype(weights.dtype)).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return totals[..., 0] / totals[..., 1]


def _area(logits: Array, targets: Array, weights: Array) -> Array:
    """AUROC of one label: (n,), (n,), (..., n) -> (...); NaN where one class is absent."""
    order = np.argsort(logits, kind="stable")
    order = order[~np.isnan(targets[order])]
    if len(order) == 0:
        return np.full(weights.shape[:-1], np.nan)
    ranked = logits[order]
    ties = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])  # where each run of equal logits starts
    weighed, positive = weights[..., order], targets[order] > 0.5
    hits = np.add.reduceat(weighed * positive, ties, axis=-1, dtype=np.float64)
    misses = np.add.reduceat(weighed * ~positive, ties, axis=-1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        below = (hits * (misses.cumsum(-1) - misses / 2)).sum(-1)
        return below / (hits.sum(-1) * misses.sum(-1))


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
    found: dict[int, list[Array]] = {}  # by identity: the clean columns come once per attack
    for part in parts:
        if part.metric not in METRICS:
            raise unknown("metric", part.metric, METRICS)
        found[id(part)] = [np.atleast_1d(METRICS[part.metric].compute(part.records, None))]
    for weights in resamples_of(len(parts[0].records), resamples, seed):
        for part in {id(part): part for part in parts}.values():
            found[id(part)].append(METRICS[part.metric].compute(part.records, weights))
    return np.stack([np.concatenate(found[id(part)]) for part in parts])


def interval(replicates: Array) -> tuple[float, float]:
    """The central 95 % of ``replicates`` (B,), undefined ones (NaN) left out."""
    defined = replicates[~np.isnan(replicates)]
    if len(defined) == 0:
        return float("nan"), float("nan")
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


def summarise(
    rows: pl.DataFrame, groups: Mapping[str, str] | None = None, resamples: int = 1000, seed: int = 0
) -> pl.DataFrame:
    """Every group's metric per task and attack, with 95 % percentile bootstrap intervals over examples.

    An accuracy of 0 or 1 gets the exact interval of :func:`certain` instead.

    A metric is computed per run and averaged over the runs of a group; a replicate draws the same
    examples for all runs, tasks and attacks. Rows with task ``"*"`` and metric ``"delta_mtl"`` or
    ``"delta_wor"`` hold :func:`delta_mtl` and :func:`delta_wor` over the tasks of an attack, each run against
    its own clean metric on the same examples.

    Args:
        rows: result rows.
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
    for (run, task, attack, metric), part in _parts(table, resamples, seed):
        parts.setdefault((groups[run], task, attack, metric), []).append(part)
    order = list(dict.fromkeys(groups.values()))
    lines = [_line(name, parts[name]) for name in sorted(parts, key=lambda name: order.index(name[0]))]
    return pl.DataFrame(lines, schema=SUMMARY, orient="row")


def _parts(table: Mapping[Key, Column], resamples: int, seed: int) -> Iterator[tuple[tuple[str, str, str, str], _Part]]:
    """Every run's share of every summary row, by run, task, attack and metric."""
    clean = {(run, task): column for (run, task, _), column in table.items() if column.family == "clean"}
    before = {
        (run, task, attack): clean[run, task].only(column.labelled)
        for (run, task, attack), column in table.items()
        if column.family != "clean" and (run, task) in clean
    }
    found = bootstrap([*table.values(), *before.values()], resamples, seed)
    values = dict(zip(table, found, strict=False))
    changes: dict[tuple[str, str], list[_Part]] = {}
    for (run, task, attack), column in table.items():
        yield (run, task, attack, column.metric), _Part(values[run, task, attack], column.labelled, column.attack)
    for key, clean_values in zip(before, found[len(table) :], strict=True):
        column = table[key]
        change = delta(clean_values, values[key], METRICS[column.metric].higher_is_better)
        changes.setdefault((key[0], key[2]), []).append(_Part(change, column.labelled, column.attack))
    for (run, attack), each in changes.items():
        labelled = np.logical_or.reduce([part.labelled for part in each])
        for name, fold in (("delta_mtl", delta_mtl), ("delta_wor", delta_wor)):
            change = fold(np.stack([part.values for part in each], -1))
            yield (run, "*", attack, name), _Part(change, labelled, each[0].attack)


def _line(name: tuple[str, str, str, str], parts: Sequence[_Part]) -> tuple[object, ...]:
    """One row of :data:`SUMMARY` from the runs of a group."""
    values = np.stack([part.values for part in parts])
    n = int(np.logical_or.reduce([part.labelled for part in parts]).sum())
    spread = float(values[:, 0].std(ddof=1)) if len(parts) > 1 else None
    mean = values.mean(0)
    upward = name[3] not in METRICS or METRICS[name[3]].higher_is_better  # a Delta falls with damage
    sure = name[3] == "accuracy" and mean[0] in (0, 1)
    span = certain(float(mean[0]), n) if sure else interval(mean[1:])
    return (*name, float(mean[0]), *span, n, len(parts), spread, upward, *parts[0].attack.values())
