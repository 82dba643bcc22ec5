from __future__ import annotations

import base64
import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testudo.reports import exports, latex
from testudo.reports.page import Part, render
from testudo.reports.tables import Cell, Row, Section, Table

SAFE = {  # every command that an escaped text may hold
    "textbackslash", "textasciitilde", "textasciicircum", "dots", "Delta", "delta", "varepsilon", "infty", "circ",
    "cdot", "times", "pm", "le", "ge", "surd", "lambda", "sigma",
}  # fmt: skip


def linked(page: str) -> dict[str, str]:
    """The files that a page's links hold, by name."""
    found = re.findall(r'<a download="([^"]+)" href="data:[^;]+;base64,([^"]*)"', page)
    assert len({name for name, _ in found}) == len(found)
    return {name: base64.b64decode(held).decode() for name, held in found}


def test_every_table_lies_in_the_folder_and_in_the_page(claimed, tmp_path):
    part = Part(claimed)
    exports.write_tables(tmp_path, [part])
    written = {path.name: path.read_text() for path in (tmp_path / "tables").iterdir()}
    stems = ("claims", "published", "clean-and-robust", "objectives", "every-number")
    assert {f"{stem}.{ending}" for stem in stems for ending in ("csv", "md", "tex")} <= set(written)
    held = linked(render([part]))
    for name, text in written.items():
        if not name.startswith("verdicts"):  # told on the page in words
            assert held[f"quickstart-{name}"] == text


def test_drawings_hold_their_numbers(claimed):
    held = linked(render([Part(claimed)]))
    lines = list(csv.DictReader(io.StringIO(held["quickstart-digit-PGD-20-Linf.csv"])))
    assert len(lines) == 4 * 5  # groups, clean and four eps
    for line in lines:
        row = claimed.value(line["group"], "digit", claimed.named(line["attack"]))
        assert [float(line[key]) for key in ("value", "low", "high", "eps")] == [
            row[key] for key in ("value", "low", "high", "eps")
        ]


def test_the_csv_is_unrounded_and_says_what_each_number_is(claimed):
    lines = list(csv.DictReader(io.StringIO(Part(claimed).tables["clean-and-robust"].csv())))
    values = [line for line in lines if not line["counterpart"]]
    differences = [line for line in lines if line["counterpart"]]
    assert len(values) == sum(row["task"] != "*" for row in values) > 20
    for line in values:
        row = claimed.value(line["group"], line["task"], claimed.named(line["attack"]))
        assert [float(line[key]) for key in ("value", "low", "high", "eps", "n", "runs")] == [
            row[key] for key in ("value", "low", "high", "eps", "n", "runs")
        ]
        assert (line["norm"], line["family"]) == (row["norm"], row["family"])
    for line in differences:
        row = claimed.difference(line["group"], line["task"], claimed.named(line["attack"]))
        assert float(line["difference_low"]) == row["low"]
        assert [float(p) for p in line["p_values"].split(";")] == row["p_values"]
        assert not line["low"]


def test_parts_do_not_overwrite_each_other(claimed):
    assert exports.prefixes([Part(claimed)]) == [""]
    assert exports.prefixes([Part(claimed)] * 3) == ["", "quickstart-", "2-quickstart-"]


def test_latex_has_a_cell_for_each_column_and_booktabs(claimed):
    for table in Part(claimed).tables.values():
        told = table.latex()
        body = told[told.index("\\toprule") : told.index("\\bottomrule")]
        lines = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
        width = len(re.search(r"\\begin\{(?:tabular|longtable)\}\{(\w+)\}", told)[1])
        assert width == len(table.columns)
        assert len(lines) == len(table.rows) + 1
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {width - 1}
        assert told.count("{") == told.count("}")
        longer = len(table.rows) + 2 * len(table.sections) > latex.PAGE + 2
        assert not longer or "longtable" in told


@given(st.text(max_size=40))
def test_no_text_becomes_a_command(text):
    told = latex.escaped(text)
    assert set(re.findall(r"\\([a-zA-Z]+)", told)) <= SAFE
    bare = re.sub(r"\\(?:[a-zA-Z]+(?:\{\})?|[&%$#_{}])|\$<\$|\$>\$|\$\|\$|\$-\$|\$\^\\circ\$", "", told)
    assert not re.search(r"[\\&%#_{}^]", bare)
    assert "\n" not in told
    assert latex.cell(text, ()).startswith(("{}", "\\", "$")) or not latex.cell(text, ()).startswith(("[", "*"))


def test_markdown_is_no_html():
    row = Row(Cell("<img src=x>"), (Cell("a|b"), Cell("p <0.001")))
    told = Table("", "", (Cell("x"), Cell("y"), Cell("z")), (Section("", (row,)),)).markdown()
    assert "<img" not in told
    assert "&lt;img" in told
    assert "p <0.001" in told
    assert "a\\|b" in told


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "..", "a/b", "x" * 300, "Δ"])
def test_a_file_is_never_called_so_that_it_lies_elsewhere(name):
    made = exports.slug(name)
    assert re.fullmatch(r"[A-Za-z0-9-]{1,80}", made)
