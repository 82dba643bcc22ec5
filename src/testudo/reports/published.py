"""A paper's numbers beside ours."""

from __future__ import annotations

from testudo.reports import wording
from testudo.reports.claims import Beside
from testudo.reports.results import Results
from testudo.reports.tables import Cell, Row, Section, Table

CAPTION = (
    "Theirs as printed, ± their spread where they give one; ours with its 95 % interval over test images. Data, "
    "networks and lengths of training differ, so that the two columns are not to be compared number by number: what "
    "can be is which of two lines is ahead in each. A flag ⚑ marks a slip or a doubt in the printed number."
)
MARK = "⚑"


def published_table(results: Results) -> Table | None:
    """A line for each published number; None where the study has none."""
    if not results.study.beside:
        return None
    rows = tuple(_row(results, number) for number in results.study.beside)
    columns = tuple(map(Cell, ("the paper", "theirs", "ours", "n", "seeds", "our variant and attack")))
    return Table("Published numbers beside ours", CAPTION, columns, (Section("", rows),), frozenset({0, 5}))


def _row(results: Results, number: Beside) -> Row:
    side, attack = number.side, results.named(number.side.attack)
    ours = results.value(side.group, number.task, attack) if attack else None
    printed = f"{number.theirs} ± {number.spread}" if number.spread else number.theirs
    record = {"label": number.label, "theirs": number.theirs, "their_spread": number.spread, "note": number.note}
    record |= {"group": side.group, "task": number.task, "attack": side.attack}
    if ours is None:
        cells = [Cell(sign, record=told) for sign, told in zip("–––", (record, None, None), strict=True)]
    else:
        metric = ours["metric"]
        told = (wording.between(metric, ours["low"], ours["high"]),)
        cells = [Cell(wording.number(metric, ours["value"]), told, record | ours)]
        cells += [Cell(f"{ours['n']:,}"), Cell(str(ours["runs"]))]
    label = Cell(f"{number.label} {MARK}", (number.note,)) if number.note else Cell(number.label)
    where = Cell(side.group, (str(attack) if attack else side.attack,))
    return Row(label, (Cell(printed), *cells, where))
