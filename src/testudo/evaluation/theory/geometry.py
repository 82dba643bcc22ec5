"""How the gradients of a model's tasks lie to each other, and whether models whose gradients agree are more robust."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import polars as pl
from scipy.stats import pearsonr

from testudo.errors import TestudoError
from testudo.evaluation.theory.gradients import Gradients
from testudo.geometry import cosine, curvature, similarity

GEOMETRY = pl.Schema({
    "first": pl.String, "second": pl.String, "measure": pl.String, "example": pl.Int64, "value": pl.Float64,
})  # fmt: skip
CORRELATION = pl.Schema({
    "measure": pl.String, "against": pl.String, "n": pl.Int64, "r": pl.Float64, "low": pl.Float64,
    "high": pl.Float64, "p": pl.Float64, "caution": pl.String,
})  # fmt: skip
MEASURES = {"cosine": cosine, "similarity": similarity, "curvature": curvature}
FEW = 10  # runs below which a correlation says little: at 9, |r| must be above 0.67 to be told from 0


def gradient_geometry(gradients: Gradients) -> pl.DataFrame:
    """Cosine, likeness in length and curvature of every two tasks' gradients, for every example.

    The measures are those of :mod:`testudo.geometry`, of the examples that have labels for both tasks.
    :func:`testudo.evaluation.theory.means.averaged` gives each pair's means with intervals, :func:`overall` a model's.
    Source: *Guided Adversarial Training with Pareto-optimal Auxiliary Tasks* (ICML 2023), definitions 3.2 to 3.4.

    Returns:
        The columns of :data:`GEOMETRY`.

    >>> import torch
    >>> made = Gradients(("a", "b"), torch.tensor([[[3.0, 0.0], [0.0, 3.0]]]))
    >>> gradient_geometry(made).select("measure", "value").rows()
    [('cosine', 0.0), ('similarity', 1.0), ('curvature', 1.0)]
    """
    parts = [pl.DataFrame(schema=GEOMETRY)]
    for first, second in combinations(gradients.names, 2):
        pair = gradients.of(first, second)
        both = pair.labelled.all(1)
        a, b = pair.values[both].double().unbind(1)
        for name, measure in MEASURES.items():
            facts = {"first": first, "second": second, "measure": name}
            told = {"example": pair.ids[both].tolist(), "value": measure(a, b).tolist()}
            parts.append(pl.DataFrame(told).with_columns(**{k: pl.lit(v) for k, v in facts.items()}).select(*GEOMETRY))
    return pl.concat([part.cast(dict(GEOMETRY)) for part in parts])


def overall(rows: pl.DataFrame) -> dict[str, float]:
    """A model's measures: of each, the mean over examples of every pair of tasks, averaged over the pairs.

    >>> import torch
    >>> overall(gradient_geometry(Gradients(("a", "b"), torch.tensor([[[3.0, 0.0], [0.0, 3.0]]]))))
    {'cosine': 0.0, 'similarity': 1.0, 'curvature': 1.0}
    """
    pairs = rows.group_by("measure", "first", "second", maintain_order=True).agg(pl.col("value").mean())
    return dict(pairs.group_by("measure", maintain_order=True).agg(pl.col("value").mean()).iter_rows())


def geometry_correlation(
    runs: pl.DataFrame, against: str = "robust", measures: Sequence[str] = tuple(MEASURES)
) -> pl.DataFrame:
    """Pearson's correlation of models' gradient measures with their robust accuracy, as in GAT's Figure 1.

    Args:
        runs: one row per model, a column for each measure (:func:`overall`) and one for what they are correlated with.
        against: the name of that.
        measures: which columns.

    Returns:
        The columns of :data:`CORRELATION`: ``n`` models that have both numbers, ``r`` with its 95 % interval by
        Fisher's transformation (from 4 models on), the two-sided ``p`` of "no correlation", for normal numbers of
        models independent of each other. Null where undefined; ``caution`` says why, or that models are few.

    Raises:
        TestudoError: a missing column.

    >>> runs = pl.DataFrame({"cosine": [0.1, 0.2, 0.3, 0.5], "robust": [0.5, 0.4, 0.35, 0.1]})
    >>> geometry_correlation(runs, measures=["cosine"]).select("n", pl.col("r").round(3), "caution").rows()
    [(4, -0.989, '4 models are few')]
    """
    for name in (against, *measures):
        if name not in runs.columns:
            raise TestudoError(f"the table of runs lacks the column {name!r} (found: {', '.join(runs.columns)})")
    lines = []
    for name in measures:
        pair = runs.select(pl.col(name, against).cast(pl.Float64)).to_numpy()
        found = _correlated(*pair[np.isfinite(pair).all(1)].T)
        lines.append({"measure": name, "against": against, **found})
    return pl.DataFrame(lines, schema=CORRELATION, orient="row")


def _correlated(x: np.ndarray, y: np.ndarray) -> dict[str, float | str | None]:
    n = len(x)
    blank = {"n": n, "r": None, "low": None, "high": None, "p": None}
    if n < 3:  # two points lie on a line
        return {**blank, "caution": f"{n} models have no correlation"}
    if min(np.ptp(x), np.ptp(y)) <= 1e-12 * max(np.abs(x).max(), np.abs(y).max()):
        return {**blank, "caution": "one of the two does not vary"}
    found = pearsonr(x, y)
    low, high = found.confidence_interval() if n > 3 else (math.nan, math.nan)
    ends = {"low": None, "high": None} if math.isnan(low) else {"low": float(low), "high": float(high)}
    few = f"{n} models are few" if n < FEW else ""
    return {**blank, **ends, "r": float(found.statistic), "p": float(found.pvalue), "caution": few}
