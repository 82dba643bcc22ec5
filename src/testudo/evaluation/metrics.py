"""Metrics from what result rows keep of predictions; Delta_MTL and Delta_Wor.

Nothing here needs torch: a page can be rebuilt from rows on any machine. Shapes: n examples, R numbers
kept of a prediction (``Task.record``), K tasks. ``weights`` say how often each example counts: once by default.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from testudo.errors import unknown
from testudo.evaluation.columns import ONE, Array


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
    weights = np.ones(len(records)) if weights is None else np.asarray(weights)
    counts = np.ascontiguousarray(weights.reshape(-1, len(records)).T)  # a row of it can be picked out at once
    found = [_area(score, truth, counts) for score, truth in zip(logits.T, targets.T, strict=True)]
    each = np.stack(found).reshape(-1, *weights.shape[:-1])
    counted = ~np.isnan(each)
    with np.errstate(invalid="ignore"):
        return np.where(counted, each, 0).sum(0) / counted.sum(0)


def miou(records: Array, weights: Array | None = None) -> Array:
    """Mean intersection over union, from one confusion matrix: (n, C * C) [true, predicted], (..., n) -> (...).

    C classes, of which those count that are in target or prediction; NaN where none is.

    >>> miou(np.array([[3, 1, 0, 4], [0, 0, 0, 0]]))
    np.float64(0.775)
    """
    counts, classes = _totals(np.nan_to_num(records), weights), math.isqrt(records.shape[1])
    confusion = counts.reshape(*counts.shape[:-1], classes, classes)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    union = confusion.sum(-1) + confusion.sum(-2) - hits
    with np.errstate(invalid="ignore"):
        return (hits / np.maximum(union, 1)).sum(-1) / (union > 0).sum(-1)


def pixel_accuracy(records: Array, weights: Array | None = None) -> Array:
    """Share of known pixels told right, from the confusion matrix of :func:`miou`: (n, C * C), (..., n) -> (...).

    >>> pixel_accuracy(np.array([[3, 1, 0, 4]]))
    np.float64(0.875)
    """
    known = np.nan_to_num(records)
    return _ratio(known[:, :: math.isqrt(records.shape[1]) + 1].sum(1), known.sum(1), weights)


def per_pixel(records: Array, weights: Array | None = None, column: int = 0) -> Array:
    """A mean over all known pixels: (n, R) [sums over them, ..., their count], (..., n) -> (...).

    >>> per_pixel(np.array([[6.0, 3], [2.0, 1], [np.nan, np.nan]]))
    np.float64(2.0)
    """
    known = np.nan_to_num(records)
    return _ratio(known[:, column], known[:, -1], weights)


def within(records: Array, weights: Array | None = None, degrees: float = 30.0) -> Array:
    """Share of known pixels less than ``degrees`` off: (n, 2 + B) [sum, counts of angles, their count] -> (...).

    The B bins are even parts of 0 to 180 degrees; one of them begins at ``degrees``.

    >>> within(np.array([[150.0, 3, 1, 0, 0, 0, 0, 4]]))
    np.float64(0.75)
    """
    known, bins = np.nan_to_num(records), records.shape[1] - 2
    return _ratio(known[:, 1 : 1 + round(degrees * bins / 180)].sum(1), known[:, -1], weights)


def median(records: Array, weights: Array | None = None) -> Array:
    """Median angle of all known pixels in degrees, of the records of :func:`within`: (n, 2 + B) -> (...).

    Interpolated as if the angles of a bin were spread evenly over it, so off by less than its width.

    >>> median(np.array([[150.0, 1, 2, 1, 0, 0, 0, 4]]))  # bins of 30 degrees
    np.float64(45.0)
    """
    counts = _totals(np.nan_to_num(records)[:, 1:-1], weights)
    half, reached = counts.sum(-1) / 2, counts.cumsum(-1)
    bin_ = (reached >= half[..., None]).argmax(-1)  # in which the median is
    inside, upto = (np.take_along_axis(x, bin_[..., None], -1).sum(-1) for x in (counts, reached))
    with np.errstate(invalid="ignore"):
        return (bin_ + 1 - (upto - half) / inside) * (180 / counts.shape[-1])


class Metric(NamedTuple):
    """How a metric is computed from records, and which way is better."""

    compute: Callable[[Array, Array | None], Array]
    higher_is_better: bool


METRICS = {
    "accuracy": Metric(accuracy, True),
    "auroc": Metric(auroc, True),
    "error": Metric(error, False),
    "miou": Metric(miou, True),
    "pixel_accuracy": Metric(pixel_accuracy, True),
    "l1": Metric(per_pixel, False),
    "aerr": Metric(per_pixel, False),
    "relative": Metric(partial(per_pixel, column=1), False),
    "delta125": Metric(partial(per_pixel, column=2), True),
    "mdist": Metric(per_pixel, False),
    "median": Metric(median, False),
    "within11": Metric(partial(within, degrees=11.25), True),
    "within22": Metric(partial(within, degrees=22.5), True),
    "within30": Metric(partial(within, degrees=30.0), True),
}


def named(name: str) -> Metric:
    """The metric called ``name`` in rows; raises TestudoError with the nearest name where there is none.

    >>> named("auroc of edema").higher_is_better
    True
    """
    name = name.partition(ONE)[0]
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[name]


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
    totals = _totals(np.stack([above, below], 1), weights)
    with np.errstate(invalid="ignore"):
        return totals[..., 0] / totals[..., 1]


def _totals(counts: NDArray, weights: Array | None) -> Array:
    """The weighted sum over examples: (n, R), (..., n) -> (..., R) float64."""
    weights = np.ones(len(counts)) if weights is None else weights
    return (weights @ counts.astype(weights.dtype)).astype(np.float64)


def _area(logits: Array, targets: Array, counts: Array) -> Array:
    """AUROC of one label: (n,), (n,), weights (n, B) -> (B,); NaN where one class is absent.

    The weight of all pairs in which the positive example has the greater logit, and half that of equals.
    """
    known = np.flatnonzero(~np.isnan(targets))
    order = known[np.argsort(logits[known], kind="stable")]
    positive = targets[order] > 0.5
    hits, ranked = counts[order[positive]], logits[order]
    below = _running(counts[order[~positive]])
    least, most = (np.searchsorted(ranked[~positive], ranked[positive], side) for side in ("left", "right"))
    under = below[least] if np.array_equal(least, most) else (below[least] + below[most]) / 2
    with np.errstate(invalid="ignore"):
        return np.einsum("pb,pb->b", hits, under) / (hits.sum(0, dtype=np.float64) * below[-1])


def _running(counts: Array, side: int = 32) -> Array:
    """The sums of the first 0, 1, ..., k and more rows: (k, B) -> (at least k + 1, B) float64.

    Made of products of matrices: numpy's ``cumsum`` along the first axis takes four times as long.
    """
    blocks = np.zeros((-(-len(counts) // side), side, counts.shape[1]), counts.dtype)
    blocks.reshape(-1, counts.shape[1])[: len(counts)] = counts
    within = np.tril(np.ones((side, side), counts.dtype)) @ blocks
    sums = np.zeros((blocks.shape[0] * side + 1, counts.shape[1]))
    rows = sums[1:].reshape(blocks.shape)
    rows[:] = within
    rows[1:] += within[:-1, -1].cumsum(0, dtype=np.float64)[:, None]
    return sums
