"""The norm of the joint gradient of several tasks: measured, exact, and as two theorems predict it.

With ``R = (1/M) sum_i r_i`` the joint gradient of M tasks, ``C_ij = E[r_i . r_j] - E[r_i] . E[r_j]`` (a number: the
trace of the cross-covariance) and ``mu_i = E[r_i]``, for any gradients at all

    E|R|^2 = (1/M^2) sum_ij C_ij + |(1/M) sum_i mu_i|^2.

Mao et al. write the same as ``(sigma^2/M) (1 + (2/M) sum_{j<i} C_ij / C_ii)``, for which they assume that the mean
gradients are zero and that all tasks have one variance ``sigma^2 = C_ii``. And they state it for E|R|, which is less
than the root of E|R|^2 by what |R| varies: ``(E|R|)^2 = E|R|^2 - Var|R|``.

Shapes: n examples, K tasks, M of them in a set, B bootstrap replicates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from testudo.data.splits import generator
from testudo.errors import TestudoError
from testudo.evaluation.columns import Array
from testudo.evaluation.summarise import interval
from testudo.evaluation.theory.gradients import Gradients
from testudo.evaluation.theory.means import weights_of

_BLOCK = 1 << 24  # values of gradients turned to float64 at a time: 128 MB


def _spans(*names: str) -> dict[str, type[pl.Float64]]:
    return {f"{name}{end}": pl.Float64 for name in names for end in ("", "_low", "_high")}


MANY_TASKS = pl.Schema({
    "tasks": pl.List(pl.String), "size": pl.Int64, "n": pl.Int64,
    **_spans("measured", "rms", "predicted", "pooled", "corollary"), "centre": pl.Float64,
})  # fmt: skip
TWO_TASKS = pl.Schema({
    "first": pl.String, "second": pl.String, "first_weight": pl.Float64, "second_weight": pl.Float64, "n": pl.Int64,
    **_spans("measured", "rms", "predicted"), "root_k": pl.Float64, "factor": pl.Float64, "centre": pl.Float64,
})  # fmt: skip


def predicted(covariance: Array) -> Array:
    """Theorem 1 of Mao et al. as printed: ``sigma sqrt((1 + (2/M) sum_{j<i} C_ij / C_ii) / M)``, (..., M, M) -> (...).

    ``sigma^2`` is the mean of the C_ii, which the theorem takes to be equal. Where they are not it depends on the order
    of the tasks, and what is under the root may be negative: NaN. A task without variance has no covariance
    either, and its terms are 0.

    >>> predicted(np.array([[4.0, 2.0], [2.0, 4.0]]))
    np.float64(1.7320508075688772)
    """
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    size = variance.shape[-1]
    below = np.tril(covariance, -1)
    ratio = np.divide(below, variance[..., :, None], out=np.zeros_like(below), where=variance[..., :, None] > 0)
    square = variance.mean(-1) * (1 + 2 / size * ratio.sum((-2, -1))) / size
    return np.sqrt(np.where(square >= 0, square, np.nan))


def pooled(covariance: Array) -> Array:
    """The theorem with the mean variance for every ``sigma^2``: ``sqrt(sum_ij C_ij) / M``, (..., M, M) -> (...).

    In any order of the tasks and whatever their variances it is the root of E|R - E R|^2, and so of E|R|^2 where the
    mean gradients are zero.

    >>> pooled(np.array([[4.0, 2.0], [2.0, 4.0]]))
    np.float64(1.7320508075688772)
    """
    return np.sqrt(np.maximum(covariance.sum((-2, -1)), 0)) / covariance.shape[-1]


def corollary(covariance: Array) -> Array:
    """Corollary 1 of Mao et al.: ``sigma / sqrt(M)``, :func:`pooled` without covariances; (..., M, M) -> (...).

    >>> corollary(np.array([[4.0, 2.0], [2.0, 4.0]]))
    np.float64(1.4142135623730951)
    """
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    return np.sqrt(variance.sum(-1)) / variance.shape[-1]


def many_tasks(
    gradients: Gradients,
    sets: Sequence[Sequence[str]] | None = None,
    most: int = 500,
    resamples: int = 1000,
    seed: int = 0,
) -> pl.DataFrame:
    """The norm of the mean gradient ``R`` of sets of tasks, beside Theorem 1 and Corollary 1 of Mao et al.

    Of every set, over the examples that have labels for all of its tasks:

    * ``measured``: E|R|, the vulnerability over eps (L2); ``rms``: the root of E|R|^2, never less.
    * ``predicted``, ``pooled``, ``corollary``: the functions of these names, of the covariances on the same examples.
    * ``centre``: |E R|. ``rms^2 = pooled^2 + centre^2`` holds exactly, whatever the gradients.

    Each has a 95 % bootstrap interval over examples (``_low``, ``_high``; ``centre`` has none), the same draws for all
    sets; replicates of covariances take the mean gradients as given, which is right to the first order. ``size *
    measured`` is the norm for the summed loss: the part of the fall that the 1/M makes is not in it.
    Source: *Multitask Learning Strengthens Adversarial Robustness* (ECCV 2020), section 4 and supplement.

    Args:
        gradients: of all tasks.
        sets: which; by default every subset, of sizes that have more than ``most`` a random ``most``.
        most: see above.
        resamples: bootstrap replicates.
        seed: of the bootstrap and of the random subsets.

    Returns:
        The columns of :data:`MANY_TASKS`. Sets that no example has labels for are left out.

    Raises:
        TestudoError: an unknown task or one named twice, an empty set, or ``most`` below 1.

    >>> both = Gradients(("a", "b"), torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[-1.0, 0.0], [0.0, -1.0]]]))
    >>> many_tasks(both, resamples=10).select("tasks", "measured", "predicted", "corollary")[-1].rows()
    [(['a', 'b'], 0.7071067811865476, 0.7071067811865476, 0.7071067811865476)]
    """
    if most < 1:
        raise TestudoError(f"most must be at least 1, got {most}")
    named = list(subsets(gradients.names, most, seed)) if sets is None else [tuple(each) for each in sets]
    for each in named:
        if not each or len(set(each)) < len(each):
            raise TestudoError(f"a set has one task or more, each once; got {', '.join(each) or 'none'}")
    known: dict[bytes, _Moments] = {}
    lines = []
    for each in named:
        at = gradients.places(each)
        rows = gradients.labelled[:, at].all(1)
        if not rows.any():
            continue
        key = rows.numpy().tobytes()
        if key not in known:
            known[key] = _Moments.of(gradients.values if rows.all() else gradients.values[rows], resamples, seed)
        moments, equal = known[key], np.full(len(at), 1 / len(at))
        covariance = moments.covariance[:, at][:, :, at]
        values = moments.norms(at, equal) | {f.__name__: f(covariance) for f in (predicted, pooled, corollary)}
        told = {"tasks": list(each), "size": len(at), "n": int(rows.sum()), "centre": moments.centre(at, equal)}
        lines.append(told | _told(values))
    return pl.DataFrame(lines, schema=MANY_TASKS, orient="row")


def two_tasks(
    gradients: Gradients,
    first: str,
    second: str,
    weights: Sequence[tuple[float, float]] = tuple((a / 20, 1 - a / 20) for a in range(21)),
    resamples: int = 1000,
    seed: int = 0,
) -> pl.DataFrame:
    """The norm of the joint gradient ``R = a_1 r_1 + a_2 r_2`` of two weighted tasks, beside GAT's Theorem 3.1.

    The theorem says that vulnerability is proportional to ``factor``,
    ``sqrt(1 + 2 a_1 a_2 C_12 / (a_1^2 C_11 + a_2^2 C_22))``. But what it is multiplied by, the root of
    ``K = a_1^2 C_11 + a_2^2 C_22`` (times eps), depends on the weights as well: along a sweep of weights the factor
    alone says nothing. ``predicted`` is the full expression ``sqrt(K) factor = sqrt(a' C a)``; as in :func:`many_tasks`
    ``rms^2 = predicted^2 + centre^2`` holds exactly, and ``measured``, E|R|, is at most ``rms``.
    Source: *Guided Adversarial Training with Pareto-optimal Auxiliary Tasks* (ICML 2023), theorem 3.1 and appendix A.1.

    Args:
        gradients: of both tasks, maybe of others.
        first: a task.
        second: another.
        weights: pairs (a_1, a_2); by default from (0, 1) to (1, 0) in steps of 0.05.
        resamples: bootstrap replicates.
        seed: of the bootstrap.

    Returns:
        The columns of :data:`TWO_TASKS`, over the examples that have labels for both.

    Raises:
        TestudoError: an unknown task, twice the same, or no example with both labels.

    >>> both = Gradients(("a", "b"), torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[-1.0, 0.0], [0.0, -1.0]]]))
    >>> two_tasks(both, "a", "b", [(1, 0), (1, 1)], 10).select("measured", "predicted", "factor").rows()
    [(1.0, 1.0, 1.0), (1.4142135623730951, 1.4142135623730951, 1.0)]
    """
    at = gradients.places((first, second))
    rows = gradients.labelled[:, at].all(1)
    if first == second or not rows.any():
        raise TestudoError(f"two different tasks with labels of the same images are needed, got {first} and {second}")
    moments, lines = _Moments.of(gradients.values[rows][:, at], resamples, seed), []
    for pair in weights:
        a = np.asarray(pair, float)
        joint, apart = (a @ c @ a for c in (moments.covariance, moments.covariance * np.eye(2)))
        values = moments.norms([0, 1], a) | {"predicted": np.sqrt(np.maximum(joint, 0))}
        told = {"first": first, "second": second, "first_weight": a[0], "second_weight": a[1], "n": int(rows.sum())}
        root = math.sqrt(apart[0])
        factor = float(values["predicted"][0]) / root if root > 0 else None
        told |= {"root_k": root, "factor": factor, "centre": moments.centre([0, 1], a)}
        lines.append(told | _told(values))
    return pl.DataFrame(lines, schema=TWO_TASKS, orient="row")


def subsets(names: Sequence[str], most: int, seed: int = 0) -> Iterator[tuple[str, ...]]:
    """Every subset of ``names`` but the empty one, by size; of a size that has more than ``most`` a random ``most``.

    >>> list(subsets("abc", 3))
    [('a',), ('b',), ('c',), ('a', 'b'), ('a', 'c'), ('b', 'c'), ('a', 'b', 'c')]
    >>> len(list(subsets("abcdefghijk", 20)))
    183
    """
    for size in range(1, len(names) + 1):
        if math.comb(len(names), size) <= most:
            yield from combinations(names, size)
            continue
        source, chosen = generator(seed, size), set()
        while len(chosen) < most:
            chosen.add(tuple(sorted(torch.randperm(len(names), generator=source)[:size].tolist())))
        yield from (tuple(names[place] for place in each) for each in sorted(chosen))


class _Moments(NamedTuple):
    """What the norms of all weighted sums of K gradients follow from; b = 0 is the estimate, then the replicates."""

    gramian: Array  # (n, K, K) inner products r_i . r_j
    means: Array  # (K, K) inner products of the mean gradients
    covariance: Array  # (1 + B, K, K)
    weights: Array  # (1 + B, n)

    @classmethod
    def of(cls, values: Tensor, resamples: int, seed: int) -> _Moments:
        """Of gradients (n, K, ...), in float64."""
        flat = values.flatten(2)
        size = max(1, _BLOCK // max(1, flat[0].numel()))
        mean = torch.stack([part.double().sum(0) for part in flat.split(size)]).sum(0) / len(flat)
        raw, centred = [], []
        for part in flat.split(size):
            doubled = part.double()
            raw.append(doubled @ doubled.mT)
            doubled = doubled - mean
            centred.append(doubled @ doubled.mT)
        weights = weights_of(len(flat), resamples, seed)
        inner = torch.cat(centred).numpy()
        covariance = (weights @ inner.reshape(len(inner), -1) / len(inner)).reshape(-1, *inner.shape[1:])
        return cls(torch.cat(raw).numpy(), (mean @ mean.mT).numpy(), covariance, weights)

    def norms(self, at: Sequence[int], factors: Array) -> dict[str, Array]:
        """E|R| and the root of E|R|^2, (1 + B,) each, for ``R = sum_k factors_k r_at[k]``."""
        part = self.gramian[:, at][:, :, at]
        square = np.maximum(np.einsum("i,nij,j->n", factors, part, factors), 0)  # rounding may lead below
        n = len(square)
        return {"measured": self.weights @ np.sqrt(square) / n, "rms": np.sqrt(self.weights @ square / n)}

    def centre(self, at: Sequence[int], factors: Array) -> float:
        """|E R|."""
        return math.sqrt(max(0.0, float(factors @ self.means[at][:, at] @ factors)))


def _told(values: dict[str, Array]) -> dict[str, float]:
    """Estimates and intervals of (1 + B,) each; NaN where undefined."""
    told = {}
    for name, each in values.items():
        low, high = interval(each[1:])
        told |= {name: float(each[0]), f"{name}_low": low, f"{name}_high": high}
    return told
