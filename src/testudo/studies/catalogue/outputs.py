"""What Figure 4 of Mao et al. measures: attacks on few and many output pixels, on few and many tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from testudo.attacks.base import Attack
from testudo.evaluation.evaluate import Evaluation
from testudo.evaluation.theory.gradients import task_gradients
from testudo.evaluation.theory.means import averaged
from testudo.evaluation.theory.output_dimension import MEAN, PIXELS, SUM, OutputDimension
from testudo.evaluation.theory.theorem import many_tasks
from testudo.run import Run
from testudo.studies.measures import Groups, Measure

PREDICTED = (("theorem 1", "predicted"), ("corollary 1", "corollary"))
HOLDS, NOT, OPEN = "holds", "does not hold", "not decided"
Said = tuple[str, str, bool]  # what is said, the column it is about, whether that shall rise
RULE = (
    "From the first line of the table to the last: holds where the 95 % intervals do not touch and the change is as "
    "said, does not hold where it is the other way round, is not decided where they touch."
)


def verdict(lines: Sequence[Mapping[str, float]], column: str, rises: bool) -> str:
    """Whether a column with an interval has risen, or fallen, from the first line to the last; see :data:`RULE`.

    >>> lines = [{"x": 2.0, "x_low": 1.9, "x_high": 2.1}, {"x": 1.0, "x_low": 0.9, "x_high": 1.1}]
    >>> verdict(lines, "x", rises=False), verdict(lines, "x", rises=True)
    ('holds', 'does not hold')
    """
    first, last = lines[0], lines[-1]
    if first[f"{column}_low"] <= last[f"{column}_high"] and last[f"{column}_low"] <= first[f"{column}_high"]:
        return OPEN
    return HOLDS if (last[column] > first[column]) == rises else NOT


@dataclass(frozen=True)
class Curve(Measure):
    """A table whose lines are sizes, rising, with the mean of each column and its interval.

    Args:
        title, caption: see :class:`~testudo.studies.measures.Measure`.
        group: the variant that is measured, its first seed.
        examples: test images, evenly spaced; 0: all.
        kept: tables by run folder, for whoever asks again.
    """

    group: str
    examples: int = 0
    kept: dict[Path, pl.DataFrame] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, rows: pl.DataFrame, groups: Groups) -> pl.DataFrame:
        """The table."""
        run = groups[self.group][0]
        if run.folder not in self.kept:
            self.kept[run.folder] = self.of(run)
        return self.kept[run.folder]

    def of(self, run: Run) -> pl.DataFrame:
        """The table of a run."""
        raise NotImplementedError

    @property
    def how(self) -> Evaluation:
        """Where and on what it is measured: exactly, since gradients are compared."""
        return Evaluation(precision="float32", device="auto", examples=self.examples)


@dataclass(frozen=True)
class Pixels(Curve):
    """Figure 4a and b: random output pixels of a dense task, from one to all, and attacks on those alone.

    Args:
        title, caption, group, examples: see :class:`Curve`.
        task: the dense task.
        attacks: their names and what they are.
        points: numbers of pixels.
        draws: of the pixels, for each number.
    """

    task: str = ""
    attacks: tuple[tuple[str, Attack], ...] = ()
    points: int = 10
    draws: int = 20

    def of(self, run: Run) -> pl.DataFrame:
        """``pixels``, the gradient norm of their mean loss and of their summed one, what is told right of them."""
        measure = OutputDimension(self.task, points=self.points, draws=self.draws)
        found = measure(run.model(), self.how.chosen(run.test()), dict(self.attacks), self.how)
        lines: dict[int, dict[str, float]] = {}
        for row in averaged(found.filter(pl.col("measure") != PIXELS)).iter_rows(named=True):
            name = f"right, {row['attack']}" if row["attack"] else row["measure"]
            line = lines.setdefault(row["dimension"], {"pixels": row["dimension"]})
            line |= {name: row["value"], f"{name}_low": row["low"], f"{name}_high": row["high"]}
        return pl.DataFrame([lines[size] for size in sorted(lines)])

    @property
    def said(self) -> tuple[Said, ...]:
        """What the paper says of it, and what is left of that where nothing falls by itself."""
        text = "the more, the more of them are told right under"
        attacked = [(f"{text} {name} (Figure 4b)", f"right, {name}", True) for name, _ in self.attacks]
        return (
            ("the more pixels are attacked, the smaller the gradient of their mean loss (Figure 4a)", MEAN, False),
            ("the same of their summed loss, where no 1/d makes it fall (ours)", SUM, False),
            *attacked,
        )


@dataclass(frozen=True)
class Tasks(Curve):
    """Figure 4c: the joint gradient of more and more tasks of one network, beside Theorem 1 and its corollary.

    Args:
        title, caption, group, examples: see :class:`Curve`.
        sets: the tasks of each line.
    """

    sets: tuple[tuple[str, ...], ...] = ()

    def of(self, run: Run) -> pl.DataFrame:
        """``tasks``, the norm of the gradient of their mean loss and of their summed one, and what is predicted."""
        names = tuple(dict.fromkeys(name for each in self.sets for name in each))
        gradients = task_gradients(self.how.target(run.model()), self.how.chosen(run.test()), names)
        lines = []
        for row in many_tasks(gradients, self.sets).iter_rows(named=True):
            line = {"tasks": ", ".join(row["tasks"])}
            for name, source in ((MEAN, "measured"), (SUM, "measured"), *PREDICTED):
                factor = row["size"] if name == SUM else 1
                line |= {f"{name}{end}": factor * row[f"{source}{end}"] for end in ("", "_low", "_high")}
            lines.append(line)
        return pl.DataFrame(lines)

    @property
    def said(self) -> tuple[Said, ...]:
        """What the paper says of it, and what is left of that where nothing falls by itself."""
        return (
            ("the more tasks, the smaller the gradient of their mean loss (Figure 4c)", MEAN, False),
            ("the same of their summed loss, where no 1/M makes it fall (ours)", SUM, False),
        )


@dataclass(frozen=True)
class Ends(Measure):
    """Whether the columns of a curve do as is said; see :data:`RULE`.

    Args:
        title, caption: see :class:`~testudo.studies.measures.Measure`.
        curve: what is looked at.
    """

    curve: Pixels | Tasks

    def __call__(self, rows: pl.DataFrame, groups: Groups) -> pl.DataFrame:
        """A line for each thing that is said: its verdict, and both ends with their intervals."""
        lines = self.curve(rows, groups).to_dicts()
        told = []
        for text, column, rises in self.curve.said:
            line = {"said": text, "verdict": verdict(lines, column, rises)}
            for name, end in (("first", lines[0]), ("last", lines[-1])):
                line |= {f"{name}{part}": end[f"{column}{part}"] for part in ("", "_low", "_high")}
            told.append(line)
        return pl.DataFrame(told)
