"""What Figure 4 of Mao et al. measures: attacks on few and many output pixels, on few and many tasks."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Curve(Measure):
    """A table whose lines are sizes, rising, with the mean of each column and its interval.

    Args:
        title, caption: see :class:`~testudo.studies.measures.Measure`.
        group: the variant that is measured, its first seed.
        examples: test images, evenly spaced; 0: all.
    """

    group: str
    examples: int = 0

    def __call__(self, rows: pl.DataFrame, groups: Groups) -> pl.DataFrame:
        """The table."""
        return self.of(groups[self.group][0])

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
