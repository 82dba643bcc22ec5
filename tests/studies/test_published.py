from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from importlib.resources import files
from io import StringIO
from itertools import groupby
from pathlib import Path

import polars as pl
import pytest
from published_text import NO_CELLS, PAPERS, PROSE, TABLES, block, no_cells, numbers

from testudo.errors import TestudoError
from testudo.evaluation.metrics import delta, delta_mtl, delta_wor
from testudo.studies.published import SOURCES, names, read

PAGE = Path(__file__).parents[2] / "docs/published.md"
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


# By which column a line of the paper is told: "row", the label of the line, in all tables but these.
LABEL = {
    **dict.fromkeys(("mao-table1", "mao-table2", "mao-table3", "contrastive-table1", "contrastive-table2"), "attack"),
    "gat-table3": "auxiliary",
    "minmax": "method",
}
# Which columns tell the cells of a line apart, in the order of the heading.
HEADING = {
    **dict.fromkeys(("mao-table1", "mao-table2", "mao-table3", "contrastive-table1", "contrastive-table2"), "row"),
    **dict.fromkeys(("mao-figure7", "mao-supplement-table1", "mao-supplement-table2"), "auxiliary"),
    **dict.fromkeys(("gat-table1", "gat-table9", "gat-table12", "gat-table13"), "auxiliary metric"),
    **dict.fromkeys(("gat-table2", "gat-table5", "gat-table10", "gat-table11"), "metric"),
    **dict.fromkeys(("gat-table4", "gat-table16"), "auxiliary"),
    **dict.fromkeys(("gat-table6", "gat-table7"), "dataset"),
    "gat-table17": "target",
}
SPELT = {  # how the papers' lines and headings spell what the tables spell in one way
    "clean": ["clean", "natural accuracy"],
    "reshading": ["reshading", "reshad"],
    "none": ["none", "baseline"],
    "clean accuracy": ["clean accuracy", "test acc"],
    "robust accuracy": ["robust accuracy", "robust acc"],
}
UNLABELLED = {"gat-table8", "gat-figure3", "gat-figure4"}  # labels spread over several lines, or prose


def printed(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(files("testudo.studies").joinpath(f"published/{name}.csv").read_text("utf-8"))))


def cells(name: str) -> list[tuple[dict[str, str], str]]:
    """Row and number, as printed, of every cell of a table."""
    measured = ("value", "spread") if name != "minmax" else (*TASKS, "delta_mtl", "delta_wor")
    return [(row, row[column]) for row in printed(name) for column in measured if row[column]]


def plain(line: str) -> str:
    return " ".join(re.sub(r"</?[iu]>|[|]", " ", line).casefold().split())


def test_every_file_is_a_table_and_has_a_source():
    stems = {file.name.removesuffix(".csv") for file in files("testudo.studies").joinpath("published").iterdir()}
    assert set(names()) == set(SOURCES) == stems == {*TABLES, *PROSE}
    assert set(NO_CELLS) <= set(names())


@pytest.mark.parametrize("name", names())
def test_the_table_has_the_numbers_of_the_paper_and_no_others_in_its_order(name):
    there, here = [number for line in block(name) for number in numbers(line)], [number for _, number in cells(name)]
    assert Counter(there) - Counter(here) == no_cells(name)
    assert not Counter(here) - Counter(there)
    rest = iter(there)
    assert all(number in rest for number in here)


@pytest.mark.parametrize("name", [name for name in names() if name not in UNLABELLED])
def test_every_number_stands_in_the_line_of_its_label(name):
    todo = cells(name)
    for line in block(name):
        said = plain(line)
        for number in numbers(line):
            if todo and number == todo[0][1]:
                label = todo.pop(0)[0][LABEL.get(name, "row")].casefold()
                assert any(word in said for word in SPELT.get(label, [label])), (label, number, line)
    assert not todo


@pytest.mark.parametrize(("name", "keys"), HEADING.items())
def test_the_cells_of_a_line_stand_in_the_order_of_the_heading(name, keys):
    lines, todo = block(name), cells(name)
    at = next(i for i, line in enumerate(lines) if todo[0][1] in numbers(line))
    heading = plain(" ".join(lines[:at]))
    for line in lines[at:]:
        found = [number for number in numbers(line) if number not in no_cells(name)]
        assert [number for _, number in todo[: len(found)]] == found
        for key in keys.split() if found else ():
            labels = [label for label, _ in groupby(row[key].casefold() for row, _ in todo[: len(found)])]
            known = [SPELT.get(label, [label]) for label in labels if label != "mean"]  # which stands a line higher
            spelt = ["(?:" + "|".join(map(re.escape, words)) + ")" for words in known]
            assert re.search(r"(?<!\S)" + r"(?!\S).*(?<!\S)".join(spelt) + r"(?!\S)", heading), (labels, line)
        del todo[: len(found)]
    assert not todo


@pytest.mark.parametrize("name", names())
def test_a_table_reads_as_strings_and_numbers_and_no_cell_is_there_twice(name):
    table = read(name)
    measured = [column for column, kind in table.schema.items() if kind == pl.Float64]
    assert measured == (["value", "spread"] if name != "minmax" else [*TASKS, "delta_mtl", "delta_wor"])
    keys = table.drop(*measured, "note")
    assert set(keys.dtypes) == {pl.String}
    assert not keys.is_duplicated().any()
    assert all((keys[column] != "").all() for column in keys.columns)
    assert [float(number.replace(",", "")) for _, number in cells(name)] == [
        number for row in table.select(measured).iter_rows() for number in row if number is not None
    ]
    assert set(table["note"].str.extract("^(slip|doubt|garbled): .").drop_nulls()) <= {"slip", "doubt", "garbled"}


def test_an_unknown_table_names_the_nearest():
    with pytest.raises(TestudoError, match="unknown published table 'gat-tabel13'; did you mean 'gat-table13'"):
        read("gat-tabel13")


def test_tables_are_read_without_torch():
    code = "import sys; from testudo.studies.published import read; read('minmax'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", names())
def test_the_page_tells_cells_and_slips_of_every_table(name):
    notes = [row["note"].partition(":")[0] for row in printed(name)]
    row = f"| `{name}` | {len(cells(name))} | {notes.count('slip')} | {notes.count('doubt') + notes.count('garbled')} |"
    assert row in PAGE.read_text(encoding="utf-8")
