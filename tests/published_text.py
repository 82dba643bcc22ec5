"""The papers' text, table by table: which numbers stand where, and which of them are no cells."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

PAPERS = Path(os.environ.get("TESTUDO_PAPERS", Path(__file__).parents[2] / "shared/papers"))
UNIT = re.compile(r"10\^\{-\d\}")  # of a row, as in DepthZ (10^{-2})
NUMBER = re.compile(r"(?<![\w.-])-?\d+(?:,\d{3})*(?:\.\d+)?(?!\w)")  # not the 7 of PGD-7, the 2 of Key2D

# name: paper, how the caption begins, whether the table stands above or below it
TABLES = {
    "mao-table1": ("003", "Table 1: The models", "above"),
    "mao-table2": ("003", "Table 2: Model", "above"),
    "mao-table3": ("003", "Table 3: Adversarial", "above"),
    "mao-figure7": ("003", "(a) Performance Under Attack|(b) Performance on Clean", "above"),
    "mao-supplement-table1": ("000", "Table 1: The absolute", "above"),
    "mao-supplement-table2": ("000", "Table 2: The", "above"),
    "contrastive-table1": ("001", "Table 1: Natural", "above"),
    "contrastive-table2": ("001", "Table 2: Natural", "above"),
    **{f"gat-table{n}": ("002", f"Table {n}. ", "above" if n in (6, 7) else "below") for n in range(1, 18)},
    "minmax": ("004", "TABLE I$|TABLE II$|TABLE III$|TABLE IV$", "below"),
}
# name: the line where the prose begins, that where the next begins
PROSE = {
    "gat-figure1": ("We evaluate in Fig. 1", "These results show"),
    "gat-figure3": ("GAT improves up to 21%", "GAT increases up to 41%"),
    "gat-figure4": ("GAT increases up to 41%", "Figure 3. Comparison"),
    "gat-mcnemar": ("- Model 'Rotation' VS 'Macro'", "The test is particularly suggested"),
}
# name: numbers of that block that are no cells: headings, years of citations, numbers of figures and tasks
NO_CELLS = {
    "mao-figure7": "1 1 2 2",
    "gat-table2": "2020 2020",
    "gat-table8": "0.1 0.5" + 8 * " 4 10",
    "gat-table9": "10 25 50",
    "gat-table11": "2019 2019 2019 2019 2020 2020 2020 2021",
    "gat-table15": "1 2 2 2 3 3 3 4",
    "gat-table16": "10 100 100",
    "gat-figure1": "1",
    "gat-figure3": "3 21",
    "gat-figure4": "4 41",
    "minmax": "5 5 10 10 2 2 4 4 8 8 16 16" + 8 * " 255",
}


def paper(number: str) -> str:
    """The text of a paper; the test is skipped where it is not at hand."""
    found = sorted(PAPERS.glob(f"{number}_*.txt"))
    if not found:
        pytest.skip(f"the paper is not in {PAPERS}")
    return found[0].read_text(encoding="utf-8")


def is_row(line: str) -> bool:
    return "\t" in line or line.startswith("|")


def table(lines: list[str], at: int, step: int) -> list[str]:
    """The rows nearest to the caption at ``at``, above it (step -1) or below (1)."""
    while not is_row(lines[at]):
        at += step
    found = []
    while 0 <= at < len(lines) and is_row(lines[at]):
        found.append(lines[at])
        at += step
    return found[::step]


def block(name: str) -> list[str]:
    """The lines of the paper that hold the numbers of a published table."""
    if name in PROSE:
        first, after = PROSE[name]
        lines = paper("002").replace("'\nstatistic", "' statistic").splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith(first))
        return lines[start : next(i for i, line in enumerate(lines) if i > start and line.startswith(after))]
    number, caption, side = TABLES[name]
    lines, step = paper(number).splitlines(), -1 if side == "above" else 1
    captions = caption.replace("(", r"\(").replace(")", r"\)").replace(". ", r"\. ")
    at = [i for i, line in enumerate(lines) if re.match(captions, line)]
    assert len(at) == caption.count("|") + 1, (name, at)
    return [line for i in at for line in table(lines, i, step)]


def numbers(line: str) -> list[str]:
    """Numbers of a line, as printed, without those that are part of a name or unit."""
    return NUMBER.findall(UNIT.sub("", line))


def no_cells(name: str) -> Counter[str]:
    return Counter(NO_CELLS.get(name, "").split())
