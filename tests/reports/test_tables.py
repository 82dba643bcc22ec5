from __future__ import annotations

import csv
import io
from dataclasses import replace

import polars as pl
import pytest
from rich.console import Console

from testudo.evaluation.summarise import summarise
from testudo.reports.results import Results
from testudo.reports.study_tables import full_table, main_table, objectives_table
from testudo.reports.tables import Cell, Row, Section, Table


@pytest.fixture
def table() -> Table:
    rows = (
        Row(Cell("a|b <i>"), (Cell("97.2", ("[96.1, 98.0]",)), Cell("–"))),
        Row(Cell("difference"), (Cell("+1.0", ("[0, 2]", "p 0.03")), Cell("–")), "difference"),
    )
    return Table(
        "Scores", "How to read it.", (Cell(""), Cell("clean"), Cell("PGD", ("L∞",))), (Section("digit", rows, "n = 9"),)
    )


def shown(table: Table, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(table.rich())
    return console.file.getvalue()


def test_every_form_shows_every_word(table):
    words = ["digit", "n = 9", "clean", "PGD", "97.2", "[96.1, 98.0]", "+1.0", "p 0.03", "–"]
    for form in (shown(table), table.html(), table.markdown(), table.csv()):
        assert [word for word in words if word not in form] == []


def test_markup_in_names_stays_text(table):
    assert "a|b &lt;i&gt;" in table.html()
    assert "<i>" not in table.html()
    widths = {line.replace("\\|", "").count("|") for line in table.markdown().splitlines()}
    assert widths == {4}
    bracketed = Table("", "", (Cell("x"),), (Section("", (Row(Cell("[bold]"), ()),)),))
    assert "[bold]" in shown(bracketed)  # rich would take it for markup


def test_csv_is_read_back(table):
    head, *rows = csv.reader(io.StringIO(table.csv()))
    assert head == ["section", "", "clean", "PGD L∞"]
    assert rows[1] == ["digit: n = 9", "difference", "+1.0 [0, 2] p 0.03", "–"]


def test_p_values_stand_beside_corrected_ones_and_how_many_those_are(results):
    table, tests = main_table(results), sum(len(row["p_values"]) for row in results.comparisons.to_dicts())
    assert f"Holm the same corrected for the {tests} such tests of the study" in table.caption
    for shown in (table.html(), table.markdown(), table.latex()):
        assert "Holm" in shown.replace(table.caption, "")
    assert "adjusted" in table.csv().splitlines()[0]
    few = replace(results, comparisons=results.comparisons.with_columns(p_values=[], adjusted=[]))
    assert "McNemar" not in main_table(few).caption


def test_the_main_table_holds_the_summary_s_numbers(results):
    table = main_table(results)
    assert [section.title for section in table.sections] == ["digit", "parity", "loop"]
    digit = table.sections[0]
    assert [row.kind for row in digit.rows] == ["value", "value", "difference"] * 2
    assert len(table.columns) == 1 + 1 + 4 + 1  # names, clean, PGD-20 at four eps in Linf, one in L2
    assert {column.text for column in table.columns[2:]} == {"PGD-20"}
    strongest = results.strongest("digit")
    row = results.value("standard, single-task", "digit", strongest)
    cell = next(c for c, h in zip(digit.rows[0].cells, table.columns[1:], strict=True) if h.notes == (strongest.ball,))
    assert cell == Cell(f"{100 * row['value']:.1f}", (f"[{100 * row['low']:.1f}, {100 * row['high']:.1f}]",))
    difference = results.difference("adversarial, multi-task", "digit", results.clean())
    assert digit.rows[5].cells[0].text == f"+{100 * difference['difference']:.1f}"
    assert len(digit.rows[5].cells[0].notes[1].split(",")) == 2  # one p for each pair of seeds
    assert "digit alone" in digit.note
    assert "digit + parity + loop (equal)" in table.sections[1].note


def test_the_terminal_table_fits(results):
    lines = shown(main_table(results), 110).splitlines()
    assert max(len(line) for line in lines) <= 110
    assert "…" not in "".join(lines)


def test_objectives_are_told_apart(results):
    table = objectives_table(results)
    assert [section.title for section in table.sections] == ["standard, multi-task", "adversarial, multi-task"]
    notes = {row.head.notes for row in table.rows}
    assert ("on digit alone",) in notes
    assert ("on digit + parity + loop", "balance: minmax") in notes
    assert len(table.columns) == 1 + 3 + 2


def test_no_table_of_objectives_without_joint_attacks(study, frames):
    summary, comparisons = frames
    alone = Results(study, summary.filter(~summary["objective"].str.starts_with("all")), comparisons)
    assert objectives_table(alone) is None
    assert "digit alone" in main_table(alone).sections[1].note  # the other tasks under the target's attack


def test_every_number_is_in_the_full_table(results, frames):
    assert len(full_table(results).rows) == len(frames[0])


def test_further_metrics_are_in_the_full_table_alone(study, results, rows, frames):
    """Of classes told in place of others how far off they are, had they an order."""
    parity = pl.col("task") == "parity"
    more = rows.with_columns(further=pl.when(parity).then(["error"]).otherwise([]))
    names = {run: group.name for group in study.groups for run in group.runs}
    told = Results(study, summarise(more, names, resamples=100), frames[1])
    assert main_table(told) == main_table(results)
    assert objectives_table(told) == objectives_table(results)
    full = {section.title: section for section in full_table(told).sections}
    before = {section.title: section for section in full_table(results).sections}
    added = {title for title in full if title not in before}
    assert added == {f"{group.name}: parity, mean absolute error" for group in study.groups if "parity" in group.tasks}
    assert {title: full[title] for title in before} == before
    title = sorted(added)[0]
    primary = title.replace("mean absolute error", "accuracy (%)")
    assert list(full).index(title) == list(full).index(primary) + 1
    for error, share in zip(full[title].rows, full[primary].rows, strict=True):
        assert error.head == share.head
        assert float(error.cells[0].text) == pytest.approx(1 - float(share.cells[0].text) / 100, abs=1.1e-3)
