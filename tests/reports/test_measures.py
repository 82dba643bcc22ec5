from __future__ import annotations

import json
import math

import polars as pl
import pytest

from testudo.errors import TestudoError
from testudo.reports.diagnosis import diagnosis_table, read_diagnoses
from testudo.reports.measures import MOST, Measure, measure_table, read_measures
from testudo.reports.page import Part, render
from testudo.reports.study import read_study
from testudo.reports.wording import short

ONE = Measure("m", "Crossed", "How.", "m.csv")


def test_intervals_stand_with_their_value():
    frame = pl.DataFrame({
        "who": ["a", "b"], "n": [1200, 7], "value": [0.123456, math.nan], "low": [0.1, None], "high": [0.2, 0.3],
        "cosine": [-0.5, 2e-9], "cosine_low": [-0.6, 0.0], "cosine_high": [-0.4, 1.0], "told": ["x", "y"],
    })  # fmt: skip
    table = measure_table(ONE, frame)
    assert [cell.text for cell in table.columns] == ["who", "n", "value", "cosine", "told"]
    first, second = table.rows
    assert [cell.line for cell in (first.head, *first.cells)] == [
        "a", "1,200", "0.1235 [0.1, 0.2]", "−0.5 [−0.6, −0.4]", "x",
    ]  # fmt: skip
    assert [cell.line for cell in second.cells] == ["7", "–", "2e−09 [0, 1]", "y"]
    assert table.words == {0, 4}
    assert pl.read_csv(table.csv().encode()).columns == frame.columns
    assert float(pl.read_csv(table.csv().encode())["value"][0]) == 0.123456


def test_low_and_high_belong_to_the_column_before_where_none_is_called_value():
    table = measure_table(ONE, pl.DataFrame({"n": [5], "success": [0.5], "low": [0.25], "high": [0.75]}))
    assert [cell.line for cell in (table.rows[0].head, *table.rows[0].cells)] == ["5", "0.5 [0.25, 0.75]"]
    alone = measure_table(ONE, pl.DataFrame({"low": [0.25], "high": [0.75]}))
    assert [cell.text for cell in alone.columns] == ["low", "high"]


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0, "0"), (-3.14159, "−3.142"), (12345.678, "12,346"), (10**7, "10,000,000"), (True, "True"), (None, "–")],
)
def test_numbers_are_short(value, told):
    assert short(value) == told


def test_what_is_missing_empty_or_long_is_named_in_a_line(tmp_path, results):
    (tmp_path / "empty.csv").write_text("a,b\n")
    pl.DataFrame({"a": range(MOST + 1)}).write_parquet(tmp_path / "long.parquet")
    measures = [Measure(name, name, "", name) for name in ("none.csv", "empty.csv", "long.parquet")]
    found = read_measures(tmp_path, measures)
    assert [each.table for each in found] == [None] * 3
    page = render([Part(results, measured=found)])
    for each in found:
        assert each.wrong in page
        assert each.measure.file in each.wrong


@pytest.mark.parametrize(
    ("name", "content"), [("m.parquet", b"PAR1"), ("m.csv", b""), ("m.csv", b"a,b\n1\n\xff\xfe,2,3")]
)
def test_what_is_damaged_is_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TestudoError, match=rf"^[^\n]*{name} is not a readable table[^\n]*$"):
        read_measures(tmp_path, [Measure("m", "", "", name)])


def test_diagnoses_are_read_and_told(folder, results):
    (told,) = read_diagnoses(folder, read_study(folder))
    assert (told.run, told.verdict, told.kind) == ("r", "warn", "open")
    assert told.picture.startswith("data:image/png;base64,")
    (row,) = diagnosis_table((told,)).rows
    assert row.cells[-1].text == "fgsm 0.1235, n 60, stronger none"
    page = render([Part(results, diagnoses=(told,))])
    assert "FGSM beats PGD &lt;by&gt; little" in page
    assert "Carlini et al. 2019" in page
    assert 'id="diagnosis"' not in render([Part(results)])


def test_a_run_s_own_diagnosis_is_found(folder, study, tmp_path):
    run = study.groups[1].runs[0]
    (tmp_path / run).mkdir()
    source = (folder / "diagnosis" / "run.json").read_text()
    (tmp_path / run / "diagnosis.json").write_text(source)
    (told,) = read_diagnoses(tmp_path, study)
    assert told.source == source
    assert told.picture == ""


@pytest.mark.parametrize(
    "change", [{"findings": 5}, {"findings": [{}]}, {"verdict": "fine"}, {"examples": "many"}, {"findings": None}]
)
def test_a_diagnosis_of_another_form_is_one_line(folder, study, tmp_path, change):
    (tmp_path / "diagnosis").mkdir()
    path = tmp_path / "diagnosis" / "d.json"
    path.write_text(json.dumps(json.loads((folder / "diagnosis" / "run.json").read_text()) | change))
    with pytest.raises(TestudoError, match=r"^[^\n]*d.json is not a readable diagnosis: [^\n]*$"):
        read_diagnoses(tmp_path, study)
