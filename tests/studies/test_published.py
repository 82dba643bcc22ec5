from __future__ import annotations

import os
import re
from fractions import Fraction
from importlib.resources import files
from io import StringIO
from pathlib import Path

import polars as pl
import pytest

from testudo.evaluation.metrics import delta, delta_mtl, delta_wor

PAPERS = Path(os.environ.get("TESTUDO_PAPERS", Path(__file__).parents[3] / "shared/papers"))
TASKS = {"segment_miou": True, "part_miou": True, "depth_aerr": False, "disparity_aerr": False, "normal_mdist": False}

# Table IV, Linf: the printed Delta_Wor of two min-max rows does not follow from the row's own columns.
SLIPS = {("IV", "2/255", "Min-max"): (-37.12, -36.61), ("IV", "4/255", "Min-max"): (-56.10, -55.00)}


@pytest.fixture(scope="module")
def text() -> str:
    return files("testudo.studies").joinpath("published/minmax.csv").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def table(text) -> pl.DataFrame:
    types = {"eps": pl.String, "eps_ours": pl.String}
    return pl.read_csv(StringIO(text), schema_overrides=types)


def recomputed(table: pl.DataFrame, row: dict) -> tuple[float, float]:
    """Delta_MTL and Delta_Wor in percent from a row's own metrics and its table's baseline."""
    base = table.row(by_predicate=(pl.col("table") == row["table"]) & (pl.col("method") == "Baseline"), named=True)
    tasks = [name for name in TASKS if row[name] is not None]
    deltas = delta([base[t] for t in tasks], [row[t] for t in tasks], [TASKS[t] for t in tasks])
    return 100 * float(delta_mtl(deltas)), 100 * float(delta_wor(deltas))


def test_the_delta_columns_follow_from_the_others_but_for_two_slips(table):
    attacked = table.filter(pl.col("method") != "Baseline")
    assert len(attacked) == 36
    slips = {}
    for row in attacked.iter_rows(named=True):
        mtl, wor = recomputed(table, row)
        assert mtl == pytest.approx(row["delta_mtl"], abs=0.1)
        if wor != pytest.approx(row["delta_wor"], abs=0.1):
            slips[row["table"], row["eps"], row["method"]] = (row["delta_wor"], pytest.approx(wor, abs=0.01))
    assert slips == SLIPS


def test_without_the_slips_normalising_was_better_there(table):
    for name, eps, _ in SLIPS:
        rows = table.filter(table=name, eps=eps)
        wor = {row["method"]: recomputed(table, row)[1] for row in rows.iter_rows(named=True)}
        assert min(wor, key=wor.__getitem__) == "Normalize"


def test_three_tasks_each_and_eps_halved(table):
    """The paper's images lie in [-1, 1], so its eps is twice ours."""
    for row in table.iter_rows(named=True):
        assert sum(row[name] is not None for name in TASKS) == 3
        assert Fraction(row["eps_ours"]) == Fraction(row["eps"]) / 2


def test_every_number_stands_in_the_paper(text):
    found = sorted(PAPERS.glob("004_*.txt"))
    if not found:
        pytest.skip(f"the paper is not in {PAPERS}")
    tables = re.split(r"\nTABLE (?=[IV]+\n)", found[0].read_text(encoding="utf-8"))[1:]
    lines = {part.split("\n", 1)[0]: part.splitlines() for part in tables}
    header, *rows = (line.split(",") for line in text.splitlines())
    assert len(rows) == 40
    for cells in rows:
        row = dict(zip(header, cells, strict=True))
        numbers = [row[name] for name in (*TASKS, "delta_mtl", "delta_wor") if row[name]]
        at = [i for i, line in enumerate(lines[row["table"]]) if line.split("\t") == [row["method"], *numbers]]
        assert len(at) == 1, row
        above = [line.strip() for line in lines[row["table"]][: at[0]] if line.startswith("$\\epsilon=")]
        assert (above[-1] if above else "$\\epsilon=0$") == f"$\\epsilon={row['eps']}$"
