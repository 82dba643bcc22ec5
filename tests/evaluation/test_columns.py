"""Rows as columns, however they lie; and each column's replicates drawn once."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from testudo.errors import TestudoError
from testudo.evaluation import summarise as summaries
from testudo.evaluation.claims import judge
from testudo.evaluation.columns import ROWS, columns
from testudo.evaluation.significance import comparisons
from testudo.evaluation.summarise import summarise
from testudo.reports.claims import Claim, Side

GROUPS = [{"name": "a", "runs": ["a"], "counterpart": None}, {"name": "b", "runs": ["b"], "counterpart": "a"}]


def rows_of(run, attack, examples, task="digit", width=2, metric="accuracy"):
    draw = np.random.default_rng([len(attack), ord(run), width])
    n = len(examples)
    told = {"run": run, "task": task, "metric": metric, "attack": attack, "family": attack, "norm": "", "eps": 0.0}
    told |= {"steps": 0, "objective": "", "loss": 0.0, "linf": 0.0, "l2": 0.0, "score": 1.0}
    record = draw.integers(0, 2, (n, width)).astype(np.float32)
    frame = pl.DataFrame({"example": examples, "further": [[]] * n, "record": record.tolist()})
    return frame.with_columns(**{key: pl.lit(value) for key, value in told.items()}).select(*ROWS).cast(dict(ROWS))


@pytest.fixture
def rows():
    """Two runs; one attack made on some examples alone, one task that keeps other records."""
    whole, few = list(range(10, 40)), [11, 12, 30]
    parts = [rows_of(run, "clean", whole) for run in "ab"] + [rows_of(run, "pgd", few) for run in "ab"]
    return pl.concat([*parts, rows_of("b", "clean", whole, "angle", 4, "error")])


@pytest.mark.parametrize("order", ["as made", "shuffled", "sorted by example"])
def test_each_record_is_at_its_example(rows, order):
    if order == "shuffled":
        rows = rows.sample(fraction=1, shuffle=True, seed=1)
    if order == "sorted by example":
        rows = rows.sort("example")
    found = columns(pl.concat([rows[:50], rows[50:]], rechunk=False))
    for (run, task, attack), column in found.items():
        own = rows.filter(run=run, task=task, attack=attack)
        assert len(column.records) == 30
        assert column.labelled.sum() == len(own) == (~np.isnan(column.records[:, 0])).sum()
        for row in own.iter_rows(named=True):
            assert column.records[row["example"] - 10].tolist() == row["record"]
    assert {key[0] for key in found} == {"a", "b"}
    assert columns(found) is found


def test_records_of_several_lengths_and_an_example_twice_are_told(rows):
    ragged = rows.with_columns(
        record=pl.when(pl.col("example") == 12).then(pl.col("record").list.head(1)).otherwise("record")
    )
    for order in (ragged, ragged.sort("example")):
        with pytest.raises(TestudoError, match="records must all have one length"):
            columns(order)
    with pytest.raises(TestudoError, match=r"run 'b', task 'digit', attack 'pgd': example 30 appears more than once"):
        columns(pl.concat([rows, rows.filter(run="b", attack="pgd", example=30)]))


def test_all_that_ask_for_a_column_share_its_replicates(rows, monkeypatch):
    claims = [Claim("so", "", "digit", ((Side("b", "clean"), Side("a", "clean")),))]
    runs = {"a": ["a"], "b": ["b"]}
    alone = summarise(rows), comparisons(rows, GROUPS), judge(rows, claims, runs)
    drawn, real = [], summaries.resamples_of
    monkeypatch.setattr(summaries, "resamples_of", lambda *how: drawn.append(how) or real(*how))
    table = columns(rows)
    shared = summarise(table), comparisons(table, GROUPS), judge(table, claims, runs)
    assert drawn == [(30, 1000, 0)]
    assert shared[0].equals(alone[0])
    assert shared[1].equals(alone[1])
    assert shared[2] == alone[2]
    summarise(table, seed=1)
    first, second = table["a", "digit", "clean"].replicates.values()
    assert not np.array_equal(first, second)
