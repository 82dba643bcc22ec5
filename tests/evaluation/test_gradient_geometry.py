from __future__ import annotations

import helpers
import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import pearsonr

from testudo.errors import TestudoError
from testudo.evaluation.theory.geometry import CORRELATION, GEOMETRY, geometry_correlation, gradient_geometry, overall
from testudo.evaluation.theory.gradients import Gradients, task_gradients
from testudo.evaluation.theory.means import averaged, over_seeds


def by_formula(a, b):
    """The three measures of GAT, section 3.1, of two vectors."""
    la, lb = np.linalg.norm(a), np.linalg.norm(b)
    c = a @ b / la / lb
    ratio = np.linalg.norm(a - b) ** 2 / np.linalg.norm(a + b) ** 2
    return {"cosine": c, "similarity": 2 * la * lb / (la**2 + lb**2), "curvature": (1 - c**2) * ratio}


def test_the_measures_are_those_of_the_formulas():
    values = torch.randn(5, 3, 2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = gradient_geometry(Gradients(("a", "b", "c"), values, ids=torch.arange(5) * 3))
    assert found.schema == GEOMETRY
    assert len(found) == 3 * 3 * 5
    flat = values.flatten(2).numpy()
    for row in found.iter_rows(named=True):
        i, j = ("abc".index(row[end]) for end in ("first", "second"))
        vectors = flat[row["example"] // 3]
        assert row["value"] == pytest.approx(by_formula(vectors[i], vectors[j])[row["measure"]], rel=1e-9)


def test_pairs_and_models_are_averaged():
    found = gradient_geometry(task_gradients(helpers.multi(), helpers.batch()))
    pairs = averaged(found, resamples=20)
    assert pairs.columns == ["first", "second", "measure", "n", "value", "low", "high"]
    assert set(pairs["n"]) == {5, 6}  # the example without a digit is in no pair with it
    whole = overall(found)
    for name, value in whole.items():
        assert value == pytest.approx(pairs.filter(measure=name)["value"].mean())
    assert list(whole) == ["cosine", "similarity", "curvature"]


def test_correlations_are_scipys():
    rng = np.random.default_rng(0)
    robust = rng.random(14)
    table = pl.DataFrame({"cosine": -robust + 0.1 * rng.random(14), "curvature": rng.random(14), "robust": robust})
    found = geometry_correlation(table, measures=["cosine", "curvature"])
    assert found.schema == CORRELATION
    for row in found.iter_rows(named=True):
        wanted = pearsonr(table[row["measure"]], robust)
        assert (row["r"], row["p"]) == (pytest.approx(wanted.statistic), pytest.approx(wanted.pvalue))
        assert row["r"] == pytest.approx(np.corrcoef(table[row["measure"]], robust)[0, 1])
        half = 1.959964 / np.sqrt(14 - 3)  # Fisher's transformation
        wanted_ends = np.tanh(np.arctanh(row["r"]) + np.array([-half, half]))
        assert (row["low"], row["high"]) == pytest.approx(tuple(wanted_ends), abs=1e-6)
        assert (row["n"], row["caution"], row["against"]) == (14, "", "robust")


def test_few_or_even_models_are_told_of():
    table = pl.DataFrame({"cosine": [0.1, 0.2, 0.4, None], "even": [1.0] * 4, "robust": [0.4, 0.2, 0.3, 0.5]})
    found = geometry_correlation(table, measures=["cosine", "even"]).to_dicts()
    assert (found[0]["n"], found[0]["caution"], found[0]["low"]) == (3, "3 models are few", None)
    assert found[0]["r"] == pytest.approx(np.corrcoef([0.1, 0.2, 0.4], [0.4, 0.2, 0.3])[0, 1])
    assert (found[1]["r"], found[1]["p"], found[1]["caution"]) == (None, None, "one of the two does not vary")
    two = geometry_correlation(table[:2], measures=["cosine"]).row(0, named=True)
    assert (two["r"], two["caution"]) == (None, "2 models have no correlation")
    line = pl.DataFrame({"cosine": [0.0, 1.0, 2.0, 3.0, 4.0], "robust": [4.0, 3.0, 2.0, 1.0, 0.0]})
    straight = geometry_correlation(line, measures=["cosine"]).row(0, named=True)
    assert straight["r"] == pytest.approx(-1)
    four = pl.DataFrame({"cosine": [0.0, 1.0, 2.0, 3.0], "robust": [4.0, 1.0, 2.0, 1.0]})
    ends = geometry_correlation(four, measures=["cosine"]).row(0, named=True)
    assert -1 <= ends["low"] < ends["r"] < ends["high"] <= 1
    with pytest.raises(TestudoError, match="lacks the column 'robust'"):
        geometry_correlation(pl.DataFrame({"cosine": [1.0]}), measures=["cosine"])


def test_means_over_examples():
    rows = pl.DataFrame(
        {
            "task": ["a"] * 4 + ["b"] * 3,
            "example": [1, 2, 3, 4, 2, 3, 4],
            "value": [1.0, 2.0, 3.0, None, 5.0, float("nan"), 7.0],
        }
    )
    found = averaged(rows, resamples=300)
    assert found.select("task", "n", "value").rows() == [("a", 3, 2.0), ("b", 2, 6.0)]
    assert found["low"].to_list() == [1.0, 5.0]
    assert found["high"].to_list() == [3.0, 7.0]
    same = pl.concat([rows, rows.with_columns(task=pl.lit("c"))[:4]])
    paired = averaged(same, resamples=50)
    assert paired.row(0)[1:] == paired.row(2)[1:]  # the same examples were drawn
    assert averaged(rows.filter(task="a").drop("task"), resamples=5).columns == ["n", "value", "low", "high"]
    with pytest.raises(TestudoError, match="more than once"):
        averaged(pl.concat([rows, rows[:1]]))
    with pytest.raises(TestudoError, match="lacks the column 'example'"):
        averaged(rows.drop("example"))
    with pytest.raises(TestudoError, match="no rows"):
        averaged(rows[:0])


def test_means_over_seeds():
    table = pl.DataFrame(
        {
            "run": ["s0", "s1", "s2", "t0", "u0"],
            "task": ["a"] * 5,
            "n": [5, 6, 7, 8, 9],
            "value": [1.0, 2.0, 6.0, 4.0, 9.0],
            "low": [0.0] * 5,
        }
    )
    groups = {"t0": "t", "s0": "s", "s1": "s", "s2": "s"}
    found = over_seeds(table, groups)
    assert found.columns == ["group", "task", "runs", "value", "spread"]
    assert found.rows() == [("t", "a", 1, 4.0, None), ("s", "a", 3, 3.0, pytest.approx(np.std([1, 2, 6], ddof=1)))]
    with pytest.raises(TestudoError, match="unknown run 's3'"):
        over_seeds(table, {"s3": "s"})
    with pytest.raises(TestudoError, match="lacks the column 'run'"):
        over_seeds(table.drop("run"), groups)
