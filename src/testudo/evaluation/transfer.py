"""Images made against one model, judged by others: how many fool those too.

Needs no torch: every number is a query on rows. Shapes: n examples, B bootstrap replicates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from testudo.errors import TestudoError
from testudo.evaluation.columns import Array, Column, Key, columns
from testudo.evaluation.summarise import bootstrap, certain, interval
from testudo.reports import wording
from testudo.reports.tables import Cell, Row, Section, Table

if TYPE_CHECKING:
    from testudo.reports.figures import Panel

FROM = " from "  # between an attack's name and that of the run it was made against: "pgd20 linf 8/255 from single"
MATRIX = pl.Schema({
    "attack": pl.String, "surrogate": pl.String, "target": pl.String, "task": pl.String, "metric": pl.String,
    "n": pl.Int64, "clean": pl.Float64, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "right": pl.Int64, "success": pl.Float64, "success_low": pl.Float64, "success_high": pl.Float64,
})  # fmt: skip


@dataclass(frozen=True, eq=False)
class Transfer:
    """What every run makes of the images that were made against every other, and against itself.

    Args:
        rows: result rows: those of the clean images of every run, and for each surrogate those of every run as target,
            under an attack called ``"NAME from SURROGATE"``.
        resamples: bootstrap replicates.
        seed: of the bootstrap's own generator.

    Raises (on use):
        TestudoError: no run has both clean rows and rows of such an attack.
    """

    rows: pl.DataFrame
    resamples: int = 1000
    seed: int = 0

    def matrix(self) -> pl.DataFrame:
        """One row per attack, surrogate, target and task that both have, with 95 % bootstrap intervals over examples.

        A replicate draws the same examples everywhere; a share of 0 or 1 has the exact interval of
        :func:`testudo.evaluation.summarise.certain`. *Guided Adversarial Training* (2023), Table 17.

        Returns:
            The columns of :data:`MATRIX`: n labelled examples; ``clean`` and ``value`` are the target's metric on the
            clean and on the attacked images, low to high the latter's interval. Where the metric is accuracy, ``right``
            counts the examples that the target tells right when they are clean, and ``success`` is the share of those
            that it then tells wrong (NaN where there is none); null for other metrics.
        """
        return self._matrix

    @cached_property
    def _matrix(self) -> pl.DataFrame:
        cells = list(self._cells())
        if not cells:
            raise TestudoError(f"no rows of a transfer: no attack is called 'NAME{FROM}RUN' after one of the runs")
        parts = [part for cell in cells for part in (cell.clean, cell.hit, cell.beaten)]
        values = bootstrap(parts, self.resamples, self.seed).reshape(len(cells), 3, -1)
        lines = [cell.line(*each) for cell, each in zip(cells, values, strict=True)]
        return pl.DataFrame(lines, schema=MATRIX, orient="row")

    def tables(self) -> list[Table]:
        """A matrix for each attack and task: a line per surrogate, a column per target."""
        parts = self.matrix().partition_by("attack", "task", as_dict=True, maintain_order=True)
        return [_table(str(attack), str(task), part) for (attack, task), part in parts.items()]

    def markdown(self) -> str:
        """The tables as Markdown, each under its title."""
        told = [f"## {t.title}\n\n{t.caption}\n\n{t.markdown()}\n" for t in self.tables()]
        return "\n".join(["# Transfer\n", *told])

    def figures(self) -> list[Panel]:
        """A heat map for each attack and task that has a success rate, in percent."""
        from testudo.reports.heat_map import heat_map  # here, since matplotlib is slow to import

        found = []
        matrix = self.matrix().filter(pl.col("success").is_not_null())
        for (attack, task), part in matrix.partition_by("attack", "task", as_dict=True, maintain_order=True).items():
            rows, names, success = _spread(part, "success")
            title = f"{task}: {attack}, success rate (%)"
            found.append(heat_map(title, (rows, names), 100 * success, ("made against", "judged by"), (0.0, 100.0)))
        return found

    def _cells(self) -> Iterator[_Cell]:
        table = columns(self.rows)
        clean = {(run, task): column for (run, task, _), column in table.items() if column.family == "clean"}
        runs = list(dict.fromkeys(run for run, _ in clean))
        for key, column in table.items():
            attack, surrogate = _split(key, runs)
            if surrogate and (key[0], key[1]) in clean and (surrogate, key[1]) in clean:
                yield _Cell(attack, surrogate, key[0], key[1], clean[key[0], key[1]], column)


def _split(key: Key, runs: list[str]) -> tuple[str, str]:
    """An attack's own name, and the run it was made against; empty where it was made against none of ``runs``."""
    _, _, attack = key
    found = [run for run in runs if attack.endswith(FROM + run)]
    surrogate = max(found, key=len, default="")
    return attack.removesuffix(FROM + surrogate), surrogate


class _Cell(NamedTuple):
    """One target's columns on a task, before and after an attack made against a surrogate."""

    attack: str
    surrogate: str
    target: str
    task: str
    clean: Column
    hit: Column

    @property
    def right(self) -> NDArray[np.bool_]:
        """(n,) the labelled examples that the target tells right when they are clean."""
        return self.clean.labelled & self.hit.labelled & (self.clean.records[:, 0] == self.clean.records[:, 1])

    @property
    def beaten(self) -> Column:
        """The attacked examples that were right; all of them where right and wrong mean nothing."""
        return self.hit.only(self.right) if self.hit.metric == "accuracy" else self.hit

    def line(self, clean: Array, hit: Array, beaten: Array) -> tuple[object, ...]:
        """One row of :data:`MATRIX` from (1 + B,) values each."""
        n, share = int(self.hit.labelled.sum()), self.hit.metric == "accuracy"
        right = int(self.right.sum()) if share else None
        success = (float(1 - beaten[0]), *_interval(1 - beaten, right)) if right is not None else (None,) * 3
        value = (float(hit[0]), *_interval(hit, n if share else None))
        return (*self[:4], self.hit.metric, n, float(clean[0]), *value, right, *success)


def _interval(values: Array, n: int | None) -> tuple[float, float]:
    """That of a value and its replicates (1 + B,); ``n`` says of how many examples it is a share."""
    sure = n and values[0] in (0, 1)
    return certain(float(values[0]), n) if n and sure else interval(values[1:])


def _spread(part: pl.DataFrame, column: str) -> tuple[list[str], list[str], Array]:
    """Surrogates, targets, and a column as a table of them, NaN where a pair has no row."""
    runs = list(dict.fromkeys([*part["surrogate"], *part["target"]]))
    rows, names = ([run for run in runs if run in set(part[side])] for side in ("surrogate", "target"))
    values = np.full((len(rows), len(names)), np.nan)
    for surrogate, target, value in part.select("surrogate", "target", column).iter_rows():
        values[rows.index(surrogate), names.index(target)] = value
    return rows, names, values


def _table(attack: str, task: str, part: pl.DataFrame) -> Table:
    rows, names, _ = _spread(part, "value")
    cells = {(line["surrogate"], line["target"]): line for line in part.iter_rows(named=True)}
    metric, before = part["metric"][0], {line["target"]: line for line in cells.values()}
    what = wording.METRICS.get(metric, metric)
    caption = (
        "Success rate (%): of the examples that a target (column) tells right, the share that it tells wrong once they "
        "are attacked on the surrogate (line). Below it: the 95 % interval, and the target's accuracy (%) on all "
        "attacked images."
        if metric == "accuracy"
        else f"{what} of a target (column) on images attacked on the surrogate (line), with its 95 % interval."
    )
    lines = tuple(Row(Cell(row), tuple(_cell(cells.get((row, name))) for name in names)) for row in rows)
    foot = Row(Cell(f"clean {what}"), tuple(_clean(before[name]) for name in names))
    return Table(
        f"{task}: {attack}",
        f"{caption} On the diagonal a model is attacked on itself.",
        (Cell("made against"), *map(Cell, names)),
        (Section("", lines), Section("", (foot,))),
    )


def _cell(line: dict[str, Any] | None) -> Cell:
    if line is None:
        return Cell("–")
    metric, number, between = line["metric"], wording.number, wording.between
    if line["success"] is None:
        return Cell(number(metric, line["value"]), (between(metric, line["low"], line["high"]),))
    span = between(metric, line["success_low"], line["success_high"])
    return Cell(number(metric, line["success"]), (span, f"{wording.noun(metric)} {number(metric, line['value'])}"))


def _clean(line: dict[str, Any]) -> Cell:
    """A target's metric on the clean images, and how many examples it is of."""
    right = "n" if line["right"] is None else f"{line['right']} of"
    return Cell(wording.number(line["metric"], line["clean"]), (f"{right} {line['n']}",))
