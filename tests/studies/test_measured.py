"""What the catalogue measures of data and models beside the suites."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from testudo.data.chexpert import CheXpert
from testudo.data.digits import Digits
from testudo.data.fraction import Fraction
from testudo.data.xray import NIH
from testudo.errors import TestudoError
from testudo.evaluation.columns import ROWS
from testudo.studies.catalogue.census import Census, Findings
from testudo.studies.catalogue.printed import Printed
from testudo.studies.measures import Fronts, Measure

WRITERS = Path(__file__).resolve().parents[1] / "data"
NOTHING = pl.DataFrame()


def groups(data):
    """A study of one run on ``data``."""
    return {"alone": [SimpleNamespace(recipe=SimpleNamespace(data=data))]}


@pytest.fixture(scope="module")
def nih(tmp_path_factory):
    root = tmp_path_factory.mktemp("nih")
    return NIH(str(runpy.run_path(str(WRITERS / "writers.py"))["nih"](root, patients=9)))


def test_radiographs_and_patients_are_counted(nih):
    """Patient p has 1 + p mod 3 images, is p + 30 years old (the seventh 411: unknown), female where p is even."""
    told = Census("", "", "NIH")(NOTHING, groups(Fraction(nih)))
    here = dict(told.select("what", "here").iter_rows())
    people = [p for p in range(1, 10) for _ in range(1 + p % 3)]
    assert here["Number of patient radiographs"] == len(people) == 18
    assert here["Number of patients"] == 9
    ages = pl.Series([p + 30.0 for p in people if p != 7])
    assert here["Age in years"] == pytest.approx(ages.mean())
    assert here["Age in years, standard deviation"] == pytest.approx(ages.std(ddof=0))
    assert here["Percentage of females (%)"] == pytest.approx(100 * sum(p % 2 == 0 for p in people) / 18)
    theirs = dict(told.select("what", "the paper").iter_rows())
    assert theirs["Number of patients"] == 30_805
    assert theirs["Age in years, standard deviation"] == 16.6


def test_findings_are_counted_once_a_patient(nih):
    told = Findings("", "", "NIH")(NOTHING, groups(nih))
    lines = {line["finding"]: line for line in told.to_dicts()}
    edema = sum(p % 4 in (2, 3) for p in range(1, 10))
    assert (lines["Edema"]["positive"], lines["Edema"]["negative"], lines["Edema"]["unknown"]) == (edema, 9 - edema, 0)
    assert (lines["Edema"]["positive, the paper"], lines["Edema"]["negative, the paper"]) == (82, 30_723)
    assert lines["Pleural_Thickening"]["positive, the paper"] == 763
    assert all(line["positive, the paper"] is not None for line in lines.values())


def test_unknown_findings_are_told_apart(tmp_path):
    root = runpy.run_path(str(WRITERS / "set_writers.py"))["chexpert"](tmp_path)
    told = Findings("", "", "CheXpert")(NOTHING, groups(CheXpert(str(root))))
    assert set(told.select(pl.sum_horizontal("positive", "negative", "unknown")).to_series()) == {24 + 8}
    assert told["unknown"].min() > 0  # uncertain or blank
    lines = {line["finding"]: line for line in told.to_dicts()}
    assert lines["Pleural Effusion"]["positive, the paper"] == 20_640
    assert lines["Support Devices"]["positive, the paper"] is None


def test_digits_have_no_patients():
    with pytest.raises(TestudoError, match="Digits has no radiographs to count"):
        Census("", "", "NIH")(NOTHING, groups(Digits()))


def test_printed_numbers_stand_beside_the_lines_they_are_of():
    class Named(Measure):
        def __call__(self, rows, groups):
            return pl.DataFrame({"name": list(groups), "count": [len(runs) for runs in groups.values()]})

    made = Printed("", "", Named("", ""), ("name",), {("GAT, a",): 0.5, ("x",): 1.0}, of="GAT")
    told = made(NOTHING, {"GAT, a": [1], "standard, a": [1, 2], "GAT, b": [1, 2, 3]})
    assert told.rows() == [("GAT, a", 1, 0.5), ("GAT, b", 3, None)]


def test_volumes_have_the_interval_of_their_models():
    """One front of one perfect model, one of two that are right in half of the images."""
    hits = {"a": (1.0, 1.0), "b": (1.0, 0.0)}
    lines = [
        {"run": run, "example": i, "task": "digit", "metric": "accuracy", "further": [], "attack": attack,
         "family": attack, "norm": "", "eps": 0.0, "steps": 0, "objective": "", "score": 1.0, "loss": 0.0, "linf": 0.0,
         "l2": 0.0, "weight": 1.0, "record": [hits[run][i % 2], 1.0]}
        for run in hits for attack in ("clean", "pgd") for i in range(80)
    ]  # fmt: skip
    rows = pl.DataFrame([{name: line[name] for name in ROWS} for line in lines], schema=ROWS)
    of = {name: [SimpleNamespace(name=name)] for name in hits}
    told = Fronts("", "", {"one": ("a",), "two": ("a", "b"), "half": ("b",)}, "digit", "pgd")(rows, of)
    line = {row["front"]: row for row in told.to_dicts()}
    assert line["one"]["above (0, 0)"] == line["two"]["above (0, 0)_low"] == 1
    assert line["half"]["above (0, 0)"] == 0.25
    assert line["half"]["above (0, 0)_low"] < 0.2 < 0.25 < line["half"]["above (0, 0)_high"]
    assert line["half"]["the paper's way"] == 0.25
